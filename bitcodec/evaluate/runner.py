"""The measuring itself: every picture through every codec at every setting."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from bitcodec.errors import BitcodecError, FileError, one_line
from bitcodec.evaluate.codecs import MeasuredCodec, Pixels, Setting
from bitcodec.evaluate.metrics import Metric, Scorer
from bitcodec.evaluate.rows import Row, RowStore
from bitcodec.files import read_file
from bitcodec.picture.images import open_picture

__all__ = ["Failure", "Job", "Outcome", "load_pixels", "measure", "run"]


@dataclass(frozen=True)
class Job:
    """A picture to measure: its name in the rows, and its file."""

    name: str
    path: Path


@dataclass(frozen=True)
class Failure:
    """What could not be measured: ``codec`` and ``setting`` are "" for a picture not readable."""

    picture: str
    codec: str
    setting: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.codec} {self.setting}: " if self.codec else ""
        return f"{self.picture}: {where}{self.reason}"


@dataclass
class Outcome:
    """What a run gave: rows in the order of pictures, codecs and settings; failures; how many of
    the rows were known from before.
    """

    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    reused: int = 0


def load_pixels(path: Path) -> tuple[Pixels, str]:
    """The RGB pixels of a picture file, and the first 16 hex digits of the file's SHA-256.

    Raises FileError where the file cannot be read, and ImageError where it is no picture.
    """
    data = read_file(path)
    return open_picture(data).rgb, hashlib.sha256(data).hexdigest()[:16]


def measure(
    pixels: Pixels, codec: MeasuredCodec, setting: Setting, score: Scorer, *, name: str, sha: str
) -> Row:
    """Encode and decode once, in this thread, and compare. Raises what the codec raises.

    Args:
        pixels: (H, W, 3) uint8.
        codec, setting: to measure.
        score: of ``pixels``.
        name, sha: of the picture, for the row.
    """
    start = time.perf_counter()
    data = codec.encode(pixels, setting)
    encoded = time.perf_counter()
    back = codec.decode(data)
    decoded = time.perf_counter()
    if back.shape != pixels.shape:
        raise BitcodecError(f"decoded to the shape {back.shape}, not {pixels.shape}")
    height, width = pixels.shape[:2]
    return Row(
        picture=name,
        sha256=sha,
        width=width,
        height=height,
        codec=codec.name,
        identity=codec.identity,
        setting=setting.label,
        bytes=len(data),
        bpp=8 * len(data) / (width * height),
        scores=score(back),
        encode_s=round(encoded - start, 6),
        decode_s=round(decoded - encoded, 6),
        jobs=1,
    )


class _Run:
    """What the threads of one run share."""

    def __init__(
        self,
        codecs: Sequence[MeasuredCodec],
        metrics: Sequence[Metric],
        store: RowStore,
        jobs: int,
        advance: Callable[[int], None],
    ) -> None:
        self.codecs, self.metrics, self.store = codecs, metrics, store
        self.jobs, self.advance = jobs, advance
        self.stop = threading.Event()
        self.count = sum(len(codec.settings) for codec in codecs)

    def picture(self, job: Job) -> Outcome:
        """Everything about one picture."""
        outcome = Outcome()
        try:
            pixels, sha = load_pixels(job.path)
        except (BitcodecError, ValueError) as error:
            self.advance(self.count)
            outcome.failures.append(Failure(job.name, "", "", one_line(error)))
            return outcome
        score = functools.cache(lambda: Scorer(pixels, self.metrics))  # not if all is known
        for codec in self.codecs:
            for setting in codec.settings:
                if self.stop.is_set():
                    return outcome
                self._one(outcome, job.name, sha, pixels, codec, setting, score)
                self.advance(1)
        return outcome

    def _one(
        self,
        outcome: Outcome,
        name: str,
        sha: str,
        pixels: Pixels,
        codec: MeasuredCodec,
        setting: Setting,
        score: Callable[[], Scorer],
    ) -> None:
        known = self.store.get((name, sha, codec.name, codec.identity, setting.label))
        if known is not None and all(metric.name in known.scores for metric in self.metrics):
            outcome.reused += 1
            outcome.rows.append(known)
            return
        try:
            row = measure(pixels, codec, setting, score(), name=name, sha=sha)
        except FileError:
            raise
        except Exception as error:  # a rival's library may raise anything; the others go on
            outcome.failures.append(Failure(name, codec.name, setting.label, one_line(error)))
            return
        before = known.scores if known is not None else {}
        row = replace(row, jobs=self.jobs, scores={**before, **row.scores})
        self.store.add(row)
        outcome.rows.append(row)


def run(
    pictures: Sequence[Job],
    codecs: Sequence[MeasuredCodec],
    store: RowStore,
    *,
    metrics: Sequence[Metric],
    jobs: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Outcome:
    """Measure what ``store`` does not know yet.

    Args:
        pictures: with unique names.
        codecs: with unique names.
        store: gets every row as soon as it is known.
        metrics: to compute; a known row that lacks one is measured again.
        jobs: pictures worked on at a time, in threads. Times are worth comparing only with 1.
        advance: called with the number of measurements done since its last call, from any thread.

    Raises:
        BitcodecError: two codecs have one name.
        FileError: the store cannot be written.
    """
    names = [codec.name for codec in codecs]
    if len(set(names)) < len(names):
        raise BitcodecError(f"two codecs of one name: {', '.join(names)}")
    state = _Run(codecs, metrics, store, jobs, advance)
    if jobs <= 1:
        parts = [state.picture(job) for job in pictures]
    else:
        parts = _run_threads(state, pictures)
    total = Outcome()
    for part in parts:
        total.rows += part.rows
        total.failures += part.failures
        total.reused += part.reused
    return total


def _run_threads(state: _Run, pictures: Sequence[Job]) -> list[Outcome]:
    # Each picture has its thread already: more threads inside would only wait for one another.
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // state.jobs))
    pool = ThreadPoolExecutor(state.jobs)
    try:
        futures: list[Future[Outcome]] = [pool.submit(state.picture, job) for job in pictures]
        waiting = set(futures)
        while waiting:  # with a timeout, so that an interrupt is noticed
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
        return [future.result() for future in futures]
    finally:
        state.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        if torch:
            torch.set_num_threads(before)
