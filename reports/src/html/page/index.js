// What the lanes and charts ask of the tables, worked out once: rows by client and by source, all sorted by time.

const OUTCOME = { open: 0, confirmed: 1, nacked: 2, returned: 3, unknown: 4 };
const OUTCOME_WORDS = ["no outcome", "confirmed", "refused", "returned as unroutable", "outcome unknown"];
const SETTLED_WORDS = ["not settled", "acked", "given back", "refused for good"];
const KIND = {
  appended: 0, persisted: 1, acknowledged: 2, committed: 3, applied: 4, enqueued: 5, assigned: 6, delivered: 7,
  settled: 8, requeued: 9, becameLeader: 10, steppedDown: 11, enteredTerm: 12, voteGranted: 13, recovered: 14,
  snapshotInstalled: 15, compacted: 16, syncedDataLost: 17, hardStatePersisted: 18,
};

/** The first position whose time is not below `at`. */
function lowerBound(times, at, from = 0, to = times.length) {
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (times[middle] < at) from = middle + 1; else to = middle;
  }
  return from;
}

/** Rows of a table grouped by a number per row. Each group: `rows` and their `at`, in order of time. */
function grouped(rows, groupOf, groups, at) {
  const sizes = new Uint32Array(groups);
  for (let row = 0; row < rows; row++) sizes[groupOf(row)]++;
  const made = Array.from(sizes, (size) => ({ rows: new Uint32Array(size), at: new Float64Array(size) }));
  const next = new Uint32Array(groups);
  for (let row = 0; row < rows; row++) {
    const group = groupOf(row);
    const place = next[group]++;
    made[group].rows[place] = row;
    made[group].at[place] = at[row];
  }
  return made;
}

/** Several sorted lists of times as one. */
function mergedTimes(lists) {
  const all = new Float64Array(lists.reduce((sum, list) => sum + list.length, 0));
  let at = 0;
  for (const list of lists) { all.set(list, at); at += list.length; }
  return lists.length > 1 ? all.sort() : all;
}

/** Operations of one client: from, to and what came of each; `slot` keeps those that overlap apart. */
const SLOTS = 6;
function operations(rows, from, to, isOther) {
  const slots = new Uint8Array(rows.length);
  const others = new Uint32Array(rows.length + 1);
  const ends = new Float64Array(SLOTS);
  let longest = 0;
  for (let i = 0; i < rows.length; i++) {
    let slot = i % SLOTS;
    for (let one = 0; one < SLOTS; one++) if (ends[one] <= from[i]) { slot = one; break; }
    slots[i] = slot;
    ends[slot] = to[i];
    longest = Math.max(longest, to[i] - from[i]);
    others[i + 1] = others[i] + (isOther(rows[i]) ? 1 : 0);
  }
  return { rows, from, to, slots, others, longest };
}

