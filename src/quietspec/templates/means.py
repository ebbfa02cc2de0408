"""Mean ages, metallicities and mass-to-light ratios of populations given as weights of SSPs."""

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


def population_labels(
    library: SspLibrary, weights: FloatArray, window: tuple[float, float] = SNR_WINDOW
) -> dict[str, FloatArray]:
    """Compute mean log age and [M/H], and mass-to-light ratios, of populations.

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
        light in the window. ``log_ml_v``, if the library allows it: log10 of the stars' mass over their V luminosity,
        in solar units, before dust.
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
    return means | _mass_to_light(library, weights)


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
    if "log_ml_v" in labels:
        luminosity = v_luminosity(library)
        mass = mass_to_light(library).ratio * luminosity
        relative = mass / (mass @ weights) - luminosity / (luminosity @ weights)
        jacobian["log_ml_v"] = relative / np.log(10)
    return jacobian
