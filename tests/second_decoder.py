"""A second decoder, written from FORMAT.md alone: NumPy and the standard library, no bitcodec.

It parses a file and decodes its payloads to latents. Turning those into pixels is the networks'
business and no part of the format. It is slow (the range decoder is Python, a decision at a time)
and there to prove that the page is enough to write a decoder from::

    python tests/second_decoder.py FILE.bin WEIGHTS.safetensors
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


class Refused(Exception):
    """The file is not one that FORMAT.md allows."""


def refuse_if(condition: bool, why: str) -> None:
    if condition:
        raise Refused(why)


# --- the container ---------------------------------------------------------------------------


@dataclass
class File:
    """What a file says; payloads and sections as they are stored, ICC and EXIF inflated."""

    model_id: str
    width: int
    height: int
    rate: int
    coder: int
    tile: int  # pixels
    grey: bool
    mapped: bool
    payloads: list[bytes] = field(default_factory=list)
    overlays: list[bytes] = field(default_factory=list)
    sections: dict[str, bytes] = field(default_factory=dict)

    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each tile in pixels."""
        across = [min(self.tile, self.width - x) for x in range(0, self.width, self.tile)]
        down = [min(self.tile, self.height - y) for y in range(0, self.height, self.tile)]
        return [(h, w) for h in down for w in across]

    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of latents of each tile."""
        return [((h + 15) // 16, (w + 15) // 16) for h, w in self.sizes()]

    def is_bare(self, index: int) -> bool:
        """Whether a tile has an overlay, and no payload."""
        return bool(self.overlays) and bool(self.overlays[index]) and not self.payloads[index]


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        refuse_if(self.at + count > len(self.data), "truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int(struct.unpack("<I", self.take(4))[0])

    def varint(self, low: int, high: int) -> int:
        value = 0
        for index in range(5):
            byte = self.u8()
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                refuse_if(byte == 0 and index > 0, "a varint that is not the shortest")
                refuse_if(not low <= value <= high, "a field out of its range")
                return value
        raise Refused("a varint of more than five bytes")

    def checksum(self) -> None:
        expected = zlib.crc32(self.data[: self.at])
        refuse_if(self.u32() != expected, "a checksum")


def parse(data: bytes) -> File:
    r = Reader(data)
    refuse_if(r.take(4) != b"\x89BTC", "magic")
    refuse_if(r.u8() != 1, "version")
    flags = r.u8()
    refuse_if(flags > 63, "flags")
    model_id = r.take(8).hex()
    width, height = r.varint(1, 2**31 - 1), r.varint(1, 2**31 - 1)
    rate, coder, tile = r.varint(1, 65535), r.u8(), 16 * r.varint(1, 4096)
    refuse_if(coder > 1, "coder")
    grey, mapped = bool(flags & 8), bool(flags & 32)
    refuse_if(mapped and coder == 0, "a map of steps in packed payloads")
    file = File(model_id, width, height, rate, coder, tile, grey, mapped)
    names = [name for bit, name in enumerate(("alpha", "icc", "exif")) if flags >> bit & 1]
    count = -(-width // tile) * -(-height // tile)
    entries = (2 * count if flags & 16 else count) + len(names)
    refuse_if(count > 2**20 or 5 * entries > len(data) - r.at, "too many tiles")
    table = [(r.varint(0, 2**31 - 1), r.u32()) for _ in range(entries)]
    r.checksum()
    parts = []
    for length, crc in table:
        parts.append(r.take(length))
        refuse_if(zlib.crc32(parts[-1]) != crc, "the checksum of a part")
    r.checksum()
    refuse_if(r.at != len(data), "bytes after the end")
    file.payloads, file.overlays = parts[:count], parts[count : entries - len(names)]
    for name, part in zip(names, parts[entries - len(names) :], strict=True):
        file.sections[name] = part if name == "alpha" else zlib.decompress(part)
    for overlay, size in zip(file.overlays, file.sizes(), strict=False):
        refuse_if(bool(overlay) and overlay_size(overlay) != size, "an overlay of another size")
    return file


def overlay_size(data: bytes) -> tuple[int, int]:
    """Height and width of an overlay; its pixels are a matter for libraries of PNG and WebP."""
    if data[:4] == b"RIFF":
        refuse_if(data[8:16] != b"WEBPVP8L" or data[20] != 0x2F, "not a lossless WebP file")
        (bits,) = struct.unpack("<I", data[21:25])
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    refuse_if(data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR", "not a PNG file")
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", data[16:29])
    kinds = {0: {8}, 2: {8}, 3: {1, 2, 4, 8}, 6: {8}}
    refuse_if(depth not in kinds.get(kind, set()) or any(rest), "a kind of PNG")
    return height, width


# --- packed payloads -------------------------------------------------------------------------


def unpack(payload: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Latent bits as -1 and +1, (C, h, w)."""
    count = shape[0] * shape[1] * shape[2]
    refuse_if(len(payload) != (count + 7) // 8, "the length of a payload")
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))
    refuse_if(bool(bits[count:].any()), "the fill of a payload")
    return 2 * bits[:count].reshape(shape).astype(np.int64) - 1


