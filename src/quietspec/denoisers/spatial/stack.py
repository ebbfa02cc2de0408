"""The sum of a galaxy's bright spaxels: what it says of the calibration that all share, and of the galaxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.calibration import SharedCalibration
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid

__all__ = ["FittedStack", "Stack"]

_OWN = 0.05  # share of the calibration's variance that each spaxel has for itself


class Stack:
    """Sum of spectra, each divided by its flux scale, weighted by what it tells of its shape.

    Parameters
    ----------
    grid : KinematicGrid
        Their pixels.
    """

    def __init__(self, grid: KinematicGrid) -> None:
        self._grid = grid
        self._weight = np.zeros(len(grid.rest))
        self._sum = np.zeros(len(grid.rest))

    def add(self, flux: FloatArray, weight: FloatArray, scale: FloatArray) -> None:
        """Add spectra: flux and inverse variances (n, n_pixels), in units in which their flux scales are (n,)."""
        self._weight += scale**2 @ weight.astype(np.float64)
        self._sum += scale @ (weight * flux).astype(np.float64)

    def fit(self, emission: Emission) -> FittedStack:
        """Fit the sum as one spectrum."""
        used = self._weight > 0
        shape = np.divide(self._sum, self._weight, out=np.zeros_like(self._sum), where=used)
        unit = np.sqrt(used.sum(keepdims=True) / self._weight.sum(keepdims=True))
        batch = Batch(
            flux=(shape / unit)[None].astype(np.float32),
            weight=(self._weight * unit**2)[None].astype(np.float32),
            unit=unit[:, None],
            scale=unit,
            grid=self._grid,
        )
        return FittedStack.of(BatchFit(batch, "auto" if emission == "fit" else emission, "measured"))


@dataclass(frozen=True, eq=False)
class FittedStack:
    """What the sum says.

    Parameters
    ----------
    shape, covariance : (d,) and (d, d)
        Posterior of its ξ, with the calibration marginalised: nothing that all spaxels share is known better.
    calibration : SharedCalibration
        Posterior mean of the calibration.
    share : float
        Share of the calibration's variance that is left in a spaxel: what the sum does not know, and its own.
    """

    shape: FloatArray
    covariance: FloatArray
    calibration: SharedCalibration
    share: float

    @classmethod
    def of(cls, fit: BatchFit) -> Self:
        """Take it from the fit of one spectrum."""
        knots, scale = fit.grid.model.knots, float(fit.scale[0])
        deviation, covariance = fit.calibration(0)
        left = float(np.mean(np.diagonal(covariance) / np.diagonal(knots.covariance)))
        return cls(
            shape=fit.posterior.mean[0] / scale,
            covariance=fit.posterior.covariance[0] / scale**2,
            calibration=SharedCalibration(knots.places, deviation),
            share=min(left + _OWN, 1.0),
        )
