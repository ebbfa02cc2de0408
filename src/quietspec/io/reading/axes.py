"""Wavelengths and sky coordinates from FITS headers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.units import to_angstrom
from quietspec.wavelengths import Medium

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["celestial_wcs", "cube_wcs", "header_medium", "header_wavelength", "spectral_axis"]

_SPECTRAL_CTYPES = ("WAVE", "AWAV", "LAMBDA", "FREQ", "ENER", "LINEAR")
_WCS_CARDS = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)[123]$|(CD|PC)[123]_[123]$|PV[12]_\d+$|WCSAXES$|LONPOLE$|LATPOLE$|RADESYS$|"
    r"RADECSYS$|EQUINOX$"
)


def spectral_axis(header: Mapping[str, Any], n_axes: int) -> int:
    """FITS number of the wavelength axis: as CTYPE or DISPAXIS say, else the last of a cube, else the first."""
    for axis in range(1, n_axes + 1):
        if str(header.get(f"CTYPE{axis}", "")).upper().startswith(_SPECTRAL_CTYPES):
            return axis
    dispersion = header.get("DISPAXIS")
    if isinstance(dispersion, int) and 1 <= dispersion <= n_axes:
        return dispersion
    return 3 if n_axes == 3 else 1


def header_medium(header: Mapping[str, Any], axis: int | None = None) -> Medium | None:
    """Whether wavelengths are in air or vacuum, as CTYPEn (FITS WCS Paper III), VACUUM, AIRORVAC or MEDIUM say."""
    ctype = str(header.get(f"CTYPE{axis}", "")).upper().partition("-")[0].strip()
    if ctype == "AWAV":
        return "air"
    if ctype in ("WAVE", "FREQ", "ENER"):
        return "vacuum"
    vacuum = header.get("VACUUM")
    if isinstance(vacuum, bool | int):
        return "vacuum" if vacuum else "air"
    word = str(header.get("AIRORVAC") or header.get("MEDIUM") or header.get("medium") or "").strip().lower()[:3]
    return "vacuum" if word == "vac" else "air" if word == "air" else None


def header_wavelength(
    header: Mapping[str, Any], axis: int, unit: str | None, where: str
) -> tuple[FloatArray, str | None]:
    """Wavelengths of the pixels along one axis.

    Parameters
    ----------
    header : mapping
        FITS header with CRVALn and CDn_n or CDELTn; linear, logarithmic by CTYPEn ``…-LOG``, or base 10 by DC-FLAG.
    axis : int
        FITS number of the axis.
    unit : str or None
        Unit that overrides CUNITn.
    where : str
        The file and HDU, for messages.

    Returns
    -------
    wavelength : (n_pixels,)
        In Å, in the file's order.
    warning : str or None
        As `quietspec.io.reading.units.to_angstrom` gives.

    Raises
    ------
    ReadError
        If the header says too little.
    """
    n_pixels = int(header[f"NAXIS{axis}"])
    step = header.get(f"CD{axis}_{axis}") or header.get(f"CDELT{axis}", 0) * header.get(f"PC{axis}_{axis}", 1)
    if f"CRVAL{axis}" not in header or not step:
        raise ReadError(
            f"{where}: has no wavelengths: neither CRVAL{axis} with CDELT{axis} or CD{axis}_{axis}, nor a WAVE HDU or "
            "column beside it. Add one of them."
        )
    start, reference = float(header[f"CRVAL{axis}"]), float(header.get(f"CRPIX{axis}", 1))
    ctype = str(header.get(f"CTYPE{axis}", "")).upper()
    unit = unit or header.get(f"CUNIT{axis}") or _iraf_unit(header, axis)
    offset = np.arange(1, n_pixels + 1) - reference
    if header.get("DC-FLAG") == 1:
        return to_angstrom(10 ** (start + step * offset), unit or "Angstrom", where)  # IRAF writes Å
    if ctype.endswith("-LOG"):
        return to_angstrom(start * np.exp(step * offset / start), unit, where)  # FITS WCS Paper III, equation 5
    if ctype[5:8] not in ("", "TAB") and ctype[:4] in ("WAVE", "AWAV") and ctype[4:5] == "-":
        raise ReadError(f"{where}: wavelengths of type {ctype} are not read. Add a WAVE HDU with one value a pixel.")
    return to_angstrom(start + step * offset, unit, where)


def _iraf_unit(header: Mapping[str, Any], axis: int) -> str | None:
    found = re.search(r"units=(\w+)", str(header.get(f"WAT{axis}_001", "")))
    return found.group(1) if found else None


def celestial_wcs(header: Any) -> WCS | None:
    """Celestial (2-D) WCS of an image or cube, or None where its header has none that can be used."""
    whole = _wcs(_wcs_cards(header))
    return None if whole is None or not whole.has_celestial else whole.celestial


def cube_wcs(header: Any, medium: Medium) -> WCS | None:
    """WCS of all three axes of a cube, for libraries that want it; wavelengths of an unknown type count as linear."""
    cards = _wcs_cards(header)
    if str(cards.get("CTYPE3", "")).partition("-")[0].strip() not in ("WAVE", "AWAV"):
        cards["CTYPE3"] = "AWAV" if medium == "air" else "WAVE"
    cards.setdefault("CUNIT3", "Angstrom")
    return _wcs(cards)


def _wcs_cards(header: Any) -> Any:
    """Keep the cards that define a WCS; others can break astropy (SAMI's text in PLATEID is taken for a distortion)."""
    from astropy.io import fits

    cards = fits.Header([card for card in header.cards if _WCS_CARDS.match(card.keyword)])
    for key in cards["CTYPE*"]:
        cards[key] = str(cards[key]).removesuffix("-TAB")  # wavelengths from a table have no bearing on the sky
    return cards


def _wcs(cards: Any) -> WCS | None:
    from astropy.wcs import WCS, InconsistentAxisTypesError, WcsError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return WCS(cards)
        except (WcsError, InconsistentAxisTypesError, ValueError):
            return None
