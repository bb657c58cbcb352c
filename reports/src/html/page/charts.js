// The charts below the lanes: latency, throughput, queue, commit index. They share the lanes' axis of time.

/** Above this many points in sight a chart shows quantiles only, and those of every so-manieth point. */
const POINTS_MAX = 4000;
const SORTED_MAX = 60000;
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [1, 3], [12, 4], [4, 1]];

const decadesOf = (values) => {
  let [least, most] = [Infinity, 0];
  for (const value of values) { least = Math.min(least, value); most = Math.max(most, value); }
  if (most === 0) return [-1, 1];
  const low = Math.floor(Math.log10(Math.max(least, 0.01)));
  return [low, Math.max(low + 1, Math.ceil(Math.log10(most)))];
};

/** A logarithmic chart of how long something took: points when near, quantiles per bucket always. */
function latencyChart(run, layout, index, latency, { unanswered, select }) {
  const [low, high] = decadesOf(latency.value);
  const silences = layout.silences ?? [];
  const y = (value, top, height) => top + height - (Math.log10(Math.max(value, 0.01)) - low) / (high - low) * height;
  const inSight = (plot) => [lowerBound(latency.at, plot.from), lowerBound(latency.at, plot.to)];

  function buckets(plot) {
    const [first, last] = inSight(plot);
    const stride = Math.max(1, Math.ceil((last - first) / SORTED_MAX));
    const width = Math.max(3, Math.ceil(plot.width / 320));
    const found = [];
    let at = first;
    for (let x = plot.left; x < plot.right; x += width) {
      const next = lowerBound(latency.at, plot.at(x + width), at, last);
      if (next > at) {
        const values = new Float64Array(Math.ceil((next - at) / stride));
        for (let i = at, n = 0; i < next; i += stride) values[n++] = latency.value[i];
        values.sort();
        const quantile = (q) => values[Math.min(values.length - 1, Math.floor(q * values.length))];
        found.push({ x: x + width / 2, n: next - at, p50: quantile(0.5), p99: quantile(0.99), max: values[values.length - 1] });
      } else {
        found.push(null);
      }
      at = next;
    }
    return found;
  }

  function line(context, found, pick, top, height) {
    context.beginPath();
    let drawing = false;
    found.forEach((bucket, i) => {
      if (!bucket) { drawing = false; return; }
      const at = y(pick(bucket), top, height);
      if (drawing) context.lineTo(bucket.x, at);
      else {
        context.moveTo(bucket.x, at);
        if (!found[i + 1]) context.lineTo(bucket.x + 1.5, at);
      }
      drawing = true;
    });
    context.stroke();
  }

  return {
    height: 132,
    draw(context, plot, top, height) {
      for (let power = low; power <= high; power++) {
        const at = y(10 ** power, top, height);
        rule(context, plot, at);
        gutterName(context, plot, at, duration(10 ** power).replace(/\.0+ /, " "), ink.colours.faint);
      }
      for (const [from, to] of unanswered ? silences : []) {
        const clip = plot.clip(from / 1e6, to / 1e6);
        if (!clip) continue;
        context.fillStyle = ink.colours["bad-bg"];
        context.globalAlpha = 0.75;
        context.fillRect(clip[0], top, clip[1], height);
        context.globalAlpha = 1;
        context.fillStyle = ink.colours.bad;
        context.fillRect(clip[0], top, clip[1], 2);
        context.font = FONT_BOLD;
        context.textBaseline = "top";
        const text = [`no confirm for ${duration((to - from) / 1e6)}`, duration((to - from) / 1e6)]
          .find((text) => context.measureText(text).width + 8 < clip[1]);
        if (text) context.fillText(text, clip[0] + 4, top + 5);
        context.font = FONT;
      }
      const [first, last] = inSight(plot);
      if (last - first <= POINTS_MAX) {
        context.fillStyle = ink.colours.busy;
        context.beginPath();
        for (let i = first; i < last; i++) context.rect(plot.x(latency.at[i]) - 1, y(latency.value[i], top, height) - 1, 2.4, 2.4);
        context.fill();
      }
      const found = buckets(plot);
      const strokes = [[(b) => b.max, ink.colours.faint, 1, [1, 3]], [(b) => b.p99, ink.node(1), 1.5, [5, 2]], [(b) => b.p50, ink.node(0), 2, []]];
      for (const [pick, colour, width, dash] of strokes) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.setLineDash(dash);
        line(context, found, pick, top, height);
      }
      context.setLineDash([]);
      if (!unanswered) return;
      context.fillStyle = ink.colours.other;
      const never = index.unknownTimes;
      for (let i = lowerBound(never, plot.from), x = -9; i < never.length && never[i] <= plot.to; i++) {
        if (plot.x(never[i]) - x < 2) continue;
        x = plot.x(never[i]);
        context.beginPath();
        context.moveTo(x, top - 5);
        context.lineTo(x - 3.5, top - 11);
        context.lineTo(x + 3.5, top - 11);
        context.fill();
      }
    },
    near(at, py, plot, top, height) {
      const slack = 5 / plot.scale;
      let [best, distance] = [-1, 9];
      for (let i = lowerBound(latency.at, at - slack); i < latency.at.length && latency.at[i] <= at + slack; i++) {
        const away = Math.hypot((latency.at[i] - at) * plot.scale, y(latency.value[i], top, height) - py);
        if (away < distance) [best, distance] = [i, away];
      }
      return best;
    },
    hover(at, x, py, plot, top, height) {
      const [first, last] = inSight(plot);
      const i = last - first <= POINTS_MAX ? this.near(at, py, plot, top, height) : -1;
      if (i >= 0) return [["message", index.messageName(latency.rows[i])], ["took", duration(latency.value[i])]];
      const slack = Math.max(3, Math.ceil(plot.width / 320)) / plot.scale;
      const values = latency.value.slice(lowerBound(latency.at, at - slack), lowerBound(latency.at, at + slack)).sort();
      if (values.length === 0) return [["", "nothing here"]];
      const quantile = (q) => duration(values[Math.min(values.length - 1, Math.floor(q * values.length))]);
      return [["p50", quantile(0.5)], ["p99", quantile(0.99)], ["max", duration(values[values.length - 1])], ["of", some(values.length, "message")]];
    },
    click(at, x, py, plot, top, height) {
      const [first, last] = inSight(plot);
      const i = last - first <= POINTS_MAX ? this.near(at, py, plot, top, height) : -1;
      if (i >= 0) select(latency.rows[i]);
      return i >= 0;
    },
  };
}

