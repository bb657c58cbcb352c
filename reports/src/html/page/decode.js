// From the page's packed events to typed arrays. The other half is `reports/src/events/pack.rs`.

/** Lets the browser draw and react, if the script has worked for long enough. */
const breathe = (() => {
  const channel = new MessageChannel();
  let waiting = null;
  let since = performance.now();
  channel.port1.onmessage = () => { since = performance.now(); waiting(); };
  return () => performance.now() - since < 8 ? null : new Promise((resolve) => {
    waiting = resolve;
    channel.port2.postMessage(0);
  });
})();

const ROWS_AT_ONCE = 1 << 15;

/** Bytes from base64, a piece at a time. */
async function bytesOf(text) {
  const piece = 1 << 18;
  const bytes = new Uint8Array(Math.floor(text.length / 4) * 3);
  let length = 0;
  for (let at = 0; at < text.length; at += piece) {
    const raw = atob(text.slice(at, at + piece));
    for (let i = 0; i < raw.length; i++) bytes[length++] = raw.charCodeAt(i);
    await breathe();
  }
  return bytes.subarray(0, length);
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Reads variable-length integers. Those beyond 28 bits are rare. */
class Varints {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  next() {
    const bytes = this.bytes;
    let byte = bytes[this.at++];
    if (byte < 128) return byte;
    let value = byte & 127;
    let scale = 128;
    do {
      byte = bytes[this.at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte >= 128);
    return value;
  }

  /** Zigzag. */
  difference() {
    const value = this.next();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

async function column(bytes, at, code, rows, sources, wide) {
  const values = wide ? new Float64Array(rows) : new Int32Array(rows);
  const varints = new Varints(bytes, at);
  const last = [];
  let before = 0;
  for (let from = 0; from < rows; from += ROWS_AT_ONCE) {
    const to = Math.min(rows, from + ROWS_AT_ONCE);
    if (code === "plain") {
      for (let row = from; row < to; row++) values[row] = varints.next();
    } else if (code === "delta") {
      for (let row = from; row < to; row++) values[row] = before += varints.difference();
    } else {
      for (let row = from; row < to; row++) {
        const source = sources[row];
        values[row] = last[source] = (last[source] ?? 0) + varints.difference();
      }
    }
    await breathe();
  }
  return values;
}

/** All tables of the layout, by name; each is an object of columns, with times in milliseconds. */
async function decode(layout, text) {
  const bytes = await inflate(await bytesOf(text));
  if (bytes.length !== layout.bytes) throw new Error(`${layout.bytes} bytes were packed, ${bytes.length} came out`);
  const tables = {};
  let at = 0;
  // JSON has no order among names; the bytes have the tables in this one.
  for (const name of ["publishes", "receipts", "replicas", "disks", "links"]) {
    const { rows, columns } = layout.tables[name];
    const table = { rows };
    let sources = null;
    for (const [column_name, code, length] of columns) {
      const wide = column_name === "at" || column_name === "after";
      const values = await column(bytes, at, code, rows, sources, wide);
      sources ??= values;
      table[column_name] = values;
      at += length;
      if (!wide) continue;
      const unit = name === "disks" || name === "links" ? layout.sample : layout.unit;
      for (let row = 0; row < rows; row++) values[row] = values[row] * unit / 1e6;
    }
    tables[name] = table;
  }
  return tables;
}
