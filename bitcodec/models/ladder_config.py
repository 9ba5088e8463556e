"""The options of a `ladder` model that are not in its tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LadderConfig:
    """Shape of a `ladder` model; the defaults are those of the models that are shipped.

    Attributes:
        rdo: weight of the squared error against bits in rate-distortion optimised rounding.
        state: channels of the context model's state.
        hidden: channels inside its heads.
        width: channels of the trunks at stride 16.
        pixels: channels of the pixel paths at strides 4 and 8.
        blocks: residual blocks of each trunk, at most 4: what the codec's halo covers.

    ValueError where a width is not positive, or there are more blocks.
    """

    rdo: float = 16.0
    state: int = 192
    hidden: int = 128
    width: int = 256
    pixels: tuple[int, int] = (64, 96)
    blocks: int = 4

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.state, self.hidden, self.width, *self.pixels) < 1:
            raise ValueError("a width is not positive")
        if len(self.pixels) != 2 or not 0 <= self.blocks <= 4:
            raise ValueError("pixels must be two widths, blocks 0 to 4")
