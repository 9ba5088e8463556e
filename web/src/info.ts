/** What `bitcodec info` tells of a file. */

import { hasPayload, reduced, whole, type Container } from "./format";

export type Info = Record<string, string | number | boolean | null>;

export function infoOf(file: Container, model: Record<string, string> | null): Info {
  const sum = (parts: Uint8Array[]) => parts.reduce((total, part) => total + part.length, 0);
  const covered = file.overlays.filter((overlay) => overlay.length > 0).length;
  const bare = file.tiles.filter((_, index) => !hasPayload(file, index)).length;
  const { alpha, icc, exif } = file.sections;
  const positions = reduced(whole(file));
  const pixels = file.width * file.height;
  return {
    version: 1,
    model: model?.name ?? null,
    family: model?.family ?? null,
    model_id: file.modelId,
    width: file.width,
    height: file.height,
    rate: file.rate,
    coder: file.coder ? "ranged" : "packed",
    tile: file.tile,
    tiles: file.tiles.length,
    lossless_tiles: bare,
    mixed_tiles: covered - bare,
    grey: file.grey,
    step_map: file.mapped,
    header_size: file.headerSize,
    payload_size: sum(file.tiles),
    overlay_size: sum(file.overlays),
    alpha_size: alpha?.length ?? null,
    icc_size: icc?.length ?? null,
    exif_size: exif?.length ?? null,
    file_size: file.fileSize,
    bpp: (8 * file.fileSize) / pixels,
    ratio_raw: (3 * pixels) / file.fileSize,
    numel_ratio: file.coder === 0 ? (file.rate * positions.x1 * positions.y1) / (3 * pixels) : null,
  };
}
