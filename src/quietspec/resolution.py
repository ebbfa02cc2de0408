"""Instrumental resolution as people state it: a FWHM in Å, nm, km/s or pixels, or R; brought to a FWHM in Å."""

from __future__ import annotations

from typing import Literal

import astropy.units as u
import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.errors import UnitError
from quietspec.units import parse_unit
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["instrumental_fwhm", "possible_fwhm"]

_PIXELS = (0.3, 100.0)  #: FWHM in pixels that an instrument may have …
_BROAD, _COARSE = 10.0, 500.0  #: … but not more pixels than this where λ/FWHM is less than that
_SHARPEST = 3e5  #: λ/FWHM
_BROADEST = 0.2  #: FWHM/λ; beyond, there is no spectrum left


def instrumental_fwhm(
    values: npt.ArrayLike,
    wavelength: FloatArray,
    *,
    what: Literal["fwhm", "resolving power"] = "fwhm",
    unit: str | u.UnitBase | None = None,
) -> tuple[FloatArray, str | None]:
    """Bring a resolution to a FWHM in Å.

    Parameters
    ----------
    values : (), (n_pixels,) or (n_spectra, n_pixels)
        FWHM, or R = λ/FWHM.
    wavelength : (n_pixels,)
        Å, increasing or decreasing.
    what : {'fwhm', 'resolving power'}
        What `values` are.
    unit : str or astropy unit, optional
        Unit of a FWHM: a length, a velocity, or ``pixel``; Å if not given.

    Returns
    -------
    fwhm : (n_pixels,) or (n_spectra, n_pixels)
        In Å. Values that are not positive and finite are interpolated between those that are; spectra without any
        get the median of the others.
    warning : str or None
        How many were not.

    Raises
    ------
    UnitError
        If the shape does not fit, no value is positive, the unit is another one, or no instrument has such a FWHM.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape[-1:] not in ((), wavelength.shape) or numbers.ndim > 2:
        raise UnitError(f"a resolution of shape {numbers.shape} does not fit {len(wavelength)} wavelengths")
    numbers = np.broadcast_to(numbers, (*numbers.shape[:-1], len(wavelength)))
    usable = np.isfinite(numbers) & (numbers > 0)
    if not usable.any():
        raise UnitError("no resolution is positive")
    filled = numbers if usable.all() else _filled(numbers, usable, wavelength)
    fwhm = wavelength / filled if what == "resolving power" else _in_angstrom(filled, unit, wavelength)
    _require_plausible(fwhm, filled, what, wavelength)
    missing = int(np.sum(~usable))
    return fwhm, f"{missing} of {usable.size} resolutions are not positive; interpolated" if missing else None


def possible_fwhm(fwhm: FloatArray, wavelength: FloatArray) -> tuple[FloatArray, str | None]:
    """Interpolate over pixels whose FWHM no instrument has.

    Parameters
    ----------
    fwhm : (), (n_pixels,) or (n_spectra, n_pixels)
        In Å; NaN, or 0 as surveys write it, where unknown: these stay.
    wavelength : (n_pixels,)
        Å, increasing or decreasing.

    Returns
    -------
    fwhm : as given
        Values above a fifth of the wavelength are replaced by those around them.
    note : str or None
        How many there were.

    Raises
    ------
    UnitError
        If no pixel has a possible one.
    """
    impossible = fwhm >= _BROADEST * wavelength
    if not impossible.any():
        return fwhm, None
    usable = (fwhm > 0) & ~impossible
    if not usable.any():
        raise UnitError("no FWHM is above 0 and below a fifth of the wavelength")
    filled = _filled(np.broadcast_to(fwhm, impossible.shape), usable, wavelength)
    return filled, f"{int(impossible.sum())} of {impossible.size} FWHM are impossible; interpolated"


def _filled(values: FloatArray, usable: BoolArray, wavelength: FloatArray) -> FloatArray:
    order = np.argsort(wavelength)
    rows = np.atleast_2d(np.where(usable, values, np.nan))
    for row in rows:
        known = order[np.isfinite(row[order])]
        if len(known):
            row[:] = np.interp(wavelength, wavelength[known], row[known])
    empty = np.isnan(rows).any(axis=1)
    rows[empty] = np.median(rows[~empty], axis=0)
    return rows.reshape(values.shape)


def _in_angstrom(fwhm: FloatArray, unit: str | u.UnitBase | None, wavelength: FloatArray) -> FloatArray:
    if unit is None or (isinstance(unit, str) and not unit.strip()):
        return fwhm
    if str(unit).strip().lower() in ("pix", "pixel", "pixels"):
        return fwhm * np.abs(np.gradient(wavelength))
    parsed = parse_unit(unit) if isinstance(unit, str) else u.Unit(unit)
    if parsed is not None and parsed.is_equivalent(u.AA):
        return np.asarray(fwhm * parsed.to(u.AA))
    if parsed is not None and parsed.is_equivalent(u.km / u.s):
        return np.asarray(wavelength * fwhm * parsed.to(u.km / u.s) / SPEED_OF_LIGHT)
    raise UnitError(f"a FWHM in {str(unit)!r} is not understood")


def _plausible(fwhm: FloatArray, wavelength: FloatArray) -> bool:
    if len(wavelength) < 2:
        return True
    pixels = float(np.median(fwhm / np.abs(np.gradient(wavelength))))
    power = float(np.median(wavelength / fwhm))
    return _PIXELS[0] < pixels < _PIXELS[1] and power < _SHARPEST and (pixels < _BROAD or power > _COARSE)


def _require_plausible(fwhm: FloatArray, values: FloatArray, what: str, wavelength: FloatArray) -> None:
    if _plausible(fwhm, wavelength):
        return
    readings = {
        "a FWHM in Å": values,
        "a FWHM in km/s": wavelength * values / SPEED_OF_LIGHT,
        "R = λ/FWHM": wavelength / values,
    }
    like = [name for name, reading in readings.items() if _plausible(reading, wavelength)]
    name = "R = λ/FWHM" if what == "resolving power" else "the FWHM"
    guess = f"; it could be {' or '.join(like)}" if like else ""
    raise UnitError(f"{np.median(values):.4g} cannot be {name}: lines would be {np.median(fwhm):.4g} Å wide{guess}")
