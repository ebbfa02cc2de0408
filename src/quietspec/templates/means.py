"""Mean ages, metallicities, times of formation and mass-to-light ratios of populations given as weights of SSPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import TemplateError
from quietspec.templates.library import SspLibrary
from quietspec.templates.photometry import mass_to_light, v_luminosity
from quietspec.wavelengths import SNR_WINDOW

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["population_jacobian", "population_labels"]

#: Fraction of the mass formed, counted from the oldest stars, of which each label is the lookback time.
_FORMED = {"log_t50": 0.5, "log_t90": 0.9}


def population_labels(
    library: SspLibrary, weights: FloatArray, window: tuple[float, float] = SNR_WINDOW
) -> dict[str, FloatArray]:
    """Compute mean log age and [M/H], times of formation, and mass-to-light ratios, of populations.

    Parameters
    ----------
    library : SspLibrary
        Library whose SSPs are mixed.
    weights : (n, n_ssp)
        Masses formed per SSP, in any unit.
    window : (low, high), optional
        Range in Å where light is measured, before dust; the S/N window by default.

    Returns
    -------
    dict of str to (n,)
        ``log_age_mw``, ``mh_mw``: means of log10(age/yr) and [M/H] weighted by the mass formed (not the mass that
        remains), as pPXF gives them; NaN for a library that is not per mass. ``log_age_lw``, ``mh_lw``: weighted by the
        light in the window. ``log_t50``, ``log_t90``: log10 of the lookback times (yr) by which 50 % and 90 % of the
        mass had formed, counted from the oldest stars, so that t90 is never above t50; NaN for a library that is not
        per mass. ``log_ml_v``, if the library allows it: log10 of the stars' mass over their V luminosity, in solar
        units, before dust.

    Notes
    -----
    For the times of formation, the mass of each age of the library is spread evenly in log age over a bin that reaches
    halfway to the neighbouring ages. The times therefore change continuously with the weights; they jump only where no
    stars formed for a while after exactly 50 % or 90 % of the mass had formed.
    """
    light = weights * library.light(window)
    light = light / light.sum(axis=1, keepdims=True)
    mass = weights / weights.sum(axis=1, keepdims=True) if library.per_mass else np.full(weights.shape, np.nan)
    quantities = {"log_age": library.log_age, "mh": library.metallicity}
    means = {
        f"{name}_{kind}": fractions @ values
        for kind, fractions in (("mw", mass), ("lw", light))
        for name, values in quantities.items()
    }
    return means | _formation_times(library, weights) | _mass_to_light(library, weights)


def _age_bins(library: SspLibrary) -> tuple[FloatArray, FloatArray]:
    """Old ends and widths of the bins of the library's ages, (n_ages,) each, from the oldest, log10 yr and dex."""
    ages = library.log_ages[::-1]
    if len(ages) == 1:
        return ages, np.zeros(1)
    middle = (ages[1:] + ages[:-1]) / 2
    ends = np.concatenate([[2 * ages[0] - middle[0]], middle, [2 * ages[-1] - middle[-1]]])
    return ends[:-1], ends[:-1] - ends[1:]


def _mass_by_age(library: SspLibrary, weights: FloatArray) -> FloatArray:
    """Sum weights (n, n_ssp) over metallicity: (n, n_ages), from the oldest."""
    return np.asarray(weights.reshape(len(weights), *library.grid_shape).sum(axis=2)[:, ::-1])


def _formation_times(library: SspLibrary, weights: FloatArray) -> dict[str, FloatArray]:
    """Compute log10 of the lookback times by which fractions of the mass had formed."""
    if not library.per_mass:
        return {name: np.full(len(weights), np.nan) for name in _FORMED}
    old_end, width = _age_bins(library)
    mass = _mass_by_age(library, weights)
    formed = mass.cumsum(axis=1)
    times = {}
    for name, fraction in _FORMED.items():
        wanted = fraction * formed[:, -1:]
        which = (formed < wanted).sum(axis=1)[:, None]
        within, older = (np.take_along_axis(array, which, axis=1) for array in (mass, formed - mass))
        times[name] = (old_end[which] - width[which] * (wanted - older) / within)[:, 0]
    return times


def _mass_to_light(library: SspLibrary, weights: FloatArray) -> dict[str, FloatArray]:
    """Compute M*/L_V of populations; empty if the library has no masses or does not cover V."""
    try:
        ratios, luminosity = mass_to_light(library).ratio, v_luminosity(library)
    except TemplateError:
        return {}
    return {"log_ml_v": np.log10((weights @ (ratios * luminosity)) / (weights @ luminosity))}


def population_jacobian(
    library: SspLibrary, weights: FloatArray, window: tuple[float, float] = SNR_WINDOW
) -> dict[str, FloatArray]:
    """Compute derivatives of `population_labels` with respect to the weights of one population.

    Parameters
    ----------
    library : SspLibrary
        Library whose SSPs are mixed.
    weights : (n_ssp,)
        Masses formed per SSP, in any unit.
    window : (low, high), optional
        Range in Å where light is measured; the S/N window by default.

    Returns
    -------
    dict of str to (n_ssp,)
        Derivatives, by the names of `population_labels`.
    """
    light = library.light(window)
    labels = {name: float(value[0]) for name, value in population_labels(library, weights[None], window).items()}
    jacobian = {}
    for name, values in (("log_age", library.log_age), ("mh", library.metallicity)):
        jacobian[f"{name}_mw"] = (values - labels[f"{name}_mw"]) / weights.sum()
        jacobian[f"{name}_lw"] = light * (values - labels[f"{name}_lw"]) / (light @ weights)
    jacobian |= _formation_jacobian(library, weights)
    if "log_ml_v" in labels:
        luminosity = v_luminosity(library)
        mass = mass_to_light(library).ratio * luminosity
        relative = mass / (mass @ weights) - luminosity / (luminosity @ weights)
        jacobian["log_ml_v"] = relative / np.log(10)
    return jacobian


def _formation_jacobian(library: SspLibrary, weights: FloatArray) -> dict[str, FloatArray]:
    """Compute derivatives of `_formation_times` with respect to the weights of one population, (n_ssp,) each."""
    if not library.per_mass:
        return {name: np.full(len(weights), np.nan) for name in _FORMED}
    width = _age_bins(library)[1]
    mass = _mass_by_age(library, weights[None])[0]
    formed = mass.cumsum()
    age = np.arange(len(mass))
    jacobian = {}
    for name, fraction in _FORMED.items():
        wanted = fraction * formed[-1]
        which = int((formed < wanted).sum())
        share = (wanted - (formed[which] - mass[which])) / mass[which]
        by_age = -width[which] / mass[which] * (fraction - (age < which) - share * (age == which))
        jacobian[name] = np.repeat(by_age[::-1], library.grid_shape[1])
    return jacobian
