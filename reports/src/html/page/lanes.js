// The lanes of the cluster: faults, phases, leaders, nodes, disks and links. Each lane has a height, draws itself, and
// says what is under the pointer.

const FAULT_ROW = 18;

/** Faults above everything: a number and a kind for each, over its band. */
function faultLane(run, open) {
  const faults = run.faults.filter((fault) => fault.from !== null);
  let tags = [];
  const rowsNeeded = () => Math.min(4, Math.max(1, faults.reduce((most, fault, i) => {
    const end = (other) => other.to ?? run.end;
    return Math.max(most, faults.slice(0, i + 1).filter((other) => end(other) >= fault.from).length);
  }, 1)));
  return {
    name: "faults",
    height: faults.length ? rowsNeeded() * FAULT_ROW + 4 : 0,
    draw(context, plot, top) {
      const ends = new Array(rowsNeeded()).fill(-Infinity);
      tags = [];
      context.font = FONT_BOLD;
      context.textBaseline = "middle";
      for (const fault of faults) {
        const clip = plot.clip(fault.from / 1e6, (fault.to ?? run.end) / 1e6, 2);
        if (!clip) continue;
        const label = `${fault.kind}${fault.bit ? "" : " (no effect)"}`;
        const width = context.measureText(label).width + 26;
        const x = Math.max(plot.left, Math.min(clip[0], plot.right - width));
        let row = ends.findIndex((end) => end <= x);
        const full = row < 0;
        if (full) row = ends.indexOf(Math.min(...ends));
        const y = top + row * FAULT_ROW + 9;
        const shown = full ? 18 : width;
        ends[row] = Math.max(ends[row], x + shown + 4);
        context.fillStyle = ink.colours.card;
        context.fillRect(x, y - 8, shown, 16);
        context.fillStyle = fault.bit ? ink.colours.fault : ink.colours.card;
        context.strokeStyle = ink.colours.fault;
        context.beginPath();
        context.arc(x + 8, y, 7.5, 0, 2 * Math.PI);
        context.fill();
        context.stroke();
        context.fillStyle = fault.bit ? ink.colours.card : ink.colours.fault;
        context.textAlign = "center";
        context.fillText(String(fault.step), x + 8, y + 0.5);
        context.textAlign = "left";
        if (!full) {
          context.fillStyle = ink.colours.fault;
          context.fillText(label, x + 20, y + 0.5);
        }
        tags.push({ x, y, width: shown, fault });
      }
      context.font = FONT;
    },
    find: (x, y) => tags.find((tag) => x >= tag.x && x <= tag.x + tag.width && Math.abs(y - tag.y) <= 9),
    hover(at, x, y) {
      const tag = this.find(x, y);
      return tag ? [["fault", `${tag.fault.step} ${tag.fault.kind}`], ["", tag.fault.what], ["effect", tag.fault.effect]] : [];
    },
    click(at, x, y) {
      const tag = this.find(x, y);
      if (tag) open(tag.fault);
      return Boolean(tag);
    },
  };
}

function phaseLane(run) {
  const [stopped, healed, drain] = run.phases.map((at) => at === null ? null : at / 1e6);
  const end = run.end / 1e6;
  const phases = [["load", 0, stopped ?? end], ["faults end", stopped, healed ?? drain ?? end],
    ["settle", healed, drain ?? end], ["drain", drain, end]].filter(([, from, to]) => from !== null && to > from);
  return {
    name: "phase",
    height: 18,
    draw(context, plot, top) {
      phases.forEach(([name, from, to], i) => {
        const clip = plot.clip(from, to);
        if (!clip) return;
        context.fillStyle = ink.colours["void-bg"];
        context.globalAlpha = i % 2 ? 0.55 : 1;
        context.fillRect(clip[0], top + 1, clip[1] - (i < phases.length - 1 ? 1 : 0), 15);
        context.globalAlpha = 1;
        context.fillStyle = ink.colours.soft;
        context.textBaseline = "middle";
        if (clip[1] > context.measureText(name).width + 10) context.fillText(name, clip[0] + 5, top + 9);
      });
    },
    hover: (at) => phases.filter(([, from, to]) => from <= at && at <= to).map(([name]) => ["phase", name]),
  };
}

