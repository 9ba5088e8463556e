"""Rate-distortion optimised quantisation: the level that is cheapest in bits plus error."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["cheapest_levels"]


def cheapest_levels(xp: ModuleType, near: Any, centre: Any, price: Callable[[Any], Any]) -> Any:
    """The cheapest of the nearest level, the next toward the centre, the next toward 0, and 0.

    Where the nearest level is that of the centre it stays: no other is more probable.

    Args:
        xp: numpy or torch, of which the arrays are.
        near: nearest levels, any shape.
        centre: levels of the predicted centres, same shape.
        price: what levels of that shape cost, each.
    """
    best, least = near, price(near)
    for other in (near - xp.sign(near - centre), near - xp.sign(near), xp.zeros_like(near)):
        cost = price(other)
        better = cost < least
        best, least = xp.where(better, other, best), xp.where(better, cost, least)
    return xp.where(near == centre, near, best)
