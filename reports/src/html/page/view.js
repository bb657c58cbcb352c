// The stretch of time in sight, which all panels share, and what changes it.

const SPAN_MIN = 1;

class View {
  constructor(end) {
    this.end = Math.max(end, SPAN_MIN);
    this.from = 0;
    this.to = this.end;
    this.listeners = [];
  }

  get span() { return this.to - this.from; }

  onChange(listener) { this.listeners.push(listener); }

  set(from, to) {
    const span = Math.min(Math.max(to - from, SPAN_MIN), this.end);
    const start = Math.min(Math.max(from + (to - from - span) / 2, 0), this.end - span);
    if (start === this.from && start + span === this.to) return;
    this.from = start;
    this.to = start + span;
    for (const listener of this.listeners) listener();
  }

  /** `factor` below 1 zooms in; `around` stays where it is. */
  zoom(factor, around = (this.from + this.to) / 2) {
    const span = Math.min(Math.max(this.span * factor, SPAN_MIN), this.end);
    const share = (around - this.from) / this.span;
    this.set(around - share * span, around + (1 - share) * span);
  }

  pan(by) {
    const start = Math.min(Math.max(this.from + by, 0), this.end - this.span);
    this.set(start, start + this.span);
  }

  fit() { this.set(0, this.end); }

  /** Shows the stretch with some room on both sides. */
  show(from, to) {
    const room = Math.max((to - from) * 0.3, 5);
    this.set(from - room, to + room);
  }
}
