/** The context model's walk through groups and passes: from a payload to latents. */

import { refuse } from "./errors";
import { decodeMap, decodePass, type Tables } from "./latents";
import { integers, tensor, type Model } from "./model";
import { RangeDecoder } from "./range";

const SIZES = [1, 2, 2, 3, 4, 4, 6, 10, 8, 16, 20, 28, 32, 56, 56, 136, 112, 272];
const PASSES = [5, 5, 2, 2, 2, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
export const CHANNELS = 768;
export const STEP_MIDDLE = 48;
const ZERO = 128;
const LAST = 2047;
/** Positions of one call of an embedding: it bounds the memory of their patches. */
const MOST_ROWS = 2048;

/** Latents of a tile, channels fastest: (h, w, channels); and a map's offsets (h, w). */
export interface Latents {
  channels: number;
  h: number;
  w: number;
  q: Int16Array;
  offsets: Int8Array | null;
}

export function stepCode(rate: number, offset: number): number {
  return Math.min(9216, Math.max(1024, rate + 128 * offset));
}

function passOf(passes: number, i: number, j: number): number {
  if (passes < 3) return (i + j) % passes;
  if ((i | j) & 1) return passes - 2 + ((i + j) & 1);
  return passOf(passes - 2, i >> 1, j >> 1);
}

/** Companded latents of a group as bytes, with a margin of zeros. */
class Plane {
  readonly edge: number;
  readonly radius: number;
  readonly wide: number;
  readonly values: Uint8Array;
  private readonly marked: Uint8Array;

  constructor(
    readonly h: number,
    readonly w: number,
    readonly channels: number,
    group: number,
  ) {
    this.edge = group < 4 ? 5 : 3;
    this.radius = this.edge >> 1;
    this.wide = w + 2 * this.radius;
    const tall = h + 2 * this.radius;
    this.values = new Uint8Array(tall * this.wide * channels).fill(ZERO);
    this.marked = new Uint8Array(h * w);
  }

  put(at: number, channel: number, value: number): void {
    const i = Math.floor(at / this.w);
    const inside = (i + this.radius) * this.wide + (at % this.w) + this.radius;
    this.values[inside * this.channels + channel] = value;
    this.marked[at] = 1;
  }

  /** Positions near a latent that is not zero. */
  around(): number[] {
    const { h, w, radius } = this;
    const near = new Uint8Array(h * w);
    for (let i = 0; i < h; i++) {
      for (let j = 0; j < w; j++) {
        if (!this.marked[i * w + j]) continue;
        const right = Math.min(w, j + radius + 1);
        for (let y = Math.max(0, i - radius); y < Math.min(h, i + radius + 1); y++) {
          near.fill(1, y * w + Math.max(0, j - radius), y * w + right);
        }
      }
    }
    const out: number[] = [];
    for (let at = 0; at < near.length; at++) if (near[at]) out.push(at);
    return out;
  }

  /** What is around positions: (n, edge edge C). */
  patches(where: number[]): Uint8Array {
    const run = this.edge * this.channels;
    const out = new Uint8Array(where.length * this.edge * run);
    let to = 0;
    for (const at of where) {
      let from = (Math.floor(at / this.w) * this.wide + (at % this.w)) * this.channels;
      for (let y = 0; y < this.edge; y++) {
        out.set(this.values.subarray(from, from + run), to);
        to += run;
        from += this.wide * this.channels;
      }
    }
    return out;
  }
}

/** Adds to the state what a group's latents give. */
async function add(model: Model, group: number, plane: Plane, state: Float32Array, s: number) {
  const all = plane.around();
  for (let first = 0; first < all.length; first += MOST_ROWS) {
    const where = all.slice(first, first + MOST_ROWS);
    const patches = plane.patches(where);
    const feed = { patches: tensor(patches, [where.length, patches.length / where.length]) };
    const out = await model.run(`embedding${group}`, feed);
    const more = out.more.data as Float32Array;
    where.forEach((at, n) => {
      for (let c = 0; c < s; c++) state[at * s + c] += more[n * s + c];
    });
  }
}

/**
 * The latents of a payload; BitcodecError where it is not valid.
 *
 * @param progress is told the share that is done after each pass
 */
export async function decodePayload(
  model: Model,
  payload: Uint8Array,
  h: number,
  w: number,
  rate: number,
  mapped: boolean,
  progress: (share: number) => void = () => {},
): Promise<Latents> {
  const source = new RangeDecoder(payload);
  const offsets = mapped ? decodeMap(source, h, w) : null;
  const tables: Tables = { probability: model.table("probability"), orders: model.table("orders") };
  const column = (_: number, row: number) => tables.probability[32 * row];
  const certain = Array.from({ length: 512 }, column).includes(0);
  const trusted = certain && source.decide(32768) === 1;
  const base = model.table<Int32Array>("base");
  const slope = model.table<Int32Array>("slope");
  const s = base.length;
  const state = new Float32Array(h * w * s);
  for (let at = 0; at < h * w; at++) {
    const code = stepCode(rate, offsets ? offsets[at] : 0);
    for (let c = 0; c < s; c++) {
      state[at * s + c] = base[c] + Math.floor((slope[c] * code + 32768) / 65536);
    }
  }
  const q = new Int16Array(h * w * CHANNELS);
  let start = 0;
  for (let g = 0; g < SIZES.length; g++) {
    const size = SIZES[g];
    const eighths = model.table<Int32Array>(`eighths${g}`);
    const companded = model.table<Uint8Array>(`companded${g}`);
    const pos = model.table<Int32Array>(`pos${g}`);
    const plane = new Plane(h, w, size, g);
    for (let pass = 0; pass < PASSES[g]; pass++) {
      const where: number[] = [];
      for (let at = 0; at < h * w; at++) {
        if (passOf(PASSES[g], Math.floor(at / w), at % w) === pass) where.push(at);
      }
      if (!where.length) continue;
      const seen = new Float32Array(state);
      for (let at = 0, n = 0; at < h * w; at++) {
        for (let c = 0; c < s; c++) seen[n++] += pos[pass * s + c];
      }
      if (pass) await add(model, g, plane, seen, s);
      const feed = { state: tensor(seen, [1, h, w, s]), where: integers(...where) };
      const { centre, scale } = await model.run(`head${g}`, feed);
      const found = decodePass(
        source, tables, eighths, centre.data as Uint8Array, scale.data as Uint8Array, trusted,
      );
      for (let n = 0; n < found.length; n++) {
        const value = found[n];
        if (value === 0) continue;
        const at = where[Math.floor(n / size)];
        const channel = n % size;
        q[at * CHANNELS + start + channel] = value;
        const index = Math.min(LAST, Math.max(-LAST, value)) + LAST;
        plane.put(at, channel, companded[index]);
      }
    }
    if (g + 1 < SIZES.length) await add(model, g, plane, state, s);
    start += size;
    progress((g + 1) / SIZES.length);
  }
  refuse(start !== CHANNELS, "the channels do not add up");
  source.finish();
  return { channels: CHANNELS, h, w, q, offsets };
}
