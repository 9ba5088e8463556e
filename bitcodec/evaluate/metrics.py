"""The metrics that an evaluation knows, and how each is printed and compared.

SSIMULACRA2 is what the makers of JPEG XL and AVIF judge by. Butteraugli is there as one that no
weights of bitcodec are trained for; it is a program (Debian's package butteraugli), takes 1 s a
megapixel, and gives the worst place of a picture, in units of what is just noticed.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bitcodec.errors import BitcodecError
from bitcodec.evaluate.codecs import Pixels
from bitcodec.evaluate.msssim import ms_ssim, ms_ssim_db
from bitcodec.evaluate.ssimulacra2 import Ssimulacra2
from bitcodec.picture.metrics import psnr

__all__ = ["DEFAULT_METRICS", "METRICS", "Metric", "Score", "Scorer", "Scores", "chosen"]

Score = Callable[[Pixels], float | None]  #: of a decoded picture; None: too small for the metric
Scores = Mapping[str, float | None]  #: by the metric's name


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: on the command line and in files.
        title: in tables.
        axis: of a plot, in the units of ``scale``.
        digits: after the decimal point.
        prepare: makes the score of one original, (H, W, 3) uint8.
        scale: what plots and BD-rate take instead of the value; rises with quality.
        rising: more is better.
        program: that must be installed, if any.
    """

    name: str
    title: str
    axis: str
    digits: int
    prepare: Callable[[Pixels], Score]
    scale: Callable[[float], float] = float
    rising: bool = True
    program: str = ""

    def text(self, value: float | None) -> str:
        """The value in a table."""
        if value is None:
            return "-"
        return "lossless" if value == math.inf else f"{value:.{self.digits}f}"


def _pair(compare: Callable[[Pixels, Pixels], float | None]) -> Callable[[Pixels], Score]:
    return lambda original: lambda decoded: compare(original, decoded)


def _butteraugli(a: Pixels, b: Pixels) -> float:
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("a.png", "b.png")]
        for path, pixels in zip(paths, (a, b), strict=True):
            Image.fromarray(pixels).save(path, compress_level=0)
        done = subprocess.run(["butteraugli", *paths], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BitcodecError(f"butteraugli: {done.stderr.strip() or done.returncode}")
    return float(done.stdout.split()[0])


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("psnr", "PSNR dB", "PSNR (RGB), dB", 2, _pair(psnr)),
        Metric(
            "ms-ssim",
            "MS-SSIM",
            "MS-SSIM, dB: −10 log₁₀(1 − MS-SSIM)",
            5,
            _pair(ms_ssim),
            ms_ssim_db,
        ),
        Metric("ssimulacra2", "SSIMULACRA2", "SSIMULACRA2", 2, Ssimulacra2),
        Metric(
            "butteraugli",
            "Butteraugli",
            "−Butteraugli (maximum)",
            3,
            _pair(_butteraugli),
            lambda value: -value,
            rising=False,
            program="butteraugli",
        ),
    )
}
DEFAULT_METRICS = ("psnr", "ms-ssim", "ssimulacra2")


def chosen(names: Iterable[str]) -> tuple[Metric, ...]:
    """The metrics of these names, in the order of ``METRICS``.

    Raises BitcodecError for a name that is unknown and a program that is not installed.
    """
    wanted = set(names)
    if unknown := sorted(wanted - set(METRICS)):
        raise BitcodecError(f"unknown metric {unknown[0]!r} (there are {', '.join(METRICS)})")
    found = tuple(metric for name, metric in METRICS.items() if name in wanted)
    for metric in found:
        if metric.program and not shutil.which(metric.program):
            raise BitcodecError(f"{metric.name} needs the program {metric.program}")
    return found


class Scorer:
    """All scores of decoded pictures against one original, (H, W, 3) uint8."""

    def __init__(self, original: Pixels, metrics: Iterable[Metric]) -> None:
        self._scores = {metric.name: metric.prepare(original) for metric in metrics}

    def __call__(self, decoded: Pixels) -> dict[str, float | None]:
        """By the metric's name. Raises ValueError where the shapes differ."""
        return {name: score(decoded) for name, score in self._scores.items()}
