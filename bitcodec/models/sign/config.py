"""The options of a `sign` model that are not in its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bitcodec.models.whole import MAX_WIDTH, check_whole

Activation = Literal["none", "relu", "leaky-relu", "gdn"]
Levels = Literal["plus-minus", "zero-one"]
Rule = Literal["deterministic", "stochastic"]


@dataclass(frozen=True)
class SignConfig:
    """Shape of a `sign` model.

    Attributes:
        n: channels between the layers (the report's N).
        m: latent channels (the report's M): m / 256 bits per pixel.
        activation: after every layer but the last; "none" is the report's.
        blocks: residual blocks at stride 8 on either side; 0 is the report's.
        levels: the two values of a latent bit, "plus-minus" or "zero-one".
        binarizer: rule used in training; encoding is always deterministic.
        parents: empty (the report's), or for each latent channel the earlier
            channel that it refines, -1 for none.
        preview: a 3x3 convolution reads a picture of an eighth of the size, for previews,
            from what the first deconvolution and the blocks put out.
    """

    n: int = 128
    m: int = 192
    activation: Activation = "none"
    blocks: int = 0
    levels: Levels = "plus-minus"
    binarizer: Rule = "deterministic"
    parents: tuple[int, ...] = ()
    preview: bool = False

    def __post_init__(self) -> None:
        """Check the ranges: ValueError."""
        check_whole((self.n, self.m), "n and m", 1, MAX_WIDTH)
        check_whole((self.blocks,), "blocks", 0, 16)
        if self.parents and len(self.parents) != self.m:
            raise ValueError(f"parents has {len(self.parents)} entries for {self.m} channels")
        for channel, parent in enumerate(self.parents):
            check_whole((parent,), f"what channel {channel} is to refine", -1, channel - 1)
        for name, kind in (("activation", Activation), ("levels", Levels), ("binarizer", Rule)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}")
        if not isinstance(self.preview, bool):
            raise ValueError("preview must be true or false")
