"""Whether a FITS file has the checksums that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from quietspec.errors import ReadError
from quietspec.io.checksums import ALL_ONES, file_pieces, ones_complement_sum
from quietspec.io.reading.geometry import Geometry

__all__ = ["checksum_notes"]


def checksum_notes(path: Path, file: IO[bytes], geometries: Sequence[Geometry]) -> tuple[str, ...]:
    """Compare the content of a file with its checksums.

    Parameters
    ----------
    path : Path
        Name of the file.
    file : binary file
        Its content.
    geometries : sequence of Geometry
        Its HDUs.

    Returns
    -------
    tuple of str
        A note where the checksums are those of another file: some software cuts out a part of a cube but keeps the
        headers of the whole, so that the sums of several HDUs, and of most, are wrong.

    Raises
    ------
    ReadError
        If the sum of some data, or of a header, is wrong: they were damaged or altered.
    """
    sums = [_sums_hold(file, geometry) for geometry in geometries]
    telling = [data for geometry, (data, _) in zip(geometries, sums, strict=True) if _tells(geometry)]
    if telling.count(False) > max(1, len(telling) / 2):
        return ("the checksums belong to another file, as in a part cut out of a cube; they are passed over",)
    for number, (geometry, (data, whole)) in enumerate(zip(geometries, sums, strict=True)):
        if data is False or whole is False:
            what = "the data are" if data is False else "the header is"
            raise ReadError(
                f"{path}, HDU {number} {geometry.name}".rstrip()
                + f": {what} not what the checksum was made of, so damaged or altered. Copy the file again, or read it "
                "all the same: ignore_checksum=True."
            )
    return ()


def _tells(geometry: Geometry) -> bool:
    """Whether the sum of an HDU is one that no other data are likely to have; zeros always sum to 0."""
    return (geometry.checksums[1] or "").strip() not in ("", "0")


def _sums_hold(file: IO[bytes], geometry: Geometry) -> tuple[bool | None, bool | None]:
    """Whether DATASUM and CHECKSUM hold; None where there is none."""
    checksum, datasum = geometry.checksums
    known = (datasum or "").strip()
    if not known.isdecimal() and not checksum:
        return None, None
    data = ones_complement_sum(file_pieces(file, geometry.data, geometry.end))
    whole = ones_complement_sum([data.to_bytes(4, "big"), *file_pieces(file, geometry.start, geometry.data)])
    return data == int(known) if known.isdecimal() else None, whole in (0, ALL_ONES) if checksum else None
