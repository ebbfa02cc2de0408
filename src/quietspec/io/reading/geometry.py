"""Sizes that FITS headers promise, checked before a library computes with them (FITS standard 4.0, Sections 4, 7, 10).

A size that is negative, no number, or larger than the file can send a library round in circles, far beyond the file,
or out of memory. Only the cards that decide sizes are looked at here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import NoReturn

from quietspec.errors import ReadError

__all__ = ["BLOCK", "CARD", "Geometry", "header_geometry", "read_header"]

BLOCK, CARD = 2880, 80  #: bytes
_HEADER_BLOCKS = 2000  # 72,000 cards; MUSE primary headers hold 1,300
_DAMAGED = "The file is damaged, or its writer at fault: copy it again, or write it anew."

_INTEGER = re.compile(rb" *([+-]?\d{1,18}) *(?:/.*)?")
_LOGICAL = re.compile(rb" *([TF]) *(?:/.*)?")
_TEXT = re.compile(rb" *'((?:[^']|'')*)' *(?:/.*)?")
_BITPIX = (8, 16, 32, 64, -32, -64)
_MOST_AXES = 999
_BINARY_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")
_BINARY_BYTES = {
    "L": 1, "X": 1 / 8, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16,
}  # fmt: skip
_TEXT_FORM = re.compile(r"[AIFED](\d+)")


@dataclass(frozen=True)
class Geometry:
    """Where an HDU lies in the file, and how large it is.

    Parameters
    ----------
    name : str
        EXTNAME in upper case; without it, ``PRIMARY`` for the first HDU and empty for others.
    kind : str
        XTENSION, ``IMAGE`` for a primary HDU; ``COMPRESSED`` for an image in a table (Section 10.1).
    shape : tuple of int
        Axes in numpy's order; of the image itself where it is compressed.
    itemsize : int
        Bytes per value.
    start : int
        First byte of the header.
    data : int
        First byte of the data.
    size : int
        Bytes of data, without padding.
    working : int
        Bytes that no reading can do without: one tile of a compressed image.
    packing : str
        How a compressed image is packed, such as ``RICE_1``; empty if it is not.
    checksums : tuple of (str or None, str or None)
        CHECKSUM and DATASUM.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    itemsize: int
    start: int
    data: int
    size: int
    working: int = 0
    packing: str = ""
    checksums: tuple[str | None, str | None] = (None, None)

    @property
    def end(self) -> int:
        """First byte after the padded data."""
        return self.data + ceil(self.size / BLOCK) * BLOCK

    @property
    def unpacked(self) -> int:
        """Bytes of all values when read."""
        return self.itemsize * prod(self.shape) if self.shape else 0


def read_header(first: bytes, read: Callable[[int], bytes]) -> bytes | None:
    """Read a header to its END card.

    Parameters
    ----------
    first : bytes
        Its first block.
    read : callable
        Returns the next so many bytes, fewer at the end.

    Returns
    -------
    bytes or None
        Whole blocks; None if there is no END within a sane number of cards.
    """
    blocks = [first]
    while len(blocks[-1]) == BLOCK:
        if any(blocks[-1][i : i + 8] == b"END     " for i in range(0, BLOCK, CARD)):
            return b"".join(blocks)
        if len(blocks) == _HEADER_BLOCKS:
            return None
        blocks.append(read(BLOCK))
    return None


def header_geometry(header: bytes, start: int, where: str) -> Geometry:
    """Work out the size of an HDU from its header.

    Parameters
    ----------
    header : bytes
        Whole blocks, with the END card.
    start : int
        Where it begins in the file.
    where : str
        The file and HDU, for messages.

    Returns
    -------
    Geometry
        Of an HDU that is consistent in itself.

    Raises
    ------
    ReadError
        If a card that decides sizes is missing, or has an impossible value.
    """
    cards = _Cards(header, where)
    kind = _kind(cards, start)
    bitpix = cards.integer("BITPIX")
    if bitpix not in _BITPIX:
        cards.refuse("BITPIX", f"expected one of {', '.join(map(str, _BITPIX))}")
    shape = cards.shape("NAXIS")
    groups, parameters = cards.integer("GCOUNT", 1), cards.integer("PCOUNT", 0)
    if groups < 1:
        cards.refuse("GCOUNT", "expected 1 or more")
    if parameters < 0:
        cards.refuse("PCOUNT", "expected 0 or more")
    grouped = shape[1:] if cards.logical("GROUPS") and shape and shape[-1] == 0 else None
    axes = shape if grouped is None else shape[:-1]
    size = abs(bitpix) // 8 * groups * (parameters + (prod(axes) if axes else 0))
    found = Geometry(
        name=cards.text("EXTNAME").strip().upper() or ("" if start else "PRIMARY"),
        kind=kind,
        shape=shape,
        itemsize=abs(bitpix) // 8,
        start=start,
        data=start + len(header),
        size=size,
        checksums=(cards.text("CHECKSUM") or None, cards.text("DATASUM") or None),
    )
    if kind in ("BINTABLE", "TABLE"):
        return _table(cards, found)
    return found


def _kind(cards: _Cards, start: int) -> str:
    if start > 0:
        return cards.text("XTENSION").strip() or cards.refuse("XTENSION", "expected the kind of HDU")
    if not cards.logical("SIMPLE"):
        cards.refuse("SIMPLE", "expected T: the file itself says that it does not follow the FITS standard")
    return "IMAGE"


