"""The registry reads headers of weights files, whatever they hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bitcodec.errors import UnknownModelError, WeightsError
from bitcodec.models import registry

ID = "0123456789abcdef"


def weights_file(path: Path, model_id: str = ID, config: str = '{"m": 4}', **more: str) -> Path:
    metadata = {"bitcodec.family": "sign", "bitcodec.id": model_id, "bitcodec.config": config}
    return raw_file(path, {"__metadata__": {**metadata, **more}})


def raw_file(path: Path, header: Any) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that is searched."""
    monkeypatch.setattr(registry, "weights_folders", lambda: (tmp_path,))
    return tmp_path


def test_entry_has_what_the_header_says(folder: Path) -> None:
    path = weights_file(folder / "small.safetensors")
    expected = registry.ModelEntry(
        "small", path, "sign", bytes.fromhex(ID), {"m": 4}, path.stat().st_size
    )
    assert registry.list_models() == (expected,)
    assert registry.find_by_name("small") == expected
    assert registry.find_by_name(path) == expected
    assert registry.find_by_id(bytes.fromhex(ID)) == expected


def test_a_real_weights_file_agrees_with_the_loader(tiny_weights: Path) -> None:
    from bitcodec.models.weights import load_weights

    entry, model = registry.find_by_name("sign"), load_weights(tiny_weights)
    assert entry.path == tiny_weights
    assert (entry.model_id, entry.family, entry.name) == (model.model_id, model.family, model.name)
    assert entry.config["m"] == model.config.m == 16


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a safetensors file"),
        (b"\x01", "not a safetensors file"),
        (b"\xff" * 100, "not a safetensors file"),
        ((90).to_bytes(8, "little") + b"{" * 90, "not a safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "not a weights file of bitcodec"),
        ((2).to_bytes(8, "little") + b"{}", "not a weights file of bitcodec"),
        ((22).to_bytes(8, "little") + b'{"__metadata__": "no"}', "not a weights file of bitcodec"),
    ],
)
def test_foreign_files_are_refused(folder: Path, content: bytes, reason: str) -> None:
    path = folder / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        registry.read_entry(path)
    with pytest.raises(WeightsError, match=reason):
        registry.find_by_name("bad")
    assert registry.list_models() == ()
    assert [p for p, _ in registry.scan()[1]] == [path]


@pytest.mark.parametrize("model_id", ["", "0123", ID.upper(), ID + "00", "x" * 16])
def test_bad_ids_are_refused(folder: Path, model_id: str) -> None:
    path = weights_file(folder / "bad.safetensors", model_id)
    with pytest.raises(WeightsError, match=r"bitcodec\.id"):
        registry.read_entry(path)


@pytest.mark.parametrize("config", ["", "[]", "{", "3"])
def test_bad_configurations_are_refused(folder: Path, config: str) -> None:
    path = weights_file(folder / "bad.safetensors", config=config)
    with pytest.raises(WeightsError, match=r"bitcodec\.config"):
        registry.read_entry(path)


def test_first_folder_wins_by_name_and_every_id_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path, model_id in ((first, ID), (second, "f" * 16)):
        path.mkdir()
        weights_file(path / "same.safetensors", model_id)
    weights_file(second / "copy.safetensors", ID)
    monkeypatch.setattr(registry, "weights_folders", lambda: (first, second, second))
    assert registry.find_by_name("same").path.parent == first
    assert registry.find_by_id(bytes.fromhex("f" * 16)).path.parent == second
    names = [(entry.path.parent.name, entry.name) for entry in registry.list_models()]
    assert names == [("first", "same"), ("second", "copy"), ("second", "same")]


def test_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITCODEC_WEIGHTS", f"{tmp_path}:/nowhere")
    assert registry.weights_folders()[:2] == (tmp_path, Path("/nowhere"))
    monkeypatch.setenv("BITCODEC_WEIGHTS", "")
    assert Path("/nowhere") not in registry.weights_folders()


def test_unknown_model_names_the_known_ones(folder: Path) -> None:
    weights_file(folder / "small.safetensors")
    with pytest.raises(UnknownModelError, match=f"unknown model 'large' .known: small {ID}"):
        registry.find_by_name("large")
    with pytest.raises(UnknownModelError, match=f"unknown model id {'e' * 16} .known: small"):
        registry.find_by_id(bytes.fromhex("e" * 16))
    with pytest.raises(UnknownModelError, match="no weights file .*missing"):
        registry.find_by_name(folder / "missing.safetensors")


def test_no_models_names_the_variable(folder: Path) -> None:
    with pytest.raises(UnknownModelError, match="BITCODEC_WEIGHTS"):
        registry.find_by_name("sign")


def test_withdrawn_weights_are_named(folder: Path) -> None:
    (folder / "withdrawn.json").write_text(json.dumps({ID: "sign of 0.1.0; use 0.1.0"}))
    with pytest.raises(UnknownModelError, match=f"withdrawn weights {ID}: sign of 0.1.0; use"):
        registry.find_by_id(bytes.fromhex(ID))
    weights_file(folder / "kept.safetensors")  # who still has the file can decode
    assert registry.find_by_id(bytes.fromhex(ID)).name == "kept"


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_damaged_withdrawn_list(folder: Path, content: str) -> None:
    (folder / "withdrawn.json").write_text(content)
    with pytest.raises(WeightsError, match=r"withdrawn\.json"):
        registry.find_by_id(bytes.fromhex(ID))


def test_shipped_files_are_in_order() -> None:
    assert all(len(key) == 16 for key in registry.withdrawn())
    assert registry.scan()[1] == ()


def test_registry_does_not_import_torch() -> None:
    code = "import sys, bitcodec; bitcodec.list_models(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
