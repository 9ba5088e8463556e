/** A file, or a box of its picture, to RGBA. */

import { decodePayload, type Latents } from "./context";
import { BitcodecError, refuse } from "./errors";
import * as format from "./format";
import type { Box, Container } from "./format";
import type { Model } from "./model";
import { decodeAlpha, decodeOverlay } from "./overlay";
import { synthesizeSign, unpack } from "./sign";
import { synthesizeLadder } from "./synthesis";

const BLOCK = 1024;

export interface Decoded {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

/** @param progress is told the share that is done, 0..1, between steps of the work */
export async function decodePicture(
  file: Container,
  model: Model | null,
  box: Box,
  progress: (share: number) => void = () => {},
): Promise<Decoded> {
  const width = box.x1 - box.x0;
  const height = box.y1 - box.y0;
  if (model) check(file, model);
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  if (model) await paintNetworks(file, model, box, rgba, progress);
  await pasteOverlays(file, box, rgba);
  if (file.grey) {
    for (let i = 0; i < rgba.length; i += 4) {
      const grey = Math.floor((rgba[i] + rgba[i + 1] + rgba[i + 2] + 1) / 3);
      rgba.fill(grey, i, i + 3);
    }
  }
  if (file.sections.alpha) {
    const alpha = await decodeAlpha(file.sections.alpha, file.width, file.height);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        rgba[4 * (y * width + x) + 3] = alpha[4 * ((y + box.y0) * file.width + x + box.x0)];
      }
    }
  }
  progress(1);
  return { width, height, rgba };
}

function check(file: Container, model: Model): void {
  const [least, most] = JSON.parse(model.facts.rates);
  refuse(file.rate < least || file.rate > most, `rate ${file.rate} is not one of ${model.facts.name}`);
  refuse(String(file.coder) !== model.facts.coder, `the coder is not that of ${model.facts.name}`);
}

/** The latents of a tile, null where it has none. */
export async function decodeTile(
  file: Container,
  model: Model,
  index: number,
  progress?: (share: number) => void,
): Promise<Latents | null> {
  if (!format.hasPayload(file, index)) return null;
  const box = format.reduced(format.tileBox(file, index));
  const [h, w] = [box.y1 - box.y0, box.x1 - box.x0];
  const payload = file.tiles[index];
  try {
    if (file.coder === 0) return unpack(payload, file.rate, h, w);
    return await decodePayload(model, payload, h, w, file.rate, file.mapped, progress);
  } catch (error) {
    if (error instanceof BitcodecError) throw new BitcodecError(`tile ${index}: ${error.message}`);
    throw error;
  }
}

function paint(target: Uint8ClampedArray, box: Box, part: Box, rgb: Uint8Array, of: Box): void {
  const wide = of.x1 - of.x0;
  for (let y = part.y0; y < part.y1; y++) {
    let to = 4 * ((y - box.y0) * (box.x1 - box.x0) + part.x0 - box.x0);
    let from = 3 * ((y - of.y0) * wide + part.x0 - of.x0);
    for (let x = part.x0; x < part.x1; x++, to += 4, from += 3) {
      target[to] = rgb[from];
      target[to + 1] = rgb[from + 1];
      target[to + 2] = rgb[from + 2];
    }
  }
}

