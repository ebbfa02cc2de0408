"""How large what the air leaves in a spectrum is: noise in its bands and outside, and the process beyond noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoisers.posterior.contamination import noise_scale
from quietspec.denoisers.posterior.grid import Grid
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.linear import NormalEquations
from quietspec.denoisers.posterior.linearised import Marginalised, solved_triangle, triangle
from quietspec.denoisers.posterior.sky import SkyPixels

__all__ = ["NoiseLevels", "explained_chi2", "is_told_apart", "with_likeliest_sky"]

_SIZES = np.array([0.0, 0.1, 0.2, 0.4, 0.8, 1.6])  # q, with their probabilities before the data
_PROBABILITIES = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
_FEWEST = 200  # pixels, in the bands and outside, from which the noise of each can be told


@dataclass(frozen=True, eq=False)
class NoiseLevels(BySpectrum):
    """How large the noise of spectra is.

    Parameters
    ----------
    scale : (n_spectra,)
        Factor on the 1σ of the batch: as quoted or, where spectra are bright, as raised (`Batch.inflation`).
    factors : (n_spectra, 2)
        Noise outside the bands of the air and in them, over that of the whole spectrum.
    """

    scale: FloatArray
    factors: FloatArray

    def __len__(self) -> int:
        return len(self.scale)

    @classmethod
    def quoted(cls, n: int) -> Self:
        """Return the noise of n spectra as the batch has it."""
        return cls(np.ones(n), np.ones((n, 2)))

    @classmethod
    def measured(cls, residual: FloatArray, weight: FloatArray, dof: FloatArray, sky: SkyPixels) -> Self:
        """Measure it.

        Parameters
        ----------
        residual, weight : (n_spectra, n_pixels)
            Data minus continuum, and inverse variances (0 = masked).
        dof : (n_spectra,)
            Number of parameters fitted to get the continuum.
        sky : SkyPixels
            The bands.

        Returns
        -------
        NoiseLevels
            Factors are 1 for spectra of too few pixels on either side of the bands' edges.
        """
        scale, used = noise_scale(residual, weight, dof), weight > 0
        factors, sides = np.ones((len(scale), 2)), (~sky.inside, sky.inside)
        if not sky.size:
            return cls(scale, factors)
        rows = np.flatnonzero(is_told_apart(used, sky))
        if rows.size:
            counts = np.stack([(used[rows] & side).sum(axis=1) for side in sides], axis=1)
            shares = dof[rows, None] * counts / counts.sum(axis=1, keepdims=True)
            for column, side in enumerate(sides):
                part = np.where(side, weight[rows], 0)
                factors[rows, column] = noise_scale(residual[rows], part, shares[:, column]) / scale[rows]
        return cls(scale, factors)

    def at_least_quoted(self, rows: BoolArray) -> Self:
        """Let the noise of some spectra, (n_spectra,) of bool, be nowhere less than the batch has it."""
        scale = np.where(rows, np.maximum(self.scale, 1.0), self.scale)
        factors = np.maximum(self.scale[:, None] * self.factors, 1.0) / scale[:, None]
        return type(self)(scale, np.where(rows[:, None], factors, self.factors))

    def weighted(self, weight: FloatArray, grid: Grid, sky: SkyPixels, scale: FloatArray) -> FloatArray:
        """Weights of spectra of a flux scale (n_spectra,), with their noise and what the basis leaves out.

        Parameters
        ----------
        weight : (n_spectra, n_pixels)
            Inverse variances of the batch.
        grid : Grid
            The pixels.
        sky : SkyPixels
            The bands of the air.
        scale : (n_spectra,)
            Flux scales.

        Returns
        -------
        (n_spectra, n_pixels)
            Weights.
        """
        level = self.scale.astype(np.float32)[:, None]
        if sky.size:
            level = level * np.where(sky.inside, self.factors[:, 1:], self.factors[:, :1]).astype(np.float32)
        weight = weight / level**2
        size = scale.astype(np.float32)[:, None] * grid.truncation.astype(np.float32)
        return np.asarray(weight / (1 + weight * size**2))


def is_told_apart(used: BoolArray, sky: SkyPixels) -> BoolArray:
    """Find the spectra whose noise in the bands of the air can be told from that outside of them.

    Parameters
    ----------
    used : (n_spectra, n_pixels) of bool
        Pixels that are used.
    sky : SkyPixels
        The bands, which hold some of the pixels.

    Returns
    -------
    (n_spectra,) of bool
        True where there are 200 pixels on either side of the bands' edges.
    """
    inside, outside = ((used & side).sum(axis=1) for side in (sky.inside, ~sky.inside))
    return np.asarray(np.minimum(inside, outside) >= _FEWEST)


def with_likeliest_sky(
    marginalised: Marginalised, equations: NormalEquations, residual: FloatArray, weight: FloatArray
) -> Marginalised:
    """Allow for what the air leaves, of the size q of largest evidence, all else marginalised under one Gaussian.

    Parameters
    ----------
    marginalised : Marginalised
        What the data say about a state without such a process.
    equations : NormalEquations
        Normal equations from which it follows.
    residual, weight : (n_pixels,)
        Data minus model, and inverse variances.

    Returns
    -------
    Marginalised
        The same with `State.sky`, which is one of few sizes.
    """
    linearised = marginalised.linearised
    if not linearised.sky.size:
        return marginalised
    sky = linearised.sky
    along = linearised.along(sky.columns, residual, weight)
    columns = sky.columns[sky.rows] * (weight[sky.rows] > 0)[:, None]
    size = _likeliest(np.column_stack([columns.T @ columns, along[:, -1]]) - _taken(marginalised, along))
    process = sky.filter(weight, size)
    if process is None:
        return marginalised
    sized = replace(linearised, state=replace(linearised.state, sky=size))
    return sized.solved(equations.filtered(process, along))


def _taken(marginalised: Marginalised, along: FloatArray) -> FloatArray:
    """What a fit under one Gaussian takes from the products of U with itself and, last, with the residuals."""
    kept = len(marginalised.gradient)
    of_kept, of_rest = along[:, :kept].T, along[:, kept:-1].T.astype(np.float64)
    expected, precision = marginalised.prior(marginalised.linearised.state.scale)
    slope = marginalised.gradient - precision * (marginalised.now - expected)
    lower = triangle(marginalised.gram + np.diag(precision))
    outer = solved_triangle(lower, np.column_stack([of_kept - marginalised.response.T @ of_rest, slope]))
    inner = solved_triangle(marginalised.inner_factor, of_rest)
    taken = outer[:, :-1].T @ outer
    taken[:, :-1] += inner.T @ inner
    taken[:, -1] += marginalised.offset @ of_rest
    return np.asarray(taken)


def _likeliest(products: FloatArray) -> float:
    """Size of largest evidence, for the products (n_columns, n_columns + 1) of U with itself and what a fit leaves."""
    values, vectors = np.linalg.eigh(products[:, :-1])
    signal = vectors.T @ products[:, -1]
    square, known = _SIZES[:, None] ** 2, np.maximum(values, 0.0)
    evidence = 0.5 * (square * signal**2 / (1 + square * known) - np.log1p(square * known)).sum(axis=1)
    return float(_SIZES[(evidence + np.log(_PROBABILITIES)).argmax()])


def explained_chi2(
    states: list[State], sky: SkyPixels, residual: FloatArray, quoted: FloatArray, used: FloatArray
) -> FloatArray:
    """χ², by the errors of the batch, that what the air leaves explains.

    Parameters
    ----------
    states : list of State
        States of the spectra.
    sky : SkyPixels
        The bands.
    residual : (n_spectra, n_pixels)
        Data less the estimate.
    quoted, used : (n_spectra, n_pixels)
        Inverse variances of the batch, and as used (0 = not used).

    Returns
    -------
    (n_spectra,)
        Difference of χ² without the posterior mean of the process and with it.
    """
    found = np.zeros(len(states))
    for row, state in enumerate(states):
        process = sky.filter(used[row], state.sky)
        if process is None:
            continue
        white = residual[row] * np.sqrt(used[row])
        left = white - process.mean(white)
        ratio = np.divide(quoted[row], used[row], out=np.zeros_like(used[row]), where=used[row] > 0)
        found[row] = ratio @ (white**2 - left**2)
    return found
