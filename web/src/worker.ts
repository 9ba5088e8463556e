/** The decoder in a worker: one request at a time, so that the page stays alive. */

import type { Latents } from "./context";
import { decodePicture, type Decoded } from "./decode";
import { BitcodecError } from "./errors";
import { hasPayload, parse, touching, whole, type Box, type Container } from "./format";
import { infoOf } from "./info";
import { Here, tileJob, type Doer, type Job } from "./jobs";
import { checkZlib } from "./zlib";
import { configure, readModel, type Model } from "./model";
import type { Answer } from "./peer";
import { Pool } from "./pool";

export interface Asked {
  /** "latents" for tests: those of every tile. */
  what: "picture" | "info" | "latents";
  bytes: Uint8Array;
  /** Folder of models and of ONNX Runtime's files, with a slash at its end. */
  base: string;
  threads: number;
  crop?: Box;
}

/** A "job" is asked by another worker. */
export type Question = Asked | { what: "job"; base: string; modelId: string; job: Job };

type Told = (share: number) => void;

const models = new Map<string, Model>();

async function modelOf(id: string, base: string): Promise<Model> {
  let model = models.get(id);
  if (!model) {
    const response = await fetch(`${base}models/${id}.model`).catch(() => null);
    if (!response?.ok) throw new BitcodecError(`unknown model id ${id}: its weights are not here`);
    model = readModel(await response.arrayBuffer());
    for (const [other, old] of models) {
      await old.release();
      models.delete(other);
    }
    models.set(id, model);
  }
  return model;
}

async function answer(question: Question, told: Told) {
  if (question.what === "job") {
    const { job, base, modelId } = question;
    configure(base, 1);
    const here = new Here(await modelOf(modelId, base));
    return job.kind === "tile" ? here.latents(job, told) : here.pixels(job);
  }
  const { what, bytes, base, threads, crop } = question;
  const file = parse(bytes);
  for (const name of ["icc", "exif"] as const) await checkZlib(name, file.sections[name]);
  if (what === "info") return { info: infoOf(file, models.get(file.modelId)?.facts ?? null) };
  const coded = (index: number) => hasPayload(file, index);
  const model = [...file.tiles.keys()].some(coded) ? await modelOf(file.modelId, base) : null;
  const facts = model?.facts ?? null;
  const info = infoOf(file, facts);
  if (what === "latents") return { info, latents: model ? await latentsOf(file, model, base) : [] };
  const box = crop ?? whole(file);
  const width = Math.min(threads, touching(file, box).filter(coded).length);
  const doer = model && doerOf(model, base, width, threads);
  return { info, ...(await decodePicture(file, facts, doer, box, told)) };
}

/** Several workers where there are several tiles; else this one, by ONNX Runtime's threads. */
function doerOf(model: Model, base: string, width: number, threads: number): Doer {
  if (width > 1) return new Pool(width, base, model.facts.id);
  configure(base, self.crossOriginIsolated ? threads : 1);
  return new Here(model);
}

async function latentsOf(file: Container, model: Model, base: string): Promise<Latents[]> {
  const here = doerOf(model, base, 1, 1);
  const out = [];
  for (const index of file.tiles.keys()) {
    const job = tileJob(file, index);
    if (job) out.push(await here.latents(job, () => {}));
  }
  return out;
}

/** The memory that need not be copied. */
function buffersOf(result: object): ArrayBuffer[] {
  if (result instanceof Uint8Array) return [result.buffer as ArrayBuffer];
  return "rgba" in result ? [(result as Decoded).rgba.buffer] : [];
}

let last: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Question & { id: number }>) => {
  const { id } = data;
  const post = (what: Omit<Answer, "id">, transfer: ArrayBuffer[] = []) =>
    self.postMessage({ id, ...what }, { transfer });
  last = last.then(async () => {
    try {
      const result = await answer(data, (progress) => post({ progress }));
      post({ result }, buffersOf(result));
    } catch (error) {
      const known = error instanceof BitcodecError;
      post({ error: error instanceof Error ? error.message : String(error), known });
    }
  });
};
