"""Wavelengths along an axis of an image, from its FITS header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.units import to_angstrom
from quietspec.kinds import Medium
from quietspec.medium import stated_media
from quietspec.units import parse_unit

__all__ = ["HeaderNumbers", "header_medium", "header_wavelength", "spectral_axis"]

_WAVELENGTH = re.compile(
    r"(?:AWAV|WAV|LAM|FREQ|ENER|VELO|VRAD|VOPT|ZOPT|BETA|SPEC|DISP|ANGSTROM|LOG|LN\b)|.*(?:WAVE|LAMBDA)"
)
_NOT_WAVELENGTH = re.compile(r"(?:RA|DEC)(?:-|$)|[A-Z](?:LON|LAT)(?:-|$)|..(?:LN|LT)-|STOKES|.*OFFSET|SPATIAL|[XY]$")
_VELOCITY = ("VELO", "VRAD", "VOPT", "ZOPT", "BETA")
_OPTICAL_UNITS = (u.AA, u.nm, u.um)
_PLAUSIBLE = (300.0, 1e6)  # Å
_OPTICAL = (1000.0, 60000.0)  # Å


def spectral_axis(header: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Find the axis of wavelength.

    Parameters
    ----------
    header : mapping
        FITS header.
    shape : sequence of int
        Shape of the image, in numpy's order.

    Returns
    -------
    int
        FITS number of the axis: as CTYPEn says, else CUNITn, else DISPAXIS, else the last of a cube and the first of
        other images. An axis of one pixel is it only where CTYPEn says so.
    """
    n_axes = len(shape)
    long = [axis for axis in range(1, n_axes + 1) if shape[n_axes - axis] > 1] or list(range(1, n_axes + 1))
    ctypes = {axis: str(header.get(f"CTYPE{axis}", "")).strip().upper() for axis in range(1, n_axes + 1)}
    for axis in (*long, *ctypes):
        if _WAVELENGTH.match(ctypes[axis]):
            return axis
    possible = [axis for axis in long if not _NOT_WAVELENGTH.match(ctypes[axis])] or long
    units = {axis: _length(header.get(f"CUNIT{axis}") or _wat_unit(header, axis)) for axis in reversed(possible)}
    for found in (
        [axis for axis, unit in units.items() if unit in _OPTICAL_UNITS],
        [axis for axis, unit in units.items() if unit is not None],
    ):
        if found:
            return found[0]
    dispersion = header.get("DISPAXIS")
    if dispersion in long and not isinstance(dispersion, bool):
        return int(dispersion)
    if n_axes == 3 and 2 not in long:  # IRAF's bands, or a slit
        return max(possible, key=lambda axis: shape[n_axes - axis])
    return possible[-1] if n_axes == 3 else possible[0]


def _length(unit: Any) -> u.UnitBase | None:
    """Parse a unit of wavelength, frequency or energy; None where it is another one or none."""
    parsed = parse_unit(unit) if isinstance(unit, str) and unit.strip() else None
    return parsed if parsed is not None and parsed.is_equivalent(u.AA, u.spectral()) else None


def header_medium(header: Mapping[str, Any], axis: int | None = None) -> Medium | None:
    """Whether wavelengths are in air or vacuum: what `quietspec.medium.stated_media` finds first."""
    return next(iter(stated_media(header, axis).values()), None)


def header_wavelength(
    header: Mapping[str, Any], axis: int, unit: str | None, where: str
) -> tuple[FloatArray, tuple[str, ...]]:
    """Wavelengths of the pixels along one axis.

    Parameters
    ----------
    header : mapping
        FITS header with CRVALn and CDn_n or CDELTn. The axis is linear, or logarithmic by CTYPEn ``…-LOG``, by
        DC-FLAG, or by "log" or "ln" in CTYPEn or CUNITn.
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
    warnings : tuple of str
        What was assumed.

    Raises
    ------
    ReadError
        If the header says too little, or what is not understood.
    """
    number = HeaderNumbers(header, where)
    step = number(f"CD{axis}_{axis}", 0.0) or number(f"CDELT{axis}", 0.0) * number(f"PC{axis}_{axis}", 1.0)
    start, reference = number(f"CRVAL{axis}", np.nan), number(f"CRPIX{axis}", np.nan)
    if np.isnan(start) or not step:
        raise ReadError(
            f"{where}: has no wavelengths: neither CRVAL{axis} with CDELT{axis} or CD{axis}_{axis}, nor a WAVE HDU or "
            'column beside it. Add one of them, or name what holds the wavelengths: wave_hdu="NAME".'
        )
    if np.isnan(reference):
        reference = 1.0
        number.assumed.append(f"CRPIX{axis} is missing; taken as 1")
    offset = step * (np.arange(1, int(header[f"NAXIS{axis}"]) + 1) - reference)
    values, unit = _by_type(header, axis, start, offset, unit or _unit(header, axis, where), where)
    wavelength, concluded = to_angstrom(values, unit, where)
    return wavelength, (*number.assumed, *([concluded] if concluded else []))


