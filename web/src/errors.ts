/** The file is damaged, or none of ours, or cannot be decoded here; the message is one line. */
export class BitcodecError extends Error {
  override name = "BitcodecError";
}

/** Throws a BitcodecError with this message where the condition holds. */
export function refuse(condition: boolean, message: string): void {
  if (condition) throw new BitcodecError(message);
}

/** What `work` gives; a BitcodecError of it says what it is about. */
export async function about<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BitcodecError)) throw error;
    throw new BitcodecError(`${what} ${error.message}`);
  }
}