# --- ranged payloads -------------------------------------------------------------------------

SIZES = (1, 2, 2, 3, 4, 4, 6, 10, 8, 16, 20, 28, 32, 56, 56, 136, 112, 272)
PASSES = (5, 5, 2, 2, 2, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
ONES = 2**64 - 1
Tensors = dict[str, np.ndarray]


def read_weights(path: Path) -> tuple[str, str, Tensors]:
    """Family, model id, and the tensors of the context model."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    kinds = {"I8": "<i1", "U8": "<u1", "I32": "<i4", "F32": "<f4"}
    tensors = {}
    for name, entry in header.items():
        if name.startswith("context."):
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            flat = np.frombuffer(data[start:end], kinds[entry["dtype"]])
            kind = np.float32 if entry["dtype"] == "F32" else np.int64
            tensors[name.removeprefix("context.")] = flat.reshape(entry["shape"]).astype(kind)
    return metadata["bitcodec.family"], metadata["bitcodec.id"], tensors


class RangeDecoder:
    def __init__(self, payload: bytes) -> None:
        refuse_if(len(payload) % 4 != 0, "not whole words")
        self.words = struct.unpack(f"<{len(payload) // 4}I", payload)
        self.at, self.lower, self.range = 0, 0, ONES
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else 0

    def decide(self, p: int) -> int:
        z = 65536 - p
        split = 256 * z - (z > 32768)
        scale = self.range >> 24
        x = (self.point - self.lower & ONES) // scale
        refuse_if(x >= 1 << 24, "no such payload")
        if x >= split:
            self.lower = self.lower + scale * split & ONES
            self.range = scale * ((1 << 24) - split)
        else:
            self.range = scale * split
        if self.range < 1 << 32:
            self.lower = self.lower << 32 & ONES
            self.range <<= 32
            self.point = self.point << 32 & ONES | self.word()
        return int(x >= split)

    def finish(self) -> None:
        near = self.range == ONES or self.point - self.lower & ONES < 2**33 - 1
        refuse_if(self.at < len(self.words) or not near, "data left over")


def r(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The nearest whole numbers to x (C, h, w) times float32 scales (C), in float32."""
    return np.rint(x.astype(np.float32) * scale[:, None, None]).astype(np.int64)


def convolve(a: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(D, h, w) and (C, D, e, e) to (C, h, w); depthwise where the second index is only 0."""
    edge, (h, w) = weight.shape[2], a.shape[1:]
    padded = np.pad(a, ((0, 0), (edge // 2, edge // 2), (edge // 2, edge // 2)))
    out = np.zeros((weight.shape[0], h, w), np.int64)
    for y in range(edge):
        for x in range(edge):
            seen, kernel = padded[:, y : y + h, x : x + w], weight[:, :, y, x]
            if kernel.shape[1] == a.shape[0]:
                out += np.einsum("cd,dhw->chw", kernel, seen)
            else:
                out += kernel[:, :1, None] * seen
    return out


def head(t: Tensors, g: int, s: np.ndarray) -> np.ndarray:
    """State (S, h, w) to codes (2 n, h, w)."""

    def part(name: str, a: np.ndarray) -> np.ndarray:
        own = {key: t[f"heads.{g}.{name}.{key}"] for key in ("weight", "bias", "scale")}
        return r(convolve(a, own["weight"]) + own["bias"][:, None, None], own["scale"])

    a = np.clip(np.rint(s.astype(np.float32) / 16), 0, 255).astype(np.int64)
    u = np.clip(part("dw", a), -63, 63)
    a = np.clip(part("a", u), 0, 127)
    return part("o", a + np.clip(part("b", a), 0, 127))


def decode_pass(
    t: Tensors, source: RangeDecoder, trusted: bool, centre: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Latents of one pass, from the flat arrays of their codes, of centres clipped."""
    c = t["centre"][np.clip(centre, -1792, 1792) + 1792]
    s = np.clip(scale, 0, 63)
    nearest = (c + 4) // 8
    row = t["probability"][64 * (c - 8 * nearest + 4) + s].tolist()
    asked = [i for i in range(len(c)) if not trusted or nearest[i] or row[i][0]]
    open_ = [i for i in asked if source.decide(max(1, row[i][0]))]
    above = {i: source.decide(row[i][1]) for i in open_}
    size = dict.fromkeys(open_, 1)
    for step in range(1, 16):
        columns = (1 + step, 16 + step)
        open_ = [i for i in open_ if source.decide(row[i][columns[above[i]]])]
        size.update(dict.fromkeys(open_, step + 1))
    for i, v in decode_tail(source, {i: int(t["orders"][s[i]]) for i in open_}).items():
        size[i] = v + 16
    q = nearest.copy()
    for i, d in size.items():
        q[i] += d if above[i] else -d
    refuse_if(bool((np.abs(q) > 32767).any()), "a latent out of its range")
    return q


def decode_tail(source: RangeDecoder, order: dict[int, int]) -> dict[int, int]:
    """v - 2**z for each latent that is still open."""
    length, open_ = dict(order), list(order)
    while open_:
        open_ = [i for i in open_ if source.decide(32768)]
        for i in open_:
            length[i] += 1
            refuse_if(length[i] - order[i] > 18, "a latent out of its range")
    value = {i: 1 << length[i] for i in order}
    for b in range(max(length.values(), default=0) - 1, -1, -1):
        for i in order:
            if length[i] > b:
                value[i] |= source.decide(32768) << b
    return {i: value[i] - (1 << order[i]) for i in order}


def positions(passes: int, h: int, w: int) -> list[np.ndarray]:
    """Flat indices of the positions of each pass, row by row."""
    i, j = np.indices((h, w))
    of_five = np.array([[0, 4, 2, 4], [4, 3, 4, 3], [2, 4, 1, 4], [4, 3, 4, 3]])
    number = {1: 0 * i, 2: (i + j) % 2, 5: of_five[i % 4, j % 4]}[passes]
    return [np.flatnonzero(number == p) for p in range(passes)]


def decode_map(source: RangeDecoder, rows: int, columns: int) -> np.ndarray:
    """The offsets m of a map's blocks."""
    seen: dict[tuple[bool, int], list[int]] = {}

    def decide(number: int) -> int:
        counts = seen.setdefault((differ, number), [0, 0])
        bit = source.decide(65536 * (2 * counts[1] + 1) // (2 * sum(counts) + 2))
        counts[bit] += 1
        return bit

    m = np.zeros((rows, columns), int)
    for i in range(rows):
        for j in range(columns):
            a = m[i, j - 1] if j else m[i - 1, j] if i else 0
            b = m[i - 1, j] if i else a
            differ, m[i, j] = bool(a != b), (a + b) // 2
            if decide(0):
                sign, size = 2 * decide(1) - 1, 1
                while size <= 16 and decide(1 + size):
                    size += 1
                m[i, j] += sign * size
                refuse_if(abs(m[i, j]) > 8, "a step of a map out of its range")
    return m


def decode_ranged(
    payload: bytes, h: int, w: int, rate: int, t: Tensors, mapped: bool = False
) -> np.ndarray:
    """Latents q (768, h, w); where mapped (769, h, w), the offsets m of positions last."""
    refuse_if(not 1024 <= rate <= 9216, "the step code")
    source = RangeDecoder(payload)
    m = np.zeros((1, 1), int)
    if mapped:
        m = decode_map(source, (h + 3) // 4, (w + 3) // 4)
    m = m[np.arange(h)[:, None] // 4 * mapped, np.arange(w) // 4 * mapped]
    trusted = not t["probability"][:, 0].all() and source.decide(32768) == 1
    code = np.clip(rate + 128 * m, 1024, 9216)
    state = t["base"][:, None, None] + (t["slope"][:, None, None] * code + 32768) // 65536
    groups = []
    for g, (size, passes) in enumerate(zip(SIZES, PASSES, strict=True)):
        q, e = np.zeros((2, size, h * w), np.int64)
        scale, most, shift = t[f"emb.{g}.scale"], t["most"][g], t["shift"][g]

        def embedded() -> np.ndarray:
            clipped = np.clip(e, -most, most).reshape(size, h, w)  # noqa: B023
            return r(convolve(clipped, t[f"emb.{g}.weight"]), scale)  # noqa: B023

        for p, where in enumerate(positions(passes, h, w)):
            if len(where):
                seen = state + t[f"pos{g}"][p][:, None, None] + (embedded() if p else 0)
                codes = head(t, g, seen).reshape(2, size, h * w)[:, :, where]
                limit = 127 if shift else 1792
                codes[0] = np.clip(codes[0], -limit, limit) << shift
                by_position = codes.transpose(0, 2, 1).reshape(2, -1)
                decoded = decode_pass(t, source, trusted, *by_position)
                q[:, where] = decoded.reshape(-1, size).T
                e[:, where] = (
                    np.sign(q)[:, where] * t["compand"][np.minimum(abs(q), 2047)][:, where]
                )
        state = state + embedded()
        groups.append(q)
    source.finish()
    q = np.concatenate(groups).reshape(768, h, w)
    return np.concatenate((q, m[None])) if mapped else q


def latents(file: File, weights: Path | None = None) -> list[np.ndarray]:
    """The latents of every tile that has any: of ``sign`` its bits, of ``ladder`` its levels q."""
    tensors: Tensors = {}
    if file.coder == 1:
        refuse_if(weights is None, "a ranged payload cannot be decoded without its weights")
        _, model_id, tensors = read_weights(Path(weights or ""))
        refuse_if(model_id != file.model_id, "made with other weights")
    out = []
    for index, (payload, shape) in enumerate(zip(file.payloads, file.shapes(), strict=True)):
        if file.is_bare(index):
            continue
        if file.coder:
            out.append(decode_ranged(payload, *shape, file.rate, tensors, file.mapped))
        else:
            out.append(unpack(payload, (file.rate, *shape)))
    return out


if __name__ == "__main__":
    parsed = parse(Path(sys.argv[1]).read_bytes())
    for index, tile in enumerate(latents(parsed, Path(sys.argv[2]) if sys.argv[2:] else None)):
        print(f"tile {index}: {tile.shape}, sum {tile.sum()}, largest {abs(tile).max()}")
