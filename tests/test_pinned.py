"""Coded integers are the same whatever a caller has set in torch, and that stays as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bitcodec
from bitcodec.errors import BitcodecError
from bitcodec.models.ladder.context_torch import TorchKernels, _Matrix
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.pinned import fork_safe_lock, pinned
from bitcodec.models.weights import load_weights, save_weights

# torch says so where its own context manager restores what it found.
pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN:UserWarning")

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
RGB[:, 20:] = 200


@pytest.fixture(scope="module")
def files(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Weights of both families, trunks and context not zero."""
    path = tmp_path_factory.mktemp("pinned") / "ladder.safetensors"
    from bitcodec.models.ladder.config import LadderConfig
    from bitcodec.models.ladder.context_float import Context
    from bitcodec.models.ladder.quantize import export_context

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = LadderConfig(state=16, hidden=8, width=16, pixels=(4, 4), blocks=1)
        model, context = LadderModel(config), Context(config)
        with torch.no_grad():
            for parameter in (*model.transform.parameters(), *context.parameters()):
                parameter.add_(0.02 * torch.randn_like(parameter))
        model.context = export_context(context)
        save_weights(model, path)
    return [path, tiny_folder / "sign.safetensors"]


def coded(path: Path, effort: int = 5, **options: Any) -> tuple[bytes, bytes]:
    """A file and its pixels, by a model that is loaded here and now."""
    model = load_weights(path)
    data = bitcodec.encode(RGB, model=model, effort=effort, tile=32, **options)
    return data, bitcodec.decode(data, model=model).tobytes()


@contextlib.contextmanager
def as_set(restore: Callable[[Any], None], before: Any, value: Any) -> Iterator[None]:
    restore(value)
    try:
        yield
    finally:
        restore(before)


def _attribute(owner: Any, name: str, value: Any) -> Any:
    return as_set(lambda v: setattr(owner, name, v), getattr(owner, name), value)


def settings() -> dict[str, Callable[[], Any]]:
    """Everything in torch that a caller may have set."""
    found: dict[str, Callable[[], Any]] = {
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "autocast float16": lambda: torch.autocast("cpu", torch.float16),
        "inference": torch.inference_mode,
        "no_grad": torch.no_grad,
        "meta": lambda: torch.device("meta"),
        "float64": lambda: as_set(torch.set_default_dtype, torch.float32, torch.float64),
        "bfloat16": lambda: as_set(torch.set_default_dtype, torch.float32, torch.bfloat16),
        "deterministic": lambda: as_set(torch.use_deterministic_algorithms, False, True),
        "denormal": lambda: as_set(torch.set_flush_denormal, False, True),
        "no oneDNN": lambda: torch.backends.mkldnn.flags(enabled=False),
        "no NNPACK": lambda: torch.backends.nnpack.flags(enabled=False),
    }
    for value in ("high", "medium"):
        found[f"products {value}"] = lambda v=value: as_set(  # type: ignore[misc]
            torch.set_float32_matmul_precision, "highest", v
        )
    mkldnn: Any = torch.backends.mkldnn
    if hasattr(mkldnn, "matmul"):
        for name in ("matmul", "conv"):
            for value in ("bf16", "tf32"):
                found[f"oneDNN {name} {value}"] = lambda n=name, v=value: _attribute(  # type: ignore[misc]
                    getattr(mkldnn, n), "fp32_precision", v
                )
    return found


@pytest.mark.parametrize("name", settings())
def test_whatever_is_set(files: list[Path], name: str) -> None:
    for path in files:
        wanted = coded(path)
        with settings()[name]():
            assert coded(path) == wanted
            other = bitcodec.decode(wanted[0], model=load_weights(path))
        assert other.tobytes() == wanted[1]


@pytest.mark.parametrize("name", ["inference", "no_grad", "autocast", "products medium", "meta"])
@pytest.mark.parametrize("effort", [7, 9])
def test_efforts_that_need_gradients(files: list[Path], name: str, effort: int) -> None:
    wanted = coded(files[0], effort)
    assert wanted[0] != coded(files[0], 5)[0]
    with settings()[name]():
        assert coded(files[0], effort) == wanted


