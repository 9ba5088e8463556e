#!/usr/bin/env python3
"""Put the result of an evaluation into README.md: scripts/readme_figures.py OUT

OUT is the folder that `bitcodec eval` wrote. The tables between the markers of README.md are
replaced, and the plots are copied to docs/.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from bitcodec.models import registry

ROOT = Path(__file__).resolve().parent.parent


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _own(results: dict[str, Any]) -> list[str]:
    """Rows of the models that are shipped now; anything else is refused."""
    lines = ["| model | setting | bpp | PSNR dB | MS-SSIM |", "| --- | --- | --- | --- | --- |"]
    identities = {row["codec"]: row["identity"] for row in results["rows"]}
    for entry in registry.list_models():
        if entry.model_id.hex() not in identities.get(entry.name, ""):
            sys.exit(f"no evaluation of {entry.name} {entry.model_id.hex()}")
        curve = next(c for c in results["curves"] if c["name"] == entry.name)
        lines += [
            f"| `{entry.name}` | {p['setting']} | {_number(p['bpp'], 4)} | {_number(p['psnr'], 2)} "
            f"| {_number(p['ms_ssim'], 4)} |"
            for p in curve["points"]
        ]
    return lines


def _rates(results: dict[str, Any]) -> list[str]:
    lines = ["| codec | BD-rate, PSNR | BD-rate, MS-SSIM |", "| --- | --- | --- |"]
    rates = sorted(results["bd_rate"], key=lambda rate: rate["psnr"])
    lines += [f"| {r['name']} | {r['psnr']:+.1f} % | {r['ms_ssim']:+.1f} % |" for r in rates]
    return lines


def main() -> None:
    """Rewrite the marked part of README.md."""
    out = Path(sys.argv[1])
    results = json.loads((out / "results.json").read_text())
    text = (ROOT / "README.md").read_text()
    for name, lines in (("kodak", _own(results)), ("bd-rate", _rates(results))):
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, stop, after = rest.partition(f"<!-- /{name} -->")
        if not start or not stop:
            sys.exit(f"README.md has no place for {name}")
        text = before + start + "\n".join(lines) + "\n" + stop + after
    (ROOT / "README.md").write_text(text)
    for kind in ("psnr", "ms-ssim"):
        shutil.copy(out / f"rd-{kind}.png", ROOT / "docs" / f"kodak-{kind}.png")


if __name__ == "__main__":
    main()
