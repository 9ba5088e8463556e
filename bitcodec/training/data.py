"""Training crops from a folder of pictures.

The crops of step t are a function of (seed, t, rank) alone, so a resumed run sees exactly what an
uninterrupted one would have seen, with nothing to store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bitcodec.errors import BitcodecError, TrainingError
from bitcodec.picture.images import open_picture
from bitcodec.training.config import DataConfig
from bitcodec.training.drawings import draw

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".ppm"}


def load_pictures(folder: Path, least: int) -> tuple[list[np.ndarray], list[str]]:
    """All pictures below a folder, decoded to memory.

    Args:
        folder: searched recursively, by file name suffix.
        least: smaller pictures (shorter edge, pixels) are left out.

    Returns:
        uint8 (H, W, 3) arrays in the order of their paths, and one line for every file that
        could not be used.

    Raises:
        TrainingError: not a folder, or nothing in it can be used.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder}: not a folder")
    pictures: list[np.ndarray] = []
    skipped: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            rgb = open_picture(path).rgb
        except BitcodecError as error:
            skipped.append(f"{path}: {error}")
            continue
        if min(rgb.shape[:2]) < least:
            skipped.append(f"{path}: smaller than {least} pixels")
        else:
            pictures.append(rgb)
    if not pictures:
        raise TrainingError(f"{folder}: no usable picture")
    return pictures, skipped


class CropSource(Dataset[Tensor]):
    """Random crops, a batch for every step number."""

    def __init__(
        self, pictures: list[np.ndarray], config: DataConfig, seed: int, rank: int
    ) -> None:
        self.pictures, self.config, self.seed, self.rank = pictures, config, seed, rank
        area = np.array([p.shape[0] * p.shape[1] for p in pictures], np.float64)
        self.odds = np.sqrt(area) / np.sqrt(area).sum()  # larger pictures oftener, but not by area

    def __getitem__(self, step: int) -> Tensor:
        """The crops of a step: (N, 3, crop, crop) uint8."""
        rng = np.random.default_rng([self.seed, step, self.rank])
        crops = np.stack([self._crop(rng) for _ in range(self.config.batch)])
        return torch.from_numpy(crops).permute(0, 3, 1, 2)

    def _crop(self, rng: np.random.Generator) -> np.ndarray:
        c = self.config
        picture = self.pictures[rng.choice(len(self.pictures), p=self.odds)]
        edge = c.crop
        if rng.random() < c.downscale_share:
            edge = min(int(edge * rng.uniform(1, c.downscale)), *picture.shape[:2])
        i = rng.integers(picture.shape[0] - edge + 1)
        j = rng.integers(picture.shape[1] - edge + 1)
        x = picture[i : i + edge, j : j + edge]
        if edge != c.crop:
            image = Image.fromarray(x).resize((c.crop, c.crop), Image.Resampling.LANCZOS)
            x = np.asarray(image)
        if rng.random() < 0.5:
            x = x[:, ::-1]
        if rng.random() < 0.5:
            x = x[::-1]
        if c.rotate and rng.random() < 0.5:
            x = x.transpose(1, 0, 2)
        x = np.ascontiguousarray(x)
        return draw(x, rng) if rng.random() < c.drawn else x

    def batches(self, start: int, stop: int, pinned: bool = False) -> Iterator[Tensor]:
        """Batches of steps start .. stop-1, made ahead by ``config.workers`` processes.

        Those are forks, so that they share the pictures. For a GPU, ``pinned`` memory.
        """
        if self.config.workers < 1:
            raise TrainingError("data.workers must be 1 or more")
        loader = DataLoader(
            self,
            sampler=range(start, stop),
            batch_size=None,
            num_workers=self.config.workers,
            prefetch_factor=4,
            multiprocessing_context="fork",
            pin_memory=pinned,
        )
        return iter(loader)


def centre(rgb: np.ndarray, edge: int) -> np.ndarray:
    """The middle of a picture, at most ``edge`` pixels each way."""
    h, w = rgb.shape[:2]
    i, j = max(0, (h - edge) // 2), max(0, (w - edge) // 2)
    return np.ascontiguousarray(rgb[i : i + edge, j : j + edge])
