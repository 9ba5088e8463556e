#!/usr/bin/env python
"""Throw mutated files at the decoder: scripts/mutate.py [--count N] [--seconds S] [--seed K].

Reports anything but a BitcodecError, more than 5 s of processor time for a file, and memory that
grows by more than 1 GiB. Each finding is saved. Exits with 1 if there were any.
"""

from __future__ import annotations

import argparse
import collections
import resource
import sys
import time
import traceback
from pathlib import Path

import torch
from hostile import Mutator, exercise, seed_files, tiny_models, write_corpus

MOST_SECONDS = 5.0
MOST_KIB = 2**20


def peak() -> int:
    """Largest resident memory so far, in KiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="files (default 100000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="folder")
    parser.add_argument("--write-corpus", type=Path, metavar="DIR", help="only write the seeds")
    arguments = parser.parse_args()
    if arguments.write_corpus:
        write_corpus(arguments.write_corpus)
        return 0
    torch.set_num_threads(1)
    models = tiny_models()
    mutator = Mutator(list(seed_files(models).values()), arguments.seed)
    kinds: collections.Counter[str] = collections.Counter()
    findings, pictures, slowest, count = 0, 0, 0.0, 0
    start, first = time.monotonic(), peak()
    while count < arguments.count and time.monotonic() - start < arguments.seconds:
        kind, data = mutator.draw()
        before, problem = time.process_time(), None
        try:
            pictures += exercise(data, models)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            problem = "".join(traceback.format_exception(error)[-3:])
        spent = time.process_time() - before
        slowest = max(slowest, spent)
        if spent > MOST_SECONDS:
            problem = f"{spent:.1f} s"
        if peak() - first > MOST_KIB:
            problem, first = f"memory grew by {(peak() - first) >> 10} MiB", peak()
        if problem:
            findings += 1
            arguments.findings.mkdir(exist_ok=True)
            path = arguments.findings / f"{arguments.seed}-{count}.bin"
            path.write_bytes(data)
            print(f"{path} ({kind}): {problem}", file=sys.stderr)
        kinds[kind] += 1
        count += 1
    print(
        f"{count} files in {time.monotonic() - start:.0f} s: {findings} findings; {pictures} gave "
        f"a picture; slowest {slowest:.2f} s; memory grew by {(peak() - first) >> 10} MiB"
    )
    print(", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items())))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
