#!/usr/bin/env python
"""Speed and memory of encoding and decoding, beside other codecs, each in a process of its own.

    scripts/bench.py PICTURE... [--codec NAME]... [--model NAME]... [--quality Q] [--repeat N]
                     [--threads N] [--json FILE]

Cold is the first call in a fresh process, without the time of importing libraries and loading
weights, which is a column of its own; warm is the best of N more. MP/s is of all pictures. Peak is
the largest resident memory of the process, libraries included. Codecs that cannot be imported
here are named and left out. CompressAI's network has random weights: it takes the same time.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

Encode = Callable[[Any], Any]
CODECS = ("bitcodec", "avif", "webp", "jxl", "compressai")
FIELDS = ("load", "encode_cold", "encode", "decode_cold", "decode", "bpp", "peak_mib")


def bitcodec_codec(options: argparse.Namespace) -> tuple[Encode, Encode]:
    import bitcodec

    model = bitcodec.load_model(options.model[0], device="cpu")
    chosen = {"model": model, "quality": options.quality}
    return lambda image: bitcodec.encode(image, **chosen), lambda d: bitcodec.decode(d, model=model)


def pillow_codec(name: str, **settings: Any) -> tuple[Encode, Encode]:
    from PIL import Image

    if name == "JXL":
        import pillow_jxl  # noqa: F401
    Image.init()
    if name not in Image.SAVE:
        raise ImportError(f"this Pillow does not write {name}")

    def encode(image: Any) -> bytes:
        out = io.BytesIO()
        image.save(out, name, **settings)
        return out.getvalue()

    def decode(data: bytes) -> Any:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return image.convert("RGB")

    return encode, decode


class _Anything:
    """A base class, a decorator, whatever a module is asked for at import."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, given: Any) -> Any:
        return given


class _Stub(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything


def compressai_codec(quality: int) -> tuple[Encode, Encode]:
    # Imported by CompressAI for point clouds and data sets; heavy, and fussy about versions.
    for name in ("torchvision", "torchvision.transforms", "torch_geometric"):
        sys.modules.setdefault(name, _Stub(name))
    for name in ("transforms", "data", "data.datapipes"):
        sys.modules.setdefault(f"torch_geometric.{name}", _Stub(name))
    import numpy as np
    import torch
    from compressai.zoo import bmshj2018_hyperprior
    from torch.nn import functional as F

    torch.manual_seed(0)
    model = bmshj2018_hyperprior(quality, "mse", pretrained=False).eval()
    model.update()

    def encode(image: Any) -> dict[str, Any]:
        with torch.inference_mode():
            x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
            h, w = x.shape[2:]
            out = model.compress(F.pad(x, (0, -w % 64, 0, -h % 64)))
        return {**out, "size": (h, w)}

    def decode(data: dict[str, Any]) -> Any:
        with torch.inference_mode():
            x = model.decompress(data["strings"], data["shape"])["x_hat"]
            h, w = data["size"]
            return (x[0, :, :h, :w] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()

    return encode, decode


def codec_of(options: argparse.Namespace) -> tuple[Encode, Encode]:
    name = options.codec[0]
    if name == "bitcodec":
        return bitcodec_codec(options)
    if name == "avif":
        return pillow_codec("AVIF", quality=60, speed=6, max_threads=options.threads)
    if name == "webp":
        return pillow_codec("WEBP", quality=75)
    if name == "jxl":
        return pillow_codec("JXL", quality=75, num_threads=options.threads)
    return compressai_codec(4)


def size_of(data: Any) -> int:
    return len(data) if isinstance(data, bytes) else sum(len(s[0]) for s in data["strings"])


def timed(work: Encode, items: list[Any]) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    out = [work(item) for item in items]
    return time.perf_counter() - start, out


def measure(options: argparse.Namespace) -> dict[str, float]:
    """All figures of one codec; run in a process that does nothing else."""
    start = time.perf_counter()
    if options.codec[0] == "compressai":
        import torch

        torch.set_num_threads(options.threads)
    encode, decode = codec_of(options)
    load = time.perf_counter() - start
    from PIL import Image

    images = [Image.open(path).convert("RGB") for path in options.pictures]
    pixels = sum(image.width * image.height for image in images)
    encode_cold, files = timed(encode, images)
    decode_cold, _ = timed(decode, files)
    encodes = [timed(encode, images)[0] for _ in range(options.repeat)]
    decodes = [timed(decode, files)[0] for _ in range(options.repeat)]
    return {
        "load": load,
        "encode_cold": pixels / 1e6 / encode_cold,
        "encode": pixels / 1e6 / min(encodes),
        "decode_cold": pixels / 1e6 / decode_cold,
        "decode": pixels / 1e6 / min(decodes),
        "bpp": 8 * sum(map(size_of, files)) / pixels,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_process(options: argparse.Namespace, codec: str, model: str) -> dict[str, float] | str:
    """The figures of one codec, or why there are none."""
    line = [sys.executable, __file__, "--child", "--codec", codec, "--model", model]
    line += ["--repeat", str(options.repeat), "--threads", str(options.threads)]
    line += [] if options.quality is None else ["--quality", str(options.quality)]
    done = subprocess.run(
        [*line, *options.pictures],
        env={**os.environ, "BITCODEC_THREADS": str(options.threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="+", metavar="PICTURE")
    parser.add_argument("--codec", action="append", choices=CODECS, help="default: all")
    parser.add_argument("--model", action="append", help="of bitcodec; default: sign and ladder")
    parser.add_argument("--quality", type=int, help="of bitcodec; default: the model's")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.child:
        print(json.dumps(measure(options)))
        return 0
    rows: dict[str, dict[str, float]] = {}
    for codec in options.codec or CODECS:
        for model in (options.model or ["sign", "ladder"]) if codec == "bitcodec" else [""]:
            name = f"{codec} {Path(model).stem}".strip()
            result = in_process(options, codec, model)
            if isinstance(result, str):
                print(f"{name}: left out: {result}", file=sys.stderr)
            else:
                rows[name] = result
    heads = ("load s", "enc cold", "enc MP/s", "dec cold", "dec MP/s", "bpp", "peak MiB")
    print(f"| codec ({options.threads} threads) | " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * len(heads))
    for name, row in rows.items():
        cells = [
            f"{row[field]:.0f}" if row[field] >= 100 else f"{row[field]:.2f}" for field in FIELDS
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
