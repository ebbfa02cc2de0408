"""Sky coordinates of the spatial axes, whatever the header says of the other ones."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import HeaderNumbers
from quietspec.kinds import Medium
from quietspec.units import parse_unit

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["cube_wcs", "renumbered", "sky_wcs"]

_AXIS_CARD = re.compile(r"(NAXIS|CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|PV|CD|PC|PS)(\d+)(_\d+)?$")
_HEADER = "the header"
_MATRIX = ("CD", "PC")
_FLAT = 1e-9  # area of a pixel over the square of its size: less, and its two axes are one
_WHOLE = ("LONPOLE", "LATPOLE", "RADESYS", "RADECSYS", "EQUINOX")
_CELESTIAL = re.compile(r"(RA|[A-Z]LON|..LN)(?:-|$)|(DEC|[A-Z]LAT|..LT)(?:-|$)")


def renumbered(header: fits.Header, axes: Sequence[int], *, others: bool = False) -> fits.Header:
    """Keep some axes of a header.

    Parameters
    ----------
    header : fits.Header
        Header of an image.
    axes : sequence of int
        FITS numbers of the axes to keep, in their new order.
    others : bool
        Whether to keep the cards that are of no axis as well.

    Returns
    -------
    fits.Header
        Cards of these axes, numbered from 1.
    """
    numbers = {str(old): str(new) for new, old in enumerate(axes, start=1)}
    kept = fits.Header()
    for card in header.cards:
        found = _AXIS_CARD.fullmatch(card.keyword)
        if found is None:
            if others and card.keyword not in ("NAXIS", "WCSAXES"):
                kept.append(card, end=True)
            continue
        name, axis, second = found[1], numbers.get(found[2]), found[3] or ""
        if name in _MATRIX and second:
            second = "_" + numbers[second[1:]] if second[1:] in numbers else None
        if axis is not None and second is not None:
            kept.append((f"{name}{axis}{second}", card.value, card.comment), end=True)
    return kept


def sky_wcs(header: fits.Header, axes: tuple[int, int]) -> tuple[WCS | None, str | None]:
    """Celestial WCS of two axes of an image.

    Parameters
    ----------
    header : fits.Header
        Header of the image.
    axes : (int, int)
        FITS numbers of the spatial axes, the one that varies faster first.

    Returns
    -------
    wcs : astropy.wcs.WCS or None
        Its pixel axes are `axes`; None where the header gives no sky coordinates, or none that can be used.
    warning : str or None
        Why sky coordinates of the header are left out.
    """
    kinds = [_CELESTIAL.match(str(header.get(f"CTYPE{axis}", "")).strip().upper()) for axis in axes]
    if not any(kinds):
        return None, None
    try:
        return _checked(_cards(header, axes, kinds)), None
    except (_Unusable, ReadError) as error:
        reason = str(error).removeprefix(f"{_HEADER}: ").partition(". Correct")[0]
        return None, f"the sky coordinates cannot be used and are left out: {reason}"


class _Unusable(Exception):  # noqa: N818  (never leaves this module)
    """Why sky coordinates cannot be used."""


def _cards(header: fits.Header, axes: tuple[int, int], kinds: list[re.Match[str] | None]) -> fits.Header:
    """Cards of a 2-D header: longitude and latitude of pixels along `axes`."""
    ctypes = " and ".join(repr(header.get(f"CTYPE{axis}")) for axis in axes)
    longitude = [axis for axis, kind in zip(axes, kinds, strict=True) if kind and kind[1]]
    latitude = [axis for axis, kind in zip(axes, kinds, strict=True) if kind and kind[2]]
    if len(longitude) != 1 or len(latitude) != 1:
        raise _Unusable(f"CTYPE{axes[0]} and CTYPE{axes[1]} are {ctypes}")
    world = (longitude[0], latitude[0])
    matrix = _matrix(header, world, axes)
    if not np.isfinite(matrix).all() or not abs(np.linalg.det(matrix)) > _FLAT * np.sum(matrix**2):
        raise _Unusable(f"the size of a pixel is {matrix[0, 0]:g} by {matrix[1, 1]:g}")
    cards = _as_numbers(renumbered(header, world))
    if world != axes:  # pixels along the first axis are those of the second world coordinate
        for key in [key for key in cards if re.match(r"CDELT|CROTA|CD\d_|PC\d_", key)]:
            del cards[key]
        cards["CRPIX1"], cards["CRPIX2"] = cards.get("CRPIX2", 0.0), cards.get("CRPIX1", 0.0)
        for (row, column), value in np.ndenumerate(matrix):
            cards[f"CD{row + 1}_{column + 1}"] = value
    for key in _WHOLE:
        if key in header:
            cards[key] = header[key]
    return cards


def _matrix(header: fits.Header, world: tuple[int, int], pixel: tuple[int, int]) -> FloatArray:
    """Change of the world coordinates per pixel, (2, 2)."""
    number = HeaderNumbers(header, _HEADER)
    linear = any(f"CD{i}_{j}" in header for i in world for j in pixel)
    rows = []
    for i in world:
        if linear:
            rows.append([number(f"CD{i}_{j}", 0.0) for j in pixel])
        else:
            rows.append([number(f"CDELT{i}", 0.0) * number(f"PC{i}_{j}", float(i == j)) for j in pixel])
    return np.array(rows)


def _as_numbers(cards: fits.Header) -> fits.Header:
    """Turn numbers written as text into numbers, and units of angle into FITS' spelling."""
    number = HeaderNumbers(cards, _HEADER)
    for key, value in list(cards.items()):
        if key.startswith("CUNIT"):
            unit = parse_unit(str(value)) if str(value).strip() else None
            if unit is not None and unit.to_string() in ("deg", "arcsec", "arcmin", "rad"):
                cards[key] = unit.to_string()
        elif isinstance(value, str) and not key.startswith("CTYPE"):
            cards[key] = number(key, 0.0)
    return cards


def _checked(cards: fits.Header) -> WCS:
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(cards)
            place = wcs.wcs_pix2world([[cards.get("CRPIX1", 0.0), cards.get("CRPIX2", 0.0)]], 1)
        except Exception as error:  # wcslib's and astropy's, of many types
            raise _Unusable(_reason(error)) from error
    if not wcs.has_celestial or not np.isfinite(place).all():
        raise _Unusable("they give no place on the sky")
    return wcs


def _reason(error: Exception) -> str:
    """What wcslib says, without where in its code."""
    lines = [re.sub(r"^ERROR \d+ in .*?:(?=\s|$)", "", line).strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line).rstrip(".") or type(error).__name__


def cube_wcs(header: Any, medium: Medium) -> WCS | None:
    """WCS of all three axes of a cube, for libraries that want it; wavelengths of an unknown type count as linear."""
    from astropy.wcs import WCS, InconsistentAxisTypesError, WcsError

    cards = renumbered(header, (1, 2, 3))
    for key in cards["CTYPE*"]:
        cards[key] = str(cards[key]).removesuffix("-TAB")
    if str(cards.get("CTYPE3", "")).partition("-")[0].strip() not in ("WAVE", "AWAV"):
        cards["CTYPE3"] = "AWAV" if medium == "air" else "WAVE"
    cards.setdefault("CUNIT3", "Angstrom")
    for key in _WHOLE:
        if key in header:
            cards[key] = header[key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return WCS(cards)
        except (WcsError, InconsistentAxisTypesError, ValueError):
            return None
