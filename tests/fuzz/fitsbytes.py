"""A FITS file as bytes that can be taken apart, spoilt and put together, without any library's care."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

BLOCK, CARD = 2880, 80


@dataclass
class RawHdu:
    """Cards of a header, without END, and the bytes of its data, without padding."""

    cards: list[bytes] = field(default_factory=list)
    data: bytes = b""

    def keys(self) -> list[str]:
        return [card[:8].decode("latin1").rstrip() for card in self.cards]

    def integer(self, key: str, default: int = 0) -> int:
        for card in self.cards:
            if card[:8].decode("latin1").rstrip() == key:
                try:
                    return int(card[10:].partition(b"/")[0])
                except ValueError:
                    return default
        return default

    def array(self) -> np.ndarray | None:
        """Values of an image, to be changed in a copy; None for a table or no data."""
        kinds = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
        if not self.data or b"XTENSION= 'BINTABLE'" in self.cards[0] or b"'TABLE" in self.cards[0]:
            return None
        kind = np.dtype(kinds.get(self.integer("BITPIX"), "u1"))
        return np.frombuffer(self.data, dtype=kind, count=len(self.data) // kind.itemsize).copy()


def take_apart(content: bytes) -> list[RawHdu]:
    """HDUs of a sound file."""
    hdus, place = [], 0
    while place < len(content):
        hdu = RawHdu()
        while content[place : place + 8] != b"END     ":
            hdu.cards.append(content[place : place + CARD])
            place += CARD
        place = -(-(place + CARD) // BLOCK) * BLOCK
        axes = [hdu.integer(f"NAXIS{axis}") for axis in range(1, hdu.integer("NAXIS") + 1)]
        size = abs(hdu.integer("BITPIX")) // 8 * hdu.integer("GCOUNT", 1) * (hdu.integer("PCOUNT") + prod(axes))
        size = size if axes else 0
        hdu.data = content[place : place + size]
        place += -(-size // BLOCK) * BLOCK
        hdus.append(hdu)
    return hdus


def put_together(hdus: list[RawHdu]) -> bytes:
    """A file of these HDUs, each padded to whole blocks."""
    parts = []
    for hdu in hdus:
        header = b"".join(card[:CARD].ljust(CARD) for card in hdu.cards) + b"END".ljust(CARD)
        parts += [header.ljust(-(-len(header) // BLOCK) * BLOCK), hdu.data]
        parts.append(b"\0" * (-len(hdu.data) % BLOCK))
    return b"".join(parts)


def card(key: str, value: str) -> bytes:
    return f"{key:<8}= {value:>20}".encode("latin1", "replace")[:CARD].ljust(CARD)
