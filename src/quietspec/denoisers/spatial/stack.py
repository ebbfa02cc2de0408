"""The sum of a galaxy's bright spaxels: what it says of the calibration that all share, and of the galaxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.calibration import SharedCalibration
from quietspec.denoisers.posterior.grid import Batch, inflation_of
from quietspec.denoisers.posterior.inference import infer
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates
from quietspec.denoisers.posterior.linear import Projections

__all__ = ["FittedStack", "Stack"]

_BRIGHT = 0.9  # share of the squared S/N of all spaxels that those have which are summed
_LEVELS, _LEVEL_WIDTH = 48, 0.5  # of the signal, and their width in its logarithm
_OWN = 0.05  # share of the calibration's variance that each spaxel has for itself
_DRAWS, _SURE, _SEED = 32, 0.03, 18  # draws of populations whose labels are looked up, and how exactly they are taken


class Stack:
    """Sum of spectra, each divided by its flux scale, weighted by what it tells of its shape.

    Spectra of alike signal are added up by themselves, so that the brightest can be taken once all are known.

    Parameters
    ----------
    n_pixels : int
        Number of their pixels.
    """

    def __init__(self, n_pixels: int) -> None:
        self._signal = np.zeros(_LEVELS)
        self._weight = np.zeros((_LEVELS, n_pixels))
        self._sum = np.zeros((_LEVELS, n_pixels))

    def add(self, flux: FloatArray, weight: FloatArray, scale: FloatArray, signal: FloatArray) -> None:
        """Add spectra.

        Parameters
        ----------
        flux, weight : (n, n_pixels)
            Flux and inverse variances, in units of their own.
        scale, signal : (n,)
            Flux scales in these units, and squared S/N of all pixels together.
        """
        level = np.clip(np.log(np.maximum(signal, 1.0)) / _LEVEL_WIDTH, 0, _LEVELS - 1).astype(int)
        np.add.at(self._signal, level, signal)
        np.add.at(self._weight, level, scale[:, None] ** 2 * weight)
        np.add.at(self._sum, level, scale[:, None] * (weight * flux))

    def join(self, other: Stack) -> None:
        """Add another sum of the same pixels."""
        self._signal += other._signal
        self._weight += other._weight
        self._sum += other._sum

    def fit(self, grid: KinematicGrid, emission: Emission) -> FittedStack:
        """Fit the sum of the brightest, which have nine tenths of the squared S/N of all, as one spectrum of a grid."""
        above = np.cumsum(self._signal[::-1])[::-1] - self._signal
        bright = above < _BRIGHT * self._signal.sum()
        weight, total = self._weight[bright].sum(axis=0), self._sum[bright].sum(axis=0)
        used = weight > 0
        shape = np.divide(total, weight, out=np.zeros_like(total), where=used)
        inflation = inflation_of(shape[None], weight[None])
        unit = inflation * np.sqrt(used.sum(keepdims=True) / weight.sum(keepdims=True))
        batch = Batch(
            flux=(shape / unit)[None].astype(np.float32),
            weight=(weight * unit**2 / inflation**2)[None].astype(np.float32),
            unit=unit[:, None],
            scale=unit,
            inflation=inflation,
            grid=grid,
        )
        return FittedStack.of(BatchFit(batch, "auto" if emission == "fit" else emission, "measured"))


@dataclass(frozen=True, eq=False)
class FittedStack:
    """What the sum says.

    All spaxels are divided by the calibration that fits best. What it gets wrong looks like populations, the same in
    every spaxel: their product is known far better than either. So the spaxels' fluxes rest on the calibration as if it
    were known, up to what would show, and what it may still be is added to the errors of their labels.

    Parameters
    ----------
    shape : (d,)
        Posterior mean of its ξ.
    calibration : SharedCalibration or None
        Posterior mean of the calibration; None where nothing is known of it.
    share : float
        Share of the calibration's variance that is left in a spaxel: what the sum does not know where the populations
        are given, and its own.
    label_covariance : (n_labels, n_labels)
        Covariance of the labels of populations that the calibration leaves to all spaxels in common.
    """

    shape: FloatArray
    calibration: SharedCalibration | None
    share: float
    label_covariance: FloatArray

    @classmethod
    def of(cls, fit: BatchFit) -> Self:
        """Take it from the fit of one spectrum."""
        knots, scale = fit.grid.model.knots, float(fit.scale[0])
        deviation, remaining = fit.calibration(0)
        left = float(np.mean(np.diagonal(remaining) / np.diagonal(knots.covariance)))
        mean, covariance = fit.posterior.mean[0] / scale, fit.posterior.covariance[0] / scale**2
        return cls(
            shape=mean,
            calibration=SharedCalibration(knots.places, deviation),
            share=min(left + _OWN, 1.0),
            label_covariance=_of_labels(fit.grid.model.coordinates, mean, covariance),
        )

    @classmethod
    def unknown(cls, shape: FloatArray, n_labels: int) -> Self:
        """Share no calibration, so that each spaxel has all of its variance, and populations of a shape ξ, (d,)."""
        return cls(shape, calibration=None, share=1.0, label_covariance=np.zeros((n_labels, n_labels)))


def _of_labels(coordinates: KinematicCoordinates, mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Covariance of the expected labels of populations over ξ ~ N(mean, covariance), motions apart."""
    drawn = np.random.default_rng(_SEED).multivariate_normal(mean, covariance, _DRAWS, method="eigh")
    drawn[:, :MOTIONS] = mean[:MOTIONS]
    size = len(mean)
    known = np.broadcast_to(np.eye(size) / _SURE**2, (_DRAWS, size, size))
    nothing = np.zeros((_DRAWS, size))
    exact = Projections(drawn, known, nothing, nothing[:, :0], nothing[:, 0])
    labels = infer(exact, coordinates, np.ones(_DRAWS), screened=True).labels
    means = np.stack([labels.mean(name) for name in labels.names[:-MOTIONS]])
    return np.cov(means)
