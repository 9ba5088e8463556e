/**
 * The decoder as a module.
 *
 *     import { decode } from "./bitcodec.js";
 *     const { width, height, rgba, info } = await decode(bytes);
 */

import type { Box } from "./format";
import type { Info } from "./info";
import type { Latents } from "./context";
import { Peer } from "./peer";
import type { Asked } from "./worker";

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
  /** Workers at most, one a tile; the default is as many as cores, up to 4. */
  threads?: number;
  /** Is told the share that is done, 0..1. */
  progress?: (share: number) => void;
}

const MOST_THREADS = 4; // each worker has a runtime and a model of its own

let worker: Peer | null = null;

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
  worker?.end();
  worker = null;
}

function ask<T>(what: Asked["what"], bytes: Uint8Array, options: Options): Promise<T> {
  const base = new URL(options.base ?? ".", options.base ? location.href : import.meta.url).href;
  const threads = Math.min(options.threads ?? MOST_THREADS, navigator.hardwareConcurrency);
  worker ??= new Peer(base);
  return worker.ask({ what, bytes, base, threads, crop: options.crop }, options.progress);
}
