/** The decisions about a pass's latents, and a step map: see FORMAT.md, *Decisions*. */

import { refuse } from "./errors";
import type { RangeDecoder } from "./range";

const COLUMNS = 32;
const UNARY = 15;
const SCALES = 64;
const LARGEST = 32767;
const HALF = 32768;

export interface Tables {
  /** (512, 32): of a decision 1, in units of 2**-16. */
  probability: Int32Array;
  /** (64) */
  orders: Uint8Array;
}

/**
 * Latents of one pass, in the order of the codes.
 *
 * @param eighths centres by centre code
 * @param trusted whether what the table calls certain is not coded
 */
export function decodePass(
  source: RangeDecoder,
  tables: Tables,
  eighths: Int32Array,
  centre: Uint8Array | Uint16Array,
  scale: Uint8Array,
  trusted: boolean,
): Int32Array {
  const { probability, orders } = tables;
  const q = new Int32Array(centre.length);
  const row = new Uint16Array(centre.length);
  let open: number[] = [];
  for (let i = 0; i < q.length; i++) {
    const above = eighths[centre[i]] + 4;
    const nearest = above >> 3;
    const s = Math.min(scale[i], SCALES - 1);
    row[i] = (above & 7) * SCALES + s;
    q[i] = nearest;
    const p = probability[row[i] * COLUMNS];
    if (trusted && nearest === 0 && p === 0) continue;
    if (source.decide(Math.max(p, 1))) open.push(i);
  }
  const differ = open;
  const sign = new Int8Array(q.length);
  const size = new Int32Array(q.length);
  for (const i of open) {
    sign[i] = source.decide(probability[row[i] * COLUMNS + 1]) ? 1 : -1;
    size[i] = 1;
  }
  for (let t = 1; t <= UNARY && open.length; t++) {
    open = open.filter((i) =>
      source.decide(probability[row[i] * COLUMNS + t + (sign[i] > 0 ? UNARY + 1 : 1)]),
    );
    for (const i of open) size[i] = t + 1;
  }
  decodeTail(source, open, size, open.map((i) => orders[row[i] % SCALES]));
  for (const i of differ) {
    q[i] += sign[i] * size[i];
    refuse(Math.abs(q[i]) > LARGEST, "a latent is out of range");
  }
  return q;
}

/** Adds v - 2**order to the sizes of the latents that are still open. */
function decodeTail(
  source: RangeDecoder,
  which: number[],
  size: Int32Array,
  order: number[],
): void {
  const extra = which.map(() => 0);
  let open = which.map((_, n) => n);
  while (open.length) {
    open = open.filter(() => source.decide(HALF));
    for (const n of open) refuse(++extra[n] > 18, "a latent is out of range");
  }
  const length = extra.map((x, n) => x + order[n]);
  const value = length.map((bits) => 2 ** bits);
  for (let bit = Math.max(0, ...length) - 1; bit >= 0; bit--) {
    for (let n = 0; n < length.length; n++) {
      if (length[n] > bit) value[n] += source.decide(HALF) * 2 ** bit;
    }
  }
  which.forEach((i, n) => (size[i] += value[n] - 2 ** order[n]));
}

/** The offsets -8..8 of positions (h, w), by blocks of 4 x 4. */
export function decodeMap(source: RangeDecoder, h: number, w: number): Int8Array {
  const columns = Math.ceil(w / 4);
  const rows = Math.ceil(h / 4);
  const m = new Int8Array(rows * columns);
  const ones = new Int32Array(2 * 18);
  const all = new Int32Array(2 * 18);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const a = j ? m[at - 1] : i ? m[at - columns] : 0;
      const b = i ? m[at - columns] : a;
      const decide = (number: number): number => {
        const kind = (a === b ? 0 : 18) + number;
        const p = Math.floor((32768 * (2 * ones[kind] + 1)) / (all[kind] + 1));
        const bit = source.decide(p);
        ones[kind] += bit;
        all[kind] += 1;
        return bit;
      };
      let value = (a + b) >> 1;
      if (decide(0)) {
        const sign = decide(1) ? 1 : -1;
        let size = 1;
        while (decide(1 + size)) refuse(++size > 16, "a step of a map is out of range");
        value += sign * size;
        refuse(Math.abs(value) > 8, "a step of a map is out of range");
      }
      m[at] = value;
    }
  }
  const out = new Int8Array(h * w);
  for (let i = 0; i < h; i++) {
    for (let j = 0; j < w; j++) out[i * w + j] = m[(i >> 2) * columns + (j >> 2)];
  }
  return out;
}
