"""Checksums of FITS HDUs (FITS standard 4.0, Section 4.4.2.7 and Appendix J)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np

__all__ = ["ALL_ONES", "UNSET", "encoded_checksum", "file_pieces", "ones_complement_sum"]

ALL_ONES = 0xFFFFFFFF  #: sum of a whole HDU whose CHECKSUM is right
UNSET = "0" * 16  #: value of CHECKSUM while the sum is formed
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


def encoded_checksum(total: int) -> str:
    """Value of CHECKSUM that makes the sum of an HDU all ones.

    Parameters
    ----------
    total : int
        Sum of the HDU while CHECKSUM is `UNSET`.

    Returns
    -------
    str
        16 letters and digits.
    """
    columns = [_letters(byte) for byte in (ALL_ONES - total).to_bytes(4, "big")]
    text = bytes(column[row] for row in range(4) for column in columns)
    return (text[-1:] + text[:-1]).decode("ascii")  # its place in the card is no multiple of four


def _letters(byte: int) -> list[int]:
    """Four letters or digits whose distances from the digit 0 add up to a byte."""
    letters = [ord("0") + byte // 4] * 4
    letters[0] += byte % 4
    while not all(chr(letter).isalnum() for letter in letters):
        for first in (0, 2):
            if not all(chr(letter).isalnum() for letter in letters[first : first + 2]):
                letters[first] += 1
                letters[first + 1] -= 1
    return letters


def file_pieces(file: IO[bytes], begin: int, end: int) -> Iterator[bytes]:
    """Read the bytes from `begin` to `end` of a file, some megabytes at a time; fewer where the file ends before."""
    file.seek(begin)
    while begin < end and (piece := file.read(min(_PIECE, end - begin))):
        begin += len(piece)
        yield piece
