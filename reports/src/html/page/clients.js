// The lanes of clients: through which node each is connected, and its operations. From afar they are counted per pixel;
// near, every one of them is a bar from its beginning to its end.

const CLIENT_LANE = 40;
const CONNECTION = 5;
/** Bars are drawn one by one while there is this much room for each. */
const PIXELS_PER_BAR = 1.5;
/** From afar, so many pixels are one column: single ones only show the beat between the load and the screen. */
const COLUMN = 3;

function clientLane(run, layout, tables, index, client, select) {
  const { publishes, receipts } = tables;
  const { name, role, connections } = run.clients[client];
  const { isPublisher, rows, from, to, slots, others, longest } = index.operations[client];
  const spans = connections.map(([start, end, node]) => ({ from: start / 1e6, to: (end ?? run.end) / 1e6, node }));
  const publishOf = (row) => isPublisher ? row : receipts.publish[row] - 1;

  // Clients that do the same are drawn the same way.
  const peers = run.clients.map((_, other) => other).filter((other) => run.clients[other].role === role).map((other) => index.operations[other].from);
  const isNear = (plot) => peers.every((times) => (lowerBound(times, plot.to) - lowerBound(times, plot.from)) * PIXELS_PER_BAR <= plot.width);

  function near(context, plot, top) {
    const high = (CLIENT_LANE - CONNECTION - 6) / SLOTS;
    const isOther = (i) => others[i + 1] > others[i];
    context.textBaseline = "middle";
    for (const other of [false, true]) {
      context.fillStyle = other ? ink.colours.other : ink.colours.busy;
      context.beginPath();
      for (let i = lowerBound(from, plot.from - longest); i < from.length && from[i] <= plot.to; i++) {
        if (isOther(i) !== other || to[i] < plot.from) continue;
        const clip = plot.clip(from[i], to[i], 1.5);
        if (clip) context.rect(clip[0], top + 2 + slots[i] * high, clip[1], high - 1);
      }
      context.fill();
    }
    // Names, once there is room for some.
    if (high < 4 || plot.scale < 1.5) return;
    context.font = "9px system-ui, sans-serif";
    for (let i = lowerBound(from, plot.from - longest); i < from.length && from[i] <= plot.to; i++) {
      const clip = plot.clip(from[i], to[i]);
      const publish = publishOf(rows[i]);
      if (!clip || clip[1] < 34 || publish < 0) continue;
      const label = isPublisher ? String(publishes.sequence[publish]) : index.messageName(publish);
      context.fillStyle = ink.colours.ink;
      if (context.measureText(label).width + 6 < clip[1]) context.fillText(label, clip[0] + 3, top + 2 + slots[i] * high + high / 2);
    }
    context.font = FONT;
  }

  function far(context, plot, top) {
    const pixels = Math.floor(plot.width / COLUMN);
    const all = new Uint32Array(pixels);
    const other = new Uint32Array(pixels);
    const perPixel = (plot.to - plot.from) / pixels;
    let at = lowerBound(from, plot.from);
    const end = lowerBound(from, plot.to, at);
    for (let pixel = 0; pixel < pixels; pixel++) {
      const next = lowerBound(from, plot.from + (pixel + 1) * perPixel, at, end);
      all[pixel] = next - at;
      other[pixel] = others[next] - others[at];
      at = next;
    }
    const bottom = top + CLIENT_LANE - CONNECTION - 3;
    const high = CLIENT_LANE - CONNECTION - 8;
    const most = full(all);
    context.fillStyle = ink.colours.busy;
    context.beginPath();
    for (let pixel = 0; pixel < pixels; pixel++) {
      const tall = Math.max(1.5, Math.sqrt(Math.min(1, all[pixel] / most)) * high);
      if (all[pixel]) context.rect(plot.left + pixel * COLUMN, bottom - tall, COLUMN, tall);
    }
    context.fill();
    context.fillStyle = ink.colours.other;
    context.beginPath();
    for (let pixel = 0; pixel < pixels; pixel++) {
      const tall = Math.max(3, Math.sqrt(Math.min(1, other[pixel] / most)) * high);
      if (other[pixel]) context.rect(plot.left + pixel * COLUMN, bottom - tall, COLUMN, tall);
    }
    context.fill();
  }

  const find = (at, y, plot) => {
    if (!isNear(plot)) return -1;
    const slot = Math.floor((y - 2) / ((CLIENT_LANE - CONNECTION - 6) / SLOTS));
    const slack = 2 / plot.scale;
    for (let i = lowerBound(from, at + slack) - 1; i >= 0 && from[i] >= at - longest - slack; i--) {
      if (slots[i] === slot && to[i] + slack >= at) return i;
    }
    return -1;
  };

  return {
    name,
    height: CLIENT_LANE,
    draw(context, plot, top) {
      (isNear(plot) ? near : far)(context, plot, top);
      const y = top + CLIENT_LANE - CONNECTION - 2;
      for (const span of spans) {
        const clip = plot.clip(span.from, span.to);
        if (!clip) continue;
        const colour = ink.node(run.nodes.indexOf(span.node));
        context.fillStyle = colour;
        context.fillRect(clip[0], y, clip[1], CONNECTION);
        if (clip[1] < 26) continue;
        context.font = "600 10px system-ui, sans-serif";
        context.textBaseline = "alphabetic";
        context.lineWidth = 3;
        context.strokeStyle = ink.colours.card;
        context.strokeText(span.node, clip[0] + 3, y - 2);
        context.fillText(span.node, clip[0] + 3, y - 2);
        context.font = FONT;
      }
      rule(context, plot, top + CLIENT_LANE - 1);
    },
    hover(at, x, y, plot) {
      const through = spans.find((span) => span.from <= at && at <= span.to);
      const lines = [[name, `${role}${through ? `, through ${through.node}` : ", not connected"}`]];
      const i = find(at, y, plot);
      if (i < 0) {
        const near = (plot.to - plot.from) / plot.width * 2;
        const n = lowerBound(from, at + near) - lowerBound(from, at - near);
        if (n && !isNear(plot)) lines.push([isPublisher ? "published here" : "received here", count(n)]);
        return lines;
      }
      const row = rows[i];
      const publish = publishOf(row);
      lines.push(["message", publish < 0 ? "unreadable" : index.messageName(publish)]);
      lines.push(isPublisher
        ? [OUTCOME_WORDS[publishes.outcome[row]], `after ${duration(to[i] - from[i])}`]
        : [`${receipts.how[row] & 1 ? "redelivered" : "fresh"}, tag ${receipts.tag[row]}`, `${SETTLED_WORDS[receipts.settled[row]]} after ${duration(to[i] - from[i])}`]);
      return lines;
    },
    click(at, x, y, plot) {
      const i = find(at, y, plot);
      const publish = i < 0 ? -1 : publishOf(rows[i]);
      if (publish >= 0) select(publish);
      return publish >= 0;
    },
  };
}
