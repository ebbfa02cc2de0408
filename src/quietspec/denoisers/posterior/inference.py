r"""Posterior of a spectrum's coordinates and labels under the Gaussian-mixture prior, in closed form.

Each spectrum's data are compressed (`compression`), every component of the prior is conditioned on them
(`conditioning`), and the moments of the conditioned components are summed with their posterior weights. The package's
docstring lists the symbols.

References
----------
Bovy, Hogg & Roweis 2011, Annals of Applied Statistics 5, 1657 (mixtures seen through noisy projections).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoisers.posterior.compression import CompressedData, compress
from quietspec.denoisers.posterior.conditioning import (
    SCREENED_VALUES,
    condition,
    expand_residual,
    likely,
    predict,
)
from quietspec.denoisers.posterior.coordinates import Coordinates, Gaussians, PreparedPrior
from quietspec.denoisers.posterior.labels import label_posterior
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.posterior.small_matrices import sum_by_spectrum
from quietspec.parameters import ParameterPosterior

__all__ = ["CoefficientPosterior", "infer"]

_FIRST_ORDER = 0.04  # squared signal-to-noise, under the whole prior, of the best coordinate counted to first order
_NEGLIGIBLE = 5e-4  # components of lower weight times breadth are left out of the moments


@dataclass(frozen=True, eq=False)
class CoefficientPosterior(BySpectrum):
    """Posterior moments of x and of the labels, per spectrum.

    Parameters
    ----------
    mean : (n_spectra, d)
        Posterior mean of x.
    covariance : (n_spectra, d, d)
        Posterior covariance of x.
    log_evidence : (n_spectra,)
        ln p(y) less the constant −½ Σ ln(2πσ²) of the noise.
    dof : (n_spectra,)
        Number of coordinates that the data determine.
    labels : ParameterPosterior
        Posterior of the labels.
    breadth : (n_spectra,)
        Mean variance, under the components in use, of the coordinates that were counted to first order; it is 1 under
        the whole prior. Where it is large, less may be counted to first order.
    weights : (n_spectra, k)
        Posterior weights of the prior's components.
    """

    mean: FloatArray
    covariance: FloatArray
    log_evidence: FloatArray
    dof: FloatArray
    labels: ParameterPosterior
    breadth: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class _Moments(BySpectrum):
    """Moments of ξ, summed over the components, and of the labels within each component, of weight 0 where unused."""

    mean: FloatArray
    covariance: FloatArray
    log_evidence: FloatArray
    dof: FloatArray
    breadth: FloatArray
    weights: FloatArray
    label_mean: FloatArray
    label_covariance: FloatArray


def infer(
    projections: Projections,
    coordinates: Coordinates,
    scale: FloatArray,
    breadth: FloatArray | float = 1.0,
    *,
    screened: bool = False,
    bright: BoolArray | None = None,
) -> CoefficientPosterior:
    """Compute the posterior of the coordinates and labels under the whole mixture.

    Parameters
    ----------
    projections : Projections
        Projections of the spectra, with the full matrix over all coordinates.
    coordinates : Coordinates
        Coordinates of the pixels.
    scale : (n_spectra,)
        Flux scale s > 0 of each spectrum.
    breadth : (n_spectra,) or float
        What is known of `CoefficientPosterior.breadth`.
    screened : bool
        Whether components that the best determined data rule out are left out from the start (`likely`).
    bright : (n_spectra,) of bool, optional
        Spectra for which single precision does not suffice. Others are found by what it made of their labels.

    Returns
    -------
    CoefficientPosterior
        Moments over the mixture; in double precision for bright spectra.

    Raises
    ------
    LinAlgError
        If double precision does not suffice either.
    """
    mixture, prior = coordinates.mixture, coordinates.prior
    breadth = np.broadcast_to(breadth, scale.shape)
    found = _inferred(projections, mixture, prior, scale, breadth, screened=screened)
    lost = np.flatnonzero(~found.labels.positive | (False if bright is None else bright))
    if not lost.size:
        return found
    exact = mixture.in_double
    again = _inferred(projections[lost], exact, prior, scale[lost], breadth[lost], screened=screened)
    if not again.labels.positive.all():
        raise np.linalg.LinAlgError("the covariance of the labels is not positive")
    return found.with_rows(lost, again)


def _inferred(
    projections: Projections,
    mixture: Gaussians,
    prior: PreparedPrior,
    scale: FloatArray,
    breadth: FloatArray,
    *,
    screened: bool,
) -> CoefficientPosterior:
    """Infer by a mixture, in its precision."""
    compressed = compress(projections, scale, _FIRST_ORDER / breadth)
    batches = [(rows, _moments(data, mixture, prior, screened=screened)) for rows, data in compressed]
    order = np.argsort(np.concatenate([rows for rows, _ in batches]))
    moments = _Moments.stack([part for _, part in batches])[order]
    label_mean = np.clip(moments.label_mean, *prior.label_limits)
    return CoefficientPosterior(
        mean=projections.start + moments.mean * scale[:, None],
        covariance=moments.covariance * scale[:, None, None] ** 2,
        log_evidence=moments.log_evidence,
        dof=moments.dof,
        labels=label_posterior(moments.weights, label_mean, moments.label_covariance, prior),
        breadth=moments.breadth,
        weights=moments.weights,
    )


def _moments(data: CompressedData, whole: Gaussians, prior: PreparedPrior, *, screened: bool) -> _Moments:
    """Moments of some spectra's ξ and labels over all components, or over those that may have weight."""
    q = data.n_values
    every = np.arange(len(whole.log_weight))
    shape = len(data.values), len(every)
    near = likely(data, whole) if screened and q > SCREENED_VALUES else np.ones(shape, dtype=bool)
    used = np.flatnonzero(near.any(axis=0))
    near = near[:, used]
    mixture = whole if len(used) == len(every) else whole.taken(used)
    # Components after the residual data, then their evidence from z: posterior weights.
    expansion = expand_residual(data, mixture)
    prediction = predict(data, mixture, expansion.mean, near)
    log_weight = np.full(near.shape, -np.inf)
    log_weight[near] = expansion.log_weight[near] + prediction.log_likelihood
    log_evidence, weights = _normalised(log_weight, prior.breadth[used])
    # Components of weight given z, one row per pair of spectrum and component.
    spectrum, member = np.nonzero(weights)
    pairs = spectrum, member
    weight = weights[pairs]
    part = condition(data, mixture, expansion.mean, prediction.of(weights[near] > 0), pairs)
    # Moments of (Uᵀξ, remaining coordinates): mean of the means, mean of the covariances, covariance of the means.
    mean = np.add.reduceat(weight[:, None] * part.mean, part.starts)
    covariance = part.covariance(weight, mixture, data.remaining)
    dof = np.einsum("mii->m", covariance[:, :q, :q]) + (weights * expansion.dof).sum(axis=1)
    offset = part.mean - mean[spectrum]
    covariance += sum_by_spectrum(part.starts, weight[:, None] * offset, offset)
    # Labels within each component.
    n_labels = expansion.label_mean.shape[2]
    label_mean, label_covariance = np.zeros((*shape, n_labels)), np.zeros((*shape, n_labels, n_labels))
    place = spectrum, used[member]
    label_mean[place], label_covariance[place] = part.labels(data, mixture, expansion.label_mean[pairs])
    breadth = (weights * expansion.breadth).sum(axis=1)
    all_weights = np.zeros(shape)
    all_weights[:, used] = weights
    return _Moments(
        *data.to_coordinates(mean, covariance), log_evidence, dof, breadth, all_weights, label_mean, label_covariance
    )


def _normalised(log_weights: FloatArray, breadth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log of the sum of weights, (m,), and their shares in it without the negligible ones, (m, k)."""
    top = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - top)
    total = weights.sum(axis=1, keepdims=True)
    # Broad components count by what they add to the variance.
    weights[weights * breadth < _NEGLIGIBLE * total] = 0.0
    return (top + np.log(total))[:, 0], weights / weights.sum(axis=1, keepdims=True)
