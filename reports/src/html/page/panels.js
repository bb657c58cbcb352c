// The panels one below the other: what each draws, when, and what the pointer and the keyboard do to the view.

const GUTTER_WIDE = 118;
const GUTTER_NARROW = 76;
const AXIS = 20;
const MARGIN = 10;
/** Milliseconds of drawing in one frame. */
const FRAME_SHARE = 10;

class Panels {
  constructor(run, view, host) {
    this.run = run;
    this.view = view;
    this.host = host;
    this.panels = [];
    this.marks = [];
    this.due = false;
    this.cursor = element("div", { class: "cursor" });
    this.readout = element("div", { class: "readout", hidden: "" });
    host.replaceChildren(this.cursor, this.readout);
    view.onChange(() => this.redraw());
    new ResizeObserver(() => this.resize()).observe(host);
    for (const event of ["scroll", "resize"]) addEventListener(event, () => this.reveal(), { passive: true });
    theme.onChange(() => { ink.refresh(); this.redraw(true); });
    this.pointers();
  }

  /** `content`: lanes with heights of their own, or one chart. `axis`: whether it has the times below it. */
  add(id, title, keys, content, { axis = false, sticky = false } = {}) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const legend = element("ul", { class: "key" }, ...keys.map(([sign, words]) => element("li", {}, keySign(sign), words)));
    const head = title ? [element("div", { class: "head" }, element("h4", {}, title), legend)] : [];
    const figure = element("figure", { id: `panel-${id}`, class: sticky ? "sticky" : "" }, ...head, canvas);
    const panel = { id, canvas, figure, lanes: content, axis, stale: true, isLanes: Array.isArray(content) };
    this.panels.push(panel);
    this.host.insertBefore(figure, this.cursor);
    this.measure(panel);
    return panel;
  }

  replace(panel, lanes) {
    panel.lanes = lanes;
    this.measure(panel);
    this.redraw(true);
  }

  get gutter() { return this.host.clientWidth < 620 ? GUTTER_NARROW : GUTTER_WIDE; }

  plot() { return new Plot(this.view, this.gutter, this.host.clientWidth - MARGIN); }

  measure(panel) {
    const content = panel.isLanes ? panel.lanes.reduce((sum, lane) => sum + lane.height, 0) : panel.lanes.height + 18;
    panel.height = content + (panel.axis ? AXIS : 2);
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = this.host.clientWidth;
    panel.canvas.width = Math.round(width * ratio);
    panel.canvas.height = Math.round(panel.height * ratio);
    panel.canvas.style.height = `${panel.height}px`;
    panel.ratio = ratio;
    panel.stale = true;
  }

  resize() {
    for (const panel of this.panels) this.measure(panel);
    this.redraw();
  }

  /** Draws what is in sight with the next frame; the rest once it comes into sight. `now`: all of it, at once. */
  redraw(now = false) {
    for (const panel of this.panels) panel.stale = true;
    if (now) { this.paint(true); return; }
    this.reveal();
  }

  /** Draws what has come into sight and was not drawn since the last change. */
  reveal() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.paint(false); });
  }

  /** Panels are drawn from the top until the frame's share of time is used up; the rest come with the next frame. */
  paint(all) {
    const printing = all || "print" in document.documentElement.dataset;
    const began = performance.now();
    for (const panel of this.panels) {
      if (!panel.stale) continue;
      if (!printing && performance.now() - began > FRAME_SHARE) { this.reveal(); return; }
      const box = panel.canvas.getBoundingClientRect();
      if (!printing && (box.bottom < -80 || box.top > innerHeight + 80)) continue;
      this.paintPanel(panel);
      panel.stale = false;
    }
  }

  paintPanel(panel) {
    const context = panel.canvas.getContext("2d");
    context.setTransform(panel.ratio, 0, 0, panel.ratio, 0, 0);
    context.fillStyle = ink.colours.card;
    context.fillRect(0, 0, this.host.clientWidth, panel.height);
    context.font = FONT;
    const plot = this.plot();
    const bottom = panel.height - (panel.axis ? AXIS : 2);
    const { ticks, step } = timeGrid(context, plot, 0, bottom);
    bands(context, plot, this.run, 0, bottom);
    if (panel.isLanes) {
      let top = 0;
      for (const lane of panel.lanes) {
        lane.draw(context, plot, top);
        const colour = lane.node === undefined ? ink.colours.soft : ink.node(lane.node);
        if (lane.height) gutterName(context, plot, top + lane.height / 2, lane.name, colour, lane.node !== undefined);
        top += lane.height;
      }
    } else {
      panel.lanes.draw(context, plot, 12, panel.lanes.height);
    }
    markers(context, plot, this.marks, 0, bottom);
    if (!panel.axis) return;
    context.fillStyle = ink.colours.faint;
    context.textBaseline = "top";
    for (const at of ticks) {
      const label = tickLabel(at, step);
      const width = context.measureText(label).width;
      context.fillText(label, Math.max(plot.left, Math.min(plot.x(at) - width / 2, plot.right - width)), bottom + 5);
    }
  }

  /** The lane or chart at a height of the panel. */
  under(panel, y) {
    if (!panel.isLanes) return { lane: panel.lanes, top: 0, args: [12, panel.lanes.height] };
    let top = 0;
    for (const lane of panel.lanes) {
      if (y < top + lane.height) return { lane, top, args: [] };
      top += lane.height;
    }
    return null;
  }

  ask(panel, event, what) {
    const box = panel.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const plot = this.plot();
    const found = this.under(panel, y);
    if (!found || !found.lane[what] || x < plot.left || x > plot.right) return null;
    // Fault tags are found by where they were drawn, everything else within its lane.
    const height = found.lane.find ? y : y - found.top;
    return found.lane[what](plot.at(x), x, height, plot, ...found.args);
  }

  hover(panel, event) {
    const plot = this.plot();
    const box = panel.canvas.getBoundingClientRect();
    const host = this.host.getBoundingClientRect();
    const x = event.clientX - box.left;
    if (x < plot.left || x > plot.right) { this.leave(); return; }
    this.cursor.style.transform = `translateX(${x}px)`;
    this.cursor.classList.add("on");
    const at = plot.at(x);
    const active = this.run.faults.filter((fault) => fault.from !== null && fault.from / 1e6 <= at && at <= (fault.to ?? this.run.end) / 1e6);
    const lines = [["time", instant(at)], ...active.map((fault) => ["fault", `${fault.step} ${fault.kind}`]), ...this.ask(panel, event, "hover") ?? []];
    this.readout.replaceChildren(...lines.map(([name, value]) => element("div", {}, element("span", {}, name), value)));
    this.readout.hidden = false;
    const left = x + 16 + this.readout.offsetWidth > this.host.clientWidth ? x - 16 - this.readout.offsetWidth : x + 16;
    this.readout.style.transform = `translate(${Math.max(0, left)}px, ${event.clientY - host.top + 14}px)`;
  }

  leave() {
    this.readout.hidden = true;
    this.cursor.classList.remove("on");
  }

  panelOf(target) { return this.panels.find((panel) => panel.canvas === target); }

  pointers() {
    const held = new Map();
    let moved = 0;
    const spread = () => {
      const xs = [...held.values()].map(({ x }) => x);
      return Math.max(20, Math.abs(xs[0] - xs[1]));
    };
    this.host.addEventListener("pointerdown", (event) => {
      if (!this.panelOf(event.target) || event.button !== 0) return;
      held.set(event.pointerId, { x: event.clientX });
      moved = 0;
    });
    this.host.addEventListener("pointermove", (event) => {
      const panel = this.panelOf(event.target);
      const before = held.get(event.pointerId);
      if (!before) {
        if (panel && event.pointerType !== "touch") this.hover(panel, event); else this.leave();
        return;
      }
      const plot = this.plot();
      const left = this.host.getBoundingClientRect().left;
      if (held.size === 2) {
        const was = spread();
        held.set(event.pointerId, { x: event.clientX });
        const xs = [...held.values()].map(({ x }) => x - left);
        this.view.zoom(was / spread(), plot.at((xs[0] + xs[1]) / 2));
        moved = 99;
        return;
      }
      const by = event.clientX - before.x;
      moved += Math.abs(by);
      if (moved < 4) return;
      this.leave();
      event.target.setPointerCapture?.(event.pointerId);
      held.set(event.pointerId, { x: event.clientX });
      this.view.pan(-by / plot.scale);
    });
    const release = (event) => {
      const wasHeld = held.delete(event.pointerId);
      const panel = this.panelOf(event.target);
      if (event.type !== "pointerup" || !wasHeld || !panel || moved >= 4) return;
      if (!this.ask(panel, event, "click") && event.pointerType === "touch") this.hover(panel, event);
    };
    for (const type of ["pointerup", "pointercancel"]) this.host.addEventListener(type, release);
    this.host.addEventListener("pointerleave", () => this.leave());
    this.host.addEventListener("dblclick", (event) => {
      const panel = this.panelOf(event.target);
      if (panel) this.view.zoom(0.4, this.plot().at(event.clientX - panel.canvas.getBoundingClientRect().left));
    });
    this.host.addEventListener("wheel", (event) => {
      const panel = this.panelOf(event.target);
      if (!panel) return;
      const plot = this.plot();
      const sideways = event.shiftKey ? event.deltaY : event.deltaX;
      if (event.ctrlKey || event.metaKey || event.altKey) {
        event.preventDefault();
        const at = plot.at(event.clientX - panel.canvas.getBoundingClientRect().left);
        this.view.zoom(Math.exp(Math.max(-80, Math.min(80, event.deltaY)) * 0.006), at);
      } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        event.preventDefault();
        this.view.pan(sideways / plot.scale);
      }
    }, { passive: false });
  }
}

