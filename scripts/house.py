"""Check the house: imports go down, no cycles, short files, short lines of prose.

    scripts/house.py [FOLDER]

FOLDER is a checkout. Imports count wherever they stand: at the top, in functions, for types only.
"""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

# Who may import whom: a folder, or a file at the top, and what it may use beside itself.
BELOW_CODEC = "errors streams files format entropy picture models runtime"
BELOW_API = f"{BELOW_CODEC} codec info"
ARROWS = {
    "errors": "",
    "streams": "errors",
    "files": "errors streams",
    "format": "errors",
    "entropy": "errors",
    "picture": "errors streams files",
    "models": "errors streams files format entropy",
    "runtime": "errors streams files format entropy models",
    "codec": BELOW_CODEC,
    "info": BELOW_CODEC,
    "page": BELOW_CODEC,
    "api": BELOW_API,
    "pillow": f"{BELOW_API} api",
    "training": f"{BELOW_API} api",
    "evaluate": f"{BELOW_API} api",
    "report": f"{BELOW_API} api evaluate",
    "cli": f"{BELOW_API} api pillow page training evaluate report",
    "__main__": "cli",
    # The public names, which are imported when they are asked for; and everyone may ask for them.
    "__init__": f"{BELOW_API} api",
}
WITHOUT_TORCH = ("errors", "streams", "files", "format", "entropy", "picture", "info")
MOST_LINES = 300
MOST_AT_THE_TOP = 8
WIDTH = 100


def modules(package: Path) -> dict[str, Path]:
    """Dotted name below the package to file; a folder's __init__ has the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Names of the package's modules that a file imports; "torch" and others as they are."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SystemExit(f"{path}: a relative import")
            base = node.module or ""
            # `from bitcodec.format import container` imports the module bitcodec.format.container.
            full = [f"{base}.{alias.name}" for alias in node.names]
            names.update(n if n.removeprefix("bitcodec.") in known else base for n in full)
    return {n.removeprefix("bitcodec.") if n != "bitcodec" else "__init__" for n in names}


def check_imports(package: Path) -> list[str]:
    """What is wrong with the arrows between files."""
    known = modules(package)
    graph: dict[str, set[str]] = {}
    wrong = []
    for name, path in known.items():
        own = name.split(".")[0]
        if own not in ARROWS:
            wrong.append(f"{path}: {own} has no place in the house")
            continue
        graph[name] = set()
        for target in imports(path, known):
            other = target.split(".")[0]
            if target in known:
                if target != "__init__":
                    graph[name].add(target)
                    if other != own and other not in ARROWS[own].split():
                        wrong.append(f"{path}: {own} must not import {target}")
            elif other == "torch" and own in WITHOUT_TORCH:
                wrong.append(f"{path}: {own} must not import torch")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        wrong.append("a cycle: " + " -> ".join(error.args[1]))
    return wrong


def check_sizes(package: Path) -> list[str]:
    """Files that are too long, and too many of them at the top."""
    wrong = []
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".js", ".css", ".html"}:
            lines = len(path.read_text("utf-8").splitlines())
            if lines > MOST_LINES:
                wrong.append(f"{path}: {lines} lines are more than {MOST_LINES}")
    top = len(list(package.glob("*.py")))
    if top > MOST_AT_THE_TOP:
        wrong.append(f"{package}: {top} files at the top are more than {MOST_AT_THE_TOP}")
    return wrong


def check_prose(root: Path) -> list[str]:
    """Lines of prose that are too wide; tables, links alone and code blocks may be wider."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=root, capture_output=True, text=True, check=True
    )
    wrong = []
    for name in listed.stdout.splitlines():
        code = False
        for number, line in enumerate((root / name).read_text("utf-8").splitlines(), 1):
            code ^= line.startswith("```")
            free = code or line.startswith("|") or " " not in line.strip("-* ")
            if len(line) > WIDTH and not free:
                wrong.append(f"{name}:{number}: {len(line)} characters are more than {WIDTH}")
    return wrong


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])
    package = root / "bitcodec"
    wrong = check_imports(package) + check_sizes(package)
    if (root / ".git").exists():
        wrong += check_prose(root)
    print("\n".join(wrong) if wrong else "the house is in order")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
