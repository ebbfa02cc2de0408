"""What real spectra have and the model's do not: a smooth relative difference, learned from bright real spectra.

A prior learned from one library of scaled-solar stars misses abundances, other stars and flux-calibration errors.
These show as broad, weak differences that grow with the flux. They are modelled as model flux × f(λ) × a unit Gaussian
process that is linear between knots in rest wavelength. Faint spectra cannot measure it and carry it in their errors;
bright ones can, and the estimate then follows the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

    from quietspec.spectra import FloatArray

__all__ = ["Discrepancy", "FollowedData"]

_PEAK = 1.5**0.5  # makes the process of rms 1 over a knot interval, where two hats of unit variance overlap


@dataclass(frozen=True, eq=False)
class FollowedData:
    """What the data say about the discrepancy of each spectrum.

    Parameters
    ----------
    flux, variance : (n_spectra, n_pixels)
        Its posterior mean and variance.
    dof : (n_spectra,)
        Number of knots the data determine.
    diagonal, beside : (n_spectra, n_knots)
        Posterior precision of the knots' values: its diagonal, and the entries beside it (the last is 0).
    hats : (n_pixels, n_knots) sparse array
        Linear interpolation between the knots.
    size, weight : (n_spectra, n_pixels)
        1σ of the discrepancy before the data, and the inverse variances it was estimated with.
    """

    flux: FloatArray
    variance: FloatArray
    dof: FloatArray
    diagonal: FloatArray
    beside: FloatArray
    hats: sparse.csr_array
    size: FloatArray
    weight: FloatArray

    def unexplained(self, row: int, errors: FloatArray) -> FloatArray:
        """Errors of the model, (n_pixels, n), that are left once the discrepancy has followed the data."""
        from scipy.linalg import solveh_banded

        bands = np.stack([np.concatenate([[0.0], self.beside[row, :-1]]), self.diagonal[row]])
        gradient = self.hats.T @ ((self.weight[row] * self.size[row])[:, None] * errors)
        return np.asarray(errors - self.size[row][:, None] * (self.hats @ solveh_banded(bands, gradient)))

    def factor(self, row: int) -> FloatArray:
        """F with F Fᵀ the covariance of one spectrum's discrepancy, (n_pixels, n_knots)."""
        beside = self.beside[row, :-1]
        precision = np.diag(self.diagonal[row]) + np.diag(beside, 1) + np.diag(beside, -1)
        half = np.linalg.inv(np.linalg.cholesky(precision)).T
        return np.asarray(self.size[row][:, None] * (self.hats @ half))


@dataclass(frozen=True, eq=False)
class Discrepancy:
    """Relative model discrepancy of real spectra.

    Parameters
    ----------
    wavelength : (n_nodes,)
        Rest-frame air Å.
    fraction : (n_nodes,)
        1σ relative to the model flux; constant beyond the ends.
    length : float
        Distance of the knots, rest-frame Å.
    """

    wavelength: FloatArray
    fraction: FloatArray
    length: float

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self | None:
        """Read it from a model's card; None if the card has none."""
        stored = card.get("discrepancy")
        if stored is None:
            return None
        return cls(np.array(stored["wavelength"]), np.array(stored["fraction"]), float(stored["length"]))

    def as_noise(self, rest: FloatArray, shape: FloatArray) -> FloatArray:
        """Return the independent error of single pixels that harms broad features as much, (n_pixels,).

        Parameters
        ----------
        rest : (n_pixels,)
            Rest-frame air Å.
        shape : (n_pixels,)
            Typical model flux.

        Returns
        -------
        (n_pixels,)
            1σ, in the unit of `shape`.
        """
        pixels = self.length / np.maximum(np.gradient(rest), 1e-3)
        return np.asarray(self._fraction(rest) * np.abs(shape) * np.sqrt(np.maximum(pixels, 1.0)))

    def follow(self, residual: FloatArray, weight: FloatArray, model: FloatArray, rest: FloatArray) -> FollowedData:
        """Estimate the discrepancy from what a fit left.

        Parameters
        ----------
        residual, weight : (n_spectra, n_pixels)
            Data minus model, and inverse variances (0 = unused).
        model : (n_spectra, n_pixels)
            Model flux.
        rest : (n_pixels,)
            Rest-frame air Å.

        Returns
        -------
        FollowedData
            Its posterior.
        """
        hats = self._hats(rest)
        size = _PEAK * self._fraction(rest) * np.abs(model)
        information = weight * size**2
        diagonal = 1 + (hats.power(2).T @ information.T).T
        beside = np.zeros_like(diagonal)
        beside[:, :-1] = ((hats[:, :-1] * hats[:, 1:]).T @ information.T).T
        gradient = (hats.T @ (weight * size * np.where(weight > 0, residual, 0.0)).T).T
        mean, variance, covariance = _tridiagonal(diagonal, beside, gradient)
        cross = (hats[:, :-1] * hats[:, 1:]) @ covariance[:, :-1].T
        spread = (hats.power(2) @ variance.T + 2 * cross).T
        return FollowedData(
            flux=size * (hats @ mean.T).T,
            variance=size**2 * spread,
            dof=(1 - variance).sum(axis=1),
            diagonal=diagonal,
            beside=beside,
            hats=hats,
            size=size,
            weight=weight,
        )

    def _fraction(self, rest: FloatArray) -> FloatArray:
        return np.asarray(np.interp(rest, self.wavelength, self.fraction))

    def _hats(self, rest: FloatArray) -> sparse.csr_array:
        from scipy import sparse

        position = (rest - rest[0]) / self.length
        lower = np.floor(position).astype(np.intp)
        share = position - lower
        rows = np.arange(len(rest))
        shape = (len(rest), int(lower[-1]) + 2)
        entries = (np.concatenate([1 - share, share]), (np.tile(rows, 2), np.concatenate([lower, lower + 1])))
        return sparse.csr_array(entries, shape=shape)


def _tridiagonal(
    diagonal: FloatArray, beside: FloatArray, gradient: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Solve symmetric positive tridiagonal systems A x = g side by side.

    Parameters
    ----------
    diagonal, beside, gradient : (n, n_knots)
        A's diagonal and the entries beside it (the last is 0), and g.

    Returns
    -------
    solution, variance, covariance : (n, n_knots)
        x, the diagonal of A⁻¹ and the entries beside it (the last is 0), by A = L D Lᵀ.

    References
    ----------
    Takahashi, Fagan & Chen 1973 (entries of the inverse within the band).
    """
    n_knots = diagonal.shape[1]
    pivot, solution = diagonal.copy(), gradient.copy()
    lower = np.zeros_like(diagonal)
    for k in range(n_knots - 1):
        lower[:, k] = beside[:, k] / pivot[:, k]
        pivot[:, k + 1] -= lower[:, k] * beside[:, k]
        solution[:, k + 1] -= lower[:, k] * solution[:, k]
    solution /= pivot
    variance, covariance = 1 / pivot, np.zeros_like(diagonal)
    for k in range(n_knots - 2, -1, -1):
        solution[:, k] -= lower[:, k] * solution[:, k + 1]
        covariance[:, k] = -lower[:, k] * variance[:, k + 1]
        variance[:, k] -= lower[:, k] * covariance[:, k]
    return solution, variance, covariance
