/** The latents of tiles, decoded when first needed and kept while they still are. */

import type { Latents } from "./context";
import { about } from "./errors";
import * as format from "./format";
import type { Box, Container } from "./format";
import { tileJob, type Doer } from "./jobs";

export class Tiles {
  private readonly uses = new Map<number, number>();
  private readonly found = new Map<number, Promise<Latents | null>>();
  private readonly shares = new Map<number, number>();

  /**
   * @param wanted the boxes of latents that will be taken, once each
   * @param told is told the share of all tiles that is done
   */
  constructor(
    private readonly file: Container,
    private readonly doer: Doer,
    wanted: Box[],
    private readonly told: (share: number) => void,
  ) {
    for (const index of wanted.flatMap((box) => this.touching(box))) {
      this.uses.set(index, (this.uses.get(index) ?? 0) + 1);
    }
  }

  /** The latents of a box, null where it has none. */
  async take(box: Box): Promise<Latents | null> {
    const tiles = this.touching(box);
    if (this.doer.width > 1) for (const index of tiles) void this.latents(index);
    const parts = [];
    for (const index of tiles) parts.push([index, await this.latents(index)] as const);
    for (const index of tiles) {
      const left = (this.uses.get(index) ?? 0) - 1;
      this.uses.set(index, left);
      if (left === 0) this.found.delete(index);
    }
    return this.gather(parts, box);
  }

  /** Throws what the first tile that cannot be decoded throws. */
  async check(): Promise<void> {
    for (const tile of this.found.values()) await tile;
  }

  private touching(box: Box): number[] {
    const pixels = format.clipped(format.enlarged(box), format.whole(this.file));
    return format.touching(this.file, pixels);
  }

  private latents(index: number): Promise<Latents | null> {
    let latents = this.found.get(index);
    if (!latents) {
      latents = this.decode(index);
      latents.catch(() => {}); // whoever waits for it is told
      this.found.set(index, latents);
    }
    return latents;
  }

  private async decode(index: number): Promise<Latents | null> {
    const tell = (share: number) => {
      this.shares.set(index, share);
      const done = [...this.shares.values()].reduce((a, b) => a + b, 0);
      this.told(done / this.uses.size);
    };
    const job = tileJob(this.file, index);
    const latents = await about(`tile ${index}:`, async () => job && this.doer.latents(job, tell));
    tell(1);
    return latents;
  }

  private gather(parts: (readonly [number, Latents | null])[], box: Box): Latents | null {
    const h = box.y1 - box.y0;
    const w = box.x1 - box.x0;
    let out: Latents | null = null;
    for (const [index, part] of parts) {
      if (!part) continue;
      const { channels } = part;
      out ??= {
        channels, h, w,
        q: new Int16Array(h * w * channels),
        offsets: this.file.mapped ? new Int8Array(h * w) : null,
      };
      const tile = format.reduced(format.tileBox(this.file, index));
      const shared = format.clipped(tile, box);
      for (let y = shared.y0; y < shared.y1; y++) {
        const from = (y - tile.y0) * part.w + shared.x0 - tile.x0;
        const to = (y - box.y0) * w + shared.x0 - box.x0;
        const run = shared.x1 - shared.x0;
        out.q.set(part.q.subarray(from * channels, (from + run) * channels), to * channels);
        if (part.offsets) out.offsets?.set(part.offsets.subarray(from, from + run), to);
      }
    }
    return out;
  }
}
