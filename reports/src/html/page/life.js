// The life of one message: client, leader, replicas, disks, in one order, with the faults that came in between. It is
// the same picture as that of a witness.

/** A life that has not ended this long after its last known event is over. */
const AFTERMATH = 400;
const LIFE_ROWS_MAX = 90;
/** What comes first of what is told at the same instant: causes before effects. */
const ORDER = ["fault", "down", "publish", "append", "persist", "promise", "commit", "apply", "assign", "send", "receive", "outcome", "settle", "settled", "rest"];

/** What happened to a message, in order: `{ at, who, disk, mark, what }`. */
function lifeOf(publish, run, layout, tables, index) {
  const { publishes, receipts, replicas } = tables;
  const told = [];
  const tell = (at, who, mark, what, more = {}) => told.push({ at, who, mark, what, ...more });
  const name = index.messageName(publish);
  const node = run.nodes[layout.channels[publishes.channel[publish]]?.[1]] ?? "?";
  const client = run.clients[publishes.client[publish]].name;
  const queue = layout.queues[publishes.queue[publish]] ?? "?";
  const group = index.groupOfQueue[publishes.queue[publish]];
  const number = publishes.number[publish];
  const [entry, entryTerm] = index.entryOf(group, number);
  const began = publishes.at[publish];

  tell(began, client, "client", `publishes ${name} to ${queue} through ${node}`, { order: "publish" });
  const outcome = publishes.outcome[publish];
  let last = index.outcomeAt[publish];
  if (outcome) tell(last, client, outcome === OUTCOME.confirmed ? "client" : "client doubt",
    outcome === OUTCOME.confirmed ? "is told that it is confirmed" : outcome === OUTCOME.unknown ? "gives up: it will never know" : `is told: ${OUTCOME_WORDS[outcome]}`, { order: "outcome" });

  for (let row = 0; row < receipts.rows; row++) {
    if (receipts.publish[row] - 1 !== publish) continue;
    const who = run.clients[index.clientOfReceipt(row)].name;
    const how = receipts.how[row] & 1 ? ", flagged redelivered" : "";
    tell(receipts.at[row], who, "client", `receives it${how} (tag ${receipts.tag[row]})`, { order: "receive" });
    if (receipts.settled[row]) tell(index.settledAt[row], who, "client", { 1: "acks it", 2: "gives it back", 3: "refuses it for good" }[receipts.settled[row]], { order: "settle" });
    last = Math.max(last, receipts.at[row], receipts.settled[row] ? index.settledAt[row] : 0);
  }

  if (group > 0 && number > 0) {
    run.nodes.forEach((who, n) => {
      const each = (kind, say) => {
        const { rows, at } = index.source(kind, n, group);
        for (let i = 0; i < rows.length; i++) if (replicas.what[rows[i]] === number) say(at[i], rows[i]);
      };
      each(KIND.assigned, (at, row) => tell(at, who, "node", `gives it to a consumer at ${run.nodes[replicas.more[row]] ?? "?"}`, { order: "assign", key: `assigned ${replicas.more[row]}` }));
      each(KIND.delivered, (at) => tell(at, who, "node", "sends it to the consumer's channel", { order: "send" }));
      each(KIND.requeued, (at) => tell(at, who, "node", "puts it back into the queue", { order: "settled", key: "requeued" }));
      each(KIND.settled, (at) => tell(at, who, "node", "settles it: it is gone from the queue", { order: "settled", key: "settled" }));
    });
  }
  if (group > 0 && entry > 0) {
    run.nodes.forEach((who, n) => {
      const appended = index.source(KIND.appended, n, group);
      const times = [];
      for (let i = lowerBound(appended.at, began); i < appended.rows.length; i++) {
        const row = appended.rows[i];
        if (replicas.what[row] !== entry) continue;
        const term = replicas.more[row];
        const isOurs = term === entryTerm;
        // What stood there before is another message's story.
        if (!isOurs && !times.length) continue;
        if (isOurs) times.push(appended.at[i]);
        const how = !isOurs ? "writes another entry in its place:" : times.length > 1 ? "appends it again:" : "appends it to its log:";
        tell(appended.at[i], who, isOurs ? "node" : "down", `${how} entry ${count(entry)} of ${queue}, term ${term}`, { order: "append", fatal: !isOurs });
      }
      if (!times.length) return;
      const first = (kind, say, disk = false) => {
        const { rows, at } = index.source(kind, n, group);
        for (let i = lowerBound(at, times[0]); i < rows.length; i++) {
          if (replicas.what[rows[i]] < entry) continue;
          say(at[i], disk);
          return;
        }
      };
      first(KIND.persisted, (at) => tell(at, who, "disk", "has it on its disk, as it believes", { order: "persist", disk: true }));
      first(KIND.acknowledged, (at) => tell(at, who, "node", "promises the leader that it has it", { order: "promise" }));
      first(KIND.committed, (at) => tell(at, who, "node", "learns that it is committed", { order: "commit" }));
      first(KIND.applied, (at) => tell(at, who, "node", number ? `applies it: message ${count(number)} of ${queue}` : "applies it", { order: "apply" }));
      const recovered = index.source(KIND.recovered, n, group);
      recovered.rows.forEach((row, i) => {
        if (recovered.at[i] < times[0]) return;
        const has = replicas.what[row] >= entry;
        tell(recovered.at[i], who, has ? "disk" : "down", has ? `still has it after the restart (log to ${count(replicas.what[row])})` : `came back without it: its log ends at ${count(replicas.what[row])}`, { disk: true, fatal: !has });
      });
    });
  } else if (group > 0) {
    nearbyEntries(began, last, run, index, tables, group, queue, tell);
  }

  last = Math.max(last, ...told.filter(({ key }) => key === "settled").map(({ at }) => at));
  const lost = outcome === OUTCOME.confirmed && index.firstReceipt[publish] < 0;
  const until = lost ? index.end : last + AFTERMATH;
  for (const [who, how, from, to] of run.down) {
    if (from / 1e6 >= began && from / 1e6 <= until) tell(from / 1e6, who, "down", how, { order: "down", disk: true, both: true, goes: true, fatal: true });
    if (to !== null && to / 1e6 >= began && to / 1e6 <= until) tell(to / 1e6, who, "up", "starts again", { comes: true });
  }
  for (const [name, who, term, from] of run.leaders) {
    if (name === queue && from / 1e6 > began && from / 1e6 <= until) tell(from / 1e6, who, "node", `becomes leader of ${queue} in term ${term}`);
  }
  run.faults.forEach((fault, i) => {
    if (fault.from === null) return;
    const [from, to] = [fault.from / 1e6, (fault.to ?? run.end) / 1e6];
    if (from > until || to < began) return;
    tell(from, "faults", "", fault.what, { order: "fault", fault: i, begins: true });
    if (fault.to !== null && to <= until) tell(to, "faults", "", `over: ${fault.what}`, { fault: i, ends: true });
  });
  if (lost) tell(index.end, "run", "", layout.drained ? "ends with the queue empty: nobody ever received it" : "ends: nobody received it", { fatal: true });

  const order = (event) => ORDER.indexOf(event.order ?? "rest");
  told.sort((a, b) => a.at - b.at || order(a) - order(b));
  return { name, number, entry, rows: withoutRepeats(told), from: began, to: last, lost };
}