def _table(cards: _Cards, found: Geometry) -> Geometry:
    """Check the columns of a table; take a compressed image for what it is."""
    if len(found.shape) != 2 or found.itemsize != 1:
        cards.refuse("NAXIS", f"expected a {found.kind} of two axes of bytes")
    rows, width = found.shape
    number = cards.integer("TFIELDS")
    if not 0 <= number <= _MOST_AXES:
        cards.refuse("TFIELDS", f"expected 0 to {_MOST_AXES}")
    columns = range(1, number + 1)
    measure = _binary_width if found.kind == "BINTABLE" else _text_end
    widths = [measure(cards, column) for column in columns]
    filled = sum(widths) if found.kind == "BINTABLE" else max(widths, default=0)
    if filled > width or (found.kind == "BINTABLE" and filled < width):
        cards.refuse("NAXIS1", f"the {number} columns take {filled} bytes per row")
    return _compressed(cards, found, rows) if found.kind == "BINTABLE" and cards.logical("ZIMAGE") else found


def _binary_width(cards: _Cards, column: int) -> int:
    key = f"TFORM{column}"
    form = _BINARY_FORM.match(cards.text(key).strip())
    if form is None:
        return cards.refuse(key, "expected the format of a column")
    repeat = int(form[1] or 1)
    if form[2] in "PQ" and repeat > 1:
        cards.refuse(key, "an array of variable length stands once per row")
    return ceil(repeat * _BINARY_BYTES[form[2]])


def _text_end(cards: _Cards, column: int) -> int:
    key = f"TFORM{column}"
    form = _TEXT_FORM.match(cards.text(key).strip())
    begin = cards.integer(f"TBCOL{column}")
    if form is None or begin < 1:
        return cards.refuse(key if form is None else f"TBCOL{column}", "expected the format and place of a column")
    return begin - 1 + int(form[1])


def _compressed(cards: _Cards, found: Geometry, rows: int) -> Geometry:
    bitpix = cards.integer("ZBITPIX")
    if bitpix not in _BITPIX:
        cards.refuse("ZBITPIX", f"expected one of {', '.join(map(str, _BITPIX))}")
    shape = cards.shape("ZNAXIS")
    default = [*(1 for _ in shape[1:]), *shape[-1:]]  # one line
    tile = [
        cards.integer(f"ZTILE{axis}", length) for axis, length in zip(range(len(shape), 0, -1), default, strict=True)
    ]
    for axis, length in zip(range(len(shape), 0, -1), tile, strict=True):
        if length < 1:
            cards.refuse(f"ZTILE{axis}", "expected 1 or more")
    tiles = prod(ceil(whole / part) for whole, part in zip(shape, tile, strict=True))
    if tiles != rows and shape:
        cards.refuse("NAXIS2", f"the image of {' × '.join(map(str, shape))} has {tiles} tiles, one per row")
    packing = cards.text("ZCMPTYPE").strip().upper()
    if not packing:
        cards.refuse("ZCMPTYPE", "expected the name of a compression")
    working = 8 * prod(min(pair) for pair in zip(shape, tile, strict=True))
    return replace(found, kind="COMPRESSED", shape=shape, itemsize=abs(bitpix) // 8, working=working, packing=packing)


class _Cards:
    """Values of a header's cards, of which the first of each keyword counts."""

    def __init__(self, header: bytes, where: str) -> None:
        self._where = where
        self._fields: dict[str, bytes] = {}
        for i in range(0, len(header), CARD):
            card = header[i : i + CARD]
            if card[8:10] == b"= ":
                self._fields.setdefault(card[:8].decode("latin1").rstrip(), card[10:])

    def integer(self, key: str, default: int | None = None) -> int:
        """Whole number; `default` where the card is missing."""
        if key not in self._fields and default is not None:
            return default
        return int(self._value(_INTEGER, key, "expected a whole number"))

    def logical(self, key: str) -> bool:
        """Truth; False where the card is missing."""
        return key in self._fields and self._value(_LOGICAL, key, "expected T or F") == b"T"

    def text(self, key: str) -> str:
        """Text; empty where the card is missing or holds none."""
        found = _TEXT.fullmatch(self._fields.get(key, b""))
        return found[1].decode("latin1").rstrip() if found else ""

    def shape(self, key: str) -> tuple[int, ...]:
        """Lengths of the axes, in numpy's order."""
        number = self.integer(key)
        if not 0 <= number <= _MOST_AXES:
            self.refuse(key, f"expected 0 to {_MOST_AXES} axes")
        lengths = tuple(self.integer(f"{key}{axis}") for axis in range(number, 0, -1))
        for axis, length in zip(range(number, 0, -1), lengths, strict=True):
            if length < 0:
                self.refuse(f"{key}{axis}", "expected 0 or more")
        return lengths

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise `ReadError` for the value of a card."""
        field = self._fields.get(key, b"").decode("latin1").partition("/")[0].strip()
        raise ReadError(f"{self._where}: header card {key} = {field or 'missing'}: {why}. {_DAMAGED}")

    def _value(self, form: re.Pattern[bytes], key: str, expected: str) -> bytes:
        found = form.fullmatch(self._fields.get(key, b""))
        return found[1] if found else self.refuse(key, expected)
