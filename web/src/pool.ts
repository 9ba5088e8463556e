/** Several workers that do jobs of one model side by side. */

import type { Latents } from "./context";
import type { BlockJob, Doer, Job, TileJob } from "./jobs";
import { Peer } from "./peer";

const peers: Peer[] = [];

export class Pool implements Doer {
  constructor(
    readonly width: number,
    private readonly base: string,
    private readonly modelId: string,
  ) {
    while (peers.length < width) peers.push(new Peer(base));
  }

  latents(job: TileJob, told: (share: number) => void): Promise<Latents> {
    return this.give(job, told);
  }

  pixels(job: BlockJob): Promise<Uint8Array> {
    return this.give(job);
  }

  /** To the one that has least to do. */
  private give<T>(job: Job, told?: (share: number) => void): Promise<T> {
    const of = peers.slice(0, this.width).reduce((a, b) => (b.open < a.open ? b : a));
    return of.ask({ what: "job", base: this.base, modelId: this.modelId, job }, told);
  }
}
