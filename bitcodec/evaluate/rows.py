"""One measurement, and the CSV file that keeps measurements as they finish.

The file is a log: a row is appended as soon as it is known, so an interrupted evaluation goes on
where it stopped. A row answers for exactly one picture content, codec identity and setting; a
changed picture or model is measured again.
"""

from __future__ import annotations

import csv
import io
import threading
from dataclasses import dataclass, fields
from pathlib import Path

from bitcodec.errors import FileError
from bitcodec.evaluate.metrics import METRICS, Scores

__all__ = ["Key", "Row", "RowStore"]

Key = tuple[str, str, str, str, str]  #: (picture, sha256, codec, identity, setting)


@dataclass(frozen=True)
class Row:
    """One picture through one codec at one setting.

    Attributes:
        picture: path relative to the evaluated folder, with "/".
        sha256: first 16 hexadecimal digits, of the picture's file.
        width, height: pixels.
        codec, identity, setting: as in :class:`bitcodec.evaluate.codecs.Codec`.
        bytes: length of the whole compressed file.
        bpp: 8 bytes / (width height).
        scores: by metric; PSNR is inf where nothing was lost, None is for a picture too small.
        encode_s, decode_s: seconds, by the wall clock.
        jobs: how many pictures were worked on at a time: times of different ones don't compare.
    """

    picture: str
    sha256: str
    width: int
    height: int
    codec: str
    identity: str
    setting: str
    bytes: int
    bpp: float
    scores: Scores
    encode_s: float
    decode_s: float
    jobs: int

    @property
    def key(self) -> Key:
        """What the row answers for."""
        return (self.picture, self.sha256, self.codec, self.identity, self.setting)


_FIELDS = tuple(field.name for field in fields(Row) if field.name != "scores")
_NAMES = (*_FIELDS, *METRICS)
_TOO_SMALL = "none"  # in the file; an empty cell is a metric that was not asked for


def _to_line(row: Row) -> str:
    stream = io.StringIO()
    scores = (
        (_TOO_SMALL if row.scores[name] is None else row.scores[name]) if name in row.scores else ""
        for name in METRICS
    )
    values = [getattr(row, name) for name in _FIELDS]
    csv.writer(stream, lineterminator="\n").writerow([*values, *scores])
    return stream.getvalue()


def _from_cells(cells: list[str]) -> Row:
    cell = dict(zip(_NAMES, cells, strict=True))
    return Row(
        picture=cell["picture"],
        sha256=cell["sha256"],
        width=int(cell["width"]),
        height=int(cell["height"]),
        codec=cell["codec"],
        identity=cell["identity"],
        setting=cell["setting"],
        bytes=int(cell["bytes"]),
        bpp=float(cell["bpp"]),
        scores={
            name: None if cell[name] == _TOO_SMALL else float(cell[name])
            for name in METRICS
            if cell[name]
        },
        encode_s=float(cell["encode_s"]),
        decode_s=float(cell["decode_s"]),
        jobs=int(cell["jobs"]),
    )


class RowStore:
    """The rows of a CSV file, which is made where it is missing. Safe to use from threads.

    Raises FileError where the file cannot be read or written, or is not one of ours. A last line
    that was cut off by an interruption is dropped from the file.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._rows: dict[Key, Row] = {}
        try:
            if path.exists() and not fresh:
                self._load()
            else:
                path.write_text(",".join(_NAMES) + "\n", encoding="utf-8")
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}") from error

    def _load(self) -> None:
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        lines = list(csv.reader(io.StringIO(whole.decode("utf-8", "replace"))))
        if not lines or tuple(lines[0]) != _NAMES:
            raise FileError(f"{self._path}: not a file of evaluation rows")
        for number, cells in enumerate(lines[1:], 2):
            try:
                row = _from_cells(cells)
            except ValueError as error:
                raise FileError(f"{self._path}: line {number} is not a row") from error
            self._rows[row.key] = row
        if len(whole) < len(data):
            with self._path.open("r+b") as stream:
                stream.truncate(len(whole))

    def get(self, key: Key) -> Row | None:
        """The row that answers for ``key``, if it is known."""
        return self._rows.get(key)

    def add(self, row: Row) -> None:
        """Append a row to the file, at once. Raises FileError."""
        with self._lock:
            self._rows[row.key] = row
            try:
                with self._path.open("a", encoding="utf-8", newline="") as stream:
                    stream.write(_to_line(row))
            except OSError as error:
                raise FileError(f"{self._path}: {error.strerror}") from error

    def __len__(self) -> int:
        return len(self._rows)
