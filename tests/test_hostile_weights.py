"""Weights files that are not what they say: one kind of error, no memory for what they claim."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bitcodec.errors import WeightsError
from bitcodec.models.registry import CONFIG, FAMILY, ID
from bitcodec.models.weights import load_weights, weights_id

Tensors = dict[str, torch.Tensor]
SHAPE = {"state": 8, "hidden": 8, "width": 8, "pixels": [4, 4], "blocks": 1}


@pytest.fixture
def ladder(ladder_file: Path) -> Tensors:
    """Tensors that go with SHAPE."""
    tensors: Tensors = load_file(ladder_file)
    return tensors


def refused(folder: Path, family: str, config: Any, tensors: Tensors) -> str:
    """The one line that loading such a file ends with; it takes no memory."""
    text = config if isinstance(config, str) else json.dumps(config)
    name = weights_id(family, text, tensors).hex()
    path = folder / "hostile.safetensors"
    save_file(tensors, path, {FAMILY: family, CONFIG: text, ID: name})
    tracemalloc.start()
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 << 20  # the widest claims would be gigabytes
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_configurations(tmp_path: Path) -> None:
    few = {"g": torch.zeros(1)}
    huge: tuple[Any, ...] = (10**9, 10**30, -1, 2.5, "8", True, None)
    for name in ("state", "hidden", "width", "blocks", "gain_terms"):
        for value in huge:
            assert "configuration" in refused(tmp_path, "ladder", SHAPE | {name: value}, few)
    for name in ("pixels", "down"):
        for value in ([4], [4, 10**9], [4, -1], [4, 4, 4], ["4", 4], "44", 4, [[4], 4]):
            assert "configuration" in refused(tmp_path, "ladder", SHAPE | {name: value}, few)
    for value in (float("nan"), float("inf"), -1, "x", None, 10**400, [1]):
        assert "configuration" in refused(tmp_path, "ladder", SHAPE | {"rdo": value}, few)
    for text in ("[]", "3", "null", "{", "[" * 100000, '{"n": 1, "x": 2}'):
        assert "configuration" in refused(tmp_path, "ladder", text, few)
        assert "configuration" in refused(tmp_path, "sign", text, {"x": torch.zeros(1)})
    for name in ("n", "m", "blocks", "preview", "parents", "activation", "levels", "binarizer"):
        for value in (10**9, -1, 2.5, "x", None, [-2], [5, 0], [[0]], [10**30]):
            assert "configuration" in refused(
                tmp_path, "sign", {"n": 4, "m": 2, name: value}, {"x": torch.zeros(1)}
            )


def test_tensors(tmp_path: Path, ladder: Tensors) -> None:
    refused(tmp_path, "none", {}, ladder)
    assert "missing" in refused(tmp_path, "ladder", SHAPE, dict(list(ladder.items())[1:]))
    assert "no tensor" in refused(tmp_path, "ladder", SHAPE, ladder | {"more": torch.zeros(1)})
    for name in (
        "transform.g",
        "context.base",
        "context.orders",
        "context.centre",
        "context.compand",
    ):
        empty = torch.zeros(0, dtype=ladder[name].dtype)
        assert "shape" in refused(tmp_path, "ladder", SHAPE, ladder | {name: empty})


def test_values(tmp_path: Path, ladder: Tensors) -> None:
    for name, value in (
        ("orders", 16),
        ("orders", 255),
        ("compand", 128),
        ("centre", 2**31 - 1),
        ("centre", -(2**31)),
        ("most", 128),
        ("most", 0),
        ("probability", 65536),
        ("shift", 5),
        ("heads.0.a.scale", -1.0),
        ("heads.0.a.scale", float("nan")),
        ("emb.3.scale", float("inf")),
        ("heads.0.dw.bias", -(2**31)),
        ("base", 2**31 - 1),
    ):
        key = f"context.{name}"
        wrong = ladder[key].clone().fill_(value)
        said = refused(tmp_path, "ladder", SHAPE, ladder | {key: wrong})
        assert any(word in said for word in ("range", "2**24")), said
    for name in ("context.most", "ranges.up.out"):
        wrong = ladder[name].double()
        assert name in refused(tmp_path, "ladder", SHAPE, ladder | {name: wrong})
