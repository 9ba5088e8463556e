/** The family `sign`: packed bits to latents, and those to pixels, in float32. */

import type { Latents } from "./context";
import { refuse } from "./errors";
import { clipped, grown, type Box } from "./format";
import { tensor, type Model } from "./model";
import { cut } from "./synthesis";

const BLOCK = 16; // edge in latents of what the last layers are given

/** Bits of -1 and +1; BitcodecError where the payload is not valid. */
export function unpack(payload: Uint8Array, channels: number, h: number, w: number): Latents {
  const count = channels * h * w;
  const expected = Math.ceil(count / 8);
  refuse(
    payload.length !== expected,
    `payload of ${payload.length} bytes where ${expected} were expected`,
  );
  const fill = count % 8 ? payload[expected - 1] & (255 >> (count % 8)) : 0;
  refuse(fill !== 0, "the padding after the last latent bit is not zero");
  const q = new Int16Array(count);
  for (let n = 0; n < count; n++) {
    const bit = (payload[n >> 3] >> (7 - (n & 7))) & 1;
    q[(n % (h * w)) * channels + Math.floor(n / (h * w))] = 2 * bit - 1;
  }
  return { channels, h, w, q, offsets: null };
}

/** RGB pixels (16 h, 16 w, 3) of the latents inside, a box of these. */
export async function synthesizeSign(
  model: Model,
  latents: Latents,
  inside: Box,
): Promise<Uint8Array> {
  const { channels, h, w, q } = latents;
  const [all, low] = model.table<Int32Array>("latents");
  const x = new Float32Array(all * h * w);
  for (let at = 0; at < h * w; at++) {
    for (let c = 0; c < channels; c++) {
      const value = q[at * channels + c];
      x[c * h * w + at] = low === 0 ? Number(value > 0) : value;
    }
  }
  const { out: features } = await model.run("features", { x: tensor(x, [1, all, h, w]) });
  const depth = features.dims[1];
  const wide = inside.x1 - inside.x0;
  const out = new Uint8Array(256 * (inside.y1 - inside.y0) * wide * 3);
  for (let y0 = inside.y0; y0 < inside.y1; y0 += BLOCK) {
    for (let x0 = inside.x0; x0 < inside.x1; x0 += BLOCK) {
      const own = clipped({ x0, y0, x1: x0 + BLOCK, y1: y0 + BLOCK }, inside);
      const seen = clipped(grown(own, 1), { x0: 0, y0: 0, x1: w, y1: h });
      const fh = 2 * (seen.y1 - seen.y0);
      const fw = 2 * (seen.x1 - seen.x0);
      const part = new Float32Array(depth * fh * fw);
      for (let c = 0; c < depth; c++) {
        const plane = (features.data as Float32Array).subarray(c * 4 * h * w, (c + 1) * 4 * h * w);
        const box = { x0: 2 * seen.x0, y0: 2 * seen.y0, x1: 2 * seen.x1, y1: 2 * seen.y1 };
        part.set(cut(plane, { x0: 0, y0: 0, x1: 2 * w, y1: 2 * h }, box, 1), c * fh * fw);
      }
      const { out: pixels } = await model.run("pixels", { x: tensor(part, [1, depth, fh, fw]) });
      const found = pixels.data as Uint8Array;
      const [, , ph, pw] = pixels.dims;
      for (let y = 16 * own.y0; y < 16 * own.y1; y++) {
        for (let column = 16 * own.x0; column < 16 * own.x1; column++) {
          const to = 3 * ((y - 16 * inside.y0) * 16 * wide + column - 16 * inside.x0);
          const from = (y - 16 * seen.y0) * pw + column - 16 * seen.x0;
          for (let c = 0; c < 3; c++) out[to + c] = found[c * ph * pw + from];
        }
      }
    }
  }
  return out;
}
