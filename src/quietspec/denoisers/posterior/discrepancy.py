"""What real spectra have and the model has not: a smooth relative difference, learned from bright real spectra.

A prior learned from one library of scaled-solar stars lacks other abundances, other stars and flux-calibration errors.
These show as broad, weak differences proportional to the flux. They are modelled as δ = b H k: b(λ) is the model flux
times a fraction f(λ), H interpolates linearly between knots in rest wavelength, and the values k at the knots are
independent, N(0, 1). The posterior of k has the tridiagonal precision A = 1 + HᵀbWbH and the mean A⁻¹HᵀbW r, for
residuals r of inverse variances W. Faint spectra cannot measure δ and carry it in their errors;
bright ones can, and the estimate then follows the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quietspec.errors import ModelError

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import FloatArray

__all__ = ["Discrepancy", "DiscrepancyFit"]

_PEAK = 1.5**0.5  # gives the process an rms of 1 over a knot interval, where two hats of unit variance overlap


class _HatBasis:
    """Linear interpolation H between knots: hat functions, two of which overlap at each pixel."""

    def __init__(self, rest: FloatArray, origin: float, length: float, dtype: npt.DTypeLike) -> None:
        position = (rest - origin) / length
        lower = np.floor(position).astype(np.intp)
        self._upper_share = (position - lower).astype(dtype)
        self._lower_share = 1 - self._upper_share
        self._lower = lower - lower[0]
        self._intervals, self._starts = np.unique(self._lower, return_index=True)
        self.n_knots = int(self._lower[-1]) + 2

    def at_pixels(self, knots: FloatArray) -> FloatArray:
        """H k, (n, n_pixels), for values k (n, n_knots) at the knots."""
        below, above = self._neighbours(knots)
        return np.asarray(below * self._lower_share + above * self._upper_share)

    def at_knots(self, pixels: FloatArray) -> FloatArray:
        """Hᵀ p, (n, n_knots), for values p (n, n_pixels)."""
        return self._summed(pixels * self._lower_share, pixels * self._upper_share)

    def products(self, pixels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Diagonal of Hᵀ diag(p) H and its off-diagonal (the last entry is 0), (n, n_knots), for p (n, n_pixels)."""
        diagonal = self._summed(pixels * self._lower_share**2, pixels * self._upper_share**2)
        off_diagonal = np.zeros_like(diagonal)
        both = pixels * (self._lower_share * self._upper_share)
        off_diagonal[:, self._intervals] = np.add.reduceat(both, self._starts, axis=1)
        return diagonal, off_diagonal

    def variance(self, diagonal: FloatArray, off_diagonal: FloatArray) -> FloatArray:
        """Diagonal of H C Hᵀ, (n, n_pixels), for a C of given diagonal and off-diagonal, (n, n_knots)."""
        low, high = self._lower_share, self._upper_share
        below, above = self._neighbours(diagonal)
        between, _ = self._neighbours(off_diagonal)
        return np.asarray(below * low**2 + above * high**2 + between * (2 * low * high))

    def blocks(self) -> Iterator[tuple[int, slice, FloatArray, FloatArray]]:
        """Yield each interval with pixels: its lower knot, the pixels, their shares in the lower and upper knot."""
        ends = [*self._starts[1:].tolist(), len(self._lower)]
        for knot, low, high in zip(self._intervals.tolist(), self._starts.tolist(), ends, strict=True):
            pixels = slice(low, high)
            yield knot, pixels, self._lower_share[pixels, None], self._upper_share[pixels, None]

    def _neighbours(self, knots: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values at the knots below and above each pixel, (n, n_pixels)."""
        # Indexing with brackets would give Fortran order, which makes what follows ten times slower.
        return np.take(knots, self._lower, axis=1), np.take(knots, self._lower + 1, axis=1)

    def _summed(self, to_lower: FloatArray, to_upper: FloatArray) -> FloatArray:
        knots = np.zeros((len(to_lower), self.n_knots), dtype=to_lower.dtype)
        knots[:, self._intervals] = np.add.reduceat(to_lower, self._starts, axis=1)
        knots[:, self._intervals + 1] += np.add.reduceat(to_upper, self._starts, axis=1)
        return knots


@dataclass(frozen=True, eq=False)
class DiscrepancyFit:
    """Posterior of the discrepancy of each spectrum.

    Parameters
    ----------
    flux, variance : (n_spectra, n_pixels)
        Posterior mean and variance of δ.
    dof : (n_spectra,)
        Number of knots that the data determine.
    diagonal, off_diagonal : (n_spectra, n_knots)
        A, the posterior precision of the knots' values: its diagonal, and its off-diagonal (the last entry is 0).
    hats : hat functions
        H.
    size, weight : (n_spectra, n_pixels)
        b, the 1σ of δ before the data, and W, the inverse variances it was estimated with.
    """

    flux: FloatArray
    variance: FloatArray
    dof: FloatArray
    diagonal: FloatArray
    off_diagonal: FloatArray
    hats: _HatBasis
    size: FloatArray
    weight: FloatArray

    def remaining_errors(self, row: int, errors: FloatArray) -> FloatArray:
        """Errors e of the model, (n_pixels, n), less what the discrepancy takes up of them: e − b H A⁻¹HᵀbW e."""
        from scipy.linalg import solveh_banded

        bands = np.stack([np.concatenate([[0.0], self.off_diagonal[row, :-1]]), self.diagonal[row]])
        size = self.size[row].astype(np.float64)
        gradient = self.hats.at_knots((self.weight[row] * size) * errors.T)
        return np.asarray(errors - size[:, None] * self.hats.at_pixels(solveh_banded(bands, gradient.T).T).T)

    def remaining_variance(self, vectors: FloatArray, covariance: FloatArray, variance: FloatArray) -> FloatArray:
        """Variance of the errors of the model, less what the discrepancy takes up of them.

        With R = A⁻¹HᵀbW V, the response of the knots to the model V x, it is the diagonal of
        (V − bHR) C (V − bHR)ᵀ.

        Parameters
        ----------
        vectors : (n_pixels, d)
            V.
        covariance : (n_spectra, d, d)
            C, covariance of x.
        variance : (n_spectra, n_pixels)
            Diagonal of V C Vᵀ.

        Returns
        -------
        (n_spectra, n_pixels)
            Variances of `remaining_errors`.
        """
        hats, size = self.hats, self.size
        # HᵀbW V, interval by interval, then R.
        information = self.weight * size
        response = np.zeros((len(size), hats.n_knots, vectors.shape[1]), dtype=vectors.dtype)
        for knot, pixels, low, high in hats.blocks():
            response[:, knot] += information[:, pixels] @ (low * vectors[pixels])
            response[:, knot + 1] += information[:, pixels] @ (high * vectors[pixels])
        _solve_tridiagonal(self.diagonal, self.off_diagonal, response)
        # Diagonal and off-diagonal of RCRᵀ: all that the hats need of it.
        response_covariance = response @ covariance.astype(vectors.dtype)
        diagonal = np.einsum("nkd,nkd->nk", response, response_covariance)
        off_diagonal = np.zeros_like(diagonal)
        off_diagonal[:, :-1] = np.einsum("nkd,nkd->nk", response[:, :-1], response_covariance[:, 1:])
        # Diagonal of HRCVᵀ.
        cross = np.empty_like(size)
        for knot, pixels, low, high in hats.blocks():
            at_lower = response_covariance[:, knot] @ (low * vectors[pixels]).T
            cross[:, pixels] = at_lower + response_covariance[:, knot + 1] @ (high * vectors[pixels]).T
        return np.maximum(variance + size * (size * hats.variance(diagonal, off_diagonal) - 2 * cross), 0)

    def factor(self, row: int) -> FloatArray:
        """F with F Fᵀ the covariance of one spectrum's discrepancy, (n_pixels, n_knots)."""
        off_diagonal = self.off_diagonal[row, :-1].astype(np.float64)
        precision = np.diag(self.diagonal[row].astype(np.float64))
        precision += np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
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
        f, 1σ relative to the model flux; constant beyond the ends.
    length : float
        Distance between knots, rest-frame Å.
    """

    wavelength: FloatArray
    fraction: FloatArray
    length: float

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self | None:
        """Read the discrepancy from a model's card; None if the card has none, `ModelError` if it is no discrepancy."""
        stored = card.get("discrepancy")
        if stored is None:
            return None
        try:
            wavelength, fraction = (np.array(stored[name], dtype=float) for name in ("wavelength", "fraction"))
            length = float(stored["length"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card's discrepancy is malformed ({error!r}). Learn it again.") from error
        nodes = wavelength.ndim == 1 and wavelength.shape == fraction.shape and (np.diff(wavelength) > 0).all()
        if not nodes or not (np.isfinite(fraction) & (fraction >= 0)).all() or not 0 < length < np.inf:
            raise ModelError("the card's discrepancy is malformed: nodes, fractions ≥ 0 or length. Learn it again.")
        return cls(wavelength, fraction, length)

    def as_noise(self, rest: FloatArray, shape: FloatArray) -> FloatArray:
        """Return the independent error per pixel that affects broad features as much, (n_pixels,).

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

    def fit(
        self, residual: FloatArray, weight: FloatArray, model: FloatArray, rest: FloatArray, origin: float | None = None
    ) -> DiscrepancyFit:
        """Estimate the discrepancy from the residuals of a fit.

        Parameters
        ----------
        residual, weight : (n_spectra, n_pixels)
            Data minus model, and inverse variances (0 = unused).
        model : (n_spectra, n_pixels)
            Model flux.
        rest : (n_pixels,)
            Rest-frame air Å.
        origin : float, optional
            Wavelength of the first knot, Å; the first pixel by default.

        Returns
        -------
        DiscrepancyFit
            Its posterior, in the floating type of `model`.
        """
        hats = _HatBasis(rest, rest[0] if origin is None else origin, self.length, model.dtype)
        size = (_PEAK * self._fraction(rest)).astype(model.dtype) * np.abs(model)
        diagonal, off_diagonal = hats.products(weight * size**2)
        diagonal += 1
        gradient = hats.at_knots(weight * size * np.where(weight > 0, residual, 0))
        mean, variance, covariance = _tridiagonal(diagonal, off_diagonal, gradient)
        return DiscrepancyFit(
            flux=size * hats.at_pixels(mean),
            variance=size**2 * hats.variance(variance, covariance),
            dof=(1 - variance).sum(axis=1, dtype=np.float64),
            diagonal=diagonal,
            off_diagonal=off_diagonal,
            hats=hats,
            size=size,
            weight=weight,
        )

    def _fraction(self, rest: FloatArray) -> FloatArray:
        return np.asarray(np.interp(rest, self.wavelength, self.fraction))


def _tridiagonal(
    diagonal: FloatArray, off_diagonal: FloatArray, gradient: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Solve symmetric positive definite tridiagonal systems A x = g, one per spectrum, by A = L D Lᵀ.

    Parameters
    ----------
    diagonal, off_diagonal, gradient : (n, n_knots)
        Diagonal and off-diagonal of A (the last entry of this is 0), and g.

    Returns
    -------
    solution, variance, covariance : (n, n_knots)
        x, and the diagonal and off-diagonal of A⁻¹ (the last entry of this is 0).

    References
    ----------
    Takahashi, Fagan & Chen 1973 (entries of the inverse within the band).
    """
    n_knots = diagonal.shape[1]
    # Forwards: pivots D, multipliers L, and L⁻¹g.
    pivot, solution = diagonal.copy(), gradient.copy()
    lower = np.zeros_like(diagonal)
    for k in range(n_knots - 1):
        lower[:, k] = off_diagonal[:, k] / pivot[:, k]
        pivot[:, k + 1] -= lower[:, k] * off_diagonal[:, k]
        solution[:, k + 1] -= lower[:, k] * solution[:, k]
    # Backwards: x, and the recurrence of Takahashi et al. for A⁻¹ within the band.
    solution /= pivot
    variance, covariance = 1 / pivot, np.zeros_like(diagonal)
    for k in range(n_knots - 2, -1, -1):
        solution[:, k] -= lower[:, k] * solution[:, k + 1]
        covariance[:, k] = -lower[:, k] * variance[:, k + 1]
        variance[:, k] -= lower[:, k] * covariance[:, k]
    return solution, variance, covariance


def _solve_tridiagonal(diagonal: FloatArray, off_diagonal: FloatArray, sides: FloatArray) -> None:
    """Solve the systems of `_tridiagonal` for many right-hand sides (n, n_knots, m), in place."""
    n_knots = diagonal.shape[1]
    pivot, lower = diagonal.copy(), np.zeros_like(diagonal)
    for k in range(n_knots - 1):
        lower[:, k] = off_diagonal[:, k] / pivot[:, k]
        pivot[:, k + 1] -= lower[:, k] * off_diagonal[:, k]
        sides[:, k + 1] -= lower[:, k, None] * sides[:, k]
    sides /= pivot[:, :, None]
    for k in range(n_knots - 2, -1, -1):
        sides[:, k] -= lower[:, k, None] * sides[:, k + 1]
