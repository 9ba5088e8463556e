"""What the shell may put after an option or for an argument; none of it imports torch.

Completion is click's: ``eval "$(_BITCODEC_COMPLETE=bash_source bitcodec)"`` in ``~/.bashrc``,
likewise ``zsh_source``, and ``fish_source`` (see docs/tutorial.md).
"""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem

from bitcodec.models import registry

__all__ = ["complete_files", "complete_models"]


def complete_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leave it to the shell to complete file names."""
    return [CompletionItem(incomplete, type="file")]


def complete_models(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of models; file names where there is a folder in the word, or no such model."""
    if os.sep not in incomplete:
        entries = {entry.name: entry.family for entry in reversed(registry.list_models())}
        names = sorted(name for name in entries if name.startswith(incomplete))
        if names:
            return [CompletionItem(name, help=entries[name]) for name in names]
    return complete_files(ctx, param, incomplete)
