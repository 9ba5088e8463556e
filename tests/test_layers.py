"""Imports go strictly down the floors of docs/architecture.md; 0 and 1 stay free of torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bitcodec

PACKAGE = Path(bitcodec.__file__).parent
FLOORS = (
    {"errors", "files", "format", "entropy"},
    {"picture"},
    {"models"},
    {"info", "codec"},
    {"api", "training", "evaluate", "report", "pillow"},
    {"cli", "__main__"},
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
# Not on a floor: it resolves its names when they are asked for, and imports nothing before.
FACADE = "__init__"
LOW = sorted(FLOORS[0] | FLOORS[1])


def unit(path: Path) -> str:
    """The module or sub-package right below `bitcodec` that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if unit(path) != FACADE)


def imports(tree: ast.AST, path: Path) -> set[str]:
    """Absolute dotted names of everything that a module imports, wherever the statement is."""
    names: set[str] = set()
    package = ["bitcodec", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, node.module] if node.module else start)
            # `from bitcodec import container` imports the module bitcodec.container.
            names.update(
                f"{base}.{alias.name}" if base == "bitcodec" else base for alias in node.names
            )
    return names


def imported_units(path: Path) -> set[str]:
    names = imports(ast.parse(path.read_text("utf-8")), path)
    units = {name.split(".")[1] for name in names if name.startswith("bitcodec.")}
    # What is no module is a name of the facade, as in `from bitcodec import encode`.
    return {
        name for name in units if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
    }


def test_every_module_has_a_floor() -> None:
    assert {unit(path) for path in sources()} <= set(FLOOR)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    own = unit(path)
    higher = {name for name in imported_units(path) if FLOOR[name] > FLOOR[own]}
    assert not higher, f"{own} (floor {FLOOR[own]}) imports {sorted(higher)}"


def test_no_cycles_between_modules_of_one_floor() -> None:
    below: dict[str, set[str]] = {}
    for path in sources():
        below.setdefault(unit(path), set()).update(imported_units(path) - {unit(path)})
    while below:
        free = [name for name, needs in below.items() if not needs & set(below)]
        assert free, f"a cycle among {sorted(below)}"
        for name in free:
            del below[name]


def test_low_floors_do_not_name_torch() -> None:
    for path in sources():
        if FLOOR[unit(path)] <= 1:
            names = imports(ast.parse(path.read_text("utf-8")), path)
            assert not {name.split(".")[0] for name in names} & {"torch", "safetensors"}, path


def test_importing_the_low_floors_does_not_load_torch() -> None:
    files = [path for path in sources() if unit(path) in LOW and path.stem != "__init__"]
    modules = [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in files]
    assert len(modules) > 8
    code = "import sys, bitcodec\n"
    code += f"sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    code += "".join(f"import bitcodec.{name}\n" for name in modules)
    code += "print(sorted(m for m in sys.modules if m.split('.')[0] == 'torch')[:3])"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=PACKAGE.parent,
    )
    assert result.stdout == "[]\n"
