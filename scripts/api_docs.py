#!/usr/bin/env python3
"""Write docs/api.md from the docstrings of the public names; ``--check`` only compares."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import bitcodec
import bitcodec.pillow
from bitcodec import errors

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
WIDTH = 100
FIRST = ["encode", "decode", "Codec", "read_info", "Info", "load_model", "list_models"]
INTRODUCTION = """# Python

Made from the docstrings by `scripts/api_docs.py`.

`import bitcodec` imports neither torch nor NumPy; names are resolved on first use,
and only what encodes, decodes or loads a model imports torch.
"""


def signature(name: str, item: Any) -> str:
    """``name(arguments) -> result``, with a line for each argument where one line is too wide."""
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(item)))
    text = text.replace("(self, ", "(").replace("(self)", "()")
    text = re.sub(r"<[\w.]*\.(\w+) object at 0x[0-9a-f]+>", r"\1()", text)
    text = f"{name}{text}".removesuffix(" -> None")
    if len(text) <= WIDTH:
        return text
    start, inner, end = re.fullmatch(r"([^(]*\()(.*)(\).*)", text).groups()
    arguments = re.split(r", (?![^\[]*\])", inner)
    return "\n".join((start, *(f"    {argument}," for argument in arguments), end))


def docstring(item: Any) -> str:
    """The docstring with Sphinx roles as plain code, as preformatted text."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"``\1``", inspect.getdoc(item) or "")
    return "```text\n" + text.replace("``", "`") + "\n```"


def entry(name: str, item: Any, level: str = "##") -> list[str]:
    """Heading, signature and docstring, then the methods of a class."""
    out = [f"{level} `{name}`", ""]
    if not (inspect.isclass(item) and dataclasses.is_dataclass(item)):
        out += ["```text", signature(name.rpartition(".")[2], item), "```", ""]
    out += [docstring(item), ""]
    if inspect.isclass(item) and not dataclasses.is_dataclass(item):
        for key, method in vars(item).items():
            if inspect.isfunction(method) and not key.startswith("_"):
                out += entry(f"{name}.{key}", method, level + "#")
    return out


def page() -> str:
    """The whole page."""
    known = set(errors.__all__) | {"__version__"}
    names = FIRST + [name for name in bitcodec.__all__ if name not in known | set(FIRST)]
    out = [INTRODUCTION]
    for name in names:
        out += entry(name, getattr(bitcodec, name))
    out += entry("bitcodec.pillow.register", bitcodec.pillow.register)
    out += ["## Errors", "", "| error | exit code | when |", "| --- | --- | --- |"]
    for name in errors.__all__:
        error = getattr(errors, name)
        line = " ".join((inspect.getdoc(error) or "").split()).replace("``", "`")
        out.append(f"| `{name}({error.__bases__[0].__name__})` | {error.exit_code} | {line} |")
    out += ["", "## Other names", "", "`__version__`: the version of the package, a string."]
    return "\n".join(out) + "\n"


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text("utf-8") == page():
            return 0
        print(f"{PAGE}: out of date; run scripts/api_docs.py")
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
