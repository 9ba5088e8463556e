/** A model's file, a safetensors file of graphs and tables; and sessions, made when first used. */

import * as ort from "onnxruntime-web/wasm";

import { BitcodecError, refuse } from "./errors";

export type Values = Float32Array | Uint8Array | Uint16Array | Int8Array | Int32Array;
export type Feed = Record<string, ort.Tensor>;

/** What a model's file says of it: `family`, `name`, `id`, `halo`, `coder`, `rates`. */
export type Facts = Record<string, string>;

export class Model {
  private readonly sessions = new Map<string, Promise<ort.InferenceSession>>();

  constructor(
    readonly facts: Facts,
    private readonly tensors: Map<string, Values>,
  ) {}

  table<T extends Values>(name: string): T {
    const found = this.tensors.get(name);
    if (!found) throw new BitcodecError(`the model's file has no ${name}`);
    return found as T;
  }

  /** The outputs of a graph, by name. */
  async run(graph: string, feed: Feed): Promise<Feed> {
    let session = this.sessions.get(graph);
    if (!session) {
      session = ort.InferenceSession.create(this.table<Uint8Array>(graph), {
        executionProviders: ["wasm"],
        graphOptimizationLevel: this.facts.family === "sign" ? "all" : "disabled",
        enableMemPattern: false,
        enableCpuMemArena: false,
        logSeverityLevel: 3,
      });
      this.sessions.set(graph, session);
    }
    return (await session).run(feed);
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await (await session).release();
    this.sessions.clear();
  }
}

export function tensor(data: Values | BigInt64Array, dims: readonly number[]): ort.Tensor {
  const kinds: [Function, ort.Tensor.Type][] = [
    [Float32Array, "float32"],
    [Uint8Array, "uint8"],
    [BigInt64Array, "int64"],
  ];
  const kind = kinds.find(([constructor]) => data instanceof constructor);
  if (!kind) throw new TypeError("a kind of array that no graph takes");
  return new ort.Tensor(kind[1], data as Float32Array, dims);
}

/** Whole numbers, as shapes and positions are fed. */
export function integers(...values: number[]): ort.Tensor {
  return tensor(BigInt64Array.from(values, BigInt), [values.length]);
}

/** The model in a file; BitcodecError where it is not one. */
export function readModel(bytes: ArrayBuffer): Model {
  const kinds: Record<string, (start: number, end: number) => Values> = {
    F32: (start, end) => new Float32Array(bytes.slice(start, end)),
    U8: (start, end) => new Uint8Array(bytes, start, end - start),
    I32: (start, end) => new Int32Array(bytes.slice(start, end)),
  };
  try {
    const length = Number(new DataView(bytes).getBigUint64(0, true));
    const { __metadata__: facts, ...entries } = JSON.parse(
      new TextDecoder().decode(new Uint8Array(bytes, 8, length)),
    );
    const tensors = new Map<string, Values>();
    for (const [name, entry] of Object.entries<any>(entries)) {
      const [start, end] = entry.data_offsets.map((at: number) => at + 8 + length);
      tensors.set(name, kinds[entry.dtype](start, end));
    }
    refuse(!facts.family, "the model's file is damaged");
    return new Model(facts, tensors);
  } catch {
    throw new BitcodecError("the model's file is damaged");
  }
}

/** How many threads ONNX Runtime may use, and where its own files are. */
export function configure(base: string, threads: number): void {
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { wasm: `${base}ort.wasm`, mjs: `${base}ort.mjs` };
  ort.env.logLevel = "error";
}