/** Who leads a group, in which term. */
function leaderLane(run, group) {
  const spans = run.leaders.filter(([name]) => name === group)
    .map(([, node, term, from, to]) => ({ node, term, from: from / 1e6, to: (to ?? run.end) / 1e6 }));
  return {
    name: group === "meta" ? "meta leader" : `${group} leader`,
    height: 20,
    draw(context, plot, top) {
      context.textBaseline = "middle";
      for (const { node, term, from, to } of spans) {
        const clip = plot.clip(from, to, 2);
        if (!clip) continue;
        context.fillStyle = ink.node(run.nodes.indexOf(node));
        context.fillRect(clip[0], top + 2, Math.max(1, clip[1] - 1), 15);
        context.fillStyle = ink.colours.on;
        context.font = FONT_BOLD;
        const label = [`${node} · term ${term}`, `${node} t${term}`, node].find((text) => context.measureText(text).width + 10 < clip[1]);
        if (label) context.fillText(label, clip[0] + 5, top + 10);
        context.font = FONT;
      }
    },
    hover: (at) => spans.filter(({ from, to }) => from <= at && at <= to).map(({ node, term }) => [group, `led by ${node}, term ${term}`]),
  };
}

/** A node: whether it runs, and the entries it applies. */
function nodeLane(run, index, node) {
  const name = run.nodes[node];
  const down = run.down.filter(([who]) => who === name)
    .map(([, how, from, to]) => ({ how, from: from / 1e6, to: (to ?? run.end) / 1e6 }));
  const applied = index.timesAt([KIND.applied], node);
  const votes = index.timesAt([KIND.voteGranted], node);
  return {
    name, node,
    height: 26,
    draw(context, plot, top) {
      const counts = density(applied, plot);
      columns(context, plot, counts, full(counts), top + 23, 17, ink.node(node));
      context.fillStyle = ink.colours.ink;
      for (let i = lowerBound(votes, plot.from); i < votes.length && votes[i] <= plot.to; i++) {
        const x = plot.x(votes[i]);
        context.beginPath();
        context.moveTo(x, top + 8);
        context.lineTo(x - 3.5, top + 2);
        context.lineTo(x + 3.5, top + 2);
        context.fill();
      }
      downs(context, plot, down, top + 2, 22);
      rule(context, plot, top + 24);
    },
    hover(at, x, y, plot) {
      const gone = down.find(({ from, to }) => from <= at && at <= to);
      const near = (plot.to - plot.from) / plot.width * 3;
      const n = lowerBound(applied, at + near) - lowerBound(applied, at - near);
      const voted = lowerBound(votes, at + near) > lowerBound(votes, at - near);
      return [...(gone ? [[name, gone.how]] : []), ...(n ? [["applied here", some(n, "entry").replace("entrys", "entries")]] : []),
        ...(voted ? [[name, "voted"]] : [])];
    },
  };
}

function downs(context, plot, spans, top, height) {
  for (const { how, from, to } of spans) {
    const clip = plot.clip(from, to, 2);
    if (!clip) continue;
    hatch(context, clip[0], top, clip[1], height);
    context.font = FONT_BOLD;
    const width = context.measureText(how).width;
    if (width + 12 < clip[1]) {
      context.fillStyle = ink.colours.card;
      context.fillRect(clip[0] + (clip[1] - width) / 2 - 4, top + height / 2 - 7, width + 8, 14);
      context.fillStyle = ink.colours.ink;
      context.textBaseline = "middle";
      context.fillText(how, clip[0] + (clip[1] - width) / 2, top + height / 2 + 0.5);
    }
    context.font = FONT;
  }
}

