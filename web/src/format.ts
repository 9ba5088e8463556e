/** The container of FORMAT.md: header, tiles, table, parts. Nothing is guessed. */

import { BitcodecError, refuse } from "./errors";

export const STRIDE = 16;
const MOST = 2 ** 31 - 1;
const MOST_TILES = 2 ** 20;
const MOST_TILE_PIXELS = 2 ** 22;
const LEAST_TILE_COST = 2 ** 12;
const SECTIONS = ["alpha", "icc", "exif"] as const; // of flags 1, 2 and 4
/** The command's limit, too. */
export const MOST_PIXELS = 178_956_970;

/** A rectangle of pixels or latents; right and bottom are exclusive. */
export interface Box {
  x0: number;
  y0: number;
  x1: number;
  y1: number;
}

/** A file whose checksums are right. */
export interface Container {
  modelId: string;
  width: number;
  height: number;
  rate: number;
  coder: number;
  /** Edge in pixels. */
  tile: number;
  grey: boolean;
  mapped: boolean;
  tiles: Uint8Array[];
  /** One for each tile, or none at all. */
  overlays: Uint8Array[];
  sections: Partial<Record<(typeof SECTIONS)[number], Uint8Array>>;
  headerSize: number;
  fileSize: number;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}

class Cursor {
  at = 0;
  constructor(readonly data: Uint8Array) {}

