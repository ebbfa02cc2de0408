"""Posterior of the labels (age, metallicity, …): a mixture of Gaussians of each spectrum, thinned to a few."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import PreparedPrior
from quietspec.parameters import ParameterPosterior

__all__ = ["label_posterior"]

_MOST_PARTS = 24  # Gaussians kept of the labels' posterior; the lightest beyond are merged into one


def label_posterior(
    weights: FloatArray, labels: FloatArray, spread: FloatArray, prior: PreparedPrior
) -> ParameterPosterior:
    """Gather the mixture of the labels of each spectrum.

    Parameters
    ----------
    weights : (n_spectra, k)
        Posterior weights of the prior's components.
    labels : (n_spectra, k, n_labels)
        Means of the labels under each.
    spread : (n_spectra, k, n_labels, n_labels)
        Their covariances under each, but for that at given coefficients.
    prior : PreparedPrior
        The prior, which knows the latter.

    Returns
    -------
    ParameterPosterior
        At most `_MOST_PARTS` Gaussians a spectrum, of the same mean and covariance as a whole.
    """
    names = prior.prior.label_names
    part_weights, offsets, covariances = prior.label_parts
    n, size, n_parts = len(weights), len(names), part_weights.shape[1]
    n_every = part_weights.size
    every = (weights[:, :, None] * part_weights).reshape(n, n_every)
    means = (labels[:, :, None] + offsets).reshape(n, n_every, size)
    member = np.repeat(np.arange(len(part_weights)), n_parts)
    packed = covariances.reshape(n_every, size, size)
    if n_every <= _MOST_PARTS:
        return _single(names, every, means, spread[:, member] + packed)
    kept = np.argpartition(-every, _MOST_PARTS - 1, axis=1)[:, : _MOST_PARTS - 1]
    rows = np.arange(n)[:, None]
    parts = every[rows, kept], means[rows, kept], spread[rows, member[kept]] + packed[kept]
    rest = every.copy()
    rest[rows, kept] = 0.0
    merged = _merged(rest, means, spread, packed)
    return _single(
        names, *(np.concatenate([part, one[:, None]], axis=1) for part, one in zip(parts, merged, strict=True))
    )


def _merged(
    weights: FloatArray, means: FloatArray, spread: FloatArray, packed: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight, mean and covariance of all parts taken as one; mean 0 and covariance 1 where all weights are 0."""
    (n, n_mixture, size, _), n_every = spread.shape, weights.shape[1]
    total = weights.sum(axis=1)
    share = np.divide(weights, total[:, None], out=np.zeros_like(weights), where=total[:, None] > 0)
    mean = np.einsum("nq,nqp->np", share, means)
    offset = means - mean[:, None]
    by_member = share.reshape(n, n_mixture, n_every // n_mixture).sum(axis=2)
    covariance = np.swapaxes(offset * share[:, :, None], 1, 2) @ offset
    covariance += (by_member[:, None] @ spread.reshape(n, n_mixture, size**2)).reshape(n, size, size)
    covariance += (share @ packed.reshape(n_every, size**2)).reshape(n, size, size)
    covariance[total == 0] = np.eye(size)
    return total, mean, covariance


def _single(
    names: tuple[str, ...], weights: npt.NDArray[np.float64], means: FloatArray, covariances: FloatArray
) -> ParameterPosterior:
    return ParameterPosterior(names, *(array.astype(np.float32) for array in (weights, means, covariances)))
