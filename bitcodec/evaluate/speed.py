"""How fast codecs are: in a process that has them loaded, and as a whole command.

Each codec is timed in a process of its own, pinned to one core, and then with all of them. A whole
command is a fresh Python process: `bitcodec encode` or `decode`, or a few lines around Pillow, from
a PNG file to a coded file and back; so it has the start of Python and of what is imported in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bitcodec.errors import BitcodecError
from bitcodec.evaluate.codecs import MeasuredCodec, Pixels, Setting
from bitcodec.evaluate.summary import Curve

__all__ = ["TARGET_BPP", "Speed", "measure_speed", "nearest_setting"]

TARGET_BPP = 0.5  #: codecs are timed at the setting whose mean rate is nearest to it

_REPEAT = 3


@dataclass(frozen=True)
class Speed:
    """A codec's speed at one setting.

    Attributes:
        codec, setting: as in rows.
        cores: that it may use.
        encode, decode: megapixels a second in a loaded process, the best of three rounds.
        encode_command, decode_command: seconds of a whole command for the first picture, the best
            of three; None for a codec without one.
    """

    codec: str
    setting: str
    cores: int
    encode: float
    decode: float
    encode_command: float | None
    decode_command: float | None


def measure_speed(
    codec: MeasuredCodec,
    setting: Setting,
    pictures: Sequence[Pixels],
    *,
    advance: Callable[[], None] = lambda: None,
) -> list[Speed]:
    """Time a codec on one core and on all that this process may use.

    Args:
        codec: to time; anew, in processes of its own.
        setting: of it.
        pictures: (H, W, 3) uint8, at least one.
        advance: called after each of the two.

    Raises BitcodecError where a process fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.png" for number in range(len(pictures))]
        for path, pixels in zip(paths, pictures, strict=True):
            Image.fromarray(pixels).save(path)
        result = []
        for cores in dict.fromkeys((1, _cores())):
            with _pinned(cores):
                result.append(_one(codec, setting, paths, folder, cores))
            advance()
    return result


def nearest_setting(codec: MeasuredCodec, curve: Curve) -> Setting:
    """The setting of ``codec`` whose mean rate on its ``curve`` is nearest to ``TARGET_BPP``."""
    best = min(curve.points, key=lambda point: abs(point.bpp - TARGET_BPP))
    return next(setting for setting in codec.settings if setting.label == best.setting)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def _pinned(cores: int) -> Iterator[None]:
    """What is started in here runs on so many cores; on Linux."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _one(
    codec: MeasuredCodec, setting: Setting, paths: Sequence[Path], folder: Path, cores: int
) -> Speed:
    task = {
        "codec": codec.recipe,
        "setting": [setting.kind, setting.value],
        "pictures": [str(path) for path in paths],
    }
    line = [sys.executable, "-m", "bitcodec.evaluate.speed", json.dumps(task)]
    encode, decode = json.loads(_call(line))
    coded, back = folder / "coded.bin", folder / "back.png"
    commands = [
        codec.command("encode", paths[0], coded, setting),
        codec.command("decode", coded, back, setting),
    ]
    times = [
        None if line is None else min(_time(line) for _ in range(_REPEAT)) for line in commands
    ]
    return Speed(codec.name, setting.label, cores, encode, decode, times[0], times[1])


def _call(line: Sequence[str]) -> str:
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise BitcodecError(f"timing: {reason}")
    return done.stdout


def _time(line: Sequence[str]) -> float:
    start = time.perf_counter()
    _call(line)
    return time.perf_counter() - start


def _loaded(task: dict[str, Any]) -> tuple[float, float]:
    """Megapixels a second of encoding and of decoding, in this process."""
    codec = _build(task["codec"])
    kind, value = task["setting"]
    setting = Setting(kind, value)
    pictures = []
    for path in task["pictures"]:
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    megapixels = sum(pixels.shape[0] * pixels.shape[1] for pixels in pictures) / 1e6
    files = [codec.encode(pixels, setting) for pixels in pictures]  # warms up, too
    codec.decode(files[0])

    def fastest(work: Callable[[], object]) -> float:
        times = []
        for _ in range(_REPEAT):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return float(megapixels / min(times))

    return (
        fastest(lambda: [codec.encode(pixels, setting) for pixels in pictures]),
        fastest(lambda: [codec.decode(data) for data in files]),
    )


def _build(recipe: dict[str, Any]) -> MeasuredCodec:
    if "rival" in recipe:
        from bitcodec.evaluate.rivals import rival

        return rival(recipe["rival"])
    from bitcodec.evaluate.learned import LearnedCodec

    return LearnedCodec(**recipe)


if __name__ == "__main__":
    print(json.dumps(_loaded(json.loads(sys.argv[1]))))
