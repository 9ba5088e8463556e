"""The command line: help, one file, usage, info, models, damage."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

from bitcodec.cli.main import COMMANDS
from bitcodec.errors import BitcodecError
from bitcodec.format import container

Draw = Callable[..., Image.Image]
Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", COMMANDS)
def test_listed_help_is_the_commands_own(name: str) -> None:
    module, attribute, line = COMMANDS[name]
    own = getattr(importlib.import_module(module), attribute)
    assert isinstance(own, click.Command)
    assert own.name == name
    assert (own.help or "").strip().splitlines()[0] == line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    module, attribute, _ = COMMANDS[name]
    own = getattr(importlib.import_module(module), attribute)
    silent = [p.name for p in own.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def test_unknown_command_and_no_command(run: Run) -> None:
    code, _, err = run("compress")
    assert code == 2
    assert "unknown command 'compress' (one of encode, decode" in err
    assert run()[0] == 2
    assert run("encode")[0] == 2


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["encode", "-h"], ["decode", "-h"], ["train", "-h"], ["models"]],
)
def test_torch_is_not_imported(args: list[str]) -> None:
    assert imported(args) == []


def test_info_does_not_import_torch(run: Run, picture: Path) -> None:
    assert run("encode", picture, "p.bin")[0] == 0
    assert imported(["info", str(picture.with_name("p.bin"))]) == []


def imported(args: list[str]) -> list[str]:
    code = (
        "import sys; from bitcodec.cli.main import main; code = main(sys.argv[1:])\n"
        "print(code, *[m for m in ('torch', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    line = [sys.executable, "-c", code, *args]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    code_text, *heavy = done.stderr.splitlines()[-1].split()
    assert code_text == "0", done.stderr
    return heavy


def test_encode_reports_what_ls_says(run: Run, picture: Path, tmp_path: Path) -> None:
    code, out, err = run("encode", "picture.png", "a.bin")
    size = (tmp_path / "a.bin").stat().st_size
    before = picture.stat().st_size
    assert (code, out) == (0, "")
    expected = (
        f"picture.png -> a.bin: {before} -> {size} bytes, {before / size:.2f}:1 of the file, "
        f"{3 * 48 * 32 / size:.2f}:1 of raw RGB, {8 * size / (48 * 32):.4f} bpp, "
    )
    assert err.startswith(expected)
    assert err.count("\n") == 1


def test_json_has_the_same_figures(run: Run, picture: Path, tmp_path: Path) -> None:
    code, out, _ = run("encode", "--json", "picture.png", "a.bin")
    record = json.loads(out)
    size = (tmp_path / "a.bin").stat().st_size
    assert code == 0
    assert record["output_bytes"] == size
    assert record["input_bytes"] == picture.stat().st_size
    assert record["bpp"] == 8 * size / (48 * 32)
    assert record["ratio_raw"] == 3 * 48 * 32 / size
    assert record["numel_ratio"] == 16 * 3 * 2 / (3 * 48 * 32)
    assert (record["input"], record["output"]) == ("picture.png", "a.bin")


def test_round_trip_and_default_names(run: Run, picture: Path, tmp_path: Path) -> None:
    assert run("encode", "picture.png")[0] == 0
    code, _, err = run("decode", "picture.bin", "out.png")
    assert code == 0
    assert "48x32" in err
    with Image.open(tmp_path / "out.png") as image:
        assert (image.size, image.mode) == ((48, 32), "RGB")
    picture.unlink()
    assert run("decode", "picture.bin")[0] == 0
    assert picture.read_bytes() == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize(("suffix", "name"), [("jpg", "JPEG"), ("webp", "WEBP"), ("BMP", "BMP")])
def test_decode_to_other_formats(run: Run, picture: Path, suffix: str, name: str) -> None:
    run("encode", picture, "a.bin")
    assert run("decode", "a.bin", f"out.{suffix}")[0] == 0
    with Image.open(f"out.{suffix}") as image:
        assert (image.format, image.size) == (name, (48, 32))


def test_alpha_does_not_fit_in_jpeg(run: Run, draw: Draw) -> None:
    image = draw()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save("alpha.png")
    assert run("encode", "alpha.png")[0] == 0
    code, _, err = run("decode", "alpha.bin", "out.jpg")
    assert code == 0
    assert "bitcodec: note: alpha.bin: alpha dropped: JPEG has no room for it" in err
    assert run("decode", "-f", "--quiet", "alpha.bin", "out.jpg") == (0, "", "")
    code, _, err = run("decode", "alpha.bin", "out.xbm")
    assert code == 5
    assert err.startswith("bitcodec: error: alpha.bin: cannot be saved as XBM: ")
    assert not Path("out.xbm").exists()


@pytest.mark.parametrize("size", [(1, 1), (17, 5), (16, 16), (33, 64)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_any_size(run: Run, draw: Draw, size: tuple[int, int], mode: str) -> None:
    draw(*size, mode=mode).save("in.png")
    assert run("encode", "in.png", "a.bin")[0] == 0
    assert run("decode", "a.bin", "out.png")[0] == 0
    with Image.open("out.png") as image:
        assert (image.size, image.mode) == (size, mode)


def test_quality_sets_the_size(run: Run, picture: Path) -> None:
    sizes = []
    for quality in (1, 50, 100):
        assert run("encode", "-f", "-q", str(quality), picture, "a.bin")[0] == 0
        sizes.append(os.path.getsize("a.bin"))
    assert sizes == sorted(set(sizes))


def test_size_target_is_kept(run: Run, picture: Path) -> None:
    assert run("encode", "--size", "60", picture, "a.bin")[0] == 0
    assert os.path.getsize("a.bin") <= 60
    code, _, err = run("encode", "--size", "5", picture, "b.bin")
    assert code == 1
    assert err.startswith(f"bitcodec: error: {picture}: ")
    assert not Path("b.bin").exists()


def test_existing_output(run: Run, picture: Path) -> None:
    Path("a.bin").write_bytes(b"precious")
    code, _, err = run("encode", "picture.png", "a.bin")
    assert code == 5
    assert err == "bitcodec: error: picture.png: a.bin exists already (-f overwrites it)\n"
    code, _, err = run("encode", "--skip-existing", "picture.png", "a.bin")
    assert code == 0
    assert "skipped" in err
    assert Path("a.bin").read_bytes() == b"precious"
    assert run("encode", "-f", "picture.png", "a.bin")[0] == 0
    assert Path("a.bin").read_bytes() != b"precious"


def test_quiet_and_verbose(run: Run, picture: Path) -> None:
    assert run("encode", "--quiet", "picture.png", "a.bin") == (0, "", "")
    assert "rate 16" in run("encode", "-v", "picture.png", "b.bin")[2]
    code, _, err = run("encode", "--quiet", "missing.png", "c.bin")
    assert code == 5
    assert err == "bitcodec: error: missing.png: cannot read: no such file or folder\n"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["encode", "-m", "nope", "picture.png"], 4),
        (["encode", "-m", "./nope.safetensors", "picture.png"], 4),
        (["encode", "-m", "text.safetensors", "picture.png"], 4),
        (["encode", "text.png"], 3),
        (["encode", "missing.png"], 5),
        (["decode", "missing.bin"], 5),
        (["decode", "text.png"], 3),
        (["info", "text.png"], 3),
        (["encode", "picture.png", "no/such/folder/x.bin"], 5),
        (["encode", "--max-pixels", "100", "picture.png"], 3),
    ],
)
def test_exit_codes_of_a_single_input(run: Run, picture: Path, args: list[str], code: int) -> None:
    for name in ("text.png", "text.safetensors"):
        Path(name).write_text("neither a picture nor weights, though long enough for a header")
    got, out, err = run(*args)
    assert (got, out) == (code, "")
    assert err.startswith("bitcodec: error: ")
    assert err.count("\n") == 1


def test_a_file_of_unknown_weights(
    run: Run, picture: Path, monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    run("encode", picture, "a.bin")
    monkeypatch.setenv("BITCODEC_WEIGHTS", "")
    model_id = container.read(Path("a.bin").read_bytes()).header.model_id.hex()
    code, _, err = run("decode", "a.bin", "b.png")
    assert code == 4
    assert err.startswith(f"bitcodec: error: a.bin: unknown model id {model_id} ")
    code, out, _ = run("info", "a.bin")
    assert code == 0
    assert "unknown here" in out
    assert run("decode", "-m", tiny_weights, "a.bin", "b.png")[0] == 0


def test_info_shows_every_field(run: Run, picture: Path) -> None:
    run("encode", picture, "a.bin")
    code, out, err = run("info", "a.bin")
    assert (code, err) == (0, "")
    fields = {line.split()[0]: line.split(None, 1)[1] for line in out.splitlines()}
    assert fields["width"] == "48 pixels"
    assert fields["model"] == fields["family"] == "sign"
    assert fields["file_size"] == f"{os.path.getsize('a.bin')} bytes"
    assert fields["numel_ratio"] == str(16 * 3 * 2 / (3 * 48 * 32))
    assert fields["intact"] == "yes"
    record = json.loads(run("info", "--json", "a.bin")[1])
    assert set(record) == {"input", *fields}


def test_info_of_a_damaged_file(run: Run, picture: Path) -> None:
    run("encode", picture, "a.bin")
    data = bytearray(Path("a.bin").read_bytes())
    data[-6] ^= 1
    Path("a.bin").write_bytes(data)
    code, out, err = run("info", "a.bin")
    assert code == 3
    assert "intact        no" in out
    assert err.startswith("bitcodec: error: a.bin: ")
    assert run("info", "a.bin", picture)[0] == 1


def test_models_lists_the_tiny_one_first(run: Run, tiny_weights: Path) -> None:
    code, out, _ = run("models")
    assert code == 0
    assert out.splitlines()[0].split()[:2] == ["sign", "sign"]
    assert out.splitlines()[0].endswith(str(tiny_weights))
    first = json.loads(run("models", "--json")[1].splitlines()[0])
    assert first["config"]["m"] == 16


@pytest.fixture
def coded(run: Run, draw: Draw) -> bytes:
    draw(20, 20).save("in.png")
    assert run("encode", "-q", "30", "in.png", "a.bin")[0] == 0
    return Path("a.bin").read_bytes()


def damaged(data: bytes) -> Iterator[bytes]:
    for length in range(len(data)):
        yield data[:length]
    for index in range(len(data)):
        for flip in (1, 0x80, 0xFF):
            yield data[:index] + bytes([data[index] ^ flip]) + data[index + 1 :]
    yield data + b"\0"


def test_any_damage_is_an_error_and_never_a_picture(coded: bytes) -> None:
    import bitcodec

    for broken in damaged(coded):
        with pytest.raises(BitcodecError):
            bitcodec.decode(broken)


def test_damage_exits_with_3_without_a_traceback(run: Run, coded: bytes) -> None:
    for index in range(0, len(coded), 7):
        for broken in (coded[:index], coded[:index] + b"\xa5\x5a" + coded[index + 2 :]):
            Path("b.bin").write_bytes(broken)
            code, out, err = run("decode", "b.bin", "b.png")
            assert (code, out) == (3, ""), err
            assert err.startswith("bitcodec: error: b.bin: ")
            assert err.count("\n") == 1
            assert not Path("b.png").exists()
