"""``encode --ray``: the same files as without it, on a local cluster of two workers."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from bitcodec.cli.cluster import check_address, run_on_ray
from bitcodec.cli.main import main
from bitcodec.cli.outcome import FileFailure, Output
from bitcodec.errors import BitcodecError

Draw = Callable[..., Image.Image]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra bitcodec[ray])"
)
PICTURES, CORRUPT = 200, ("007x.png", "150x.png")


@pytest.mark.parametrize("address", ["auto", "local", "10.0.0.1:6379", "ray://head-0.x:10001"])
def test_addresses(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize("address", ["photos", "photos/", "ray://", "head", "a.png", ""])
def test_what_is_no_address(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BitcodecError, match="is not an address"):
        check_address(address)
    assert main(["encode", "--ray", address, "-o", "out/"]) == 2
    assert "put --ray last" in capsys.readouterr().err


def test_standard_input_is_refused(capsys: pytest.CaptureFixture[str], tiny_weights: Path) -> None:
    assert main(["encode", "-", "x.bin", "--ray"]) == 2
    assert "standard input" in capsys.readouterr().err


def test_without_ray(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], picture: Path,
    tiny_weights: Path,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["encode", str(picture), "--ray"]) == 1
    assert "pip install 'bitcodec[ray]'" in capsys.readouterr().err
    assert not picture.with_suffix(".bin").exists()


@pytest.fixture(scope="module")
def cluster(tiny_folder: Path) -> Iterator[str]:
    """The address of a Ray cluster with two workers, connected to."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    variables = {"BITCODEC_WEIGHTS": str(tiny_folder), "OMP_NUM_THREADS": "1"}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": variables},
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="module")
def photos(draw: Draw, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 pictures of different sizes, and two that are none."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(PICTURES):
        draw(17 + index % 40, 16 + index % 23).save(folder / f"{index:03}.png")
    for name in CORRUPT:
        (folder / name).write_bytes(b"not a picture")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.usefixtures("tiny_weights")
class TestOnACluster:
    def test_the_same_files_and_errors_and_exit_code(
        self, cluster: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            assert main(["encode", str(photos), "-o", f"{tmp_path}/serial/"]) == 1
        finally:
            torch.set_num_threads(threads)
        serial = capsys.readouterr().err
        assert main(["encode", str(photos), "-o", f"{tmp_path}/ray/", "-j", "2", "--ray"]) == 1
        ray = capsys.readouterr().err
        assert contents(tmp_path / "ray") == contents(tmp_path / "serial")
        assert len(contents(tmp_path / "ray")) == PICTURES
        for report in (serial, ray):
            errors = [line for line in report.splitlines() if line.startswith("bitcodec: error: ")]
            assert [Path(e.split(": ")[2]).name for e in errors] == sorted(CORRUPT)
            assert f"total: {PICTURES} files, {len(CORRUPT)} failed" in report

    def test_killed_and_started_again(
        self, cluster: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        line = [sys.executable, "-m", "bitcodec", "encode", str(photos), "-o", f"{out}/"]
        with subprocess.Popen([*line, "--quiet", "-j", "2", f"--ray={cluster}"]) as process:
            while process.poll() is None and len(list(out.glob("*.bin"))) < 5:
                time.sleep(0.01)
            process.kill()
        there = {path: path.stat().st_mtime_ns for path in out.glob("*.bin")}
        assert 5 <= len(there)
        again = ["encode", str(photos), "-o", f"{out}/", "-j", "2", "--skip-existing", "--ray"]
        assert main(again) == 1  # the corrupt ones
        assert len(list(out.glob("*.bin"))) == PICTURES
        assert {path: path.stat().st_mtime_ns for path in there} == there
        report = capsys.readouterr().err
        assert report.count(": skipped, ") == len(there)

    def test_a_worker_that_dies_fails_its_file_only(self, cluster: str) -> None:
        def task(source: str) -> Output:
            if source == "bad":
                os._exit(1)
            return Output(source.encode())

        sources = ["a", "b", "bad", "c", "d", "e"]
        outcomes = list(run_on_ray(task, sources, 2))
        for source, outcome in zip(sources, outcomes, strict=True):
            if source == "bad":
                assert isinstance(outcome, FileFailure)
                assert "died" in outcome.reason
            else:
                assert outcome == Output(source.encode())