/** A value axis from 0 to a round number, drawn with its lines and numbers. */
function linearAxis(context, plot, most, top, height) {
  const step = Math.max(1, roundStep(Math.max(most, 1) / 3));
  const up = Math.ceil(Math.max(most, 1) / step) * step;
  for (let value = 0; value <= up; value += step) {
    const at = top + height - value / up * height;
    rule(context, plot, at);
    gutterName(context, plot, at, count(value), ink.colours.faint);
  }
  return (value) => top + height - value / up * height;
}

/** Messages per second, in buckets a few pixels wide and of a round length. */
function throughputChart(tables, index) {
  const series = [
    ["published", tables.publishes.at, () => ink.colours.faint, [1, 2], 1.2],
    ["confirmed", index.confirmTimes, () => ink.node(0), [], 2],
    ["delivered", tables.receipts.at, () => ink.node(2), [5, 3], 1.5],
  ];
  const bucketOf = (plot) => roundStep(Math.max((plot.to - plot.from) / plot.width * 5, 1));
  return {
    height: 96,
    draw(context, plot, top, height) {
      const bucket = bucketOf(plot);
      const first = Math.floor(plot.from / bucket);
      const buckets = Math.ceil(plot.to / bucket) - first + 1;
      const rates = series.map(([, times]) => {
        const found = new Float64Array(buckets);
        let at = lowerBound(times, first * bucket);
        for (let i = 0; i < buckets; i++) {
          const next = lowerBound(times, (first + i + 1) * bucket, at);
          found[i] = (next - at) * 1000 / bucket;
          at = next;
        }
        return found;
      });
      const y = linearAxis(context, plot, Math.max(...rates.map(greatest)), top, height);
      context.save();
      context.beginPath();
      context.rect(plot.left, top - 4, plot.width, height + 8);
      context.clip();
      series.forEach(([, , colour, dash, width], s) => {
        context.strokeStyle = colour();
        context.setLineDash(dash);
        context.lineWidth = width;
        context.beginPath();
        for (let i = 0; i < buckets; i++) context.lineTo(plot.x((first + i + 0.5) * bucket), y(rates[s][i]));
        context.stroke();
      });
      context.setLineDash([]);
      context.restore();
    },
    hover(at, x, py, plot) {
      const bucket = bucketOf(plot);
      const from = Math.floor(at / bucket) * bucket;
      return [...series.map(([name, times]) =>
        [name, `${count((lowerBound(times, from + bucket) - lowerBound(times, from)) * 1000 / bucket)}/s`]), ["over", duration(bucket)]];
    },
  };
}

/** The last position whose time is not above `at`. */
const lastBefore = (times, at) => lowerBound(times, at + 1e-9) - 1;

