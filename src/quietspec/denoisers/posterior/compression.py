r"""Compression of each spectrum's data to a few numbers of unit noise, by a pivoted Cholesky factor of their precision.

The log likelihood of the step ξ = (x − x₁)/s is s g·ξ − ½ s² ξᵀGξ. A Cholesky factorisation with pivots that stops
early gives s²G = UUᵀ + E: the q columns of U hold the directions about which the data say more than a little, and
z = U⁺ s g, with the pseudo-inverse on the pivots, are data about them with unit noise, z = Uᵀξ + ε. What the data say
beyond z has the gradient s g − Uz at ξ = 0 and the precision E, which is zero in the rows of the pivots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.linear import Projections

__all__ = ["CompressedData", "compress", "products"]

_STEP = 3  # between numbers of values, where there are as many
_TOGETHER = 12  # spectra worked on at a time: more would not fit into the processor's cache


@dataclass(frozen=True, eq=False)
class CompressedData:
    """Data of m spectra about ξ, each compressed to the same number q of values.

    Parameters
    ----------
    factor : (m, d, q)
        U.
    values : (m, q)
        z = Uᵀξ + unit noise.
    gradient : (m, d)
        Gradient of the residual log likelihood, that of the data beside z, at ξ = 0.
    residual_precision : (m, d, d)
        E, the precision of these data.
    order : (m, d)
        The coordinates: the q pivots first, then the remaining ones.
    pivot_inverse : (m, q, q)
        Inverse of U's rows of the pivots, a lower triangle.
    start : (m, d)
        x₁ / s.
    chi2 : (m,)
        χ² of x₁.
    """

    factor: FloatArray
    values: FloatArray
    gradient: FloatArray
    residual_precision: FloatArray
    order: npt.NDArray[np.intp]
    pivot_inverse: FloatArray
    start: FloatArray
    chi2: FloatArray

    @property
    def n_values(self) -> int:
        """Number q of compressed data per spectrum."""
        return int(self.values.shape[1])

    @property
    def remaining(self) -> npt.NDArray[np.intp]:
        """The coordinates that are no pivots, (m, d − q)."""
        return self.order[:, self.n_values :]

    def to_coordinates(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Turn moments of (Uᵀξ, remaining coordinates of ξ) into moments of ξ.

        Parameters
        ----------
        mean : (m, d)
            Means.
        covariance : (m, d, d)
            Covariances.

        Returns
        -------
        mean : (m, d)
            Means of ξ.
        covariance : (m, d, d)
            Covariances of ξ.
        """
        q, rows = self.n_values, np.arange(len(mean))[:, None]
        # With L the rows of U at the pivots and R those at the remaining coordinates r: ξ_pivots = L⁻ᵀ (Uᵀξ − Rᵀ r).
        inverse = np.swapaxes(self.pivot_inverse, 1, 2)
        remaining_rows = np.swapaxes(self.factor[rows, self.remaining], 1, 2)
        back = np.concatenate([inverse, -inverse @ remaining_rows], axis=2)
        # Moments of (ξ_pivots, r): the map is [back; 0 1].
        turned = covariance.copy()
        turned[:, :q] = back @ covariance
        turned[:, :q, :q] = turned[:, :q] @ np.swapaxes(back, 1, 2)
        turned[:, q:, :q] = np.swapaxes(turned[:, :q, q:], 1, 2)
        mean = np.concatenate([products(back, mean), mean[:, q:]], axis=1)
        # Undo the pivoting.
        place = np.argsort(self.order, axis=1)
        return mean[rows, place], turned[rows[:, :, None], place[:, :, None], place[:, None, :]]


def compress(
    projections: Projections, scale: FloatArray, tolerance: FloatArray
) -> Iterator[tuple[npt.NDArray[np.intp], CompressedData]]:
    """Compress the data of spectra; those that need equally many values come together.

    Parameters
    ----------
    projections : Projections
        Projections of the spectra, with the full matrix over all coordinates.
    scale : (n_spectra,)
        Flux scale s of each.
    tolerance : (n_spectra,)
        Largest diagonal of E, the squared signal-to-noise of a coordinate under the prior.

    Yields
    ------
    rows : (m,) of int
        Spectra.
    data : CompressedData
        Their data.
    """
    gram = scale[:, None, None] ** 2 * projections.gram
    gradient, start = scale[:, None] * projections.gradient, projections.start / scale[:, None]
    cholesky = [dpstrf(one, tol=0.5 * limit, lower=1) for one, limit in zip(gram, tolerance, strict=True)]
    order = np.array([pivots for _, pivots, _, _ in cholesky], dtype=np.intp) - 1
    # Values beyond those needed, up to a few, so that more spectra are alike.
    pivot = np.array([np.diagonal(lower) for lower, _, _, _ in cholesky]) ** 2
    known = np.array([rank for _, _, rank, _ in cholesky])
    needed = ((pivot > tolerance[:, None]) & (np.arange(pivot.shape[1]) < known[:, None])).sum(axis=1)
    ranks = np.minimum(-(-needed // _STEP) * _STEP, known)
    for q in np.unique(ranks):
        alike = np.flatnonzero(ranks == q)
        for rows in np.split(alike, range(_TOGETHER, len(alike), _TOGETHER)):
            lower = np.stack([np.tril(cholesky[row][0])[:, :q] for row in rows])
            yield rows, _compressed(lower, order[rows], gram[rows], gradient[rows], start[rows], projections.chi2[rows])


def _compressed(
    lower: FloatArray,
    order: npt.NDArray[np.intp],
    gram: FloatArray,
    gradient: FloatArray,
    start: FloatArray,
    chi2: FloatArray,
) -> CompressedData:
    """Compress with the first columns (m, d, q) of the pivoted Cholesky factors of the precisions (m, d, d)."""
    q, each = lower.shape[2], np.arange(len(lower))[:, None]
    factor, residual_precision = np.zeros_like(lower), np.zeros_like(gram)
    factor[each, order] = lower
    # z from the gradient at the pivots: there s g = L z.
    pivot_inverse = np.linalg.inv(lower[:, :q])
    values = products(pivot_inverse, gradient[each, order[:, :q]])
    # E = s²G − UUᵀ; zero but among the remaining coordinates.
    remaining = each[:, :, None], order[:, q:, None], order[:, None, q:]
    residual_precision[remaining] = gram[remaining] - lower[:, q:] @ np.swapaxes(lower[:, q:], 1, 2)
    residual_gradient = gradient - products(factor, values)
    return CompressedData(factor, values, residual_gradient, residual_precision, order, pivot_inverse, start, chi2)


def products(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Products of matrices (n, i, j) with vectors (n, j), (n, i)."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])
