/** What takes long: the latents of a tile, the pixels of a block. Any worker can do it. */

import { decodePayload, type Latents } from "./context";
import { hasPayload, reduced, tileBox, type Box, type Container } from "./format";
import type { Model } from "./model";
import { synthesizeSign, unpack } from "./sign";
import { synthesizeLadder } from "./synthesis";

export interface TileJob {
  kind: "tile";
  payload: Uint8Array;
  /** Positions of latents. */
  h: number;
  w: number;
  rate: number;
  packed: boolean;
  mapped: boolean;
}

export interface BlockJob {
  kind: "block";
  latents: Latents;
  /** Those whose pixels are wanted; the others are halo. */
  inside: Box;
  rate: number;
}

export type Job = TileJob | BlockJob;

/** Does a job somewhere. */
export interface Doer {
  /** How many jobs it does at once. */
  readonly width: number;
  latents(job: TileJob, told: (share: number) => void): Promise<Latents>;
  /** RGB (16 h, 16 w, 3). */
  pixels(job: BlockJob): Promise<Uint8Array>;
}

/** Does jobs here. */
export class Here implements Doer {
  readonly width = 1;

  constructor(private readonly model: Model) {}

  async latents(job: TileJob, told: (share: number) => void): Promise<Latents> {
    const { payload, h, w, rate } = job;
    if (job.packed) return unpack(payload, rate, h, w);
    return decodePayload(this.model, payload, h, w, rate, job.mapped, told);
  }

  pixels({ latents, inside, rate }: BlockJob): Promise<Uint8Array> {
    if (this.model.facts.family === "sign") return synthesizeSign(this.model, latents, inside);
    return synthesizeLadder(this.model, latents, inside, rate);
  }
}

/** The job of a tile, null where it has no latents. */
export function tileJob(file: Container, index: number): TileJob | null {
  if (!hasPayload(file, index)) return null;
  const box = reduced(tileBox(file, index));
  return {
    kind: "tile",
    payload: file.tiles[index].slice(),
    h: box.y1 - box.y0,
    w: box.x1 - box.x0,
    rate: file.rate,
    packed: file.coder === 0,
    mapped: file.mapped,
  };
}
