"""The families of models, one row each; nothing else asks for a family by its name.

Classes are named as "module:class" and imported when they are asked for, so that the table can be
read without torch. A new family is a folder in ``models``, a task in ``training``, a recipe in
``training/recipes`` and a row here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitcodec.errors import WeightsError

__all__ = ["DEFAULT_TRAINED", "FAMILIES", "Family", "family_of", "read_config", "resolve"]


@dataclass(frozen=True)
class Family:
    """What belongs to a family.

    Attributes:
        name: as ``bitcodec train --model`` and weights files have it; its recipe is
            ``training/recipes/NAME.toml``.
        config: the dataclass of its options.
        models: by the family's name in weights files: the form that encodes and decodes, and
            after it the form that is trained, where that is another.
        task: its part of the training loop.
    """

    name: str
    config: str
    models: Mapping[str, str]
    task: str

    @property
    def trained(self) -> str:
        """The name, in weights files, of the form that is trained."""
        return list(self.models)[-1]


_ROWS = (
    Family(
        name="sign",
        config="bitcodec.models.sign.config:SignConfig",
        models={"sign": "bitcodec.models.sign.model:SignModel"},
        task="bitcodec.training.sign_task:SignTask",
    ),
    Family(
        name="ladder",
        config="bitcodec.models.ladder.config:LadderConfig",
        models={
            "ladder": "bitcodec.models.ladder.model:LadderModel",
            "ladder-float": "bitcodec.models.ladder.trainable:LadderFloatModel",
        },
        task="bitcodec.training.ladder_task:LadderTask",
    ),
)
FAMILIES = {row.name: row for row in _ROWS}
DEFAULT_TRAINED = "sign"  #: what ``bitcodec train`` trains if no family is named


def family_of(stored: str) -> Family:
    """The family whose name, or whose other form's name, a weights file has.

    Raises:
        WeightsError: there is none.
    """
    for row in FAMILIES.values():
        if stored in row.models:
            return row
    raise WeightsError(f"unknown model family {stored!r}")


def read_config(stored: str, options: object) -> Any:
    """A family's configuration from what a weights file's JSON says.

    Args:
        stored: as :func:`family_of` takes it.
        options: from JSON.

    Raises:
        WeightsError: there is no such family, or it is no configuration of it.
    """
    row = family_of(stored)
    if not isinstance(options, dict):
        raise WeightsError(f"the configuration of a {stored} model must be an object")
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return resolve(row.config)(**frozen)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"bad configuration of a {stored} model: {error}") from error


def resolve(name: str) -> Any:
    """The class that "module:class" names."""
    return pkgutil.resolve_name(name)