  take(count: number): Uint8Array {
    refuse(this.at + count > this.data.length, "the file ends inside its header");
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  u8(): number {
    return this.take(1)[0];
  }

  u32(): number {
    const b = this.take(4);
    return (b[0] | (b[1] << 8) | (b[2] << 16) | (b[3] << 24)) >>> 0;
  }

  varint(): number {
    let value = 0;
    for (let index = 0; index < 5; index++) {
      const byte = this.u8();
      value += (byte & 127) * 2 ** (7 * index);
      if (byte < 128) {
        refuse(index > 0 && byte === 0, "a number in the header is not in its shortest form");
        return value;
      }
    }
    throw new BitcodecError("a number in the header is too long");
  }
}

function inRange(name: string, value: number, low: number, high: number, unit = 1): void {
  const multiple = unit > 1 ? ` and a multiple of ${unit}` : "";
  const wrong = value < low * unit || value > high * unit;
  refuse(wrong, `${name} ${value} is not in ${low * unit}..${high * unit}${multiple}`);
}

/** Reads a whole file, strictly; BitcodecError where FORMAT.md does not allow it. */
export function parse(data: Uint8Array): Container {
  const c = new Cursor(data);
  const magic = [0x89, 0x42, 0x54, 0x43].slice(0, data.length);
  refuse(magic.some((byte, i) => data[i] !== byte), "not a bitcodec file");
  c.take(4);
  const version = c.u8();
  refuse(version !== 1, `format version ${version} (this program reads 1)`);
  const flags = c.u8();
  refuse(flags > 63, `unknown flags 0x${(flags & 0xc0).toString(16)}`);
  const modelId = hex(c.take(8));
  const [width, height, rate] = [c.varint(), c.varint(), c.varint()];
  const coder = c.u8();
  const tile = STRIDE * c.varint();
  refuse(coder > 1, `unknown payload coder ${coder}`);
  inRange("width", width, 1, MOST);
  inRange("height", height, 1, MOST);
  inRange("rate", rate, 1, 65535);
  inRange("tile", tile, 1, 4096, STRIDE);
  const mapped = (flags & 32) > 0;
  refuse(mapped && coder === 0, "packed payloads have no step maps");
  const pixels = width * height;
  refuse(pixels > MOST_PIXELS, `${width}x${height} pixels are more than ${MOST_PIXELS}`);
  const count = Math.ceil(width / tile) * Math.ceil(height / tile);
  refuse(count > MOST_TILES, `${count} tiles are more than ${MOST_TILES}`);
  const layers = flags & 16 ? 2 : 1;
  const sections = SECTIONS.filter((_, bit) => (flags >> bit) & 1);
  const names = [
    ...["tile", "overlay"].slice(0, layers).flatMap((kind) => numbered(kind, count)),
    ...sections,
  ];
  const short = 5 * names.length > data.length - c.at;
  refuse(short, `the file ends inside its table of ${names.length} parts`);
  const table = names.map((name) => {
    const length = c.varint();
    refuse(length > MOST, `a part of ${length} bytes is longer than ${MOST}`);
    return { name, length, checksum: c.u32() };
  });
  const header = crc32(data.subarray(0, c.at));
  refuse(c.u32() !== header, "the header is damaged: its checksum does not match");
  const headerSize = c.at;
  const fileSize = table.reduce((sum, { length }) => sum + length, headerSize + 4);
  refuse(data.length < fileSize, `the file has ${data.length} bytes of ${fileSize}`);
  refuse(data.length > fileSize, `${data.length - fileSize} bytes after the end of the file`);
  const parts = table.map(({ name, length, checksum }) => {
    const part = c.take(length);
    refuse(crc32(part) !== checksum, `${name} is damaged: its checksum does not match`);
    return part;
  });
  const sum = crc32(data.subarray(0, c.at));
  refuse(c.u32() !== sum, "the file is damaged: its checksum does not match");
  const last = parts.slice(layers * count);
  return {
    modelId, width, height, rate, coder, tile, mapped, headerSize, fileSize,
    grey: (flags & 8) > 0,
    tiles: parts.slice(0, count),
    overlays: parts.slice(count, layers * count),
    sections: Object.fromEntries(sections.map((name, i) => [name, last[i]])),
  };
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function numbered(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${kind} ${index}`);
}

/** Refuses what would take too much memory or too long, and payloads of impossible lengths. */
export function checkWork(file: Container): void {
  const { width, height, tile, tiles, coder, overlays, rate } = file;
  const largest = Math.min(tile, width) * Math.min(tile, height);
  const larger = `${largest} pixels are larger than ${MOST_TILE_PIXELS}`;
  if (coder === 1) {
    refuse(largest > MOST_TILE_PIXELS, `ranged tiles of ${larger}`);
    const cost = tiles.length * LEAST_TILE_COST;
    const slow = `${tiles.length} small tiles take as long as ${cost} pixels`;
    refuse(tiles.length > 1 && cost > MOST_PIXELS, `${slow}, which are more than ${MOST_PIXELS}`);
  }
  refuse(overlays.length > 0 && largest > MOST_TILE_PIXELS, `overlays of ${larger}`);
  for (const [index, { length }] of tiles.entries()) {
    const box = reduced(tileBox(file, index));
    const bits = rate * (box.x1 - box.x0) * (box.y1 - box.y0);
    const wrong = coder === 1 ? length % 4 > 0 : length !== Math.ceil(bits / 8);
    const impossible = hasPayload(file, index) && wrong;
    refuse(impossible, `tile ${index}: ${length} bytes cannot be its payload`);
  }
}

/** A tile's pixels. */
export function tileBox(file: Container, index: number): Box {
  const columns = Math.ceil(file.width / file.tile);
  const x0 = (index % columns) * file.tile;
  const y0 = Math.floor(index / columns) * file.tile;
  return clipped({ x0, y0, x1: x0 + file.tile, y1: y0 + file.tile }, whole(file));
}

export function whole(file: Container): Box {
  return { x0: 0, y0: 0, x1: file.width, y1: file.height };
}

/** Numbers of the tiles that share pixels with a box inside the picture, in order. */
export function touching(file: Container, box: Box): number[] {
  const columns = Math.ceil(file.width / file.tile);
  const b = reduced(box, file.tile);
  const out: number[] = [];
  for (let y = b.y0; y < b.y1; y++) for (let x = b.x0; x < b.x1; x++) out.push(y * columns + x);
  return out;
}

/** The positions of a grid that many times coarser which the box touches. */
export function reduced(box: Box, factor = STRIDE): Box {
  return {
    x0: Math.floor(box.x0 / factor),
    y0: Math.floor(box.y0 / factor),
    x1: Math.ceil(box.x1 / factor),
    y1: Math.ceil(box.y1 / factor),
  };
}

export function enlarged(box: Box, factor = STRIDE): Box {
  return { x0: box.x0 * factor, y0: box.y0 * factor, x1: box.x1 * factor, y1: box.y1 * factor };
}

export function clipped(box: Box, outer: Box): Box {
  return {
    x0: Math.max(box.x0, outer.x0),
    y0: Math.max(box.y0, outer.y0),
    x1: Math.min(box.x1, outer.x1),
    y1: Math.min(box.y1, outer.y1),
  };
}

/** As seen from the corner of another. */
export function moved(box: Box, { x0, y0 }: Box): Box {
  return { x0: box.x0 - x0, y0: box.y0 - y0, x1: box.x1 - x0, y1: box.y1 - y0 };
}

export function grown(box: Box, by: number): Box {
  return { x0: box.x0 - by, y0: box.y0 - by, x1: box.x1 + by, y1: box.y1 + by };
}

/** Whether a tile has latents: an overlay that covers it may do without. */
export function hasPayload(file: Container, index: number): boolean {
  return file.tiles[index].length > 0 || !(file.overlays[index]?.length > 0);
}
