/** Overlays and alpha: PNG and lossless WebP files, decoded by the browser, checked before. */

import { about, BitcodecError, refuse } from "./errors";

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const CHUNKS = /^IHDR(PLTE)?(tRNS)?(IDAT)+IEND$/;
const KINDS = ["2 8", "3 1", "3 2", "3 4", "3 8", "0 8", "6 8"];
const WEBP_ALPHA = 2 ** 22;

function text(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end));
}

function isPng(bytes: Uint8Array): boolean {
  return PNG.every((byte, i) => bytes[i] === byte);
}

function checkPng(bytes: Uint8Array, width: number, height: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let names = "";
  let at = PNG.length;
  while (at + 12 <= bytes.length) {
    names += text(bytes, at + 4, at + 8);
    at += 12 + view.getUint32(at);
  }
  const others = at !== bytes.length || !CHUNKS.test(names);
  refuse(others, "its PNG has other chunks than IHDR, PLTE, tRNS, IDAT and IEND");
  const fits = view.getUint32(16) === width && view.getUint32(20) === height;
  refuse(view.getUint32(8) !== 13 || !fits, "its size is not the tile's");
  const kind = `${bytes[25]} ${bytes[24]}`;
  const odd = bytes[26] | bytes[27] | bytes[28] || (names.includes("tRNS") && bytes[25] !== 3);
  refuse(!KINDS.includes(kind) || Boolean(odd), "its PNG is of a kind that is not allowed");
}

function checkWebp(bytes: Uint8Array, width: number, height: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  refuse(bytes.length < 25, "neither a PNG nor a WebP file");
  const ours =
    text(bytes, 0, 4) === "RIFF" &&
    text(bytes, 8, 16) === "WEBPVP8L" &&
    bytes[20] === 0x2f;
  refuse(!ours, "neither a PNG nor a lossless WebP file");
  const length = view.getUint32(16, true);
  const whole =
    view.getUint32(4, true) === bytes.length - 8 && length + (length % 2) === bytes.length - 20;
  refuse(!whole, "its WebP has a wrong length, or more than one chunk");
  const bits = view.getUint32(21, true);
  const fits = (bits & 0x3fff) === width - 1 && ((bits >> 14) & 0x3fff) === height - 1;
  refuse(!fits, "its size is not the tile's");
}

async function pixels(bytes: Uint8Array, width: number, height: number, type: string) {
  try {
    const bitmap = await createImageBitmap(new Blob([bytes as BlobPart], { type }), {
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (!context || bitmap.width !== width || bitmap.height !== height) throw new Error();
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, width, height).data;
  } catch {
    throw new BitcodecError("damaged");
  }
}

/** RGBA of an overlay; its alpha is 0 or 255, so that a canvas keeps its colours. */
export async function decodeOverlay(bytes: Uint8Array, width: number, height: number) {
  const png = isPng(bytes);
  (png ? checkPng : checkWebp)(bytes, width, height);
  const rgba = await pixels(bytes, width, height, png ? "image/png" : "image/webp");
  for (let i = 3; i < rgba.length; i += 4) {
    refuse(rgba[i] !== 0 && rgba[i] !== 255, "it has half-transparent pixels");
  }
  return rgba;
}

/** The alpha section as RGBA, of which R counts. */
export async function decodeAlpha(bytes: Uint8Array, width: number, height: number) {
  if (text(bytes, 0, 4) !== "RIFF") {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const ours =
      isPng(bytes) &&
      bytes.length >= 26 &&
      view.getUint32(8) === 13 &&
      text(bytes, 12, 16) === "IHDR" &&
      view.getUint32(16) === width &&
      view.getUint32(20) === height &&
      bytes[24] === 8 &&
      bytes[25] === 0;
    const kinds = "8-bit greyscale PNG, nor WebP";
    refuse(!ours, `the alpha section is no ${width}x${height} ${kinds}`);
    return about("the alpha section is", () => pixels(bytes, width, height, "image/png"));
  }
  const large = width * height > WEBP_ALPHA;
  refuse(large, `an alpha section of more than ${WEBP_ALPHA} pixels must be PNG`);
  const rgba = await about("the alpha section:", () => decodeOverlay(bytes, width, height));
  for (let i = 0; i < rgba.length; i += 4) {
    const grey = rgba[i] === rgba[i + 1] && rgba[i] === rgba[i + 2] && rgba[i + 3] === 255;
    refuse(!grey, "the alpha section is not grey");
  }
  return rgba;
}