/** How many messages wait in a queue, and how many are unacked, by the node whose consumers hold them. */
function queueChart(run, queue) {
  const total = queue.depth.map((depth, i) => depth + queue.held.reduce((sum, held) => sum + held[i], 0));
  return {
    height: 84,
    draw(context, plot, top, height) {
      const pixels = Math.floor(plot.width);
      const places = new Int32Array(pixels);
      let most = 1;
      for (let pixel = 0; pixel < pixels; pixel++) {
        places[pixel] = lastBefore(queue.at, plot.at(plot.left + pixel + 1));
        if (places[pixel] >= 0) most = Math.max(most, total[places[pixel]]);
      }
      const y = linearAxis(context, plot, most, top, height);
      const bottom = y(0);
      const base = new Float64Array(pixels);
      const layer = (values, colour, alpha) => {
        context.fillStyle = colour;
        context.globalAlpha = alpha;
        context.beginPath();
        for (let pixel = 0; pixel < pixels; pixel++) {
          const value = places[pixel] < 0 ? 0 : values[places[pixel]];
          if (value > 0) context.rect(plot.left + pixel, y(base[pixel] + value), 1, Math.max(0.5, bottom - y(value)));
          base[pixel] += value;
        }
        context.fill();
        context.globalAlpha = 1;
      };
      queue.held.forEach((held, node) => layer(held, ink.node(node), 0.55));
      layer(queue.depth, ink.colours.busy, 0.5);
      context.strokeStyle = ink.colours.ink;
      context.lineWidth = 1.2;
      context.beginPath();
      for (let pixel = 0; pixel < pixels; pixel++) if (places[pixel] >= 0) context.lineTo(plot.left + pixel + 0.5, y(total[places[pixel]]));
      context.stroke();
    },
    hover(at) {
      const place = lastBefore(queue.at, at);
      if (place < 0) return [["", "empty"]];
      return [["ready", count(queue.depth[place])],
        ...queue.held.map((held, node) => [`unacked via ${run.nodes[node]}`, count(held[place])])];
    },
  };
}

/** How far each replica knows the log to be committed: whoever lags falls below the others. */
function commitChart(run, index, group) {
  const lines = run.nodes.map((name, node) => {
    const { rows, at } = index.source(KIND.committed, node, group);
    const starts = run.down.filter(([who]) => who === name).map(([, , from, to]) => [from / 1e6, (to ?? run.end) / 1e6]);
    return { name, node, rows, at, starts };
  });
  return {
    height: 96,
    lines,
    draw(context, plot, top, height) {
      const seen = [];
      for (const line of lines) {
        if (!line.rows.length || line.at[0] > plot.to) continue;
        for (const at of [plot.from, plot.to]) seen.push(this.value(line, Math.max(0, lastBefore(line.at, at))));
      }
      let [low, high] = [Math.min(...seen), Math.max(...seen)];
      if (!seen.length) [low, high] = [0, 1];
      if (high - low < 4) high = low + 4;
      const step = Math.max(1, roundStep((high - low) / 3));
      const y = (value) => top + height - (value - low) / (high - low) * height;
      for (let value = Math.ceil(low / step) * step; value <= high; value += step) {
        rule(context, plot, y(value));
        gutterName(context, plot, y(value), count(value), ink.colours.faint);
      }
      context.save();
      context.beginPath();
      context.rect(plot.left, top - 4, plot.width, height + 8);
      context.clip();
      for (const line of lines) {
        context.strokeStyle = ink.node(line.node);
        context.setLineDash(DASHES[line.node % DASHES.length]);
        context.lineWidth = 1.8;
        context.beginPath();
        let before = NaN;
        for (let x = plot.left; x <= plot.right; x += 1) {
          const at = plot.at(x);
          const place = lastBefore(line.at, at);
          const isDown = line.starts.some(([from, to]) => from <= at && at < to);
          if (place < 0 || isDown) { before = NaN; continue; }
          const value = y(this.value(line, place));
          if (Number.isNaN(before)) context.moveTo(x, value);
          else if (value !== before) { context.lineTo(x, before); context.lineTo(x, value); }
          else context.lineTo(x, value);
          before = value;
        }
        context.stroke();
      }
      context.setLineDash([]);
      context.restore();
    },
    value: (line, place) => index.committedAt(line.rows[place]),
    hover(at) {
      return lines.map((line) => {
        const place = lastBefore(line.at, at);
        const isDown = line.starts.some(([from, to]) => from <= at && at < to);
        return [line.name, isDown ? "not running" : place < 0 ? "nothing yet" : `committed to ${count(this.value(line, place))}`];
      });
    },
  };
}
