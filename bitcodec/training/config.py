"""The training configuration: one TOML file, every key known, every key settable by ``--set``."""

from __future__ import annotations

import dataclasses
import sys
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from bitcodec.errors import TrainingError, one_line
from bitcodec.models.families import DEFAULT_TRAINED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class DataConfig:
    """Pictures and crops.

    Attributes:
        dir: folder of training pictures, searched recursively.
        valid: folder of validation pictures; "" validates nothing.
        crop: edge of a training crop in pixels, a multiple of 16.
        batch: crops in a step, on each process.
        downscale: a crop is taken from the picture shrunk by up to this factor; 1 is never.
        downscale_share: the share of crops that are shrunk.
        drawn: the share of crops with text, windows, lines or dithers, see
            :mod:`bitcodec.training.drawings`.
        rotate: also transpose crops (rotations by 90 degrees), beside the flips.
        workers: processes that make crops, 1 or more; a GPU may need 8.
        valid_edge: validation pictures are cut to this many pixels each way at most.
    """

    dir: str = ""
    valid: str = ""
    crop: int = 160
    batch: int = 8
    downscale: float = 2.0
    downscale_share: float = 0.25
    drawn: float = 0.0
    rotate: bool = True
    workers: int = 1
    valid_edge: int = 384


@dataclass(frozen=True)
class OptimConfig:
    """Warm-up, a constant part and a cosine decay.

    Attributes:
        method: "adam", or "soap" (:class:`bitcodec.training.soap.Soap`).
        lr: peak learning rate.
        beta1: Adam's.
        beta2: Adam's.
        warmup: steps of linear warm-up.
        hold: share of the steps after which the cosine decay starts.
        floor: last learning rate as a share of ``lr``.
        clip: largest gradient norm.
        ema: decay of the moving average of the weights that is validated and saved.
    """

    method: Literal["adam", "soap"] = "adam"
    lr: float = 6e-4
    beta1: float = 0.9
    beta2: float = 0.98
    warmup: int = 100
    hold: float = 0.4
    floor: float = 0.02
    clip: float = 1.0
    ema: float = 0.998


@dataclass(frozen=True)
class RunConfig:
    """Length and bookkeeping.

    Attributes:
        steps: optimiser steps in all.
        seed: everything random follows from it.
        log_every: steps between rows of log.csv.
        save_every: steps between checkpoints.
        valid_every: steps between validations.
        precision: "fp32", "bf16" (autocast) or "auto": bf16 where the processor has it.
        threads: torch threads; 0 leaves torch's default.
    """

    steps: int = 20000
    seed: int = 0
    log_every: int = 50
    save_every: int = 500
    valid_every: int = 1000
    precision: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on; written to its folder as config.toml.

    Attributes:
        family: "sign" or "ladder".
        init: "" for random weights, a weights file, or the family's own start ("pca" for sign).
        model: the family's model configuration (:class:`SignConfig`, ...).
        task: the family's training options, see :mod:`bitcodec.training.tasks`.
    """

    family: str = DEFAULT_TRAINED
    init: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    model: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)


def from_dict(cls: type[Any], values: dict[str, Any], where: str = "") -> Any:
    """Build a configuration dataclass; TrainingError for an unknown key or a wrong type."""
    hints = typing.get_type_hints(cls)
    known: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if key not in hints:
            raise TrainingError(f"unknown configuration key {name}")
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, dict):
            known[key] = from_dict(typing.cast("type[Any]", hints[key]), value, f"{name}.")
            continue
        try:
            known[key] = msgspec.convert(value, hints[key])
        except msgspec.ValidationError as error:
            raise TrainingError(f"{name}: {one_line(error)}") from error
    return cls(**known)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string


def recipe(family: str) -> Path:
    """The configuration that the shipped weights of a family were trained with."""
    path = Path(__file__).parent / "recipes" / f"{family}.toml"
    if not path.is_file():
        raise TrainingError(f"unknown family {family!r}")
    return path


def _family_of(settings: tuple[str, ...]) -> str:
    chosen = [s.partition("=")[2] for s in settings if s.partition("=")[0].strip() == "family"]
    return str(_parse_value(chosen[-1].strip())) if chosen else DEFAULT_TRAINED


def load_config(path: Path | None, settings: tuple[str, ...] = ()) -> TrainConfig:
    """Read a configuration.

    Args:
        path: a TOML file; None takes the recipe of the family that ``settings`` names, or else
            of the default one.
        settings: ``key.sub=value``, applied in order.

    Raises:
        TrainingError: unreadable file, unknown key, wrong type.
    """
    if path is None:
        path = recipe(_family_of(settings))
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path}: {error}") from error
    for setting in settings:
        key, sep, text = setting.partition("=")
        if not sep or not key.strip():
            raise TrainingError(f"--set wants key=value, not {setting!r}")
        table = values
        *parents, last = key.strip().split(".")
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise TrainingError(f"--set {key}: {parent} is not a table")
        table[last] = _parse_value(text.strip())
    config: TrainConfig = from_dict(TrainConfig, values)
    return config


def dump_config(config: TrainConfig) -> str:
    """The configuration as TOML, readable by :func:`load_config`."""
    return tomli_w.dumps(dataclasses.asdict(config))
