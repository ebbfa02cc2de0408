"""`ParameterPosterior`: what is known about the physical parameters of each spectrum, as a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy.special import ndtr

from quietspec.arrays import SHARED, BoolArray, BySpectrum, FloatArray

__all__ = ["ParameterPosterior"]

_REACH = 9.0  # σ beyond the farthest Gaussian within which quantiles are sought
_LEAST = 1e-9  # σ of a parameter that a Gaussian knows
_HALVINGS = 45


@dataclass(frozen=True, eq=False)
class ParameterPosterior(BySpectrum):
    """Joint posterior of named parameters, one Gaussian mixture per spectrum.

    Parameters
    ----------
    names : tuple of str
        Names of the parameters.
    weights : (n_spectra, n_parts)
        Weights, which sum to 1; unused parts have weight 0. A spectrum whose weights are NaN has no posterior.
    means : (n_spectra, n_parts, n_names)
        Means.
    covariances : (n_spectra, n_parts, n_names, n_names)
        Covariances.

    Examples
    --------
    Two equal Gaussians, of σ 0.1 and 0.3 about 9.0 and 10.0:

    >>> import numpy as np
    >>> weights, means = np.array([[0.5, 0.5]]), np.array([[[9.0], [10.0]]])
    >>> covariances = np.array([[[[0.01]], [[0.09]]]])
    >>> age = ParameterPosterior(("log_age_mw",), weights, means, covariances)
    >>> float(age.mean("log_age_mw")[0])
    9.5
    >>> age.quantile("log_age_mw", 0.25).round(2)
    array([9.])
    >>> age.draw(1000, np.random.default_rng(0)).shape
    (1, 1000, 1)
    """

    names: tuple[str, ...] = field(metadata=SHARED)
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def empty(cls, n: int, names: tuple[str, ...]) -> Self:
        """Posteriors of `n` spectra about which nothing is known: all NaN."""
        size = len(names)
        unknown = (np.full((n, 1, *shape), np.nan, dtype=np.float32) for shape in ((), (size,), (size, size)))
        return cls(names, *unknown)

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join the posteriors of several sets of spectra, in order; they may have different numbers of Gaussians."""
        widest = max(part.weights.shape[1] for part in parts)
        return super().stack([part._padded(widest) for part in parts])

    def _padded(self, n_parts: int) -> Self:
        """A copy with parts of weight 0 added."""
        n, more, size = len(self), n_parts - self.weights.shape[1], len(self.names)
        spare = np.broadcast_to(np.eye(size, dtype=self.covariances.dtype), (n, more, size, size))
        return replace(
            self,
            weights=np.concatenate([self.weights, np.zeros((n, more), self.weights.dtype)], axis=1),
            means=np.concatenate([self.means, np.zeros((n, more, size), self.means.dtype)], axis=1),
            covariances=np.concatenate([self.covariances, spare], axis=1),
        )

    def _marginal(self, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, means and 1σ of one parameter's parts, (n_spectra, n_parts) each, in float64."""
        index = self.names.index(name)
        variance = self.covariances[:, :, index, index].astype(np.float64)
        weights = self.weights.astype(np.float64)
        return weights / weights.sum(axis=1, keepdims=True), self.means[:, :, index].astype(np.float64), variance**0.5

    @property
    def positive(self) -> BoolArray:
        """Whether no part of a spectrum has a negative variance, (n_spectra,)."""
        variance = np.diagonal(self.covariances, axis1=2, axis2=3)
        return np.asarray(((variance >= 0).all(axis=2) | (self.weights == 0)).all(axis=1))

    def mean(self, name: str) -> FloatArray:
        """Posterior mean of a parameter, (n_spectra,)."""
        weights, means, _ = self._marginal(name)
        return np.asarray((weights * means).sum(axis=1))

    def sigma(self, name: str) -> FloatArray:
        """Posterior standard deviation of a parameter, (n_spectra,)."""
        weights, means, sigma = self._marginal(name)
        offset = means - (weights * means).sum(axis=1, keepdims=True)
        return np.asarray(np.sqrt((weights * (sigma**2 + offset**2)).sum(axis=1)))

    def widened(self, covariance: FloatArray) -> Self:
        """Add an independent error to the first few parameters.

        Parameters
        ----------
        covariance : (n, n)
            Of the first n parameters.

        Returns
        -------
        ParameterPosterior
            Of the same means.

        Examples
        --------
        >>> import numpy as np
        >>> age = ParameterPosterior(("age",), np.ones((1, 1)), np.full((1, 1, 1), 9.5), np.full((1, 1, 1, 1), 0.09))
        >>> age.widened(np.array([[0.16]])).sigma("age").round(2)
        array([0.5])
        """
        covariances, n = self.covariances.copy(), len(covariance)
        covariances[:, :, :n, :n] += covariance.astype(covariances.dtype)
        return replace(self, covariances=covariances)

    def cdf(self, name: str, values: FloatArray) -> FloatArray:
        """Probability that a parameter lies below `values` (n_spectra,), (n_spectra,)."""
        weights, means, sigma = self._marginal(name)
        return np.asarray((weights * ndtr((np.asarray(values)[:, None] - means) / sigma)).sum(axis=1))

    def quantile(self, name: str, probability: float) -> FloatArray:
        """Value below which a parameter lies with a probability in (0, 1), (n_spectra,)."""
        weights, means, sigma = self._marginal(name)
        sigma = np.maximum(sigma, _LEAST)
        unused = weights == 0  # NaN weights, where there is no posterior, are not 0 and pass through
        low = np.where(unused, np.inf, means - _REACH * sigma).min(axis=1)
        high = np.where(unused, -np.inf, means + _REACH * sigma).max(axis=1)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            above = (weights * ndtr((middle[:, None] - means) / sigma)).sum(axis=1) > probability
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.asarray((low + high) / 2)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw `n` joint samples for each spectrum, (n_spectra, n, n_names); NaN where there is no posterior."""
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