/** A sign of a legend: a class and, for those who do not see colours, a shape of its own. */
function keySign(sign) {
  return element("i", { class: `sign ${sign}` });
}

/** The whole run in small, with the stretch in sight: drag it, or click to go there. */
function overviewStrip(run, view, index, host) {
  const canvas = element("canvas", { class: "strip", "aria-hidden": "true" });
  host.prepend(canvas);
  const height = 34;
  const whole = { from: 0, to: view.end };
  const draw = () => {
    const gutter = host.clientWidth < 620 ? GUTTER_NARROW : GUTTER_WIDE;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(host.clientWidth * ratio);
    canvas.height = height * ratio;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = ink.colours.card;
    context.fillRect(0, 0, host.clientWidth, height);
    const plot = new Plot(whole, gutter, host.clientWidth - MARGIN);
    bands(context, plot, run, 0, height);
    const counts = density(index.confirmTimes, plot);
    columns(context, plot, counts, full(counts), height - 3, height - 12, ink.colours.busy);
    for (const at of index.unknownTimes) {
      context.fillStyle = ink.colours.other;
      context.fillRect(plot.x(at) - 0.5, height - 6, 1.5, 3);
    }
    gutterName(context, plot, height / 2, "whole run");
    const [left, right] = [plot.x(view.from), plot.x(view.to)];
    context.fillStyle = ink.colours.card;
    context.globalAlpha = 0.62;
    context.fillRect(plot.left, 0, left - plot.left, height);
    context.fillRect(right, 0, plot.right - right, height);
    context.globalAlpha = 1;
    context.strokeStyle = ink.colours.soft;
    context.lineWidth = 1.5;
    context.strokeRect(left, 1, Math.max(2, right - left), height - 2);
    return plot;
  };
  let due = false;
  const later = () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; draw(); });
  };
  view.onChange(later);
  theme.onChange(draw);
  new ResizeObserver(later).observe(host);
  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    const gutter = host.clientWidth < 620 ? GUTTER_NARROW : GUTTER_WIDE;
    const plot = new Plot(whole, gutter, host.clientWidth - MARGIN);
    const at = plot.at(event.clientX - canvas.getBoundingClientRect().left);
    if (at < view.from || at > view.to) view.set(at - view.span / 2, at + view.span / 2);
    grip = { plot, offset: at - view.from };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const at = grip.plot.at(event.clientX - canvas.getBoundingClientRect().left);
    const from = Math.min(Math.max(at - grip.offset, 0), view.end - view.span);
    view.set(from, from + view.span);
  });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => { grip = null; });
  draw();
}
