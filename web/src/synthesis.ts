/** Latents to pixels: the trunk, the block transform, the pixel path. */

import { transformBlocks } from "./blocks";
import { CHANNELS, STEP_MIDDLE, stepCode, type Latents } from "./context";
import type { Box } from "./format";
import { integers, tensor, type Model } from "./model";

const FAR = 4; // latents that the trunk's features are needed around the pixels
const NEAR = 2;
const END = 2 ** 53; // of a slice that goes to the end

/** RGB pixels (16 h, 16 w, 3) of the latents inside, a box of these. */
export async function synthesizeLadder(
  model: Model,
  latents: Latents,
  inside: Box,
  rate: number,
): Promise<Uint8Array> {
  const { h, w, q, offsets } = latents;
  const [width, at4, at8] = model.table<Int32Array>("widths");
  const far = around(inside, FAR, h, w);
  const near = around(inside, NEAR, h, w);
  const steps = Float64Array.from(offsets ?? [0], (m) => 2 ** (stepCode(rate, m) / 1024));
  const { features: found } = await model.run("trunk", {
    companded: tensor(companded(model, q), [h * w, CHANNELS]),
    enter_bias: enterBias(model, steps, width),
    size16: integers(1, h, w, width),
  });
  const all = { x0: 0, y0: 0, x1: w, y1: h };
  const features = cut(found.data as Uint8Array, all, far, width);
  const tall = near.y1 - near.y0;
  const wide = near.x1 - near.x0;
  const inner = steps.length > 1 ? cut(steps, all, near, 1) : steps;
  const latentRows = cut(q, all, near, CHANNELS);
  const blocks = await transformBlocks(model, latentRows, cut(features, far, near, width), inner);
  const rows = near.y0 - far.y0;
  const columns = near.x0 - far.x0;
  const ends = [far.y1 - near.y1, far.x1 - near.x1].map((edge) => (edge ? -2 * edge : END));
  const [fh, fw] = [far.y1 - far.y0, far.x1 - far.x0];
  const { pixels } = await model.run("path", {
    features: tensor(features, [1, fh, fw, width]),
    blocks: tensor(blocks, [1, tall, wide, 4, 4, 48]),
    size8: integers(1, 2 * fh, 2 * fw, at8),
    size4: integers(1, 4 * tall, 4 * wide, at4),
    fours: integers(1, 4 * tall, 4 * wide, 48),
    size: integers(16 * tall, 16 * wide, 3),
    unit: unit(model, inner, tall, wide),
    near8_from: integers(2 * rows, 2 * columns),
    near8_to: integers(...ends),
  });
  return cut(pixels.data as Uint8Array, times16(near), times16(inside), 3);
}

function times16(box: Box): Box {
  return { x0: 16 * box.x0, y0: 16 * box.y0, x1: 16 * box.x1, y1: 16 * box.y1 };
}

function around(box: Box, by: number, h: number, w: number): Box {
  return {
    x0: Math.max(0, box.x0 - by),
    y0: Math.max(0, box.y0 - by),
    x1: Math.min(w, box.x1 + by),
    y1: Math.min(h, box.y1 + by),
  };
}

/** The part of an array over `outer`, of so many values each position, that is over `inner`. */
export function cut<T extends Uint8Array | Int16Array | Float32Array | Float64Array>(
  values: T,
  outer: Box,
  inner: Box,
  each: number,
): T {
  const run = (inner.x1 - inner.x0) * each;
  const wide = outer.x1 - outer.x0;
  const out = new (values.constructor as new (n: number) => T)((inner.y1 - inner.y0) * run);
  for (let y = inner.y0; y < inner.y1; y++) {
    const from = ((y - outer.y0) * wide + inner.x0 - outer.x0) * each;
    out.set(values.subarray(from, from + run) as never, (y - inner.y0) * run);
  }
  return out;
}

function companded(model: Model, q: Int16Array): Uint8Array {
  const table = model.table<Uint8Array>("compander");
  const out = new Uint8Array(q.length);
  for (let i = 0; i < q.length; i++) out[i] = table[q[i] & 0xffff];
  return out;
}

/** The first layer's bias, with the plane of the step in it. */
function enterBias(model: Model, steps: Float64Array, width: number) {
  const enter = model.table<Float32Array>("enter");
  const out = new Float32Array(steps.length * width);
  steps.forEach((step, n) => {
    const plane = Math.fround(Math.log(step / STEP_MIDDLE));
    for (let c = 0; c < width; c++) {
      out[n * width + c] = enter[c] + Math.fround(enter[width + c] * plane);
    }
  });
  return tensor(out, [steps.length, width]);
}

/** Grey levels of one step of a byte that the pixel path puts out. */
function unit(model: Model, steps: Float64Array, tall: number, wide: number) {
  const one = model.table<Float32Array>("unit")[0];
  if (steps.length === 1) return tensor(Float32Array.of(steps[0] * one), [1, 1, 1, 1]);
  const out = new Float32Array(16 * tall * wide);
  for (let y = 0; y < 4 * tall; y++) {
    for (let x = 0; x < 4 * wide; x++) {
      out[y * 4 * wide + x] = steps[(y >> 2) * wide + (x >> 2)] * one;
    }
  }
  return tensor(out, [1, 4 * tall, 4 * wide, 1]);
}
