"""Memory that a long pass over a cube frees, given back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["trimmed"]

_EVERY = 8  # parts; to take pages back from the system costs as much as to give them up
Part = TypeVar("Part")


def trimmed(parts: Iterable[Part]) -> Iterator[Part]:
    """Pass on parts of which little is kept, and now and then give back what computing them has freed.

    The little that is kept lies among much that was freed, which the C library would keep for later: after 90,000
    spaxels, more than all that is in use. Only glibc can be asked to give it back; elsewhere nothing is done.

    Parameters
    ----------
    parts : iterable
        Results of tiles, in order.

    Yields
    ------
    object
        The parts.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    for number, part in enumerate(parts):
        yield part
        if trim is not None and number % _EVERY == _EVERY - 1:
            trim(0)
