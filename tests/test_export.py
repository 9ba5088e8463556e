"""``bitcodec export``: from what training left to weights that code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import bitcodec
from bitcodec.models.registry import read_entry
from bitcodec.models.weights import build, save_weights

Run = Callable[..., tuple[int, str, str]]
SHAPE = {"state": 8, "hidden": 8, "width": 8, "pixels": [4, 4], "blocks": 1}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "more"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (70, 80, 3)).astype(np.uint8)).save(folder / "a.png")
    Image.new("RGB", (8, 8)).save(folder / "small.png")
    (folder / "b.jpg").write_bytes(b"none")
    return folder.parent


@pytest.mark.parametrize(
    ("stored", "config", "family"),
    [("ladder-float", SHAPE, "ladder"), ("sign", {"n": 4, "m": 8}, "sign")],
)
def test_trained_weights_become_such_that_code(
    run: Run, photos: Path, tmp_path: Path, stored: str, config: dict[str, object], family: str
) -> None:
    torch.manual_seed(0)
    trained, first = tmp_path / "best-float.safetensors", tmp_path / "first.safetensors"
    save_weights(build(stored, config), trained)
    code, _, err = run("export", trained, first, "--data", photos)
    assert code == 0, err
    entry = read_entry(first)
    assert entry.family == family
    assert f"id {entry.model_id.hex()}, calibrated on 1 pictures" in err
    assert f"skipped {photos / 'more' / 'b.jpg'}" in err
    picture = photos / "more" / "a.png"
    if stored != family:
        code, _, err = run("encode", "-m", trained, picture, tmp_path / "a.bin")
        assert code == 4
        assert "bitcodec export" in err
    data = bitcodec.encode(picture, model=str(first), device="cpu")
    assert bitcodec.decode(data, model=str(first), device="cpu").size == (80, 70)
    # Once more, from what was exported: nothing is lost but rounding.
    assert (
        run("export", first, tmp_path / "second.safetensors", "--data", photos, "--quiet")[0] == 0
    )
    again = bitcodec.encode(picture, model=str(tmp_path / "second.safetensors"), device="cpu")
    assert abs(len(again) - len(data)) <= 0.02 * len(data)


def test_what_it_refuses(run: Run, photos: Path, tmp_path: Path, tiny_weights: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out.safetensors"
    for code, words in (
        (2, ["export", tiny_weights, out]),
        (4, ["export", "nothing", out, "--data", photos]),
        (5, ["export", tiny_weights, out, "--data", tmp_path / "none"]),
        (5, ["export", tiny_weights, out, "--data", tmp_path / "empty"]),
        (3, ["export", tiny_weights, out, "--data", photos / "more" / "small.png"]),
        (5, ["export", tiny_weights, tmp_path / "no" / "out", "--data", photos]),
    ):
        found, _, err = run(*words)
        assert found == code, err
        assert "bitcodec: error:" in err
        assert not out.exists()
    out.write_bytes(b"kept")
    assert run("export", tiny_weights, out, "--data", photos)[0] == 5
    assert out.read_bytes() == b"kept"
    assert run("export", tiny_weights, out, "--data", photos, "-f")[0] == 0
