// Each queue over time, put together from what replicas told: how long it is, what consumers hold, which entry of the
// log holds which message. Replicas tell the same facts; the first to tell each is believed.

async function buildQueues(run, layout, tables, index) {
  const { replicas } = tables;
  const nodes = run.nodes.length;
  const queues = layout.groups.map((name) => ({
    name, at: [], depth: [], held: run.nodes.map(() => []), numbered: 0, lastNumbers: [], entries: [], terms: [],
  }));
  const sources = layout.sources;
  const interesting = new Set([KIND.enqueued, KIND.assigned, KIND.settled, KIND.requeued, KIND.applied]);
  // Per queue and message: where it is (0 ready, node + 1 held, -1 settled), and how often each node told of giving it.
  const state = queues.map(() => ({ where: [], given: [], told: run.nodes.map(() => []), ready: 0, held: new Int32Array(nodes) }));
  const pending = new Map();
  for (let row = 0; row < replicas.rows; row++) {
    if ((row & 4095) === 0) await breathe();
    const [kind, node, group] = sources[replicas.source[row]];
    if (!interesting.has(kind) || group === 0) continue;
    const what = replicas.what[row];
    const queue = queues[group];
    const now = state[group];
    let changed = false;
    if (kind === KIND.enqueued) {
      pending.set(node * 4096 + group, what);
      if (what > queue.numbered) {
        now.ready += what - queue.numbered;
        queue.numbered = what;
        changed = true;
      }
    } else if (kind === KIND.applied) {
      const last = pending.get(node * 4096 + group);
      if (last === undefined) continue;
      pending.delete(node * 4096 + group);
      if (queue.lastNumbers.length === 0 || queue.lastNumbers[queue.lastNumbers.length - 1] < last) {
        queue.lastNumbers.push(last);
        queue.entries.push(what);
        queue.terms.push(replicas.more[row]);
      }
    } else if (kind === KIND.assigned) {
      const told = now.told[node][what] = (now.told[node][what] ?? 0) + 1;
      if (told > (now.given[what] ?? 0)) {
        now.given[what] = told;
        if (!now.where[what]) now.ready--;
        else if (now.where[what] > 0) now.held[now.where[what] - 1]--;
        now.where[what] = replicas.more[row] + 1;
        now.held[replicas.more[row]]++;
        changed = true;
      }
    } else if (kind === KIND.requeued) {
      // A replica that lags tells of what others have given out again since.
      if (now.where[what] > 0 && (now.told[node][what] ?? 0) === now.given[what]) {
        now.held[now.where[what] - 1]--;
        now.where[what] = 0;
        now.ready++;
        changed = true;
      }
    } else if (now.where[what] !== -1) {
      if (now.where[what] > 0) now.held[now.where[what] - 1]--; else now.ready--;
      now.where[what] = -1;
      changed = true;
    }
    if (!changed) continue;
    const at = replicas.at[row];
    const last = queue.at.length - 1;
    const place = last >= 0 && queue.at[last] === at ? last : last + 1;
    queue.at[place] = at;
    queue.depth[place] = Math.max(0, now.ready);
    for (let owner = 0; owner < nodes; owner++) queue.held[owner][place] = Math.max(0, now.held[owner]);
  }
  for (const queue of queues) {
    queue.at = Float64Array.from(queue.at);
    queue.depth = Int32Array.from(queue.depth);
    queue.held = queue.held.map((held) => Int32Array.from(held));
    await breathe();
  }
  index.queues = queues;
  index.groupOfQueue = layout.queues.map((name) => layout.groups.indexOf(name, 1));
  /** The entry of the queue's log that numbered a message, and its term: two entries at one place differ in that. */
  index.entryOf = (group, number) => {
    const queue = queues[group];
    const place = queue ? lowerBound(queue.lastNumbers, number) : 0;
    return queue && number > 0 && place < queue.entries.length ? [queue.entries[place], queue.terms[place]] : [0, 0];
  };
}