/** What is below the overlays, in blocks with a halo of latents, so that no seam shows. */
async function paintNetworks(
  file: Container,
  model: Model,
  box: Box,
  rgba: Uint8ClampedArray,
  progress: (share: number) => void,
): Promise<void> {
  const all = format.reduced(format.whole(file));
  const halo = Number(model.facts.halo);
  const blocks = [...blocksOf(box)];
  const kept = new Map<number, Latents | null>();
  for (const [n, block] of blocks.entries()) {
    const own = format.reduced(block);
    const around = format.clipped(format.grown(own, halo), all);
    const wanted = format.clipped(format.enlarged(around), format.whole(file));
    const tiles = format.touching(file, wanted);
    for (const index of kept.keys()) {
      if (format.reduced(format.tileBox(file, index)).y1 <= around.y0) kept.delete(index);
    }
    for (const [m, index] of tiles.entries()) {
      if (kept.has(index)) continue;
      const told = (share: number) =>
        progress((n + (0.6 * (m + share)) / tiles.length) / blocks.length);
      kept.set(index, await decodeTile(file, model, index, told));
    }
    const latents = gather(file, kept, tiles, around);
    if (!latents) continue;
    const inside = {
      x0: own.x0 - around.x0,
      y0: own.y0 - around.y0,
      x1: own.x1 - around.x0,
      y1: own.y1 - around.y0,
    };
    const pixels =
      model.facts.family === "sign"
        ? await synthesizeSign(model, latents, inside)
        : await synthesizeLadder(model, latents, inside, file.rate);
    paint(rgba, box, block, pixels, format.enlarged(own));
    progress((n + 1) / blocks.length);
  }
}

function gather(
  file: Container,
  kept: Map<number, Latents | null>,
  tiles: number[],
  around: Box,
): Latents | null {
  const h = around.y1 - around.y0;
  const w = around.x1 - around.x0;
  let out: Latents | null = null;
  for (const index of tiles) {
    const part = kept.get(index);
    if (!part) continue;
    const { channels } = part;
    out ??= {
      channels, h, w,
      q: new Int16Array(h * w * channels),
      offsets: file.mapped ? new Int8Array(h * w) : null,
    };
    const tile = format.reduced(format.tileBox(file, index));
    const shared = format.clipped(tile, around);
    for (let y = shared.y0; y < shared.y1; y++) {
      const from = (y - tile.y0) * part.w + shared.x0 - tile.x0;
      const to = (y - around.y0) * w + shared.x0 - around.x0;
      const run = shared.x1 - shared.x0;
      out.q.set(part.q.subarray(from * channels, (from + run) * channels), to * channels);
      if (part.offsets) out.offsets?.set(part.offsets.subarray(from, from + run), to);
    }
  }
  return out;
}

function* blocksOf(box: Box): Generator<Box> {
  for (const [y0, y1] of ranges(box.y0, box.y1)) {
    for (const [x0, x1] of ranges(box.x0, box.x1)) yield { x0, y0, x1, y1 };
  }
}

/** In one piece what is small enough, else cut at multiples of the block's edge. */
function ranges(start: number, stop: number): [number, number][] {
  if (stop - start <= BLOCK) return [[start, stop]];
  const out: [number, number][] = [];
  for (let at = start; at < stop; ) {
    const next = Math.min(stop, (Math.floor(at / BLOCK) + 1) * BLOCK);
    out.push([at, next]);
    at = next;
  }
  return out;
}

async function pasteOverlays(file: Container, box: Box, rgba: Uint8ClampedArray): Promise<void> {
  if (!file.overlays.length) return;
  for (const index of format.touching(file, box)) {
    if (!file.overlays[index].length) continue;
    const tile = format.tileBox(file, index);
    const [width, height] = [tile.x1 - tile.x0, tile.y1 - tile.y0];
    let overlay: Uint8ClampedArray;
    try {
      overlay = await decodeOverlay(file.overlays[index], width, height);
    } catch (error) {
      throw new BitcodecError(`overlay ${index}: ${(error as Error).message}`);
    }
    const bare = !format.hasPayload(file, index);
    const part = format.clipped(tile, box);
    for (let y = part.y0; y < part.y1; y++) {
      for (let x = part.x0; x < part.x1; x++) {
        const from = 4 * ((y - tile.y0) * width + x - tile.x0);
        const to = 4 * ((y - box.y0) * (box.x1 - box.x0) + x - box.x0);
        if (overlay[from + 3]) for (let c = 0; c < 3; c++) rgba[to + c] = overlay[from + c];
        else refuse(bare, `overlay ${index}: it has holes, and there is nothing below them`);
      }
    }
  }
}
