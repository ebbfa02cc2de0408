"""One unit for the fluxes of all arms, and one in which 32-bit numbers hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.io.reading.content import Content

__all__ = ["in_32_bits", "in_one_unit"]

_HELD = (1e-30, 1e30)  #: typical fluxes that 32-bit numbers hold, faint pixels included
_SAMPLED = 5  # spectra


def in_one_unit(parts: Sequence[Content]) -> list[Content]:
    """Bring the fluxes of all parts to the unit of the first, where a number does.

    Parameters
    ----------
    parts : sequence of Content
        Arms of one object.

    Returns
    -------
    list of Content
        The same; those whose unit is of another kind are left as they are.
    """
    first = parts[0].unit
    return [
        replace(part, unit=first, factor=_factor(part) * part.unit.to(first))
        if part.unit != first and part.unit.is_equivalent(first)
        else part
        for part in parts
    ]


def in_32_bits(parts: Sequence[Content]) -> list[Content]:
    """Change the unit of fluxes that are too large or too small for 32-bit numbers.

    Parameters
    ----------
    parts : sequence of Content
        Arms of one object.

    Returns
    -------
    list of Content
        The same, or all with their flux in one power of ten of its unit and a warning that says so.
    """
    typical = [size for part in parts if (size := _typical(part)) is not None]
    if not typical or _HELD[0] < np.median(typical) < _HELD[1]:
        return list(parts)
    decade = float(10.0 ** np.round(np.log10(np.median(typical))))
    return [_divided(part, decade) for part in parts]


def _typical(part: Content) -> float | None:
    """Median size of the fluxes of some spectra; None where a factor in the unit says that it is near 1."""
    if part.unit.scale != 1:
        return None
    rows = np.unique(np.linspace(0, part.n_spectra - 1, _SAMPLED).round().astype(np.intp))
    flux, ivar, _ = part.rows(rows)
    sizes = np.abs(flux[(ivar > 0) & (flux != 0)])
    return float(np.median(sizes)) if sizes.size else None


def _divided(part: Content, decade: float) -> Content:
    unit = u.Unit(decade * part.unit)
    note = f"the flux is given in {unit}: 32-bit numbers cannot hold its values, near {decade:.0e}"
    return replace(part, unit=unit, factor=_factor(part) / decade, warnings=(*part.warnings, note))


def _factor(part: Content) -> FloatArray:
    return np.ones(len(part.wavelength)) if part.factor is None else part.factor
