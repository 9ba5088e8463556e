"""Have the C library keep freed memory.

glibc asks the system for every large block and gives it back when it is freed. Each layer makes and
frees tensors, so the system clears their pages again and again. That takes a tenth of the time of
a large picture.
"""

from __future__ import annotations

import ctypes
import sys

from bitcodec.cli.process import is_ours

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 2**30  # bytes


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, for as long as this process runs.

    For processes that are ours: the commands and their workers. What a program does that uses
    the package as a library is its own business. The peak may grow by a fifth.

    Returns:
        Whether that was done: only with glibc, and in a process of ours.
    """
    if not is_ours() or not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - others have a mallopt that does nothing
        mallopt = library.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    both = (mallopt(_M_MMAP_THRESHOLD, _LARGEST), mallopt(_M_TRIM_THRESHOLD, _LARGEST))
    return all(both)
