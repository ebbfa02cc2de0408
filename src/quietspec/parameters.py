"""`ParameterPosterior`: what is known of physical parameters of each spectrum, as a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from quietspec.arrays import FloatArray

__all__ = ["ParameterPosterior", "merged_moments"]

_REACH = 9.0  # σ beyond the farthest Gaussian within which quantiles are sought
_HALVINGS = 45


@dataclass(frozen=True, eq=False)
class ParameterPosterior:
    """Joint posterior of named parameters, one Gaussian mixture a spectrum.

    Parameters
    ----------
    names : tuple of str
        Names of the parameters.
    weights : (n_spectra, n_parts)
        Weights, of sum 1; parts of weight 0 fill up. A spectrum of NaN weights has no posterior.
    means : (n_spectra, n_parts, n_names)
        Means.
    covariances : (n_spectra, n_parts, n_names, n_names)
        Covariances.
    """

    names: tuple[str, ...]
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: Any) -> Self:
        """Select spectra by slice, list or mask."""
        return type(self)(self.names, self.weights[rows], self.means[rows], self.covariances[rows])

    @classmethod
    def empty(cls, n: int, names: tuple[str, ...]) -> Self:
        """Posteriors of `n` spectra of which nothing is known: NaN."""
        size = len(names)
        unknown = (np.full((n, 1, *shape), np.nan, dtype=np.float32) for shape in ((), (size,), (size, size)))
        return cls(names, *unknown)

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join the posteriors of several batches of spectra."""
        widest = max(part.weights.shape[1] for part in parts)
        padded = [part._padded(widest) for part in parts]
        arrays = ("weights", "means", "covariances")
        return cls(parts[0].names, *(np.concatenate([getattr(part, name) for part in padded]) for name in arrays))

    def with_rows(self, rows: npt.NDArray[np.intp], other: Self) -> Self:
        """Return the same with the spectra `rows` replaced by those of another, in order."""
        widest = max(self.weights.shape[1], other.weights.shape[1])
        result, new = self._padded(widest), other._padded(widest)
        for name in ("weights", "means", "covariances"):
            getattr(result, name)[rows] = getattr(new, name)
        return result

    def _padded(self, n_parts: int) -> Self:
        """A copy with parts of weight 0 added."""
        more = n_parts - self.weights.shape[1]
        size = len(self.names)
        weights = np.concatenate([self.weights, np.zeros((len(self), more), self.weights.dtype)], axis=1)
        means = np.concatenate([self.means, np.zeros((len(self), more, size), self.means.dtype)], axis=1)
        spare = np.broadcast_to(np.eye(size, dtype=self.covariances.dtype), (len(self), more, size, size))
        return type(self)(self.names, weights, means, np.concatenate([self.covariances, spare], axis=1))

    def _marginal(self, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and 1σ of one parameter's parts, (n_spectra, n_parts) each, in float64."""
        index = self.names.index(name)
        variance = self.covariances[:, :, index, index].astype(np.float64)
        weights = self.weights.astype(np.float64)
        return weights / weights.sum(axis=1, keepdims=True), self.means[:, :, index].astype(np.float64), variance**0.5

    def mean(self, name: str) -> FloatArray:
        """Posterior mean of a parameter, (n_spectra,)."""
        weights, means, _ = self._marginal(name)
        return np.asarray((weights * means).sum(axis=1))

    def sigma(self, name: str) -> FloatArray:
        """Posterior standard deviation of a parameter, (n_spectra,)."""
        weights, means, sigma = self._marginal(name)
        offset = means - (weights * means).sum(axis=1, keepdims=True)
        return np.asarray(np.sqrt((weights * (sigma**2 + offset**2)).sum(axis=1)))

    def cdf(self, name: str, values: FloatArray) -> FloatArray:
        """Probability that a parameter lies below `values` (n_spectra,), (n_spectra,)."""
        weights, means, sigma = self._marginal(name)
        return np.asarray((weights * ndtr((np.asarray(values)[:, None] - means) / sigma)).sum(axis=1))

    def quantile(self, name: str, probability: float) -> FloatArray:
        """Value below which a parameter lies with a probability in (0, 1), (n_spectra,)."""
        weights, means, sigma = self._marginal(name)
        unused = weights == 0  # not so where there is no posterior: NaN goes through
        low = np.where(unused, np.inf, means - _REACH * sigma).min(axis=1)
        high = np.where(unused, -np.inf, means + _REACH * sigma).max(axis=1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = (weights * ndtr((middle[:, None] - means) / sigma)).sum(axis=1) > probability
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.asarray((low + high) / 2)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw `n` joint samples of each spectrum, (n_spectra, n, n_names); NaN where there is no posterior."""
        known = np.isfinite(self.weights[:, 0])
        chances = np.cumsum(np.nan_to_num(self.weights), axis=1, dtype=np.float64)
        chances /= np.where(known, chances[:, -1], 1.0)[:, None]
        part = (rng.random((len(self), n))[:, :, None] > chances[:, None, :-1]).sum(axis=2)
        half = _square_roots(np.where(known[:, None, None, None], self.covariances, np.eye(len(self.names))))
        rows = np.arange(len(self))[:, None]
        noise = rng.standard_normal((len(self), n, len(self.names)))
        drawn = self.means[rows, part] + np.einsum("snij,snj->sni", half[rows, part], noise)
        return np.asarray(np.where(known[:, None, None], drawn, np.nan))


def _square_roots(covariances: FloatArray) -> FloatArray:
    """Matrices R with R Rᵀ the covariances, (…, d, d), singular ones too: parameters may follow from one another."""
    variances, axes = np.linalg.eigh(covariances.astype(np.float64))
    return np.asarray(axes * np.sqrt(np.clip(variances, 0, None))[..., None, :])


def merged_moments(
    weights: FloatArray, means: FloatArray, covariances: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Weight, mean and covariance of several Gaussians taken as one.

    Parameters
    ----------
    weights : (n_parts,)
        Weights, not all 0.
    means : (n_parts, d)
        Means.
    covariances : (n_parts, d, d)
        Covariances.

    Returns
    -------
    weight : float
        Their sum.
    mean : (d,)
        Mean of the mixture.
    covariance : (d, d)
        Covariance of the mixture.
    """
    total = float(weights.sum())
    share = weights / total
    mean = share @ means
    offset = means - mean
    covariance = np.einsum("k,kij->ij", share, covariances) + (share[:, None] * offset).T @ offset
    return total, mean, covariance
