"""What the data of spaxels say of their motions, as Gaussians: about as much as matters where the others put them.

The likelihood of velocity and width is no Gaussian where the signal is faint: its peak is narrower than its spread, and
there may be several. Where a first pass scanned it, it is known on a lattice; multiplied by what others say of the
spaxel and compared with that again, it gives the Gaussian that has the same effect (expectation propagation).

References
----------
Minka 2001, Proceedings of the 17th Conference on Uncertainty in Artificial Intelligence, 362 (expectation propagation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoisers.posterior.kinematic_fit import BatchFit
from quietspec.denoisers.posterior.kinematics import MOTIONS
from quietspec.denoisers.posterior.velocity_scan import (
    FINE_LATTICE,
    log_prior_of_width,
    moments_on_lattice,
    on_fine_lattice,
)

__all__ = ["MotionLikelihoods"]

_NARROWEST = np.array([15.0, 0.05])  # km/s and u: widths that the lattice resolves
_LEAST = 1e-4  # precision of a likelihood that says nothing, in units of the prior's
_FARTHEST = 4.0  # errors of what such a likelihood says, by which it may move what is known
_TOGETHER = 512  # spaxels worked on at a time


@dataclass(frozen=True, eq=False)
class MotionLikelihoods(BySpectrum):
    """What the data of n spaxels say of velocity (km/s) and width u.

    Parameters
    ----------
    scanned : (n,) of bool
        Spaxels of which the lattice is used; of the others the Gaussian.
    logs : (n, n_velocities, n_widths) of float32
        Log evidence on the lattice of the scan.
    mean, covariance : (n, 2) and (n, 2, 2)
        Posterior moments of the fit.
    """

    scanned: BoolArray
    logs: FloatArray
    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, fit: BatchFit) -> Self:
        """Take them from the fits of a batch, once these have their solution."""
        mean = np.array([(one.velocity[0], one.dispersion.mean) for one in fit.motions])
        error = np.array([(one.velocity[1], one.dispersion.variance**0.5) for one in fit.motions])
        joint = np.array([one.joint[1][:MOTIONS, :MOTIONS] for one in fit.motions])
        size = error / np.sqrt(np.einsum("nii->ni", joint))
        return cls(*fit.scanned, mean, size[:, :, None] * joint * size[:, None])

    def gaussians(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gaussians that stand for the likelihoods where others say N(mean, covariance).

        Parameters
        ----------
        mean, covariance : (n, 2) and (n, 2, 2)
            What is known from elsewhere of velocity (km/s) and u.

        Returns
        -------
        precision, gradient : (n, 2, 2) and (n, 2)
            Of the log likelihood −½ (m − mean)ᵀ precision (m − mean) + gradient · (m − mean).
        """
        precision, gradient = self._fitted(mean)
        rows = np.flatnonzero(self.scanned)
        for part in np.array_split(rows, max(1, -(-len(rows) // _TOGETHER))):
            precision[part], gradient[part] = _tilted(self.logs[part], mean[part], covariance[part])
        return precision, gradient

    def _fitted(self, mean: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The Gaussians of the fits, without the prior of u that they were made under."""
        centre, variance = _prior_of_width()
        precision = np.linalg.inv(self.covariance)
        gradient = (precision @ (self.mean - mean)[..., None])[..., 0]
        removed = np.minimum(1 / variance, (1 - _LEAST) * _alone(precision))
        gradient[:, 1] -= removed * (centre - mean[:, 1])
        precision[:, 1, 1] -= removed
        return precision, gradient


def _alone(precision: FloatArray) -> FloatArray:
    """Precision (n,) of u whatever the velocity."""
    return np.asarray(precision[:, 1, 1] - precision[:, 0, 1] ** 2 / precision[:, 0, 0])


def _prior_of_width() -> tuple[float, float]:
    width = FINE_LATTICE[1]
    weight = np.exp(log_prior_of_width(width))
    mean = float(np.average(width, weights=weight))
    return mean, float(np.average((width - mean) ** 2, weights=weight))


def _tilted(logs: FloatArray, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What likelihoods on the lattice do to N(mean, covariance), as Gaussians."""
    wide = at_least(covariance, _NARROWEST)
    fine = known_on(on_fine_lattice(logs), FINE_LATTICE, mean, wide)
    density = np.exp(fine - fine.max(axis=(1, 2), keepdims=True))
    density /= density.sum(axis=(1, 2), keepdims=True)
    return effect(mean, wide, *moments_on_lattice(density))


def at_least(covariance: FloatArray, sizes: FloatArray) -> FloatArray:
    """Covariances (n, 2, 2) whose standard deviations are at least some sizes (2,)."""
    wide = covariance.copy()
    wide[:, [0, 1], [0, 1]] = np.maximum(wide[:, [0, 1], [0, 1]], sizes**2)
    return wide


def known_on(
    fine: FloatArray, lattice: tuple[FloatArray, FloatArray], mean: FloatArray, covariance: FloatArray
) -> FloatArray:
    """Add the log density of N(mean, covariance), not normalised, to logs (n, n_velocities, n_widths), in place."""
    known = np.linalg.inv(covariance)
    v, u = (axis - mean[:, [k]] for k, axis in enumerate(lattice))
    fine -= 0.5 * known[:, 0, 0, None, None] * v[:, :, None] ** 2
    fine -= 0.5 * known[:, 1, 1, None, None] * u[:, None] ** 2 + known[:, 0, 1, None, None] * v[:, :, None] * u[:, None]
    return fine


def effect(
    mean: FloatArray, covariance: FloatArray, found: FloatArray, spread: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Gaussian likelihoods that turn N(mean, covariance) into distributions of moments `found` and `spread`.

    Returns
    -------
    precision, gradient : (n, 2, 2) and (n, 2)
        As of `MotionLikelihoods.gaussians`.
    """
    # All is compared where what was known is of unit size.
    root = np.linalg.cholesky(covariance)
    back = np.linalg.inv(root)
    variance, axes = np.linalg.eigh(back @ spread @ np.swapaxes(back, 1, 2))
    turn = np.swapaxes(back, 1, 2) @ axes
    gained = np.maximum(1 / np.maximum(variance, _LEAST) - 1, _LEAST)
    moved = (np.swapaxes(turn, 1, 2) @ (found - mean)[..., None])[..., 0]
    # Where the data hardly narrow what was known, no Gaussian moves it far.
    most = _FARTHEST * np.sqrt(gained)
    pulled = (1 + gained) * np.clip(moved, -most, most)
    return (turn * gained[:, None]) @ np.swapaxes(turn, 1, 2), (turn @ pulled[..., None])[..., 0]
