/** Metadata, which the page does not show; but a file is whole only if they are. */

import { BitcodecError, refuse } from "./errors";

const MOST = 2 ** 24;

/** BitcodecError unless a section, if there is one, is a zlib stream of at most 16 MiB. */
export async function checkZlib(name: string, section: Uint8Array | undefined): Promise<void> {
  if (!section) return;
  const stream = new Blob([section as BlobPart])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  let size = 0;
  try {
    while (size <= MOST) {
      const { done, value } = await reader.read();
      if (done) return;
      size += value.length;
    }
  } catch {
    throw new BitcodecError(`${name} is not one whole zlib stream`);
  }
  void reader.cancel();
  refuse(true, `${name} is longer than ${MOST} bytes`);
}
