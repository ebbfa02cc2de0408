"""Pixels that hold something else than stars, found by fitting the stars and looking at what they leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.contamination import (
    TRACERS,
    interstellar_mask,
    line_mask,
    measure_gas,
    spike_mask,
    tracers_seen,
)
from quietspec.denoisers.posterior.grid import BasisGrid, Batch, Grid
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.linear import LinearFit, first_fit, fit_groups, project_groups
from quietspec.wavelengths import EMISSION_LINES, STRONG_LINES

__all__ = ["FIRST_MASK", "NEGLECTED_BEFORE", "find_contamination", "gas_mask", "lined"]

#: Share of the error by which data about neglected directions may move the fits that find gas and spikes.
NEGLECTED_BEFORE = 0.05
FIRST_MASK = (0.0, 250.0)  #: velocity and σ, km/s, of the line mask under which the first continuum is fitted
_ROUNDS = 2


def find_contamination(batch: Batch[BasisGrid], emission: Emission) -> tuple[BoolArray, LinearFit, FloatArray]:
    """Find pixels that hold spikes or gas emission lines, in rounds of fits under one Gaussian.

    Parameters
    ----------
    batch : Batch
        The spectra.
    emission : {'auto', 'strong', 'none'}
        How gas emission lines are treated.

    Returns
    -------
    ignored : (n_spectra, n_pixels) of bool
        Good pixels to leave out.
    fit : LinearFit
        The last fit.
    residual : (n_spectra, n_pixels)
        Flux less that fit.
    """
    grid, coordinates = batch.grid, batch.grid.coordinates
    first = np.zeros(batch.flux.shape, dtype=bool)
    if emission != "none":
        first |= line_mask(grid.rest, grid.fwhm, *FIRST_MASK)
    ignored, fit, residual = first, first_fit(batch, np.where(first, 0, batch.weight)), batch.flux
    for _ in range(_ROUNDS):
        weight = np.where(ignored, 0, batch.weight)
        groups = project_groups(coordinates, _residual(batch, fit), weight, fit, NEGLECTED_BEFORE)
        fit = fit_groups(groups, coordinates, fit)
        residual = _residual(batch, fit)
        ignored = spike_mask(residual, np.where(first, 0, batch.weight))
        if emission != "none":
            ignored |= gas_mask(residual, batch.flux, batch.weight, (grid.rest, grid.fwhm), emission)
    return np.asarray(ignored & (batch.weight > 0)), fit, residual


def _residual(batch: Batch[BasisGrid], fit: LinearFit) -> FloatArray:
    return np.asarray(batch.flux - fit.mean.astype(np.float32) @ batch.grid.coordinates.vectors.T)


def gas_mask(
    residual: FloatArray,
    flux: FloatArray,
    weight: FloatArray,
    pixels: tuple[FloatArray, FloatArray],
    emission: Emission,
    *,
    broad_lines: bool = True,
) -> BoolArray:
    """Mask strong lines always, weak ones where gas is detected, as wide as the gas's lines are; and Na D and 6284 Å.

    Parameters
    ----------
    residual, flux, weight : (n_spectra, n_pixels)
        Flux less a fit of the stars, flux, and inverse variances.
    pixels : two arrays (n_pixels,)
        Rest-frame wavelengths and resolution, Å.
    emission : {'auto', 'strong', 'fit'}
        How gas emission lines are treated.
    broad_lines : bool
        Whether broad lines are masked, too, where they are seen: a prior that knows nuclei needs them.

    Returns
    -------
    (n_spectra, n_pixels) of bool
        True where there may be gas.
    """
    rest, fwhm = pixels
    between_stars = interstellar_mask(rest, fwhm)
    gas = measure_gas(residual, weight, flux - residual, rest, fwhm, tracers=tracers_seen(rest))
    mask = np.zeros(residual.shape, dtype=bool)
    kinds = np.stack([gas.detected & (emission != "strong"), gas.velocity, gas.sigma], axis=1)
    for weak, velocity, sigma in np.unique(kinds, axis=0):
        alike = (kinds == (weak, velocity, sigma)).all(axis=1)
        mask[alike] = line_mask(rest, fwhm, velocity, sigma, EMISSION_LINES if weak else STRONG_LINES)
    for broad in np.unique(gas.broad[gas.broad > 0]) if broad_lines else ():
        mask[gas.broad == broad] |= line_mask(rest, fwhm, 0.0, broad, TRACERS)
    return mask | between_stars


def lined(states: Sequence[State], grid: Grid) -> BoolArray:
    """Find the pixels that hold lines which are fitted, so that they need not be left out.

    Parameters
    ----------
    states : sequence of State
        States of spectra.
    grid : Grid
        The pixels.

    Returns
    -------
    (n_spectra, n_pixels) of bool
        True there; False in bands of interstellar absorption.
    """
    mask = np.zeros((len(states), len(grid.rest)), dtype=bool)
    for row, state in zip(mask, states, strict=True):
        for motion in () if state.gas is None else state.gas.motions:
            row |= line_mask(grid.rest, grid.fwhm, *motion, EMISSION_LINES)
    return mask & ~interstellar_mask(grid.rest, grid.fwhm)