/** Replicas tell one after the other what the first of them has told: once is enough. */
function withoutRepeats(told) {
  const nodes = new Map();
  return told.filter((event) => {
    if (!event.key) return true;
    // The same replica tells of the same again only when it happened again.
    const times = nodes.get(event.key) ?? new Map();
    nodes.set(event.key, times);
    const mine = (times.get(event.who) ?? 0) + 1;
    const most = Math.max(0, ...times.values());
    times.set(event.who, mine);
    return mine > most;
  });
}

/** Without the message's number only the entries of that time are known. */
function nearbyEntries(began, last, run, index, tables, group, queue, tell) {
  const { replicas } = tables;
  run.nodes.forEach((who, n) => {
    const { rows, at } = index.source(KIND.appended, n, group);
    const [first, end] = [lowerBound(at, began), lowerBound(at, last + 1e-6)];
    if (end <= first) return;
    const entries = Array.from(rows.slice(first, end), (row) => replicas.what[row]);
    const [low, high] = [Math.min(...entries), Math.max(...entries)];
    tell(at[first], who, "node doubt", low === high
      ? `appends entry ${count(low)} of ${queue}, which may be it`
      : `appends entries ${count(low)} to ${count(high)} of ${queue} meanwhile; one of them may be it`);
  });
}

