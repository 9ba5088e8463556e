#!/usr/bin/env python3
"""Put evaluations into README.md and docs/: scripts/readme_figures.py OUT [OUT]...

OUT are folders that `bitcodec eval` wrote, the first of `ladder` and the other codecs; of the
others only the means of models are taken. The tables between the markers of the two files are
replaced, and the plots are copied to docs/. Speeds stay as they are where none were measured.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitcodec.evaluate.metrics import METRICS, Metric
from bitcodec.models import registry

ROOT = Path(__file__).resolve().parent.parent
FILES = (ROOT / "README.md", ROOT / "docs" / "speed.md")
Results = dict[str, Any]


def _table(head: list[str], rows: list[list[str]], left: int) -> list[str]:
    line = ["---" if index < left else "---:" for index in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, line, *rows)]


def _metrics(results: Results) -> list[Metric]:
    """Those that every row has."""
    known = [set(row["scores"]) for row in results["rows"]]
    return [metric for name, metric in METRICS.items() if all(name in names for names in known)]


def own(evaluations: Sequence[Results]) -> list[str]:
    """Means of the models that are shipped now; an evaluation of others is refused."""
    metrics = _metrics(evaluations[0])
    rows = []
    for entry in registry.list_models():
        curve = _curve(entry, evaluations)
        rows += [
            [f"`{entry.name}`", point["setting"], f"{point['bpp']:.4f}"]
            + [metric.text(point["scores"].get(metric.name)) for metric in metrics]
            for point in curve["points"]
        ]
    return _table(["model", "setting", "bpp", *(m.title for m in metrics)], rows, 2)


def _curve(entry: registry.ModelEntry, evaluations: Sequence[Results]) -> dict[str, Any]:
    for results in evaluations:
        identities = {row["codec"]: row["identity"] for row in results["rows"]}
        if entry.model_id.hex() in identities.get(entry.name, ""):
            return next(c for c in results["curves"] if c["name"] == entry.name)
    sys.exit(f"no evaluation of {entry.name} {entry.model_id.hex()}")


def _mean(rate: dict[str, Any], name: str) -> float | None:
    values = rate["pictures"].get(name, {}).values()
    return sum(values) / len(values) if values else None


def rates(results: Results) -> list[str]:
    """BD-rates against the anchor, the best by SSIMULACRA2 first."""
    metrics = _metrics(results)
    names = [metric.name for metric in metrics]
    zero = {"name": results["anchor"], "pictures": {n: {"": 0.0} for n in names}, "curve": {}}

    def cell(rate: dict[str, Any], name: str) -> str:
        mean, curve = _mean(rate, name), rate["curve"].get(name)
        text = "-" if mean is None else f"{mean:+.1f} %"
        return "0" if rate is zero else text + ("" if curve is None else f" ({curve:+.1f})")

    order = sorted([*results["bd_rate"], zero], key=lambda rate: _mean(rate, "ssimulacra2") or 0)
    count = len({row["picture"] for row in results["rows"]})
    head = [
        f"against {results['anchor']}, {count} pictures",
        *(m.title.removesuffix(" dB") for m in metrics),
    ]
    return _table(head, [[rate["name"], *(cell(rate, n) for n in names)] for rate in order], 1)


def better(results: Results) -> list[str]:
    """By each metric, the codecs that need fewer bits than `ladder`."""
    rates = {rate["name"]: rate for rate in results["bd_rate"]}
    lines = []
    for metric in _metrics(results):
        means = {name: _mean(rate, metric.name) for name, rate in rates.items()}
        means[results["anchor"]] = 0.0
        mine = means.pop("ladder")
        ahead = [n for n, m in means.items() if m is not None and mine is not None and m < mine]
        text = ", ".join(sorted(ahead, key=lambda name: means[name] or 0)) or "none"
        lines.append(f"- {metric.title.removesuffix(' dB')}: {text}")
    return lines


def codecs(results: Results) -> list[str]:
    """Settings and versions of the other codecs."""
    identities = {row["codec"]: row["identity"] for row in results["rows"]}
    rows = [
        [name, identity.replace(";", ",")]
        for name, identity in identities.items()
        if not identity.startswith("model ")
    ]
    return _table(["codec", "settings and versions"], rows, 2)


def speeds(results: Results) -> list[str]:
    """Speed, loaded and as a command."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3g}"

    fields = ("encode", "decode", "encode_command", "decode_command")
    rows = [
        [speed["codec"], speed["setting"], str(speed["cores"])] + [number(speed[f]) for f in fields]
        for speed in results["speeds"]
    ]
    head = ["codec", "setting", "cores", "encode MP/s", "decode MP/s"]
    return _table([*head, "encode command s", "decode command s"], rows, 2)


PARTS = {"bd-rate": rates, "better": better, "codecs": codecs, "codec-speed": speeds}


def main() -> None:
    """Rewrite the marked parts."""
    folders = [Path(name) for name in sys.argv[1:]]
    evaluations = [json.loads((out / "results.json").read_text()) for out in folders]
    results = evaluations[0]
    parts = {"kodak": own(evaluations), **{name: make(results) for name, make in PARTS.items()}}
    if not results["speeds"]:
        del parts["codec-speed"]
    texts = {path: path.read_text() for path in FILES if path.exists()}
    for name, content in parts.items():
        lines = "\n".join(content)
        found = False
        for path, text in texts.items():
            before, start, rest = text.partition(f"<!-- {name} -->\n")
            _, stop, after = rest.partition(f"<!-- /{name} -->")
            if start and stop:
                texts[path], found = f"{before}{start}{lines}\n{stop}{after}", True
        if not found:
            sys.exit(f"no place for {name}")
    for path, text in texts.items():
        path.write_text(text)
    for metric in _metrics(results):
        shutil.copy(
            folders[0] / f"rd-{metric.name}.png", ROOT / "docs" / f"kodak-{metric.name}.png"
        )


if __name__ == "__main__":
    main()
