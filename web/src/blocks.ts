/** The block transform: latents and the trunk's features to blocks of 16 x 16 pixels. */

import { CHANNELS, STEP_MIDDLE } from "./context";
import { tensor, type Feed, type Model } from "./model";

const PIXELS = 768; // numbers of a block
const BYTE = 127;

/** The matrices of the step that was last used. */
let last: { model: Model; step: number; matrices: Feed } | null = null;

/**
 * Blocks of pixels, less 128: (n, 768).
 *
 * @param rows latents (n, 768)
 * @param features of the trunk (n, width)
 * @param steps one, or one for each row
 */
export async function transformBlocks(
  model: Model,
  rows: Int16Array,
  features: Uint8Array,
  steps: Float64Array,
): Promise<Float32Array> {
  const n = rows.length / CHANNELS;
  const given = { features: tensor(features, [n, features.length / n]) };
  const kernels = model.table<Float32Array>("kernels");
  const gains = gainsOf(model, steps);
  const all = {
    kernels: tensor(kernels, [CHANNELS, PIXELS]),
    gains: tensor(gains, [steps.length, CHANNELS]),
  };
  if (steps.length > 1) {
    const latents = tensor(new Float32Array(rows), [n, CHANNELS]);
    const found = await model.run("mapped", { ...given, ...all, latents });
    return found.blocks.data as Float32Array;
  }
  if (last?.model !== model || last.step !== steps[0]) {
    last = { model, step: steps[0], matrices: await model.run("matrices", all) };
  }
  const bytes = new Uint8Array(rows.length);
  const large: number[] = [];
  for (let i = 0; i < rows.length; i++) {
    const value = Math.min(BYTE, Math.max(-BYTE, rows[i]));
    bytes[i] = value + 128;
    if (value !== rows[i]) large.push(i);
  }
  const of = { ...given, ...last.matrices, bytes: tensor(bytes, [n, CHANNELS]) };
  const blocks = (await model.run("block", of)).blocks.data as Float32Array;
  for (const i of large) {
    const rest = rows[i] - bytes[i] + 128;
    const channel = i % CHANNELS;
    const start = ((i - channel) / CHANNELS) * PIXELS;
    const times = Math.fround(gains[channel] * rest);
    for (let p = 0; p < PIXELS; p++) blocks[start + p] += times * kernels[channel * PIXELS + p];
  }
  return blocks;
}

/** What latents are multiplied by: (steps, 768). */
function gainsOf(model: Model, steps: Float64Array): Float32Array {
  const terms = model.table<Float32Array>("terms");
  const out = new Float32Array(steps.length * CHANNELS);
  steps.forEach((step, n) => {
    if (n && step === steps[n - 1]) {
      out.copyWithin(n * CHANNELS, (n - 1) * CHANNELS, n * CHANNELS);
      return;
    }
    const x = Math.log(step / STEP_MIDDLE);
    for (let c = 0; c < CHANNELS; c++) {
      let log = 0;
      for (let t = terms.length - CHANNELS; t >= 0; t -= CHANNELS) log = log * x + terms[t + c];
      out[n * CHANNELS + c] = Math.exp(-log) * step;
    }
  });
  return out;
}