function drawLife(host, life, run, { onClose, onShow }) {
  const lines = [];
  const addLine = (who, disk) => {
    if (who !== "faults" && who !== "run" && !lines.some((line) => line.who === who && line.disk === disk)) lines.push({ who, disk });
  };
  for (const { who, disk, both } of life.rows) {
    addLine(who, false);
    if (disk || both) addLine(who, true);
  }
  const place = (who) => run.nodes.indexOf(who) + 1;
  lines.sort((a, b) => place(a.who) - place(b.who) || Number(a.disk) - Number(b.disk));
  const nodeClass = (who) => place(who) ? `n${(place(who) - 1) % NODE_COLOURS}` : "nx";

  const head = element("tr", {}, element("th", { class: "r" }, "At"), element("th", { class: "r after" }, "After"),
    ...lines.map(({ who, disk }) => element("th", { class: `line ${nodeClass(who)}` },
      element("span", {}, who, ...disk ? [element("small", {}, "disk")] : []))),
    element("th", {}, "Who"), element("th", {}, "What"));
  const down = new Set();
  const struck = new Set();
  let before = null;
  const cut = LIFE_ROWS_MAX / 2;
  const body = [];
  life.rows.forEach((event, i) => {
    if (event.comes || (place(event.who) && !event.goes)) down.delete(event.who);
    if (event.begins) struck.add(event.fault);
    const hidden = life.rows.length > LIFE_ROWS_MAX && i >= cut && i < life.rows.length - cut;
    if (hidden && i === cut) body.push(element("tr", {}, element("td", { colspan: lines.length + 4 }, `… ${count(life.rows.length - LIFE_ROWS_MAX)} more events …`)));
    if (!hidden) {
      const cells = lines.map((line) => {
        const own = line.who === event.who && (event.both || Boolean(event.disk) === line.disk);
        const touched = [...struck].some((fault) => run.faults[fault].nodes.includes(line.who));
        const state = `line ${nodeClass(line.who)}${down.has(line.who) ? " dead" : ""}${touched ? " struck" : ""}`;
        const begins = event.begins && !line.disk && run.faults[event.fault].nodes.includes(line.who);
        const mark = own ? [element("i", { class: event.mark }, event.mark === "down" ? "✕" : "")] : begins ? [element("i", { class: "fault" })] : [];
        return element("td", { class: state }, ...mark);
      });
      const step = event.fault === undefined ? [] : [element("a", { class: "number", href: `#run-1-fault-${event.fault + 1}` }, String(run.faults[event.fault].step)), " "];
      body.push(element("tr", { class: event.fatal ? "fatal" : event.fault === undefined ? "" : "struck" },
        element("td", { class: "r" }, instant(event.at)),
        element("td", { class: "r faint after" }, before === null ? "" : `+${duration(event.at - before)}`),
        ...cells, element("th", {}, event.who), element("td", { class: "what" }, ...step, event.what)));
      before = event.at;
    }
    if (event.ends) struck.delete(event.fault);
    if (event.goes) down.add(event.who);
  });
  const facts = [life.number ? `message ${count(life.number)} of its queue` : "its number in the queue is not known", life.entry ? `log entry ${count(life.entry)}` : null]
    .filter(Boolean).join(", ");
  host.replaceChildren(
    element("div", { class: "tools" }, element("h3", {}, "The life of ", element("code", {}, life.name), life.lost ? element("span", { class: "lost" }, " confirmed, and never received") : ""),
      element("span", { class: "faint" }, facts),
      element("span", { class: "buttons" },
        element("button", { type: "button", onclick: onShow }, "Show in timeline"),
        element("button", { type: "button", "aria-label": "Close", onclick: onClose }, "Close"))),
    element("div", { class: "scroll" }, element("table", { class: "events" }, element("thead", {}, head), element("tbody", {}, ...body))));
  host.hidden = false;
}
