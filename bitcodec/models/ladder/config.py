"""The options of a `ladder` model that are not in its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from bitcodec.models.whole import MAX_WIDTH, check_whole

GAIN_TERMS = 3  #: coefficients of the polynomial that gives a channel's gain at a step


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
        down: residual blocks of the analysis's pixel path at strides 4 and 8.

    ValueError where one is no number of these, or a width is over :data:`MAX_WIDTH`.
    """

    rdo: float = 16.0
    state: int = 192
    hidden: int = 128
    width: int = 256
    pixels: tuple[int, int] = (64, 96)
    blocks: int = 4
    down: tuple[int, int] = (3, 2)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if len(self.pixels) != 2 or len(self.down) != 2:
            raise ValueError("pixels and down must be two numbers each")
        widths = (self.state, self.hidden, self.width, *self.pixels)
        check_whole(widths, "a width", 1, MAX_WIDTH)
        check_whole((self.blocks,), "blocks", 0, 4)
        check_whole(self.down, "down", 0, 8)
        if isinstance(self.rdo, bool) or not 0 <= self.rdo <= 1e6:
            raise ValueError("rdo must be from 0 to 1000000")

    @property
    def analysis_reach(self) -> int:
        """Pixels around a latent's block that the analysis reads."""
        at4, at8 = self.down
        return 4 * (1 + 2 * at4) + 8 * 2 * at8 + 16 * 2 * self.blocks
