"""Tensors whose names in files are not those of the attributes that hold them.

The id of a weights file covers the names of its tensors. So the names in files stay as they are
when an attribute gets a better one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["keep_stored_names", "stored_name"]


def keep_stored_names(module: nn.Module, names: Mapping[str, str]) -> None:
    """Have ``state_dict`` and ``load_state_dict`` use the names of files.

    Args:
        module: of which some attributes are parameters or modules.
        names: attribute to name in files.
    """
    back = {stored: attribute for attribute, stored in names.items()}

    def save(_: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        _rename(state, prefix, names)

    def load(_: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        _rename(state, prefix, back)

    module.stored_names = dict(names)  # type: ignore[assignment]
    module.register_state_dict_post_hook(save)  # type: ignore[no-untyped-call]
    module.register_load_state_dict_pre_hook(load)  # type: ignore[no-untyped-call]


def stored_name(module: nn.Module, name: str) -> str:
    """The name in files of something inside a module, by its name in the program."""
    names: Mapping[str, str] = getattr(module, "stored_names", {})
    head, dot, rest = name.partition(".")
    return names.get(head, head) + dot + rest


def _rename(state: dict[str, Any], prefix: str, names: Mapping[str, str]) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        head, dot, rest = key[len(prefix) :].partition(".")
        if head in names:
            state[prefix + names[head] + dot + rest] = state.pop(key)
