/** A worker, and the questions that it has not answered yet. */

import { BitcodecError } from "./errors";
import type { Question } from "./worker";

type Told = (share: number) => void;

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
  told?: Told;
}

export class Peer {
  private readonly waiting = new Map<number, Waiting>();
  private readonly worker: Worker;
  private count = 0;

  /** @param base folder of worker.js, with a slash at its end */
  constructor(base: string) {
    this.worker = new Worker(`${base}worker.js`, { type: "module" });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = () => this.end();
  }

  /** How many questions are not answered yet. */
  get open(): number {
    return this.waiting.size;
  }

  ask<T>(question: Question, told?: Told): Promise<T> {
    const id = ++this.count;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as never, reject, told });
      this.worker.postMessage({ id, ...question });
    });
  }

  /** Ends the worker, and those that it started; open questions are given up. */
  end(): void {
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(new BitcodecError("stopped"));
    this.waiting.clear();
  }

  private hear(data: Answer): void {
    const asked = this.waiting.get(data.id);
    if (!asked) return;
    if (data.progress !== undefined) {
      asked.told?.(data.progress);
      return;
    }
    this.waiting.delete(data.id);
    if (data.error === undefined) asked.resolve(data.result as never);
    else asked.reject(data.known ? new BitcodecError(data.error) : new Error(data.error));
  }
}

/** What a worker posts: a share that is done, or a result, or an error. */
export interface Answer {
  id: number;
  progress?: number;
  result?: unknown;
  error?: string;
  /** Whether the error is a BitcodecError. */
  known?: boolean;
}
