"""Which device is taken, and what runs on a GPU; the tests marked ``gpu`` need one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bitcodec
from bitcodec.models.ladder.context_numpy import agrees
from bitcodec.models.ladder.context_torch import TorchKernels
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.processor import has_bfloat16
from bitcodec.runtime.loaded import load_model, pick_device
from bitcodec.training import processes, run

WEIGHTS = Path(__file__).parents[1] / "weights"
RGB = np.random.default_rng(0).integers(0, 256, (96, 112, 3), np.uint8)


def cuda_devices(monkeypatch: pytest.MonkeyPatch, count: int, *, forked: bool = False) -> None:
    monkeypatch.setattr("bitcodec.runtime.loaded._has_driver", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: forked)


def test_device_names(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_devices(monkeypatch, 2)
    names = ["auto", "cpu", "cuda", "cuda:0", "cuda:1"]
    assert [pick_device(name) for name in names] == ["cuda", "cpu", "cuda", "cuda:0", "cuda:1"]
    with pytest.raises(bitcodec.BitcodecError, match="no CUDA device cuda:2"):
        pick_device("cuda:2")
    cuda_devices(monkeypatch, 2, forked=True)
    assert pick_device("auto") == "cpu"
    with pytest.raises(bitcodec.BitcodecError, match="after a fork"):
        pick_device("cuda")


@pytest.mark.parametrize(
    ("device", "backend", "index"),
    [("cpu", "gloo", None), ("cuda", "nccl", 1), ("auto", "nccl", 1)],
)
def test_processes_of_torchrun(
    monkeypatch: pytest.MonkeyPatch, device: str, backend: str, index: int | None
) -> None:
    """The backend goes with the device that is used, not with one that is there."""
    cuda_devices(monkeypatch, 2)
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    calls: list[Any] = []
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", calls.append)
    place = processes.place(device)
    assert processes.distributed(place) == (1, 2)
    assert place.index == index
    assert calls == ([place] if index is not None else []) + [backend]


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_emulated_bfloat16_is_none(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert has_bfloat16(torch.device("cuda")) == has


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ladder", "sign"])
def test_encoded_on_one_device_and_decoded_on_the_other(name: str) -> None:
    on = {place: load_model(name, device=place) for place in ("cpu", "cuda")}
    for there, back in (("cpu", "cuda"), ("cuda", "cpu")):
        data = bitcodec.encode(RGB, model=on[there], tile=64)
        pixels = [np.asarray(bitcodec.decode(data, model=on[p])).astype(int) for p in (there, back)]
        assert np.abs(pixels[0] - pixels[1]).mean() < 0.1


@pytest.mark.gpu
def test_integers_of_a_gpu_are_those_of_the_reference() -> None:
    """The context model runs on the CPU by itself; on a GPU it must give the same."""
    model = load_model("ladder", device="cuda")
    assert isinstance(model, LadderModel)
    assert agrees(model.context, TorchKernels(model.context, torch.device("cuda")))


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["ladder", "sign"])
def test_training_and_validation_on_a_gpu(tmp_path: Path, family: str) -> None:
    from PIL import Image

    from bitcodec.training.config import load_config

    folder = tmp_path / "data"
    folder.mkdir()
    Image.fromarray(np.tile(RGB, (3, 3, 1))).save(folder / "a.png")
    settings = [f"data.dir={str(folder)!r}", f"data.valid={str(folder)!r}", "data.crop=192"]
    settings += ["data.batch=2", "run.steps=4", "run.valid_every=2", "run.log_every=1"]
    config = load_config(None, (f"family={family}", *settings))
    torch.cuda.reset_peak_memory_stats()
    result = run.train(config, tmp_path / "out", device="cuda", quiet=True)
    assert result.steps == 4
    assert np.isfinite(result.best)
    assert torch.cuda.max_memory_allocated() < 8 << 30
    data = bitcodec.encode(RGB, model=str(tmp_path / "out" / "best.safetensors"), device="cpu")
    assert bitcodec.decode(data, model=str(tmp_path / "out" / "best.safetensors"), device="cuda")