class HeaderNumbers:
    """Numbers of a header, which some programs write as text.

    Parameters
    ----------
    header : mapping
        FITS header.
    where : str
        The file and HDU, for messages.

    Attributes
    ----------
    assumed : list of str
        What was read from text.
    """

    def __init__(self, header: Mapping[str, Any], where: str) -> None:
        self._header, self._where = header, where
        self.assumed: list[str] = []

    def __call__(self, key: str, default: float) -> float:
        """Value of a card; the default where it is missing or empty."""
        value = self._header.get(key)
        if value is None or (isinstance(value, str) and not value.strip()):
            return default
        try:
            number = float(str(value).replace("D", "E")) if isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            number = np.nan
        if isinstance(value, bool) or not np.isfinite(number):
            raise ReadError(
                f"{self._where}: {key} is {value!r}, not a number. Correct the header, or name what holds the "
                'wavelengths of the pixels: wave_hdu="NAME".'
            )
        if isinstance(value, str):
            self.assumed.append(f"{key} is the text {value!r}; read as a number")
        return number


def _unit(header: Mapping[str, Any], axis: int, where: str) -> str | None:
    """Unit of the wavelengths, as CUNITn or IRAF's WATn say."""
    unit = header.get(f"CUNIT{axis}")
    if unit is not None and not isinstance(unit, str):
        raise ReadError(
            f'{where}: CUNIT{axis} is {unit!r}, not a unit. Give that of the wavelengths: wavelength_unit="Angstrom".'
        )
    return unit or _wat_unit(header, axis)


def _wat_unit(header: Mapping[str, Any], axis: int) -> str | None:
    found = re.search(r"units=(\w+)", str(header.get(f"WAT{axis}_001", "")))
    return found.group(1) if found else None


def _by_type(
    header: Mapping[str, Any], axis: int, start: float, offset: FloatArray, unit: str | None, where: str
) -> tuple[FloatArray, str | None]:
    """Values of the pixels and their unit, linear or logarithmic as the type of the axis says."""
    ctype = str(header.get(f"CTYPE{axis}", "")).strip().upper()
    code, _, algorithm = ctype.partition("-")
    if code in _VELOCITY:
        raise ReadError(
            f"{where}: the axis is a velocity ({ctype}). Convert it to wavelengths with its rest wavelength, or "
            'name what holds the wavelengths of the pixels: wave_hdu="NAME".'
        )
    if unit is not None and re.match(r"\s*(?:log|ln|dex)", unit, re.IGNORECASE):
        return start + offset, unit
    if algorithm == "LOG" and _plausible(start, unit, _PLAUSIBLE):
        return start * np.exp(offset / start), unit  # FITS WCS Paper III, equation 5
    if base := "log10" if header.get("DC-FLAG") == 1 else _base(ctype, start, unit):
        return start + offset, f"{base}({unit or 'Angstrom'})"
    if algorithm not in ("", "TAB", "LOG") and code in ("WAVE", "AWAV", "FREQ", "ENER", "WAVN"):
        raise ReadError(
            f"{where}: wavelengths of type {ctype} are not read. Name what holds the wavelengths of the pixels: "
            'wave_hdu="NAME".'
        )
    return start + offset, unit


def _base(ctype: str, start: float, unit: str | None) -> str | None:
    """Base of the logarithm that a CTYPE speaks of; where it does not say, the one that gives optical wavelengths."""
    natural = re.search(r"(?<![A-Z])LN(?![A-Z])", ctype)
    if not natural and "LOG" not in ctype:
        return None
    if natural or ("10" not in ctype and _plausible(np.exp(min(start, 700.0)), unit, _OPTICAL)):
        return "ln"
    return "log10"


def _plausible(value: float, unit: str | None, limits: tuple[float, float]) -> bool:
    length = _length(unit or "Angstrom")
    if length is None or value <= 0:
        return False
    return bool(limits[0] <= u.Quantity(value, length).to_value(u.AA, u.spectral()) <= limits[1])
