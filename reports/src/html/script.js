"use strict";
// The page is complete without this: it adds the time cursor, copying, and opening what a link leads to.

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = button.dataset.copy;
    let copied = false;
    try {
      await navigator.clipboard.writeText(text);
      copied = true;
    } catch {
      // A page opened from a file may have no clipboard: fall back to selecting a field.
      const field = document.createElement("textarea");
      field.value = text;
      document.body.append(field);
      field.select();
      copied = document.execCommand("copy");
      field.remove();
    }
    button.textContent = copied ? "Copied" : "Select and copy";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const run = target && target.closest("details");
  if (run && !run.open) {
    run.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", reveal);
reveal();

for (const button of document.querySelectorAll("[data-open]")) {
  button.addEventListener("click", () => {
    for (const run of document.querySelectorAll("details.run")) {
      run.open = button.dataset.open === "all" || !run.querySelector("summary .badge.good");
    }
  });
}

let closedBeforePrint = [];
addEventListener("beforeprint", () => {
  closedBeforePrint = [...document.querySelectorAll("details.run:not([open])")];
  for (const run of closedBeforePrint) run.open = true;
});
addEventListener("afterprint", () => {
  for (const run of closedBeforePrint) run.open = false;
});

const milliseconds = (us) =>
  us === null || us === undefined ? "none" : us < 999500 ? `${(us / 1000).toPrecision(3)} ms` : `${(us / 1e6).toFixed(2)} s`;

for (const figure of document.querySelectorAll(".figure")) {
  const plot = figure.querySelector(".plot");
  const cursor = figure.querySelector(".cursor");
  const readout = figure.querySelector(".readout");
  let data = null;
  let bucket = -1;

  const line = (name, value) => {
    const row = document.createElement("div");
    const label = document.createElement("span");
    label.textContent = name;
    row.append(label, value);
    return row;
  };

  const show = (ns) => {
    data ??= JSON.parse(document.getElementById(`cursor-${figure.dataset.run}`).textContent);
    const at = Math.max(0, Math.min(ns, data.end));
    const us = at / 1000;
    bucket = data.bucket > 0 ? Math.floor(at / data.bucket) : 0;
    const within = (from, to) => from <= us && (to === null || us <= to);
    const rate = (series) => Math.round((series[bucket] ?? 0) * 1e9 / data.bucket).toLocaleString("en");
    const rows = [line("time", `${(at / 1e9).toFixed(2)} s`)];
    for (const [name, from, to] of data.faults) if (within(from, to)) rows.push(line("fault", name));
    for (const [group, node, term, from, to] of data.leaders) {
      if (within(from, to)) rows.push(line(group, `${node}, term ${term}`));
    }
    for (const [node, how, from, to] of data.down) if (within(from, to)) rows.push(line(node, how));
    rows.push(line("confirm p50", milliseconds(data.p50[bucket])), line("confirm p99", milliseconds(data.p99[bucket])));
    rows.push(line("published", `${rate(data.published)}/s`), line("confirmed", `${rate(data.confirmed)}/s`));
    rows.push(line("delivered", `${rate(data.delivered)}/s`));
    readout.replaceChildren(...rows);
    readout.hidden = false;
    const width = plot.viewBox.baseVal.width;
    cursor.setAttribute("transform", `translate(${at / data.end * width} 0)`);
    cursor.classList.add("on");
    const box = plot.getBoundingClientRect();
    const x = box.left + at / data.end * box.width - figure.getBoundingClientRect().left;
    const left = x + 14 + readout.offsetWidth > figure.clientWidth ? x - 14 - readout.offsetWidth : x + 14;
    readout.style.left = `${Math.max(0, left)}px`;
  };
  const hide = () => {
    readout.hidden = true;
    cursor.classList.remove("on");
  };

  plot.addEventListener("pointermove", (event) => {
    data ??= JSON.parse(document.getElementById(`cursor-${figure.dataset.run}`).textContent);
    const box = plot.getBoundingClientRect();
    show((event.clientX - box.left) / box.width * data.end);
  });
  plot.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") hide();
    if (!step || event.target !== figure) return;
    event.preventDefault();
    data ??= JSON.parse(document.getElementById(`cursor-${figure.dataset.run}`).textContent);
    const next = Math.max(0, bucket + step * (event.shiftKey ? 10 : 1));
    show((next + 0.5) * data.bucket);
  });
}
