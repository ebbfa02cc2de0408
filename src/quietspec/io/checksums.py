"""Checksums of FITS HDUs (FITS standard 4.0, Section 4.4.2.7 and Appendix J)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np

__all__ = ["ALL_ONES", "file_pieces", "ones_complement_sum"]

ALL_ONES = 0xFFFFFFFF  #: sum of a whole HDU whose CHECKSUM is right
_PIECE = 2**24  # bytes


def ones_complement_sum(pieces: Iterable[bytes]) -> int:
    """Add 32-bit words in ones' complement arithmetic.

    Parameters
    ----------
    pieces : iterable of bytes
        Consecutive parts of the content, each but the last of a length that 4 divides.

    Returns
    -------
    int
        Between 0 and 2³² − 1.

    Examples
    --------
    >>> ones_complement_sum([bytes([255] * 4), bytes([0, 0, 0, 5])])
    5
    """
    total = 0
    for piece in pieces:
        words = np.frombuffer(piece + b"\0" * (-len(piece) % 4), dtype=">u4")
        total += int(words.sum(dtype=np.uint64))
    while total >> 32:
        total = (total & ALL_ONES) + (total >> 32)
    return total


def file_pieces(file: IO[bytes], begin: int, end: int) -> Iterator[bytes]:
    """Read the bytes from `begin` to `end` of a file, some megabytes at a time; fewer where the file ends before."""
    file.seek(begin)
    while begin < end and (piece := file.read(min(_PIECE, end - begin))):
        begin += len(piece)
        yield piece
