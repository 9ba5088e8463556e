"""A plugin for Pillow: ``Image.open`` and ``Image.save`` know bitcodec's files.

::

    >>> from PIL import Image
    >>> import bitcodec.pillow
    >>> bitcodec.pillow.register()
    >>> Image.open("photo.png").save("photo.bitc", quality=60)  # doctest: +SKIP
    >>> Image.open("photo.bitc").size  # doctest: +SKIP
    (640, 480)

Files are told by their first four bytes, whatever they are called. Opening one reads its header
and metadata: size, mode and ``info`` are there, no network is loaded; the pixels are decoded on
first use. Errors are those of Pillow's own plugins: UnidentifiedImageError for a header that
cannot be read, OSError for damaged pixels or weights that are not here, ValueError for a bad
parameter of ``save``.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from PIL import Image, ImageFile

from bitcodec.errors import (
    BitcodecError,
    ContainerError,
    FileError,
    OptionError,
    TargetError,
    UnknownModelError,
)
from bitcodec.files import atomic_write, is_path
from bitcodec.format import container
from bitcodec.picture.metadata import info_of_exif, is_one_channel

if TYPE_CHECKING:
    from PIL._imaging import PixelAccess

__all__ = ["FORMAT", "BitcodecImageFile", "register"]

FORMAT = "BITCODEC"
_PARAMETERS = (
    *("model", "quality", "bpp", "size", "psnr", "lossless"),
    *("effort", "tile", "device", "exact", "roi"),
)


class BitcodecImageFile(ImageFile.ImageFile):
    """An open file; made by ``Image.open``.

    ``info`` has ``model_id`` (16 hex digits), ``rate``, and where there are any ``icc_profile``,
    ``exif``, ``xmp`` and ``dpi``.
    """

    format = FORMAT
    format_description = "bitcodec learned image"

    def _open(self) -> None:
        file = self._file()
        try:
            source = container.Source(file)
        except ContainerError as error:
            raise SyntaxError(str(error)) from error  # Pillow's word for "not mine, or broken"
        header = source.header
        self._size = header.width, header.height
        self.info["model_id"] = header.model_id.hex()
        self.info["rate"] = header.rate
        # Damage behind the header is reported by load(), as other plugins do.
        icc = None
        with contextlib.suppress(ContainerError):
            icc = source.section("icc")
            if icc is not None:
                self.info["icc_profile"] = icc
        with contextlib.suppress(ContainerError):
            exif = source.section("exif")
            if exif is not None:
                self.info.update(info_of_exif(exif))
        colours = "L" if is_one_channel(header.grey, icc) else "RGB"
        self._mode = colours + ("" if source.layout.alpha is None else "A")
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        self._decoded = False

    def _file(self) -> BinaryIO:
        if self.fp is None:
            raise ValueError("operation on closed image")
        return cast(BinaryIO, self.fp)

    def verify(self) -> None:
        """Check every length and checksum of the file; SyntaxError where one is wrong."""
        file = self._file()
        file.seek(0)
        try:
            container.read(file.read(), max_pixels=self.width * self.height)
        except ContainerError as error:
            raise SyntaxError(f"broken bitcodec file: {error}") from error
        finally:
            super().verify()

    def load_seek(self, pos: int) -> None:
        """Seek in the pixels. That it is here tells ``ImageFile.Parser`` to wait for all data."""
        self._file().seek(pos)

    def load(self) -> PixelAccess | None:
        """Decode the pixels, if that has not been done.

        OSError for damage, and where the weights are not here. With
        ``ImageFile.LOAD_TRUNCATED_IMAGES``, tiles that are lost become mid-grey instead.
        """
        if self.tile and not self._decoded:
            file = self._file()
            file.seek(0)
            pixels = _decode(file.read(), self.width * self.height, self.mode)
            if self._exclusive_fp:
                file.close()
            # The pixels go the way of an uncompressed file from here on.
            self.fp, self._exclusive_fp, self._decoded = io.BytesIO(pixels), True, True
        return super().load()


def register(*, bin: bool = False) -> None:
    """Make Pillow know the format: open by magic, save, and the suffix ``.bitc``.

    Args:
        bin: take the suffix ``.bin`` too, for ``save`` without ``format=``. Many other things
            are called that, so it has to be asked for.

    Parameters of ``save``: ``model``, one of ``quality``, ``bpp``, ``size``, ``psnr``
    and ``lossless``, ``effort``, ``tile``, ``device``, ``exact``, ``roi`` as in
    :func:`bitcodec.encode`;
    ``icc_profile`` and ``exif`` (bytes or ``Image.Exif``) take the place of the image's own, and
    None leaves them out.
    Calling it again does no harm. Pillow empties a file before it asks a plugin to write it;
    ``Image.Image.save`` is wrapped, so that files of this format, and no others, are made in
    memory first and a save that fails leaves the old file as it was.
    """
    Image.register_open(FORMAT, BitcodecImageFile, _accept)
    _save_in_memory_first()
    Image.register_save(FORMAT, _save)
    Image.register_mime(FORMAT, "image/x-bitcodec")
    Image.register_extension(FORMAT, ".bitc")
    if bin:
        Image.register_extension(FORMAT, ".bin")


def _save_in_memory_first() -> None:
    original = Image.Image.save
    if hasattr(original, "bitcodec"):
        return

    @functools.wraps(original)
    def save(self: Image.Image, fp: Any, format: str | None = None, **params: Any) -> None:
        suffix = os.path.splitext(os.fsdecode(fp))[1].lower() if is_path(fp) else None
        name = format or Image.EXTENSION.get(suffix or "")
        if suffix is None or name is None or name.upper() != FORMAT:
            return original(self, fp, format, **params)
        buffer = io.BytesIO()
        original(self, buffer, FORMAT, **params)
        try:
            atomic_write(fp, buffer.getvalue(), overwrite=True)
        except FileError as error:
            cause = error.__cause__
            raise cause if isinstance(cause, OSError) else OSError(str(error)) from error

    save.bitcodec = True  # type: ignore[attr-defined]
    Image.Image.save = save  # type: ignore[method-assign]


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


def _decode(data: bytes, pixels: int, mode: str) -> bytes:
    """Raw samples in the mode that the header promised."""
    from bitcodec import api  # slow to import

    # Pillow has checked the pixels against its limit; ours is for the work of many small tiles.
    limit = max(pixels, container.DEFAULT_MAX_PIXELS)
    try:
        if not ImageFile.LOAD_TRUNCATED_IMAGES:
            return api.decode(data, max_pixels=limit).tobytes()
        image, _ = api.decode_partial(data, max_pixels=limit)
        return image.convert(mode).tobytes()  # alpha that is lost is opaque
    except BitcodecError as error:
        raise OSError(str(error)) from error


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    from bitcodec import api

    options = image.encoderinfo
    chosen = {name: options[name] for name in _PARAMETERS if options.get(name) is not None}
    try:
        file.write(api.encode(_with_metadata(image, options), **chosen))
    except (TargetError, OptionError, ContainerError, UnknownModelError) as error:
        raise ValueError(str(error)) from error
    except BitcodecError as error:
        raise OSError(f"cannot write mode {image.mode} as {FORMAT}: {error}") from error


def _with_metadata(image: Image.Image, options: dict[str, Any]) -> Image.Image:
    """The image with the ICC profile and EXIF that ``save`` was given in place of its own."""
    given = {key: options[key] for key in ("icc_profile", "exif") if key in options}
    if not given:
        return image
    image = image.copy()
    for key, value in given.items():
        image.info.pop(key, None)
        if value:
            image.info[key] = value.tobytes() if isinstance(value, Image.Exif) else value
    if "exif" in given:
        image._exif = None  # or Pillow would answer with what it has parsed before
    return image
