#!/usr/bin/env python3
"""Write a model card from a weights file, its run folder and an evaluation.

Usage: scripts/model_card.py weights/NAME.safetensors [--run runs/NAME] --results OUT/results.json

The card is generated so that its figures can be of no other weights: the evaluation must name
the id that is in the file. Without --run what the present card says of the training is kept.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
import torch
from torch.utils.flop_counter import FlopCounterMode

from bitcodec.models.base import Model
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.sign.model import SignModel
from bitcodec.models.weights import load_weights

_WHAT = {
    "sign": "The classic binarized codec: four strided convolutions, the sign of each latent, four "
    "deconvolutions; one bit a latent bit, no entropy coding. The first m of its 192 channels are a "
    "codec of m/256 bits per pixel.",
    "ladder": "A variable-rate codec: learned 16x16 block transform with residual paths, latents "
    "binarized by a ladder of thresholds, latent bits range-coded with an integer context model.",
}
# ruff: noqa: E501 -- the texts below are paragraphs of the card
_DATA = """\
Trained on 357 openly licensed photographs (about 180 megapixels), JPEG quality 95 4:4:4 scaled down from their sources; checkpoints were chosen on 24 others
from the same sources. None is in this repository. Sources and licences: CID22 by Cloudinary (CC BY-SA 4.0); CQ100 (set CC BY-SA 4.0, each picture CC0, public
domain, CC BY or CC BY-SA); Wikipedia featured landscapes (CC BY-SA, GFDL, Free Art License); wallpapers of elementary, Pop!_OS, Trident, GalliumOS (CC0,
Unsplash License, Pexels License); Debian's lomiri-wallpapers (CC BY, CC BY-SA, CC0), mate-backgrounds (GPL-2+), plasma-workspace-wallpapers (LGPLv3); Unsplash
photographs (Unsplash License). The Kodak set was used for the table below only, never to train or to choose."""


def _kmac(model: Model) -> dict[str, float]:
    """Thousand multiply-accumulates a pixel of each part, counted by torch on a 256x256 picture."""
    x, step = torch.rand(1, 3, 256, 256), torch.full((1, 1, 1, 1), 40.0)
    parts: dict[str, Callable[[torch.Tensor], torch.Tensor]]
    if isinstance(model, SignModel):
        parts = {"g_a": model.compress, "g_s": model.decompress}
    else:
        t = cast(LadderModel, model).transform
        parts = {"g_a": lambda x: t.analyze(x, step), "g_s": lambda y: t.synthesize(y, step)}
    counts = {}
    with torch.no_grad():
        for name, part in parts.items():
            counter = FlopCounterMode(display=False)
            with counter:
                x = part(x)
            counts[name] = counter.get_total_flops() / 2 / 256**2 / 1000
    if isinstance(model, LadderModel):
        counts["context model"] = _context_kmac(model)
    return counts


def _context_kmac(model: LadderModel) -> float:
    from bitcodec.models.ladder.channels import GROUPS

    total = 0
    for index, group in enumerate(GROUPS):
        head, emb = model.context.heads[index], model.context.emb[index]
        weights = sum(layer.weight.size for layer in head.values()) + emb.weight.size
        total += group.passes * weights
    return total / 256 / 1000


def _means(results: Path, model: Model) -> list[tuple[str, int, float, float, float, float]]:
    """(setting, pictures, bpp, PSNR, MS-SSIM, SSIMULACRA2) by rate, of this model's rows alone."""
    rows = json.loads(results.read_text())["rows"]
    mine = [r for r in rows if r["codec"] == model.name]
    if not mine or any(model.model_id.hex() not in r["identity"] for r in mine):
        sys.exit(f"{results}: not an evaluation of {model.name} {model.model_id.hex()}")
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in mine:
        groups[row["setting"]].append(row)
    out = []
    for setting, members in groups.items():
        columns = [[member["bpp"] for member in members]]
        names = ("psnr", "ms-ssim", "ssimulacra2")
        columns += [[member["scores"][name] for member in members] for name in names]
        bpp, psnr, ms_ssim, ssimulacra2 = (sum(values) / len(members) for values in columns)
        out.append((setting, len(members), bpp, psnr, ms_ssim, ssimulacra2))
    return sorted(out, key=lambda row: row[2])


def _training(run: Path) -> str:
    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    last = rows[-1]
    validated = [row for row in rows if row["valid"]]
    best = min(validated, key=lambda row: float(row["valid_score"]), default=last)
    had = f"it had the best validation score, {float(best['valid_score']):.4f}" if validated else ""
    config = re.sub(
        r'^(dir|valid) = ".*"$', r'\1 = "..."', (run / "config.toml").read_text(), flags=re.M
    )
    config = re.sub(r'^init = ".*/', r'init = ".../', config, flags=re.M)
    return (
        f"The weights are the moving average at step {best['step']} of a run of {last['step']} steps "
        f"that took {float(last['minutes']) / 60:.2f} hours on two CPU cores (shared with other "
        f"work){'; ' + had if had else ''}. Earlier phases, "
        "if any, are in docs/training-log.md.\n\n```toml\n" + config + "```\n"
    )


def _wrapped(line: str) -> str:
    """A line of prose in lines of at most 100 characters; tables are left as they are."""
    return line if line.startswith("|") else textwrap.fill(line, 100, break_on_hyphens=False)


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.option("--run", "run", type=click.Path(path_type=Path, exists=True))
@click.option("--results", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--command", required=True, help="The command that made the results.")
def main(weights: Path, run: Path | None, results: Path, command: str) -> None:
    """Write the card beside the weights file."""
    model = load_weights(weights)
    table = "\n".join(
        f"| {setting} | {bpp:.4f} | {psnr:.2f} | {ms_ssim:.4f} | {ssimulacra2:.1f} |"
        for setting, _, bpp, psnr, ms_ssim, ssimulacra2 in _means(results, model)
    )
    kmac = ", ".join(f"{name} {value:.1f}" for name, value in _kmac(model).items())
    card = weights.with_suffix(".md")
    if run is None:
        training = (
            card.read_text().partition("## Training\n\n")[2].partition("## Data and licence")[0]
        )
    else:
        training = _training(run) + "\n"
    numbers = sum(t.numel() for t in model.stored().values())
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    text = f"""\
# {model.name}

{_WHAT[model.family]}

| | |
| --- | --- |
| id (in every file made with it) | `{model.model_id.hex()}` |
| SHA-256 of {weights.name} | `{digest}` |
| size | {weights.stat().st_size} bytes, {numbers} numbers |
| thousand multiply-accumulates a pixel | {kmac} |

## Rate and distortion

Mean over the 24 pictures of the Kodak set, whole files, PSNR in RGB a picture, by `{command}`:

| setting | bpp | PSNR dB | MS-SSIM | SSIMULACRA2 |
| --- | --- | --- | --- | --- |
{table}

## Training

{training}## Data and licence

{_DATA}

The weights are free to use under CC BY-SA 4.0, as far as weights can be licensed at all.
"""
    card.write_text("\n".join(_wrapped(line) for line in text.splitlines()) + "\n")
    click.echo(f"{card}: {model.model_id.hex()}")


if __name__ == "__main__":
    main()
