#!/usr/bin/env python3
"""Draw docs/long-run.png: the score of ladder's weights over its long run, from docs/long-run.csv.

    scripts/long_run.py

A row of the table is one state of the weights: its phase, if it is to be shown; whether its
learning rate had come down ("yes" or "no"); the billions of pixels seen since the run began; and
the score that `scripts/score.py FOLDER WEIGHTS --similarity 0.35 --eyes 0.2` printed for it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent.parent / "docs"
HOURS = 0.98  #: of one CPU core for a billion pixels: 1.04 s a step of 8 crops of 192x192


def main() -> None:
    """Write the picture."""
    with (DOCS / "long-run.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for decayed, colour, text in (
        ("no", "#D55E00", "constant"),
        ("yes", "#0072B2", "brought down"),
    ):
        points = [
            (HOURS * float(row["gigapixels"]), float(row["score"]), row["phase"])
            for row in rows
            if row["decayed"] == decayed
        ]
        hours, scores, phases = zip(*points, strict=True)
        axes.plot(hours, scores, "o", color=colour, label=f"learning rate {text}")
        for x, y, phase in zip(hours, scores, phases, strict=True):
            last = phase.startswith("finish")  # to the left of its point, others above
            place, side = ((-6, -3), "right") if last else ((0, 6), "center")
            axes.annotate(
                phase,
                (x, y),
                place,
                textcoords="offset points",
                fontsize=8,
                horizontalalignment=side,
            )
    axes.set_xlabel("hours of training on one CPU core (GPU minutes by their pixels)")
    axes.set_ylabel("score on valid (less is better)")
    axes.margins(0.1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(DOCS / "long-run.png", dpi=110)


if __name__ == "__main__":
    main()