async function buildIndex(run, layout, tables) {
  const { publishes, receipts, replicas } = tables;
  const clients = run.clients.length;
  const end = run.end / 1e6;
  const index = { end };

  // What never got an outcome, or was never settled, lasts until its channel is gone or the run is over.
  const channelEnd = layout.channels.map(() => end);
  const opened = run.clients.map(() => 0);
  layout.channels.forEach(([client], channel) => {
    const to = run.clients[client]?.connections[opened[client]++]?.[1];
    if (to !== undefined && to !== null) channelEnd[channel] = to / 1e6;
  });

  const outcomeAt = new Float64Array(publishes.rows);
  for (let row = 0; row < publishes.rows; row++) {
    outcomeAt[row] = publishes.outcome[row] ? publishes.at[row] + publishes.after[row] : channelEnd[publishes.channel[row]] ?? end;
  }
  await breathe();
  const settledAt = new Float64Array(receipts.rows);
  const firstReceipt = new Int32Array(publishes.rows).fill(-1);
  for (let row = 0; row < receipts.rows; row++) {
    settledAt[row] = receipts.settled[row] ? receipts.at[row] + receipts.after[row] : channelEnd[receipts.channel[row]] ?? end;
    const publish = receipts.publish[row] - 1;
    if (publish >= 0 && firstReceipt[publish] < 0) firstReceipt[publish] = row;
  }
  await breathe();
  Object.assign(index, { outcomeAt, settledAt, firstReceipt, channelEnd });

  index.clientOfReceipt = (row) => layout.channels[receipts.channel[row]]?.[0] ?? 0;
  index.published = grouped(publishes.rows, (row) => publishes.client[row], clients, publishes.at);
  await breathe();
  index.received = grouped(receipts.rows, index.clientOfReceipt, clients, receipts.at);
  await breathe();
  index.bySource = grouped(replicas.rows, (row) => replicas.source[row], layout.sources.length, replicas.at);
  await breathe();

  index.operations = [];
  for (let client = 0; client < clients; client++) {
    const published = index.published[client];
    const isPublisher = published.rows.length > 0;
    const { rows, at } = isPublisher ? published : index.received[client];
    const ends = isPublisher ? outcomeAt : settledAt;
    const isOther = isPublisher
      ? (row) => publishes.outcome[row] !== OUTCOME.confirmed
      : (row) => (receipts.how[row] & 1) !== 0;
    index.operations.push({ isPublisher, ...operations(rows, at, Float64Array.from(rows, (row) => ends[row]), isOther) });
    await breathe();
  }

  index.source = (kind, node, group) => {
    const source = layout.sources.findIndex(([k, n, g]) => k === kind && n === node && g === group);
    return source < 0 ? { rows: new Uint32Array(0), at: new Float64Array(0) } : index.bySource[source];
  };
  /** All sources of these kinds at a node, as sorted times. */
  index.timesAt = (kinds, node) =>
    mergedTimes(index.bySource.filter((_, source) => kinds.includes(layout.sources[source][0]) && layout.sources[source][1] === node)
      .map((source) => source.at));

  index.confirmTimes = outcomeAt.filter((_, row) => publishes.outcome[row] === OUTCOME.confirmed).sort();
  await breathe();
  index.unknownTimes = publishes.at.filter((_, row) => publishes.outcome[row] === OUTCOME.unknown || publishes.outcome[row] === OUTCOME.open);
  await breathe();

  // Only what was confirmed has a confirm latency; only what was received one from end to end.
  const confirmed = Uint32Array.from({ length: index.confirmTimes.length });
  let next = 0;
  for (let row = 0; row < publishes.rows; row++) if (publishes.outcome[row] === OUTCOME.confirmed) confirmed[next++] = row;
  index.confirmLatency = {
    rows: confirmed,
    at: Float64Array.from(confirmed, (row) => publishes.at[row]),
    value: Float64Array.from(confirmed, (row) => publishes.after[row]),
  };
  await breathe();
  const delivered = Uint32Array.from({ length: publishes.rows }, (_, row) => row).filter((row) => firstReceipt[row] >= 0);
  index.deliveryLatency = {
    rows: delivered,
    at: Float64Array.from(delivered, (row) => publishes.at[row]),
    value: Float64Array.from(delivered, (row) => receipts.at[firstReceipt[row]] - publishes.at[row]),
  };
  await breathe();

  index.clientByName = new Map(run.clients.map((client, number) => [client.name, number]));
  /** `pub-1/417`, or `pub-1/417.2` for the second attempt. */
  index.messageName = (row) => {
    const attempt = publishes.attempt[row] > 1 ? `.${publishes.attempt[row]}` : "";
    return `${run.clients[publishes.client[row]].name}/${publishes.sequence[row]}${attempt}`;
  };
  /** The publish that a name means, or -1. */
  index.findMessage = (name) => {
    const [, who, sequence, attempt] = /^\s*(.+)\/(\d+)(?:\.(\d+))?\s*$/.exec(name) ?? [];
    const client = index.clientByName.get(who);
    if (client === undefined) return -1;
    const wanted = Number(attempt ?? 0);
    let found = -1;
    for (const row of index.published[client].rows) {
      if (publishes.sequence[row] !== Number(sequence)) continue;
      if (!wanted || publishes.attempt[row] === wanted) return row;
      if (found < 0) found = row;
    }
    return found;
  };
  return index;
}
