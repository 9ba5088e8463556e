/**
 * The decoder as a module.
 *
 *     import { decode } from "./bitcodec.js";
 *     const { width, height, rgba, info } = await decode(bytes);
 */

import { BitcodecError } from "./errors";
import type { Box } from "./format";
import type { Info } from "./info";
import type { Latents } from "./context";
import type { Request } from "./worker";

export { BitcodecError } from "./errors";
export type { Info } from "./info";

export interface Picture {
  width: number;
  height: number;
  /** Rows from the top, 4 bytes a pixel, not premultiplied. */
  rgba: Uint8ClampedArray<ArrayBuffer>;
  /** What `bitcodec info` tells. */
  info: Info;
}

export interface Options {
  /** Right and bottom are exclusive; the default is the whole picture. */
  crop?: Box;
  /** Where the worker, ONNX Runtime and models are; the default is beside this module. */
  base?: string;
  /** Threads, more than one only on isolated pages; the default is all cores. */
  threads?: number;
  /** Is told the share that is done, 0..1. */
  progress?: (share: number) => void;
}

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
  progress?: (share: number) => void;
}

const waiting = new Map<number, Waiting>();
let worker: Worker | null = null;
let count = 0;

/** Decodes a file, or a part of it. BitcodecError, with a one-line message, where it cannot be. */
export function decode(bytes: Uint8Array, options: Options = {}): Promise<Picture> {
  return ask("picture", bytes, options);
}

/** What a file says of itself, without decoding it. */
export async function info(bytes: Uint8Array, options: Options = {}): Promise<Info> {
  return (await ask<{ info: Info }>("info", bytes, options)).info;
}

/** The latents of all tiles that have any: for tests. */
export function latents(bytes: Uint8Array, options: Options = {}): Promise<{ latents: Latents[] }> {
  return ask("latents", bytes, options);
}

/** Ends the worker: pictures that are not finished are given up, memory is given back. */
export function stop(): void {
  worker?.terminate();
  worker = null;
  for (const { reject } of waiting.values()) reject(new BitcodecError("stopped"));
  waiting.clear();
}

function ask<T>(what: Request["what"], bytes: Uint8Array, options: Options): Promise<T> {
  const base = new URL(options.base ?? ".", options.base ? location.href : import.meta.url).href;
  const cores = self.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  worker ??= start(base);
  const id = ++count;
  const threads = Math.min(options.threads ?? cores, cores, 16);
  const request: Request = { id, bytes, base, threads, crop: options.crop, what };
  return new Promise<T>((resolve, reject) => {
    waiting.set(id, { resolve: resolve as never, reject, progress: options.progress });
    worker?.postMessage(request);
  });
}

function start(base: string): Worker {
  const started = new Worker(`${base}worker.js`, { type: "module" });
  started.onmessage = ({ data }) => {
    const asked = waiting.get(data.id);
    if (!asked) return;
    if (data.progress !== undefined) {
      asked.progress?.(data.progress);
      return;
    }
    waiting.delete(data.id);
    if (data.result) asked.resolve(data.result as never);
    else asked.reject(data.known ? new BitcodecError(data.error) : new Error(data.error));
  };
  started.onerror = () => stop();
  return started;
}
