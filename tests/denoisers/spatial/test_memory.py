"""Memory that is given back during a long pass."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from quietspec.denoisers.spatial.memory import trimmed


def test_all_parts_are_passed_on_in_order():
    assert list(trimmed(iter(range(20)))) == list(range(20))


def in_use() -> int:
    """Pages in memory, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux" or "musl" in os.confstr("CS_GNU_LIBC_VERSION"), reason="needs glibc")
def test_what_is_freed_among_little_that_is_kept_is_given_back():
    kept: list[np.ndarray] = []
    freed: list[np.ndarray] = []

    def parts():
        for part in range(32):
            for _ in range(200):  # 15 MB of arrays that glibc takes from its heap, with small ones between them
                freed.append(np.ones(9000 + 200 * part))
                kept.append(np.ones(100))
            freed.clear()
            yield part

    before = in_use()
    assert sum(trimmed(parts())) == 496
    assert in_use() - before < 2 * sum(array.nbytes for array in kept)
