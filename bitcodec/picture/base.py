"""A picture in memory, as the codec takes and gives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitcodec.errors import ImageError

__all__ = ["Picture"]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture in memory.

    Attributes:
        rgb: uint8 (H, W, 3), H and W at least 1.
        alpha: uint8 (H, W), 255 is opaque, not premultiplied; None where all is opaque.
        grey: show and save the mean of the three channels: as one channel, or as three equal
            ones where the colour profile is for RGB. A decoder's three differ a little; those of
            :func:`from_pil` do not.
        icc: a colour profile for RGB, or where ``grey`` also one for grey.
        exif: the TIFF structure, without "Exif\\0\\0" before it and without the orientation.
        notes: what was lost when the picture was converted, for people.

    ImageError where a shape or type is not as said.
    """

    rgb: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check shapes and types."""
        rgb, alpha = self.rgb, self.alpha
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ImageError(f"rgb must be uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")
        if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != rgb.shape[:2]):
            raise ImageError(f"alpha must be uint8 (H, W), not {alpha.dtype} {alpha.shape}")

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.rgb.shape[0])