/** A disk: its syncs, and what a fault held up or made fail. */
function diskLane(run, layout, tables, index, node) {
  const { disks } = tables;
  const rows = Uint32Array.from({ length: disks.rows }, (_, row) => row).filter((row) => disks.node[row] === node);
  const at = Float64Array.from(rows, (row) => disks.at[row]);
  const length = layout.sample / 1e6;
  const persisted = index.timesAt([KIND.persisted], node);
  const within = (time) => {
    const i = lowerBound(at, time + 1e-6) - 1;
    return i >= 0 && time < at[i] + length ? rows[i] : -1;
  };
  return {
    name: `${run.nodes[node]} disk`, node,
    height: 18,
    draw(context, plot, top) {
      const counts = density(persisted, plot);
      columns(context, plot, counts, full(counts), top + 16, 11, ink.colours.busy);
      const first = Math.max(0, lowerBound(at, plot.from - length));
      for (let i = first; i < at.length && at[i] <= plot.to; i++) {
        const row = rows[i];
        const bad = disks.held[row] || disks.failed[row];
        if (!bad && !disks.slowed[row]) continue;
        const clip = plot.clip(at[i], at[i] + length);
        if (!clip) continue;
        context.fillStyle = bad ? ink.colours.other : ink.colours.warn;
        context.fillRect(clip[0], top + 2, clip[1] + 0.5, bad ? 6 : 3);
      }
      rule(context, plot, top + 17);
    },
    hover(time) {
      const row = within(time);
      if (row < 0) return [];
      return [["syncs", `${disks.syncs[row]} in ${duration(length)}`],
        ...(disks.held[row] ? [["held", some(disks.held[row], "operation")]] : []),
        ...(disks.slowed[row] ? [["slowed", some(disks.slowed[row], "sync")]] : []),
        ...(disks.failed[row] ? [["failed", some(disks.failed[row], "sync")]] : [])];
    },
  };
}

/** One direction of a link: packets sent, and those that did not get through. */
function linkLanes(run, layout, tables) {
  const { links } = tables;
  const length = layout.sample / 1e6;
  const groups = new Map();
  for (let row = 0; row < links.rows; row++) {
    const key = links.from[row] * 64 + links.to[row];
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  const end = (number) => number === 0 ? "clients" : run.nodes[number - 1];
  return [...groups.entries()].sort(([a], [b]) => a - b).map(([key, rows]) => {
    const at = Float64Array.from(rows, (row) => links.at[row]);
    const most = rows.reduce((sum, row) => Math.max(sum, links.sent[row]), 1);
    const disturbed = rows.some((row) => links.dropped[row] || links.delayed[row]);
    const dropped = rows.reduce((sum, row) => sum + links.dropped[row], 0);
    return {
      name: `${end(key >> 6)} → ${end(key & 63)}`,
      height: 13,
      disturbed,
      draw(context, plot, top) {
        // Several samples on a pixel are one column: as high as the highest of them.
        const pixels = Math.ceil(plot.width) + 1;
        const sent = new Float32Array(pixels);
        const lost = new Float32Array(pixels);
        const late = new Uint8Array(pixels);
        const wide = Math.max(1, length * plot.scale);
        for (let i = lowerBound(at, plot.from - length); i < rows.length && at[i] <= plot.to; i++) {
          const row = rows[i];
          const from = Math.max(0, Math.floor(plot.x(at[i]) - plot.left));
          const to = Math.min(pixels, Math.max(from + 1, Math.floor(plot.x(at[i]) - plot.left + wide)));
          for (let pixel = from; pixel < to; pixel++) {
            sent[pixel] = Math.max(sent[pixel], links.sent[row]);
            lost[pixel] = Math.max(lost[pixel], links.dropped[row]);
            late[pixel] |= links.delayed[row] > 0;
          }
        }
        for (const [colour, values, alpha] of [[ink.colours.busy, sent, 0.7], [ink.colours.other, lost, 1]]) {
          context.fillStyle = colour;
          context.globalAlpha = alpha;
          context.beginPath();
          for (let pixel = 0; pixel < pixels - 1; pixel++) {
            if (!values[pixel]) continue;
            const tall = Math.max(colour === ink.colours.other ? 3 : 1, Math.sqrt(values[pixel] / most) * 10);
            context.rect(plot.left + pixel, top + 12 - tall, 1, tall);
          }
          context.fill();
        }
        context.globalAlpha = 1;
        context.fillStyle = ink.colours.warn;
        for (let pixel = 0; pixel < pixels - 1; pixel++) if (late[pixel]) context.fillRect(plot.left + pixel, top + 1, 1, 2);
      },
      hover(time) {
        const i = lowerBound(at, time + 1e-6) - 1;
        const row = i >= 0 && time < at[i] + length ? rows[i] : -1;
        return [...(row < 0 ? [["packets", "none"]] : [["packets", `${links.sent[row]} in ${duration(length)}`],
          ...(links.dropped[row] ? [["dropped", String(links.dropped[row])]] : []),
          ...(links.delayed[row] ? [["held up", String(links.delayed[row])]] : [])]), ["dropped in all", count(dropped)]];
      },
    };
  });
}
