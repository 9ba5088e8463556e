/**
 * The range decoder of FORMAT.md. Its 64-bit numbers are pairs of 32 bits, in doubles; of `point`
 * and `lower` only the difference is kept.
 */

import { BitcodecError, refuse } from "./errors";

const WORD = 2 ** 32;

export class RangeDecoder {
  private readonly words: DataView;
  private at = 0;
  private readonly end: number;
  private rangeHigh = WORD - 1;
  private rangeLow = WORD - 1;
  private high: number;
  private low: number;

  constructor(payload: Uint8Array) {
    refuse(payload.length % 4 > 0, "a ranged payload is not a whole number of words");
    this.words = new DataView(payload.buffer, payload.byteOffset, payload.length);
    this.end = payload.length;
    this.high = this.word();
    this.low = this.word();
  }

  private word(): number {
    this.at += 4;
    return this.at <= this.end ? this.words.getUint32(this.at - 4, true) : 0;
  }

  /** A decision, 0 or 1; p is the probability of a 1 in units of 2**-16. */
  decide(p: number): number {
    const zero = 65536 - p;
    const split = 256 * zero - (zero > 32768 ? 1 : 0);
    // scale = range / 2**24 has 40 bits: a * 2**24 + b.
    const a = Math.floor(this.rangeHigh / 65536);
    const b = (this.rangeHigh % 65536) * 256 + Math.floor(this.rangeLow / 16777216);
    const middle = a * split;
    const bottom = (middle % 256) * 16777216 + b * split;
    const high = Math.floor(middle / 256) + Math.floor(bottom / WORD);
    const low = bottom % WORD;
    const bit = this.high > high || (this.high === high && this.low >= low) ? 1 : 0;
    if (bit) {
      this.low -= low;
      this.high -= high;
      if (this.low < 0) {
        this.low += WORD;
        this.high -= 1;
      }
      // scale * 2**24, less scale * split
      this.rangeLow = (b % 256) * 16777216 - low;
      this.rangeHigh = a * 65536 + Math.floor(b / 256) - high;
      if (this.rangeLow < 0) {
        this.rangeLow += WORD;
        this.rangeHigh -= 1;
      }
      const beyond = this.high > this.rangeHigh;
      if (beyond || (this.high === this.rangeHigh && this.low >= this.rangeLow)) {
        throw new BitcodecError("the payload cannot be decoded");
      }
    } else {
      this.rangeHigh = high;
      this.rangeLow = low;
    }
    if (this.rangeHigh === 0) {
      this.rangeHigh = this.rangeLow;
      this.rangeLow = 0;
      this.high = this.low;
      this.low = this.word();
    }
    return bit;
  }

  /** Throws unless the payload is used up. */
  finish(): void {
    const untouched = this.rangeHigh === WORD - 1 && this.rangeLow === WORD - 1;
    const near = this.high < 1 || (this.high === 1 && this.low < WORD - 1);
    refuse(this.at < this.end || !(untouched || near), "data is left over in a payload");
  }
}
