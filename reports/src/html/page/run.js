// Puts a run's page together: unpacks the events once the page is in sight, then wires lanes, search and keys.

const LINKS_WITHOUT_ASKING = 12;

const parsed = (id) => JSON.parse(document.getElementById(id)?.textContent || "null");

const EMPTY = { unit: 1, bytes: 0, tables: null, sources: [], sample: 1, queues: [], groups: ["meta"], channels: [], drained: false, silences: [] };

function emptyTables() {
  const table = (...names) => Object.fromEntries([["rows", 0], ...names.map((name) => [name, []])]);
  return {
    publishes: table("client", "at", "channel", "queue", "sequence", "attempt", "outcome", "after", "number"),
    receipts: table("channel", "at", "queue", "publish", "how", "tag", "settled", "after"),
    replicas: table("source", "at", "what", "more"),
    disks: table("node", "at", "syncs", "held", "slowed", "failed"),
    links: table("from", "at", "to", "sent", "dropped", "delayed"),
  };
}

async function openRun() {
  const run = parsed("record");
  const layout = parsed("layout") ?? EMPTY;
  // The first screen is there already: let the browser show it before anything else.
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const tables = layout.tables ? await decode(layout, document.getElementById("events").textContent) : emptyTables();
  const index = await buildIndex(run, layout, tables);
  await buildQueues(run, layout, tables, index);
  index.committedAt = (row) => tables.replicas.what[row];
  ink.refresh();

  const view = new View(run.end / 1e6);
  const section = document.getElementById("timeline");
  const host = document.getElementById("panels");
  const life = document.getElementById("life");
  let selected = -1;

  const span = document.getElementById("span");
  const tellSpan = () => { span.textContent = `${instant(view.from)} to ${instant(view.to)} (${duration(view.span)})`; };

  function openFault(fault, { scroll = true } = {}) {
    const row = document.getElementById(`run-1-fault-${run.faults.indexOf(fault) + 1}`);
    if (scroll && row) location.hash = row.id;
  }
  function showFault(fault) {
    if (fault.from === null) return;
    view.show(fault.from / 1e6, (fault.to ?? run.end) / 1e6);
    section.scrollIntoView({ block: "start" });
  }
  function select(publish, { land = false, stay = false } = {}) {
    selected = publish;
    const told = lifeOf(publish, run, layout, tables, index);
    panels.marks = told.rows.filter((row) => row.mark?.startsWith("client") || row.fatal)
      .map(({ at, fatal }) => ({ at, colour: fatal ? ink.colours.bad : ink.colours.ink }));
    const show = () => {
      view.show(told.from, Math.max(told.to, told.from + 2));
      section.scrollIntoView({ block: "start" });
    };
    drawLife(life, told, run, { onShow: show, onClose: () => { life.hidden = true; panels.marks = []; selected = -1; panels.redraw(); } });
    if (land) view.show(told.from, Math.max(told.to, told.from + 2));
    if (!stay) life.scrollIntoView({ block: "start" });
    panels.redraw();
  }

  document.getElementById("waiting")?.remove();
  const panels = new Panels(run, view, host);
  const groups = [...new Set(run.leaders.map(([group]) => group))].sort((a, b) => (a === "meta") - (b === "meta") || (a < b ? -1 : 1));
  const links = linkLanes(run, layout, tables);
  const shownLinks = (all) => all || links.length <= LINKS_WITHOUT_ASKING ? links : links.filter((lane) => lane.disturbed);
  panels.add("cluster", "", [], [faultLane(run, openFault), phaseLane(run), ...groups.map((group) => leaderLane(run, group))], { axis: true });
  panels.add("nodes", "Nodes and disks", [["fill n0", "entries applied"], ["hatched", "not running"], ["vote", "a vote"], ["fill busy", "syncs"], ["fill warn", "slowed"], ["fill other", "held or failed"]],
    run.nodes.flatMap((_, node) => [nodeLane(run, index, node), diskLane(run, layout, tables, index, node)]));
  const linkPanel = panels.add("links", "Links", [["fill busy", "packets"], ["fill warn", "held up"], ["fill other", "dropped"]], shownLinks(false));
  panels.add("clients", "Clients", [["fill busy", "confirmed, or delivered afresh"], ["fill other", "unknown or refused, or redelivered"], ["under n1", "connected to that node"]],
    run.clients.map((_, client) => clientLane(run, layout, tables, index, client, select)), { axis: true });
  const quantiles = [["line n0", "p50"], ["dashed n1", "p99"], ["dotted faint", "max"], ["point", "a message, when near"]];
  panels.add("confirm", "Publish to confirm", [...quantiles, ["vote other", "no answer"], ["block", "unavailable"]], latencyChart(run, layout, index, index.confirmLatency, { unanswered: true, select }));
  panels.add("delivery", "Publish to delivery", quantiles, latencyChart(run, layout, index, index.deliveryLatency, { unanswered: false, select }));
  panels.add("throughput", "Messages per second", [["dotted faint", "published"], ["line n0", "confirmed"], ["dashed n2", "delivered"]], throughputChart(tables, index));
  const byNode = run.nodes.map((name, node) => [`fill n${node % NODE_COLOURS}`, `unacked via ${name}`]);
  layout.groups.forEach((name, group) => {
    if (group === 0) return;
    panels.add(`queue-${group}`, `Queue ${name}`, [["fill busy", "ready"], ...byNode], queueChart(run, index.queues[group]));
    panels.add(`commit-${group}`, `Commit index of ${name}, by replica`, run.nodes.map((node, i) => [`${["line", "dashed", "dotted"][i % 3]} n${i % NODE_COLOURS}`, node]), commitChart(run, index, group),
      { axis: group === layout.groups.length - 1 });
  });
  overviewStrip(run, view, index, host.parentElement.querySelector(".overview-strip"));
  view.onChange(tellSpan);
  tellSpan();

  const go = {
    message: (row) => select(row, { land: true }),
    time: (at) => { view.show(at - 250, at + 250); panels.marks = [{ at, colour: ink.colours.ink }]; section.scrollIntoView({ block: "start" }); panels.redraw(); },
    fault: showFault,
  };
  const search = searchBox(run, tables, index, go);

  const buttons = { in: () => view.zoom(0.5), out: () => view.zoom(2), fit: () => view.fit() };
  for (const button of section.querySelectorAll("[data-do]")) {
    if (buttons[button.dataset.do]) button.addEventListener("click", buttons[button.dataset.do]);
  }
  const linkButton = section.querySelector("[data-do=links]");
  linkButton.hidden = links.length <= LINKS_WITHOUT_ASKING;
  let all = false;
  linkButton.addEventListener("click", () => {
    all = !all;
    linkButton.textContent = all ? "Disturbed links" : "All links";
    panels.replace(linkPanel, shownLinks(all));
  });

  const stepFault = (by) => {
    const isWhole = view.span > view.end * 0.99;
    const middle = isWhole ? (by > 0 ? -Infinity : Infinity) : (view.from + view.to) / 2;
    const starts = run.faults.filter((fault) => fault.from !== null).sort((a, b) => a.from - b.from);
    const centre = (fault) => (fault.from + (fault.to ?? run.end)) / 2e6;
    const next = by > 0 ? starts.find((fault) => centre(fault) > middle + 1) : starts.findLast((fault) => centre(fault) < middle - 1);
    if (next) showFault(next);
  };
  const keys = {
    "/": () => { search.focus(); search.select(); }, "t": () => theme.toggle(), "+": buttons.in, "=": buttons.in, "-": buttons.out,
    "0": buttons.fit, "[": () => stepFault(-1), "]": () => stepFault(1), "?": toggleHelp,
    "ArrowLeft": () => view.pan(-view.span * 0.2), "ArrowRight": () => view.pan(view.span * 0.2),
    "Escape": () => { life.hidden = true; panels.marks = []; panels.leave(); panels.redraw(); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, .source, .scroll[tabindex]")) return;
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  document.getElementById("help").addEventListener("click", toggleHelp);

  /** What a link of the page leads to: a message, a time, or a fault's row. */
  const follow = () => {
    const [, what, value] = /^#(message|at)=(.*)$/.exec(decodeURIComponent(location.hash)) ?? [];
    if (what === "message") {
      const row = index.findMessage(value);
      if (row >= 0) go.message(row);
    } else if (what === "at") {
      go.time(Number(value) / 1e6);
    }
  };
  addEventListener("hashchange", follow);
  // The same link again is no change of the address.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.hash === location.hash) follow();
  });
  for (const button of document.querySelectorAll("[data-fault]")) {
    button.addEventListener("click", () => showFault(run.faults[Number(button.dataset.fault) - 1]));
  }
  if (location.hash) follow();
  else for (const text of run.focus) {
    const [name] = /[\w.-]+\/\d+/.exec(text) ?? [];
    const row = name ? index.findMessage(name) : -1;
    if (row < 0) continue;
    // It belongs to the first screen, right below the witness that names it.
    document.querySelector(".witness")?.after(life);
    select(row, { stay: true });
    break;
  }
  linkMessages(index);
  document.documentElement.dataset.ready = "";
}

