"""What real spectra have and the model's do not: a smooth relative difference, learned from bright real spectra.

A prior learned from one library of scaled-solar stars misses abundances, other stars and flux-calibration errors.
These show as broad, weak differences that grow with the flux. They are modelled as model flux × f(λ) × a unit Gaussian
process that is linear between knots in rest wavelength. Faint spectra cannot measure it and carry it in their errors;
bright ones can, and the estimate then follows the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import FloatArray

__all__ = ["Discrepancy", "FollowedData"]

_PEAK = 1.5**0.5  # makes the process of rms 1 over a knot interval, where two hats of unit variance overlap


class _Hats:
    """Linear interpolation H between knots, of which each pixel has one on either side."""

    def __init__(self, rest: FloatArray, origin: float, length: float, dtype: npt.DTypeLike) -> None:
        position = (rest - origin) / length
        lower = np.floor(position).astype(np.intp)
        self._upper_share = (position - lower).astype(dtype)
        self._lower_share = 1 - self._upper_share
        self._lower = lower - lower[0]
        self._intervals, self._starts = np.unique(self._lower, return_index=True)
        self.n_knots = int(self._lower[-1]) + 2

    def at_pixels(self, knots: FloatArray) -> FloatArray:
        """H k, (n, n_pixels), of values (n, n_knots) at the knots."""
        below, above = self._about(knots)
        return np.asarray(below * self._lower_share + above * self._upper_share)

    def at_knots(self, pixels: FloatArray) -> FloatArray:
        """Hᵀ p, (n, n_knots), of values (n, n_pixels)."""
        return self._summed(pixels * self._lower_share, pixels * self._upper_share)

    def products(self, pixels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Diagonal of Hᵀ p H and the entries beside it (the last is 0), (n, n_knots), of values (n, n_pixels)."""
        diagonal = self._summed(pixels * self._lower_share**2, pixels * self._upper_share**2)
        beside = np.zeros_like(diagonal)
        both = pixels * (self._lower_share * self._upper_share)
        beside[:, self._intervals] = np.add.reduceat(both, self._starts, axis=1)
        return diagonal, beside

    def variance(self, diagonal: FloatArray, beside: FloatArray) -> FloatArray:
        """Diagonal of H C Hᵀ, (n, n_pixels), of the diagonal of C and the entries beside it, (n, n_knots)."""
        low, high = self._lower_share, self._upper_share
        below, above = self._about(diagonal)
        return np.asarray(below * low**2 + above * high**2 + self._about(beside)[0] * (2 * low * high))

    def blocks(self) -> Iterator[tuple[int, slice, FloatArray, FloatArray]]:
        """Go through the intervals that hold pixels: lower knot, pixels, and their shares in it and in the upper."""
        ends = [*self._starts[1:].tolist(), len(self._lower)]
        for knot, low, high in zip(self._intervals.tolist(), self._starts.tolist(), ends, strict=True):
            pixels = slice(low, high)
            yield knot, pixels, self._lower_share[pixels, None], self._upper_share[pixels, None]

    def _about(self, knots: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values at the knots below and above each pixel, (n, n_pixels)."""
        # An index in brackets would yield them column by column, ten times as slow in what follows.
        return np.take(knots, self._lower, axis=1), np.take(knots, self._lower + 1, axis=1)

    def _summed(self, to_lower: FloatArray, to_upper: FloatArray) -> FloatArray:
        knots = np.zeros((len(to_lower), self.n_knots), dtype=to_lower.dtype)
        knots[:, self._intervals] = np.add.reduceat(to_lower, self._starts, axis=1)
        knots[:, self._intervals + 1] += np.add.reduceat(to_upper, self._starts, axis=1)
        return knots


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
    hats : linear interpolation
        Between the knots.
    size, weight : (n_spectra, n_pixels)
        1σ of the discrepancy before the data, and the inverse variances it was estimated with.
    """

    flux: FloatArray
    variance: FloatArray
    dof: FloatArray
    diagonal: FloatArray
    beside: FloatArray
    hats: _Hats
    size: FloatArray
    weight: FloatArray

    def unexplained(self, row: int, errors: FloatArray) -> FloatArray:
        """Errors of the model, (n_pixels, n), that are left once the discrepancy has followed the data."""
        from scipy.linalg import solveh_banded

        bands = np.stack([np.concatenate([[0.0], self.beside[row, :-1]]), self.diagonal[row]])
        size = self.size[row].astype(np.float64)
        gradient = self.hats.at_knots((self.weight[row] * size) * errors.T)
        return np.asarray(errors - size[:, None] * self.hats.at_pixels(solveh_banded(bands, gradient.T).T).T)

    def unexplained_variance(self, vectors: FloatArray, covariance: FloatArray, variance: FloatArray) -> FloatArray:
        """Variance of the errors of the model that are left once the discrepancy has followed the data.

        Parameters
        ----------
        vectors : (n_pixels, d)
            The model is vectors @ x.
        covariance : (n_spectra, d, d)
            Of x.
        variance : (n_spectra, n_pixels)
            Of the model.

        Returns
        -------
        (n_spectra, n_pixels)
            That of `unexplained` errors.
        """
        hats, size = self.hats, self.size
        information = self.weight * size
        knots = np.zeros((len(size), hats.n_knots, vectors.shape[1]), dtype=vectors.dtype)
        for knot, pixels, low, high in hats.blocks():
            knots[:, knot] += information[:, pixels] @ (low * vectors[pixels])
            knots[:, knot + 1] += information[:, pixels] @ (high * vectors[pixels])
        _solve_tridiagonal(self.diagonal, self.beside, knots)
        shared = knots @ covariance.astype(vectors.dtype)
        own = np.einsum("nkd,nkd->nk", knots, shared)
        beside = np.zeros_like(own)
        beside[:, :-1] = np.einsum("nkd,nkd->nk", knots[:, :-1], shared[:, 1:])
        together = np.empty_like(size)  # covariance of the model with what follows it
        for knot, pixels, low, high in hats.blocks():
            near = shared[:, knot] @ (low * vectors[pixels]).T
            together[:, pixels] = near + shared[:, knot + 1] @ (high * vectors[pixels]).T
        return np.maximum(variance + size * (size * hats.variance(own, beside) - 2 * together), 0)

    def factor(self, row: int) -> FloatArray:
        """F with F Fᵀ the covariance of one spectrum's discrepancy, (n_pixels, n_knots)."""
        beside = self.beside[row, :-1].astype(np.float64)
        precision = np.diag(self.diagonal[row].astype(np.float64)) + np.diag(beside, 1) + np.diag(beside, -1)
        half = np.linalg.inv(np.linalg.cholesky(precision))
        return np.asarray(self.size[row][:, None] * self.hats.at_pixels(half).T)


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

    def follow(
        self, residual: FloatArray, weight: FloatArray, model: FloatArray, rest: FloatArray, origin: float | None = None
    ) -> FollowedData:
        """Estimate the discrepancy from what a fit left.

        Parameters
        ----------
        residual, weight : (n_spectra, n_pixels)
            Data minus model, and inverse variances (0 = unused).
        model : (n_spectra, n_pixels)
            Model flux.
        rest : (n_pixels,)
            Rest-frame air Å.
        origin : float, optional
            Where knots are counted from, Å; the first pixel by default.

        Returns
        -------
        FollowedData
            Its posterior, in the type of `model`.
        """
        hats = _Hats(rest, rest[0] if origin is None else origin, self.length, model.dtype)
        size = (_PEAK * self._fraction(rest)).astype(model.dtype) * np.abs(model)
        diagonal, beside = hats.products(weight * size**2)
        diagonal += 1
        gradient = hats.at_knots(weight * size * np.where(weight > 0, residual, 0))
        mean, variance, covariance = _tridiagonal(diagonal, beside, gradient)
        return FollowedData(
            flux=size * hats.at_pixels(mean),
            variance=size**2 * hats.variance(variance, covariance),
            dof=(1 - variance).sum(axis=1, dtype=np.float64),
            diagonal=diagonal,
            beside=beside,
            hats=hats,
            size=size,
            weight=weight,
        )

    def _fraction(self, rest: FloatArray) -> FloatArray:
        return np.asarray(np.interp(rest, self.wavelength, self.fraction))


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


def _solve_tridiagonal(diagonal: FloatArray, beside: FloatArray, sides: FloatArray) -> None:
    """Solve the systems of `_tridiagonal` for many right-hand sides (n, n_knots, m), in place."""
    n_knots = diagonal.shape[1]
    pivot, lower = diagonal.copy(), np.zeros_like(diagonal)
    for k in range(n_knots - 1):
        lower[:, k] = beside[:, k] / pivot[:, k]
        pivot[:, k + 1] -= lower[:, k] * beside[:, k]
        sides[:, k + 1] -= lower[:, k, None] * sides[:, k]
    sides /= pivot[:, :, None]
    for k in range(n_knots - 2, -1, -1):
        sides[:, k] -= lower[:, k, None] * sides[:, k + 1]
