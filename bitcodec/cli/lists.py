"""Options that hold several values, separated by commas."""

from __future__ import annotations

from typing import Any

import click


class NumberList(click.ParamType[Any]):
    """Numbers between limits, separated by commas."""

    name = "list"

    def __init__(self, kind: type[int] | type[float], low: float, high: float) -> None:
        self.kind, self.low, self.high = kind, low, high

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Text to a tuple without repetitions."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(dict.fromkeys(self.kind(part) for part in str(value).split(",")))
        except ValueError:
            what = "whole numbers" if self.kind is int else "numbers"
            self.fail(f"{value!r} is not a list of {what} with commas", param, ctx)
        for number in numbers:
            if not self.low <= number <= self.high:
                self.fail(f"{number:g} is not in {self.low:g} to {self.high:g}", param, ctx)
        return numbers


def words(text: str) -> tuple[str, ...]:
    """The words of ``text`` between commas, without repetitions."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
