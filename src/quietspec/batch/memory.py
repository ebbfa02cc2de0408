"""How a worker's C library deals with memory that is freed."""

from __future__ import annotations

import ctypes
from functools import lru_cache

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # options of mallopt(3), from glibc's malloc.h
_KEPT, _MAPPED = 2**28, 2**25  # bytes: most freed memory to keep; size from which arrays are mapped one by one


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Undo the MALLOC_TRIM_THRESHOLD_ of Dask's workers.

    It makes every array take new pages from the kernel and doubles the time per cube. Where the C library is not glibc
    there is nothing to undo.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _MAPPED)
