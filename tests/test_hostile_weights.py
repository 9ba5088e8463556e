"""Weights files that are not what they say: one kind of error, no memory for what they claim."""

from __future__ import annotations

import functools
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from bitcodec.errors import WeightsError
from bitcodec.models.base import Model
from bitcodec.models.registry import CONFIG, FAMILY, ID
from bitcodec.models.weights import load_weights, weights_id
from bitcodec.runtime.loaded import open_model

Tensors = dict[str, torch.Tensor]
Refused = Callable[[str, Any, Tensors], str]
SHAPE = {"state": 8, "hidden": 8, "width": 8, "pixels": [4, 4], "blocks": 1}


@pytest.fixture
def ladder(ladder_file: Path) -> Tensors:
    """Tensors that go with SHAPE."""
    tensors: Tensors = load_file(ladder_file)
    return tensors


@pytest.fixture(params=[load_weights, functools.partial(open_model, device="cpu")])
def load(request: pytest.FixtureRequest) -> Callable[[Path], Model]:
    """In torch, and as a command does on a CPU."""
    loader: Callable[[Path], Model] = request.param
    return loader


@pytest.fixture
def refused(tmp_path: Path, load: Callable[[Path], Model]) -> Refused:
    return functools.partial(_refused, load, tmp_path / "hostile.safetensors")


def _refused(
    load: Callable[[Path], Model], path: Path, family: str, config: Any, tensors: Tensors
) -> str:
    """The one line that loading such a file ends with; it takes no memory."""
    text = config if isinstance(config, str) else json.dumps(config)
    name = weights_id(family, text, tensors).hex()
    save_file(tensors, path, {FAMILY: family, CONFIG: text, ID: name})
    tracemalloc.start()
    with pytest.raises(WeightsError) as caught:
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 256 << 20  # the widest claims would be gigabytes
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_configurations(refused: Refused) -> None:
    few = {"g": torch.zeros(1)}
    huge: tuple[Any, ...] = (10**9, 10**30, -1, 2.5, "8", True, None)
    for name in ("state", "hidden", "width", "blocks"):
        for value in huge:
            assert "configuration" in refused("ladder", SHAPE | {name: value}, few)
    for name in ("pixels", "down"):
        for value in ([4], [4, 10**9], [4, -1], [4, 4, 4], ["4", 4], "44", 4, [[4], 4]):
            assert "configuration" in refused("ladder", SHAPE | {name: value}, few)
    for value in (float("nan"), float("inf"), -1, "x", None, 10**400, [1]):
        assert "configuration" in refused("ladder", SHAPE | {"rdo": value}, few)
    for text in ("[]", "3", "null", "{", "[" * 100000, '{"n": 1, "x": 2}'):
        assert "configuration" in refused("ladder", text, few)
        assert "configuration" in refused("sign", text, {"x": torch.zeros(1)})
    for name in ("n", "m", "blocks", "preview", "parents", "activation", "levels", "binarizer"):
        for value in (10**9, -1, 2.5, "x", None, [-2], [5, 0], [[0]], [10**30]):
            assert "configuration" in refused(
                "sign", {"n": 4, "m": 2, name: value}, {"x": torch.zeros(1)}
            )


def test_tensors(refused: Refused, ladder: Tensors) -> None:
    refused("none", {}, ladder)
    assert "missing" in refused("ladder", SHAPE, dict(list(ladder.items())[1:]))
    assert "no tensor" in refused("ladder", SHAPE, ladder | {"more": torch.zeros(1)})
    for name in (
        "transform.g",
        "context.base",
        "context.orders",
        "context.centre",
        "context.compand",
    ):
        empty = torch.zeros(0, dtype=ladder[name].dtype)
        assert "shape" in refused("ladder", SHAPE, ladder | {name: empty})


def test_values(refused: Refused, ladder: Tensors) -> None:
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
        said = refused("ladder", SHAPE, ladder | {key: wrong})
        assert any(word in said for word in ("range", "2**24")), said
    for name in ("context.most", "ranges.up.out"):
        wrong = ladder[name].double()
        assert name in refused("ladder", SHAPE, ladder | {name: wrong})


def test_the_networks_of_a_command(ladder: Tensors, tiny_weights: Path, tmp_path: Path) -> None:
    """What torch does not read, or would read otherwise, is checked on loading too."""
    sign = load_file(tiny_weights), {"n": 4, "m": 16, "activation": "relu"}
    for family, (tensors, config), key, wrong in (
        ("ladder", (ladder, SHAPE), "ranges.up.out", torch.ones(47)),
        ("ladder", (ladder, SHAPE), "ranges.fs.1", torch.full((8,), float("nan"))),
        ("ladder", (ladder, SHAPE), "ranges.up.body.0.a", None),
        ("ladder", (ladder, SHAPE), "ranges.more", torch.ones(1)),
        ("ladder", (ladder, SHAPE), "transform.up.u8.2.dw.bias", torch.full((4,), float("inf"))),
        ("ladder", (ladder, SHAPE), "transform.fa.0.bias", torch.zeros(8, dtype=torch.int8)),
        ("sign", sign, "g_s.0.weight", torch.zeros(16, 4, 5, 6)),
        ("sign", sign, "g_a.0.bias", torch.full((4,), float("nan"))),
        ("sign", sign, "g_a.7.bias", torch.zeros(4)),
    ):
        changed = {k: v for k, v in (tensors | {key: wrong}).items() if v is not None}
        load = functools.partial(open_model, device="cpu")
        assert key in _refused(load, tmp_path / "hostile.safetensors", family, config, changed)