/** Names of messages in sentences become links to them. */
function linkMessages(index) {
  for (const place of document.querySelectorAll(".why, .more li, .witness > p, .witness summary p, .witness td.what")) {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts) {
      const match = /[\w.-]+\/\d+/.exec(text.data);
      if (!match || text.parentElement.closest("a") || index.findMessage(match[0]) < 0) continue;
      const name = text.splitText(match.index);
      name.splitText(match[0].length);
      const link = element("a", { href: `#message=${match[0]}` });
      name.replaceWith(link);
      link.append(name);
    }
  }
}

const KEYS = [["/", "find a message, a time or a fault"], ["← →", "move along"], ["+ −", "zoom"], ["0", "the whole run"], ["[ ]", "previous and next fault"],
  ["t", "dark or light"], ["Esc", "close"], ["drag", "move along"], ["Ctrl + wheel, pinch, double click", "zoom where the pointer is"], ["Shift + wheel", "move along"], ["click", "open the message under the pointer"]];

function toggleHelp() {
  const open = document.querySelector("dialog");
  if (open) { open.remove(); return; }
  const dialog = element("dialog", { "aria-label": "Keyboard and pointer" },
    element("h3", {}, "Keyboard and pointer"),
    element("dl", {}, ...KEYS.flatMap(([key, what]) => [element("dt", {}, key), element("dd", {}, what)])),
    element("form", { method: "dialog" }, element("button", {}, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

openRun().catch((error) => {
  const waiting = document.getElementById("waiting") ?? document.getElementById("panels");
  const old = typeof DecompressionStream === "undefined"
    ? "This browser is too old to unpack the events (it lacks DecompressionStream): the lanes and charts need Chrome 103, Firefox 113 or Safari 16.4, or newer. "
    : "";
  waiting.textContent = `${old}The lanes and charts cannot be drawn: ${error.message}. Everything else is here, and all events are in history.jsonl.gz.`;
});
