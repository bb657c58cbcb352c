// Colours and strokes for all canvases, and how a stretch of time becomes pixels.

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
const FONT_BOLD = `600 ${FONT}`;
const NODE_COLOURS = 7;

/** The page's colours as a canvas needs them: names resolved for the theme in force. */
const ink = (() => {
  const names = ["bg", "card", "ink", "soft", "faint", "line", "rule", "bad", "bad-bg", "warn", "good", "void-bg", "band", "edge",
    "fault", "busy", "other", "on", "nx", ...Array.from({ length: NODE_COLOURS }, (_, i) => `n${i}`)];
  const colours = {};
  const refresh = () => {
    const probe = element("span");
    probe.hidden = true;
    document.body.append(probe);
    for (const name of names) {
      probe.style.color = `var(--${name})`;
      colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  };
  return { colours, refresh, node: (number) => number < 0 ? colours.nx : colours[`n${number % NODE_COLOURS}`] };
})();

/** Where a panel draws: from `left` to `right`, over the stretch of the view. */
class Plot {
  constructor(view, left, right) {
    this.from = view.from;
    this.to = view.to;
    this.left = left;
    this.right = right;
    this.scale = (right - left) / (view.to - view.from);
  }

  get width() { return this.right - this.left; }
  x(at) { return this.left + (at - this.from) * this.scale; }
  at(x) { return this.from + (x - this.left) / this.scale; }
  /** The stretch within the plot, or null if it is out of sight. */
  clip(from, to, least = 1) {
    if (to < this.from || from > this.to) return null;
    const left = Math.max(this.x(from), this.left);
    const right = Math.min(Math.max(this.x(to), left + least), this.right);
    return right > left ? [left, right - left] : [this.right - least, least];
  }
}

const fit = (context, text, width) => {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length--;
  return length > 1 ? `${text.slice(0, length)}…` : "";
};

/** A name in the gutter, right-aligned against the plot. */
function gutterName(context, plot, y, name, colour = ink.colours.soft, bold = false) {
  context.font = bold ? FONT_BOLD : FONT;
  context.fillStyle = colour;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.fillText(fit(context, name, plot.left - 12), plot.left - 8, y);
  context.textAlign = "left";
  context.font = FONT;
}

function rule(context, plot, y, colour = ink.colours.rule) {
  context.fillStyle = colour;
  context.fillRect(plot.left, Math.round(y) - 0.5, plot.width, 1);
}

/** Slanted lines: what is not there. */
function hatch(context, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.fillStyle = ink.colours["void-bg"];
  context.fillRect(x, y, width, height);
  context.strokeStyle = ink.colours.faint;
  context.lineWidth = 1.2;
  context.beginPath();
  for (let at = x - height - ((x - height) % 7); at < x + width; at += 7) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.restore();
}

/** How many of the sorted times fall on each pixel of the plot. */
function density(times, plot) {
  const pixels = Math.max(1, Math.floor(plot.width));
  const counts = new Uint32Array(pixels);
  const perPixel = (plot.to - plot.from) / pixels;
  let at = lowerBound(times, plot.from);
  const end = lowerBound(times, plot.to, at);
  if (end - at < pixels * 4) {
    for (; at < end; at++) counts[Math.min(pixels - 1, Math.floor((times[at] - plot.from) / perPixel))]++;
  } else {
    for (let pixel = 0; pixel < pixels; pixel++) {
      const next = lowerBound(times, plot.from + (pixel + 1) * perPixel, at, end);
      counts[pixel] = next - at;
      at = next;
    }
  }
  return counts;
}

/** Columns upwards from `bottom`. By the square root of the counts: a rush must not flatten everything else. */
function columns(context, plot, counts, most, bottom, height, colour) {
  context.fillStyle = colour;
  context.beginPath();
  for (let pixel = 0; pixel < counts.length; pixel++) {
    if (!counts[pixel]) continue;
    const tall = Math.max(1.5, Math.sqrt(Math.min(1, counts[pixel] / most)) * height);
    context.rect(plot.left + pixel, bottom - tall, 1, tall);
  }
  context.fill();
}

const greatest = (counts) => counts.reduce((most, count) => Math.max(most, count), 1);

/** What a full column stands for: the greatest count, unless that is a short rush. */
function full(counts) {
  let [sum, some] = [0, 0];
  for (const count of counts) { sum += count; some += count > 0 ? 1 : 0; }
  return Math.min(greatest(counts), Math.max(1, 4 * sum / Math.max(1, some)));
}

/** The faults' bands behind everything that a panel draws. */
function bands(context, plot, run, top, bottom) {
  for (const fault of run.faults) {
    if (fault.from === null) continue;
    const clip = plot.clip(fault.from / 1e6, (fault.to ?? run.end) / 1e6, 2);
    if (!clip) continue;
    const [x, width] = clip;
    if (fault.bit) {
      context.fillStyle = ink.colours.band;
      context.fillRect(x, top, width, bottom - top);
    }
    context.strokeStyle = ink.colours.edge;
    context.lineWidth = 1;
    context.setLineDash(fault.bit ? [] : [3, 3]);
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, top);
    context.lineTo(Math.round(x) + 0.5, bottom);
    context.moveTo(Math.round(x + width) - 0.5, top);
    context.lineTo(Math.round(x + width) - 0.5, bottom);
    context.stroke();
    context.setLineDash([]);
  }
}

/** Round points in time, and the lines through the panel at them. */
function timeGrid(context, plot, top, bottom) {
  const step = roundStep((plot.to - plot.from) / Math.max(2, plot.width / 88));
  const ticks = [];
  context.fillStyle = ink.colours.rule;
  for (let at = Math.ceil(plot.from / step) * step; at <= plot.to; at += step) {
    ticks.push(at);
    context.fillRect(Math.round(plot.x(at)), top, 1, bottom - top);
  }
  return { ticks, step };
}

/** What is selected, across a panel. */
function markers(context, plot, marks, top, bottom) {
  for (const { at, colour } of marks) {
    if (at < plot.from || at > plot.to) continue;
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(plot.x(at), top);
    context.lineTo(plot.x(at), bottom);
    context.stroke();
  }
}
