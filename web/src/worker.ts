/** The decoder in a worker: one request at a time, so that the page stays alive. */

import { decodePicture, decodeTile } from "./decode";
import { BitcodecError } from "./errors";
import { hasPayload, parse, whole, type Box, type Container } from "./format";
import { infoOf } from "./info";
import { configure, readModel, type Model } from "./model";

export interface Request {
  id: number;
  bytes: Uint8Array;
  /** Folder of models and of ONNX Runtime's files, with a slash at its end. */
  base: string;
  threads: number;
  crop?: Box;
  /** "latents" for tests: those of every tile. */
  what: "picture" | "info" | "latents";
}

const models = new Map<string, Model>();

async function modelOf(file: Container, base: string): Promise<Model> {
  let model = models.get(file.modelId);
  if (!model) {
    const response = await fetch(`${base}models/${file.modelId}.model`).catch(() => null);
    if (!response?.ok) throw new BitcodecError(`made with weights ${file.modelId}, which are not here`);
    model = readModel(await response.arrayBuffer());
    for (const [id, other] of models) {
      await other.release();
      models.delete(id);
    }
    models.set(file.modelId, model);
  }
  return model;
}

async function answer(request: Request) {
  const file = parse(request.bytes);
  const bare = file.tiles.every((_, index) => !hasPayload(file, index));
  if (request.what === "info") return { info: infoOf(file, models.get(file.modelId)?.facts ?? null) };
  configure(request.base, request.threads);
  const model = bare ? null : await modelOf(file, request.base);
  const info = infoOf(file, model?.facts ?? null);
  if (request.what === "latents") {
    const latents = [];
    for (const index of file.tiles.keys()) {
      const tile = model && (await decodeTile(file, model, index));
      if (tile) latents.push(tile);
    }
    return { info, latents };
  }
  const told = (share: number) => self.postMessage({ id: request.id, progress: share });
  return { info, ...(await decodePicture(file, model, request.crop ?? whole(file), told)) };
}

let last: Promise<void> = Promise.resolve();

self.onmessage = ({ data }: MessageEvent<Request>) => {
  last = last.then(async () => {
    try {
      const result = await answer(data);
      const transfer = "rgba" in result ? [result.rgba.buffer] : [];
      self.postMessage({ id: data.id, result }, { transfer });
    } catch (error) {
      const known = error instanceof BitcodecError;
      const message = error instanceof Error ? error.message : String(error);
      self.postMessage({ id: data.id, error: message, known });
    }
  });
};
