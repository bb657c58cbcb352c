// Finding a message by its name, or a time, and landing on it.

const SUGGESTIONS_MAX = 8;

/** What a text may mean: `{ label, note, go }`. */
function meanings(text, run, tables, index, go) {
  const query = text.trim();
  if (!query) return [];
  const time = /^(\d+(?:\.\d+)?)\s*(ms|s)?$/.exec(query);
  const found = [];
  const { publishes } = tables;
  const message = (row) => found.push({
    label: index.messageName(row), note: `${OUTCOME_WORDS[publishes.outcome[row]]}, published at ${instant(publishes.at[row])}`, go: () => go.message(row),
  });
  const exact = index.findMessage(query);
  if (exact >= 0) message(exact);
  const [, who, sequence] = /^(.+?)\/(\d*)$/.exec(query) ?? [null, query, ""];
  run.clients.forEach((client, number) => {
    if (found.length >= SUGGESTIONS_MAX || !index.published[number].rows.length) return;
    if (client.name === who && query.includes("/")) {
      for (const row of index.published[number].rows) {
        if (found.length >= SUGGESTIONS_MAX) break;
        if (row !== exact && String(publishes.sequence[row]).startsWith(sequence)) message(row);
      }
    } else if (!query.includes("/") && client.name.includes(query)) {
      found.push({ label: `${client.name}/`, note: `${count(index.published[number].rows.length)} publishes`, fill: `${client.name}/` });
    }
  });
  if (time && (time[2] || query.includes(".") || !found.length)) {
    const at = Number(time[1]) * (time[2] === "ms" ? 1 : 1000);
    if (at <= index.end) found.push({ label: instant(at), note: "go to this time", go: () => go.time(at) });
  }
  for (const fault of run.faults) {
    if (found.length < SUGGESTIONS_MAX && fault.kind.includes(query)) found.push({ label: `${fault.step} ${fault.kind}`, note: fault.what, go: () => go.fault(fault) });
  }
  return found;
}

function searchBox(run, tables, index, go) {
  const input = document.getElementById("search");
  const list = document.getElementById("found");
  let options = [];
  let chosen = 0;
  const close = () => { list.hidden = true; options = []; };
  const take = (option) => {
    if (option.fill) { input.value = option.fill; offer(); return; }
    input.value = option.label;
    close();
    input.blur();
    option.go();
  };
  const offer = () => {
    options = meanings(input.value, run, tables, index, go);
    chosen = 0;
    list.replaceChildren(...options.map((option, i) => element("li", {
      role: "option", "aria-selected": i === chosen, onpointerdown: (event) => { event.preventDefault(); take(option); },
    }, element("b", {}, option.label), " ", element("span", {}, option.note))));
    if (!options.length && input.value.trim()) list.replaceChildren(element("li", { class: "none" }, "No message, time or fault of this name"));
    list.hidden = !input.value.trim();
  };
  input.addEventListener("input", offer);
  input.addEventListener("focus", offer);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) {
      event.preventDefault();
      chosen = (chosen + step + options.length) % options.length;
      [...list.children].forEach((item, i) => item.setAttribute("aria-selected", i === chosen));
    } else if (event.key === "Enter" && options[chosen]) {
      event.preventDefault();
      take(options[chosen]);
    } else if (event.key === "Escape") {
      close();
      input.blur();
    }
  });
  input.disabled = false;
  return input;
}
