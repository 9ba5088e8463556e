#!/usr/bin/env python
"""Time per megapixel and peak memory on a large picture, beside one of a megapixel.

    scripts/large.py [--model NAME] [--edge 10000] [--small 1000] [--quality Q] [--threads N]
                     [--keep DIR]

A synthetic picture (gradients, edges, grain) of each size is made, then encoded and decoded through
the command, each in a process of its own. The seconds are those of the work that the command
reports (model loading is not in them). A crop of 512x512 across tile corners and a preview at 1/8
are timed too. With --keep the files stay. Limits of issue 5: peak under 4 GiB, time a megapixel
within 20 %, crop under 2 s, preview 5 times as fast as the full decode. Exits with 1 over 4 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def draw(path: Path, edge: int) -> None:
    """A picture with something of everything, the same per megapixel at every size."""
    cell = 1000
    y, x = np.mgrid[0:cell, 0:cell].astype(np.float32) / cell
    rng = np.random.default_rng(0)
    base = np.stack((x, y, (x + y) / 2), -1) * 160 + 40
    base += 40 * np.sin(60 * x * (1 + y))[..., None]
    for _ in range(40):
        a, b = rng.integers(0, cell - 100, 2)
        h, w = rng.integers(5, 100, 2)
        base[a : a + h, b : b + w] += rng.uniform(-60, 60, 3)
    base += rng.normal(0, 6, (cell, cell, 1))
    tile = base.clip(0, 255).astype(np.uint8)
    times = -(-edge // cell)
    Image.fromarray(np.tile(tile, (times, times, 1))[:edge, :edge]).save(path, compress_level=1)


def command(options: argparse.Namespace, *args: str | Path) -> dict[str, Any]:
    """Run the command; its record, with wall time and peak memory in MiB."""
    line = [
        sys.executable,
        "-m",
        "bitcodec",
        *map(str, args),
        "--json",
        "--quiet",
        "--device",
        "cpu",
    ]
    environment = {**os.environ, "BITCODEC_THREADS": str(options.threads)}
    start = time.perf_counter()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(line)}: exit code {process.returncode}")
    wall = time.perf_counter() - start
    return {**json.loads(output), "wall": wall, "peak_mib": usage.ru_maxrss / 1024}


def report(name: str, record: dict[str, Any], pixels: int) -> float:
    """Print a row; returns seconds a megapixel."""
    rate = record["seconds"] / pixels * 1e6
    print(
        f"{name:<22} {record['seconds']:9.2f} s {rate:8.3f} s/MP {record['wall']:9.2f} s in all "
        f"{record['peak_mib']:8.0f} MiB",
        flush=True,
    )
    return rate


def run(options: argparse.Namespace, folder: Path) -> int:
    rates: dict[str, dict[int, float]] = {"encode": {}, "decode": {}}
    peaks = []
    quality = [] if options.quality is None else ["-q", str(options.quality)]
    for edge in (options.small, options.edge):
        source, coded, back = (folder / f"{edge}.{suffix}" for suffix in ("png", "bin", "bmp"))
        draw(source, edge)
        done = command(options, "encode", "-f", "-m", options.model, *quality, source, coded)
        rates["encode"][edge] = report(f"encode {edge}x{edge}", done, edge * edge)
        peaks.append(done["peak_mib"])
        done = command(options, "decode", "-f", "-m", options.model, coded, back)
        rates["decode"][edge] = report(f"decode {edge}x{edge}", done, edge * edge)
        full = done["seconds"]
        peaks.append(done["peak_mib"])
    where = f"{options.edge // 2 - 100},{options.edge // 2 - 100},512,512"
    small = folder / "part.png"
    if options.edge >= 1000:
        done = command(options, "decode", "-f", "-m", options.model, "--crop", where, coded, small)
        report("crop 512x512", done, 512 * 512)
    done = command(options, "decode", "-f", "-m", options.model, "--scale", "1/8", coded, small)
    report("preview 1/8", done, options.edge**2)
    print(f"the preview is {full / done['seconds']:.1f} times as fast as the full decode")
    for name, by_edge in rates.items():
        ratio = by_edge[options.edge] / by_edge[options.small]
        print(f"{name}: {100 * (ratio - 1):+.0f} % time a megapixel against {options.small}^2")
    print(f"peak memory {max(peaks):.0f} MiB (limit 4096)")
    return 0 if max(peaks) < 4096 else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ladder")
    parser.add_argument("--edge", type=int, default=10_000)
    parser.add_argument("--small", type=int, default=1000)
    parser.add_argument("--quality", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, help="folder for the files; default: none stay")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return run(options, options.keep)
    with tempfile.TemporaryDirectory() as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
