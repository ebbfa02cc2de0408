"""Posterior of the labels (age, metallicity, …): one Gaussian mixture per spectrum, reduced to a few Gaussians."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import PreparedPrior
from quietspec.parameters import ParameterPosterior

__all__ = ["label_posterior"]

_MOST_PARTS = 24  # Gaussians of the labels' posterior; the lightest are merged into one


def label_posterior(
    weights: FloatArray, means: FloatArray, covariances: FloatArray, prior: PreparedPrior
) -> ParameterPosterior:
    """Gather the mixture of the labels of each spectrum.

    Within each component of the prior, the scatter of the labels at given coefficients is itself a mixture of a few
    parts. The posterior is the mixture over all parts of all components.

    Parameters
    ----------
    weights : (n_spectra, k)
        Posterior weights of the prior's components.
    means : (n_spectra, k, n_labels)
        Means of the labels under each.
    covariances : (n_spectra, k, n_labels, n_labels)
        Covariances of the labels under each, without their scatter at given coefficients.
    prior : PreparedPrior
        The prior, which has this scatter.

    Returns
    -------
    ParameterPosterior
        At most `_MOST_PARTS` Gaussians per spectrum; mean and covariance of the whole are kept.
    """
    names = prior.prior.label_names
    part_weights, offsets, part_covariances = prior.label_parts
    n, size, n_parts = len(weights), len(names), part_weights.shape[1]
    # All parts of all components side by side.
    n_every = part_weights.size
    every = (weights[:, :, None] * part_weights).reshape(n, n_every)
    every_mean = (means[:, :, None] + offsets).reshape(n, n_every, size)
    member = np.repeat(np.arange(len(part_weights)), n_parts)
    scatter = part_covariances.reshape(n_every, size, size)
    if n_every <= _MOST_PARTS:
        return _in_single_precision(names, every, every_mean, covariances[:, member] + scatter)
    # The heaviest are kept, the others merged into one.
    heaviest = np.argpartition(-every, _MOST_PARTS - 1, axis=1)[:, : _MOST_PARTS - 1]
    rows = np.arange(n)[:, None]
    kept = (
        every[rows, heaviest],
        every_mean[rows, heaviest],
        covariances[rows, member[heaviest]] + scatter[heaviest],
    )
    light = every.copy()
    light[rows, heaviest] = 0.0
    merged = _merged(light, every_mean, covariances, scatter)
    return _in_single_precision(
        names, *(np.concatenate([part, one[:, None]], axis=1) for part, one in zip(kept, merged, strict=True))
    )


def _merged(
    weights: FloatArray, means: FloatArray, covariances: FloatArray, scatter: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight, mean and covariance of all parts taken as one; mean 0 and covariance 1 where all weights are 0."""
    (n, n_mixture, size, _), n_every = covariances.shape, weights.shape[1]
    total = weights.sum(axis=1)
    share = np.divide(weights, total[:, None], out=np.zeros_like(weights), where=total[:, None] > 0)
    mean = np.einsum("nq,nqp->np", share, means)
    offset = means - mean[:, None]
    by_member = share.reshape(n, n_mixture, n_every // n_mixture).sum(axis=2)
    # Covariance of the means, mean of the components' covariances, mean of the parts' covariances.
    covariance = np.swapaxes(offset * share[:, :, None], 1, 2) @ offset
    covariance += (by_member[:, None] @ covariances.reshape(n, n_mixture, size**2)).reshape(n, size, size)
    covariance += (share @ scatter.reshape(n_every, size**2)).reshape(n, size, size)
    covariance[total == 0] = np.eye(size)
    return total, mean, covariance


def _in_single_precision(
    names: tuple[str, ...], weights: npt.NDArray[np.float64], means: FloatArray, covariances: FloatArray
) -> ParameterPosterior:
    return ParameterPosterior(names, *(array.astype(np.float32) for array in (weights, means, covariances)))
