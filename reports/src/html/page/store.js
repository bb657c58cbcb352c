// The list of a store: filtering by text, picking two to compare, and times where the reader is.

for (const time of document.querySelectorAll("time[data-seconds]")) {
  const date = new Date(Number(time.dataset.seconds) * 1000);
  time.dateTime = date.toISOString();
  time.title = date.toUTCString();
  const two = (number) => String(number).padStart(2, "0");
  time.textContent = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

const filter = document.getElementById("filter");
if (filter) {
  filter.addEventListener("change", () => {
    const query = new URLSearchParams(location.search);
    if (filter.value.trim()) query.set("text", filter.value.trim()); else query.delete("text");
    location.search = query.toString();
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || document.activeElement === filter) return;
    event.preventDefault();
    filter.focus();
    filter.select();
  });
}

const picked = document.getElementById("picked");
if (picked) {
  const boxes = [...document.querySelectorAll("[data-pick]")];
  // In the order in which they were picked: the first is the one to compare with.
  let order = [];
  const tell = () => {
    picked.hidden = order.length === 0;
    picked.firstChild.textContent = order.length === 2 ? order.join(" → ") : `${order[0] ?? ""}: pick another one`;
    picked.lastChild.disabled = order.length !== 2;
  };
  for (const box of boxes) {
    box.checked = false;
    box.addEventListener("change", () => {
      order = order.filter((id) => id !== box.dataset.pick);
      if (box.checked) order.push(box.dataset.pick);
      while (order.length > 2) order.shift();
      for (const other of boxes) other.checked = order.includes(other.dataset.pick);
      tell();
    });
  }
  picked.lastChild.addEventListener("click", () => {
    location.href = `/compare?a=${encodeURIComponent(order[0])}&b=${encodeURIComponent(order[1])}`;
  });
}
