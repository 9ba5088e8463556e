"""bitcodec itself behind the :class:`~bitcodec.evaluate.codecs.MeasuredCodec` protocol."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bitcodec import __version__, api
from bitcodec.codec.decode import decode
from bitcodec.evaluate.codecs import Pixels, Setting
from bitcodec.format.container import Source
from bitcodec.format.header import Coder
from bitcodec.picture.images import to_pil

__all__ = ["DEFAULT_BPPS", "DEFAULT_QUALITIES", "LearnedCodec"]

DEFAULT_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
DEFAULT_BPPS = (0.25, 0.5, 0.75)  #: for the family `sign`: 64, 128 and 192 channels
_PACKAGE = Path(__file__).parents[1]
_ELSEWHERE = ("cli/", "evaluate/", "report/", "training/")


@functools.cache
def code_digest(package: Path = _PACKAGE) -> str:
    """8 hex digits of the package's code, but for that which encodes and decodes nothing."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if not name.startswith(_ELSEWHERE):
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


class LearnedCodec:
    """One model of bitcodec, through the public functions a user would call.

    Args:
        model: name or path of the weights.
        qualities: 1 to 100. With ``bpps`` given too, they are for the families of variable rate.
        bpps: targets in bits per pixel. With ``qualities`` given too, they are for `sign`.
        effort: the encoder's; None is its default.
        device: "auto", "cpu" or "cuda".

    With neither list the family's own default is taken. Raises what `bitcodec.load_model` raises.
    """

    def __init__(
        self,
        model: str,
        *,
        qualities: Sequence[int] = (),
        bpps: Sequence[float] = (),
        effort: int | None = None,
        device: str = "auto",
    ) -> None:
        self._model = api.load_model(model, device=device)
        self._recipe: dict[str, Any] = {"model": str(model), "effort": effort, "device": device}
        self._options: dict[str, Any] = {} if effort is None else {"effort": effort}
        effort_text = "default effort" if effort is None else f"effort {effort}"
        self.name: str = (self._model.name or "unnamed") + (
            "" if effort is None else f" -e {effort}"
        )
        self.identity = (
            f"model {self._model.model_id.hex()}, {effort_text}, "
            f"bitcodec {__version__}, code {code_digest()}"
        )
        self.settings = self._choose(qualities, bpps)

    def _choose(self, qualities: Sequence[int], bpps: Sequence[float]) -> tuple[Setting, ...]:
        fixed_rate = self._model.coder is Coder.PACKED
        if not qualities and not bpps:
            qualities, bpps = DEFAULT_QUALITIES, DEFAULT_BPPS
        if bpps and (fixed_rate or not qualities):
            return tuple(Setting("bpp", value) for value in bpps)
        return tuple(Setting("quality", value) for value in qualities)

    def encode(self, pixels: Pixels, setting: Setting) -> bytes:
        """A `.bin` file; raises what `bitcodec.encode` raises."""
        number = setting.value if setting.kind == "bpp" else int(setting.value)
        target: dict[str, Any] = {setting.kind: number}
        return api.encode(pixels, model=self._model, **target, **self._options)

    def decode(self, data: bytes) -> Pixels:
        """The pixels of a `.bin` file, by this model; ContainerError for one that is damaged."""
        # Not `bitcodec.decode`: it finds models by id, and weights named by path may lie anywhere.
        source = Source.of(data)
        source.check()
        return np.asarray(to_pil(decode(source, self._model).picture).convert("RGB"))

    @property
    def recipe(self) -> dict[str, Any]:
        """As :meth:`bitcodec.evaluate.codecs.MeasuredCodec.recipe`."""
        return self._recipe

    def command(
        self, what: Literal["encode", "decode"], source: Path, target: Path, setting: Setting
    ) -> list[str]:
        """`bitcodec encode` or `bitcodec decode`."""
        line = [sys.executable, "-m", "bitcodec", what, str(source), str(target), "-f", "--quiet"]
        line += ["-m", self._recipe["model"], "--device", self._recipe["device"]]
        if what == "encode":
            line += [f"--{setting.kind}", f"{setting.value:g}"]
            line += [f"--effort={self._recipe['effort']}"] if self._options else []
        return line

    def fit(self, pixels: Pixels, size: int) -> tuple[Setting, bytes]:
        """The largest file of at most ``size`` bytes; TargetError where there is none."""
        setting = Setting("size", size)
        return setting, self.encode(pixels, setting)
