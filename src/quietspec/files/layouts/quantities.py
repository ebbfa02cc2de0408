"""Quantities as other programs define them: velocities relative to one redshift, and lines tied to stronger ones."""

from __future__ import annotations

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.files.layouts.base import Contents
from quietspec.files.measured import MeasuredFile
from quietspec.lines.catalogue import GROUPS, is_forbidden
from quietspec.lines.quantities import line_name
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["line_motion", "line_values", "systemic_redshift", "systemic_velocity"]

_HEADS = {name: (group.name, ratio) for group in GROUPS for name, ratio in group.members}


def systemic_redshift(measured: MeasuredFile) -> float:
    """Redshift of the object: the median of those given, NaN where none is."""
    known = measured.redshift[np.isfinite(measured.redshift)]
    return float(np.median(known)) if known.size else float("nan")


def systemic_velocity(
    contents: Contents, name: str, *, logarithmic: bool = False
) -> tuple[FloatArray, FloatArray] | None:
    """Velocity relative to the systemic redshift z₀: c (z − z₀) / (1 + z₀), or c ln[(1 + z) / (1 + z₀)].

    Parameters
    ----------
    contents : Contents
        Measurements.
    name : {'velocity', 'gas_velocity', 'forbidden_velocity'}
        That of the stars, the gas or its forbidden lines; as measured it is c Δln λ from each spectrum's own redshift.
    logarithmic : bool
        Which of the two.

    Returns
    -------
    velocity, error : (n_spectra,)
        km/s; None where it was not measured.
    """
    if (pair := contents.value(name)) is None:
        return None
    velocity, error = (np.asarray(each, dtype=np.float64) for each in pair)
    own = np.asarray(contents.measured.redshift, dtype=np.float64)
    shift = np.log((1 + own) / (1 + systemic_redshift(contents.measured))) + velocity / SPEED_OF_LIGHT
    if logarithmic:
        return SPEED_OF_LIGHT * shift, error
    return SPEED_OF_LIGHT * np.expm1(shift), error * np.exp(shift)


def line_motion(
    contents: Contents, name: str, *, logarithmic: bool = False
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]] | None:
    """Velocity relative to the systemic redshift, and dispersion, of a line: forbidden ones may have their own.

    Parameters
    ----------
    contents : Contents
        Measurements.
    name : str
        A line of `quietspec.wavelengths.EMISSION_LINES`.
    logarithmic : bool
        Which velocity, as for `systemic_velocity`.

    Returns
    -------
    velocity, sigma : two pairs of (n_spectra,)
        Values and 1σ, km/s; None where the motion of gas was not measured.
    """
    own = is_forbidden(name) and contents.value("forbidden_velocity") is not None
    group = "forbidden" if own else "gas"
    velocity = systemic_velocity(contents, f"{group}_velocity", logarithmic=logarithmic)
    sigma = contents.value(f"{group}_sigma")
    return None if velocity is None or sigma is None else (velocity, sigma)


def line_values(contents: Contents, name: str, kind: str) -> tuple[FloatArray, FloatArray]:
    """Flux or equivalent width of a line, also of one whose flux is tied to that of a stronger line.

    Parameters
    ----------
    contents : Contents
        Measurements.
    name : str
        A line of `quietspec.wavelengths.EMISSION_LINES`; empty for none.
    kind : {'flux', 'ew'}
        Which.

    Returns
    -------
    value, error : (n_spectra,)
        NaN where the line was not measured.
    """
    head, ratio = _HEADS.get(name, ("", 0.0))
    if (pair := contents.value(f"{kind}_{line_name(head)}")) is None:
        unknown = np.full(len(contents.measured.populations), np.nan)
        return unknown, unknown
    return ratio * pair[0], ratio * pair[1]
