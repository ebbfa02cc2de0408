"""Broad Balmer lines of an active nucleus, read off the posterior of its light.

The nucleus of the prior holds broad lines with their continuum. A line's flux is the integral of the nucleus about it
less a straight continuum through bands on either side: a sum of pixels, whose error follows from their covariance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.contamination import TRACERS
from quietspec.denoisers.posterior.fitted import Fitted, Pixels
from quietspec.denoisers.posterior.gas import LineModel
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates
from quietspec.lines.results import BroadLines
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT

__all__ = ["broad_lines", "nucleus_chi2"]

_FIRST_REACH = 9000.0  # km/s, half width of the line before its width is known; then …
_WIDTHS = 1.6  # … this many of its widths at half maximum
_BAND = 0.35  # width of the bands of the continuum, over the half width of the line
_LEAST_REACH = 1500.0  # km/s
_PERHAPS = 4.0  # χ² per coordinate of no nucleus, beyond which broad lines are looked for
_SEEN = 5.0  # σ, at which broad Hα (or Hβ where Hα is not covered) is seen
_STRONG = 300.0  # Å, equivalent width of narrow lines beyond which a nucleus is not believed
_DRAWS, _SEED = 48, 23


class _Light(NamedTuple):
    """Light of the broad-line region: wavelengths and flux (n_pixels,), square root of the covariance (n_pixels, m)."""

    rest: FloatArray
    flux: FloatArray
    root: FloatArray


def broad_lines(one: Fitted, found: Pixels, model: LineModel, chi2: float) -> BroadLines | None:
    """Measure broad Balmer lines.

    Parameters
    ----------
    one : Fitted
        Last fit of a spectrum.
    found : Pixels
        What is known of it.
    model : LineModel
        Lines on its pixels.
    chi2 : float
        χ² of no nucleus per coordinate (`nucleus_chi2`).

    Returns
    -------
    BroadLines or None
        None where no broad line is seen.
    """
    # The wings of strong lines look like a nucleus.
    if chi2 < _PERHAPS or _tracers_flux(found, model) > _STRONG * one.state.scale:
        return None
    light = _light(one, found, model)
    for name in ("Halpha", "Hbeta"):
        shape = _shape(light, EMISSION_LINES[name])
        if shape is None:
            continue
        fluxes = {line: _flux(light, EMISSION_LINES[line], shape[2]) for line in ("Halpha", "Hbeta")}
        value, error = fluxes[name]
        if not value > _SEEN * error:
            return None
        return BroadLines(fluxes["Halpha"], fluxes["Hbeta"], shape[0], shape[1])
    return None


def nucleus_chi2(found: Pixels, coordinates: KinematicCoordinates) -> float:
    """χ² of no nucleus by what is known of a spectrum, over the number of components of nuclei; 0 without any."""
    number = coordinates.prior.prior.n_nucleus
    if not number:
        return 0.0
    rows = coordinates.populations.transform[-number:]
    mean, half = rows @ found.populations, rows @ found.half[MOTIONS:]
    white = np.linalg.lstsq(half, mean, rcond=None)[0]
    return float(white @ white) / number


def _tracers_flux(found: Pixels, model: LineModel) -> float:
    """Flux of the narrow lines that reveal gas."""
    tracers = [group.name in TRACERS for group in model.groups]
    return 0.0 if found.lines is None else float(found.lines.flux[tracers].sum())


def _light(one: Fitted, found: Pixels, model: LineModel) -> _Light:
    """Light of the nucleus."""
    data = one.marginalised
    flux, root = data.linearised.nucleus(found.populations, found.half, data.response, data.inner_half)
    return _Light(model.rest, flux.astype(np.float64), root.astype(np.float64))


def _bands(light: _Light, centre: float, reach: float) -> tuple[slice, FloatArray] | None:
    """Pixels of a line and its bands, and weights (n, n) that take a straight continuum off; None if not covered."""
    outer = reach * (1 + _BAND)
    low, inner_low, inner_high, high = (
        int(np.searchsorted(light.rest, centre * (1 + step / SPEED_OF_LIGHT)))
        for step in (-outer, -reach, reach, outer)
    )
    if low == 0 or high >= len(light.rest) or inner_low - low < 2 or high - inner_high < 2:
        return None
    rest = light.rest[low:high]
    sides = [np.arange(inner_low - low), np.arange(inner_high - low, high - low)]
    middles = [rest[side].mean() for side in sides]
    rise = (rest - middles[0]) / (middles[1] - middles[0])
    weights = np.eye(len(rest))
    for side, share in zip(sides, (1 - rise, rise), strict=True):
        weights[:, side] -= share[:, None] / len(side)
    return slice(low, high), weights


def _flux(light: _Light, centre: float, reach: float) -> tuple[float, float]:
    """Flux of a line within a reach (km/s), and 1σ; NaN where it is not covered."""
    bands = _bands(light, centre, reach)
    if bands is None:
        return np.nan, np.nan
    pixels, weights = bands
    rest = light.rest[pixels]
    inside = np.abs(rest / centre - 1) < reach / SPEED_OF_LIGHT
    total = (np.gradient(rest) * inside) @ weights
    return float(total @ light.flux[pixels]), float(np.linalg.norm(total @ light.root[pixels]))


def _shape(light: _Light, centre: float) -> tuple[tuple[float, float], tuple[float, float], float] | None:
    """Velocity and full width at half maximum (km/s), each with 1σ, and the reach of a line; None where not covered."""
    reach, width = _FIRST_REACH, np.nan
    for _ in range(2):
        while (bands := _bands(light, centre, reach)) is None:
            reach *= 0.8
            if reach < _LEAST_REACH:
                return None
        pixels, weights = bands
        width = _half_maximum(light.rest[pixels], centre, weights @ light.flux[pixels])[1]
        reach = max(_WIDTHS * width, _LEAST_REACH) if np.isfinite(width) else reach
    noise = np.random.default_rng(_SEED).standard_normal((light.root.shape[1], _DRAWS))
    drawn = weights @ (light.flux[pixels, None] + light.root[pixels] @ noise)
    found = np.array(
        [_half_maximum(light.rest[pixels], centre, one) for one in (weights @ light.flux[pixels], *drawn.T)]
    )
    spread = np.nanstd(found[1:], axis=0)
    return (float(found[0, 0]), float(spread[0])), (float(found[0, 1]), float(spread[1])), reach


def _half_maximum(rest: FloatArray, centre: float, profile: FloatArray) -> tuple[float, float]:
    """Middle and width, km/s, of where a line is above half of its highest point; NaN where there is none."""
    above = np.flatnonzero(profile > 0.5 * profile.max())
    if profile.max() <= 0 or not above.size:
        return np.nan, np.nan
    low, high = (SPEED_OF_LIGHT * (rest[place] / centre - 1) for place in (above[0], above[-1]))
    return float(low + high) / 2, float(high - low)
