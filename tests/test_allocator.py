"""Memory that was freed stays with the process, to be used again."""

import os
import platform
import subprocess
import sys

import pytest

from bitcodec.cli.allocator import keep_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc" and sys.platform == "linux"
SIZE = 2**26  # beyond glibc's own largest threshold
PROGRAM = f"""
import ctypes, resource, sys
from pathlib import Path
from bitcodec.cli.allocator import keep_freed_memory
from bitcodec.cli.process import claim_process
if sys.argv[1] == "keep":
    claim_process()
assert keep_freed_memory() == (sys.argv[1] == "keep")
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
library = ctypes.CDLL(None)
library.malloc.argtypes, library.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
library.free.argtypes = (ctypes.c_void_p,)
before = resident()
block = library.malloc({SIZE})
ctypes.memset(block, 1, {SIZE})
assert resident() - before > 0.9 * {SIZE}
library.free(block)
print(resident() - before)
"""


def kept(argument: str) -> int:
    line = [sys.executable, "-c", PROGRAM, argument]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=plain)
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="of glibc only")
def test_freed_memory_is_kept() -> None:
    assert kept("not") < 0.1 * SIZE
    assert kept("keep") > 0.9 * SIZE


@pytest.mark.skipif(GLIBC, reason="of other C libraries")
def test_elsewhere_nothing_is_done() -> None:
    assert not keep_freed_memory()
