/** A file, or a box of its picture, to RGBA. */

import { about, refuse } from "./errors";
import * as format from "./format";
import type { Box, Container } from "./format";
import type { Doer } from "./jobs";
import type { Facts } from "./model";
import { decodeAlpha, decodeOverlay } from "./overlay";
import { Tiles } from "./tiles";

const BLOCK = 1024;

export interface Decoded {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

/**
 * @param facts of the model; null, as `doer`, where no tile needs one
 * @param progress is told the share that is done, 0..1, between steps of the work
 */
export async function decodePicture(
  file: Container,
  facts: Facts | null,
  doer: Doer | null,
  box: Box,
  progress: (share: number) => void,
): Promise<Decoded> {
  const width = box.x1 - box.x0;
  const height = box.y1 - box.y0;
  if (facts) check(file, facts);
  format.checkWork(file);
  const { alpha: section } = file.sections;
  const alpha = section && (await decodeAlpha(section, file.width, file.height));
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  if (facts && doer) await paintNetworks(file, facts, doer, box, rgba, progress);
  await pasteOverlays(file, box, rgba);
  if (file.grey) {
    for (let i = 0; i < rgba.length; i += 4) {
      const grey = Math.floor((rgba[i] + rgba[i + 1] + rgba[i + 2] + 1) / 3);
      rgba.fill(grey, i, i + 3);
    }
  }
  if (alpha) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        rgba[4 * (y * width + x) + 3] = alpha[4 * ((y + box.y0) * file.width + x + box.x0)];
      }
    }
  }
  progress(1);
  return { width, height, rgba };
}

function check(file: Container, facts: Facts): void {
  const [least, most] = JSON.parse(facts.rates);
  const coder = file.coder ? "ranged" : "packed";
  refuse(String(file.coder) !== facts.coder, `coder ${coder} is not that of ${facts.name}`);
  refuse(file.rate < least || file.rate > most, `rate ${file.rate} is not one of ${facts.name}`);
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
  facts: Facts,
  doer: Doer,
  box: Box,
  rgba: Uint8ClampedArray,
  progress: (share: number) => void,
): Promise<void> {
  const all = format.reduced(format.whole(file));
  const around = (block: Box) =>
    format.clipped(format.grown(format.reduced(block), Number(facts.halo)), all);
  const blocks = [...blocksOf(box)];
  const tiles = new Tiles(file, doer, blocks.map(around), (share) => progress(0.6 * share));
  let next = 0;
  let done = 0;
  const paintBlocks = async () => {
    while (next < blocks.length) {
      const block = blocks[next++];
      const own = format.reduced(block);
      const outer = around(block);
      const latents = await tiles.take(outer);
      if (latents) {
        const inside = format.moved(own, outer);
        const pixels = await doer.pixels({ kind: "block", latents, inside, rate: file.rate });
        paint(rgba, box, block, pixels, format.enlarged(own));
      }
      progress(0.6 + (0.4 * ++done) / blocks.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: doer.width }, paintBlocks));
  } catch (error) {
    next = blocks.length;
    await tiles.check();
    throw error;
  }
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
    const bare = !format.hasPayload(file, index);
    const overlay = await about(`overlay ${index}:`, async () => {
      const rgba = await decodeOverlay(file.overlays[index], width, height);
      const holes = bare && rgba.some((value, i) => i % 4 === 3 && value === 0);
      refuse(holes, "it has holes, and there is nothing below them");
      return rgba;
    });
    const part = format.clipped(tile, box);
    for (let y = part.y0; y < part.y1; y++) {
      for (let x = part.x0; x < part.x1; x++) {
        const from = 4 * ((y - tile.y0) * width + x - tile.x0);
        const to = 4 * ((y - box.y0) * (box.x1 - box.x0) + x - box.x0);
        if (overlay[from + 3]) for (let c = 0; c < 3; c++) rgba[to + c] = overlay[from + c];
      }
    }
  }
}