@pytest.mark.parametrize("name", settings())
def test_settings_stay(files: list[Path], name: str) -> None:
    def seen() -> list[Any]:
        mkldnn: Any = torch.backends.mkldnn
        new = [mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision]
        return [
            torch.is_autocast_enabled("cpu"),
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.get_rng_state().tolist(),
            *(new if hasattr(mkldnn, "matmul") else [torch.get_float32_matmul_precision()]),
        ]

    with settings()[name](), torch.device("cpu"):
        before = seen()
        coded(files[0], 7)
        assert seen() == before


def test_threads_that_come_and_go(files: list[Path]) -> None:
    """The precision of products is a setting of the process: it returns with the last thread."""
    model = load_weights(files[0])
    wanted = bitcodec.encode(RGB, model=model)
    with settings()["products medium"](), ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda _: bitcodec.encode(RGB, model=model), range(12)))
        assert torch.get_float32_matmul_precision() == "medium"
        with pinned():
            inside = threading.Thread(target=lambda: bitcodec.encode(RGB, model=model))
            inside.start()
            inside.join()
            a = torch.full((64, 64), 1 + 2**-20)
            assert torch.equal(a @ torch.eye(64), a)
    assert many == [wanted] * 12


@pytest.mark.parametrize("count", [1, 2])
def test_number_of_threads(files: list[Path], count: int) -> None:
    wanted = [coded(path) for path in files]
    with as_set(torch.set_num_threads, torch.get_num_threads(), count):
        assert [coded(path) for path in files] == wanted


def test_random_numbers_are_left_alone(files: list[Path]) -> None:
    for path in files:
        before = torch.get_rng_state()
        load_weights(path)
        assert torch.equal(torch.get_rng_state(), before)


def test_a_model_of_inference_mode_can_search(files: list[Path]) -> None:
    with torch.inference_mode():
        model = load_weights(files[0])
    assert not any(p.is_inference() for p in (*model.parameters(), *model.buffers()))
    assert bitcodec.encode(RGB, model=model, effort=8)


def test_the_self_test_finds_wrong_sums(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where float32 is wrong float64 takes its place; where that is, nothing is coded."""
    wanted = coded(files[0])
    right = _Matrix.rows
    kinds: list[torch.dtype] = [torch.float32]

    def wrong(self: _Matrix, a: torch.Tensor) -> torch.Tensor:
        return right(self, a) + (1 if self.weight.dtype in kinds else 0)

    monkeypatch.setattr(_Matrix, "rows", wrong)
    model = load_weights(files[0])
    assert bitcodec.encode(RGB, model=model, tile=32) == wanted[0]
    assert isinstance(model, LadderModel)
    kernels = model.latent_coder().kernels
    assert isinstance(kernels, TorchKernels)
    assert kernels.emb[0].weight.dtype == torch.float64
    kinds.append(torch.float64)
    with pytest.raises(BitcodecError, match="computes integers wrongly"):
        bitcodec.encode(RGB, model=load_weights(files[0]))


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_fork_works(files: list[Path]) -> None:
    """Threads of OpenMP do not come along, and were waited for forever."""
    with as_set(torch.set_num_threads, torch.get_num_threads(), 2):
        a = torch.ones(1500, 1500)
        (a @ a).relu_().exp_()  # have both threads started
        models = [load_weights(path) for path in files]
        large = np.tile(RGB, (8, 8, 1))
        wanted = [bitcodec.encode(large, model=model) for model in models]
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                again = [bitcodec.encode(large, model=model) for model in models]
                for data, model in zip(again, models, strict=True):
                    bitcodec.decode(data, model=model)
                code = 0 if again == wanted and torch.get_num_threads() == 2 else 2
            os._exit(code)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert status == 0
                return
            time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_lock_that_is_held_is_open_in_a_child() -> None:
    lock = fork_safe_lock()
    with lock:
        child = os.fork()
        if not child:
            os._exit(0 if lock.acquire(timeout=5) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert lock.locked()
