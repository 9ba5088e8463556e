/** The file is damaged, or none of ours, or cannot be decoded here; the message is one line. */
export class BitcodecError extends Error {
  override name = "BitcodecError";
}

/** Throws a BitcodecError with this message where the condition holds. */
export function refuse(condition: boolean, message: string): void {
  if (condition) throw new BitcodecError(message);
}
