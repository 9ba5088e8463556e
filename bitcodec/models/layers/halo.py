"""The halo around latents, and cutting it off step by step as layers use it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

A = TypeVar("A", "np.ndarray", "Tensor")


class Halo(NamedTuple):
    """How far a plane of latents reaches beyond what is asked for, in latents, each 0 or more."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def at_most(self, latents: int) -> Halo:
        """What is left of it where the layers to come read no farther than ``latents``."""
        return Halo(*(min(edge, latents) for edge in self))


NO_HALO = Halo()


def crop_halo(x: A, now: Halo, wanted: Halo, per_latent: int) -> A:
    """Cut x (N, C, H, W), of ``per_latent`` positions a latent each way, to a narrower halo.

    A view; x itself where there is nothing to cut, and where it has one position, which stands
    for all.
    """
    if now == wanted or x.shape[-2:] == (1, 1):
        return x
    left, top, right, bottom = (per_latent * (a - b) for a, b in zip(now, wanted, strict=True))
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
