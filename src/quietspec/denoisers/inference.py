r"""Posterior of a spectrum's basis coefficients under a Gaussian-mixture prior, in closed form.

A spectrum is y = B d + noise with B = [mean shape, components] and d = s (1, c): s the flux scale, c the shape. Given
a guess s₀ of the scale, mixture component k says d ~ N(s₀ (1, m_k), s₀² [τ² (1, m_k)(1, m_k)ᵀ + 0 ⊕ C_k]): the scale is
known to a relative τ only, and the shape scatters by C_k about m_k. Everything the data say enters through
G = BᵀWB and b = BᵀWy with W the inverse noise variances, so masks, gaps and any pixel grid are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quietspec.denoisers.prior import SpectralPrior
from quietspec.mixtures import ParameterPosterior, merged_moments
from quietspec.spectra import FloatArray

__all__ = ["CoefficientPosterior", "LinearFit", "PreparedPrior", "Projections", "fit_linear", "infer", "project"]

_SCALE_SPREAD = 1.0  # τ: the scale prior's relative width about the current guess; wide, since data fix the scale
_FEW = 16  # spectra for which the products of all pairs of basis vectors cost more than they save
_NEGLIGIBLE = 1e-6  # mixture components of lower posterior weight are left out of moments
_MOST_PARTS = 24  # Gaussians kept of the labels' posterior; the lightest beyond are merged into one


_Parts = tuple[FloatArray, ...]  # weights, means and covariances of a mixture


@dataclass(frozen=True)
class Projections:
    """What the data say about the coefficients.

    Parameters
    ----------
    gram : (n_spectra, d, d)
        G = BᵀWB.
    data : (n_spectra, d)
        b = BᵀWy.
    power : (n_spectra,)
        yᵀWy.
    """

    gram: FloatArray
    data: FloatArray
    power: FloatArray


@dataclass(frozen=True)
class LinearFit:
    """Posterior under one Gaussian, in short.

    Parameters
    ----------
    scale, error : (n_spectra,)
        Flux scale s > 0 and its 1σ.
    mean : (n_spectra, d)
        Posterior mean of d.
    dof : (n_spectra,)
        Number of coefficients the data determine.
    """

    scale: FloatArray
    error: FloatArray
    mean: FloatArray
    dof: FloatArray


@dataclass(frozen=True)
class CoefficientPosterior:
    """Posterior moments of d = s (1, c) and of the labels, per spectrum.

    Parameters
    ----------
    mean : (n_spectra, d)
        Posterior mean of d, in flux units of the data.
    covariance : (n_spectra, d, d)
        Posterior covariance of d.
    log_evidence : (n_spectra,)
        ln p(y) less the constant −½ Σ ln(2πσ²) of the noise.
    dof : (n_spectra,)
        Number of coefficients the data determine, tr(H⁻¹G).
    labels : ParameterPosterior
        Posterior of the labels.
    """

    mean: FloatArray
    covariance: FloatArray
    log_evidence: FloatArray
    dof: FloatArray
    labels: ParameterPosterior


def project(flux: FloatArray, weight: FloatArray, vectors: FloatArray) -> Projections:
    """Project spectra onto a basis with their noise weights.

    Parameters
    ----------
    flux, weight : (n_spectra, n_pixels)
        Flux, and inverse variances; flux where the weight is 0 never matters.
    vectors : (n_pixels, d)
        Basis.

    Returns
    -------
    Projections
        G, b and yᵀWy in float64.
    """
    weight = np.asarray(weight, dtype=np.float64)
    weighted = np.where(weight > 0, flux, 0.0) * weight
    power = np.einsum("ij,ij->i", weighted, np.where(weight > 0, flux, 0.0))
    return Projections(_gram(weight, vectors), weighted @ vectors, power)


def _gram(weight: FloatArray, vectors: FloatArray) -> FloatArray:
    """BᵀWB of each spectrum: one large product over pairs of vectors, worth their making where spectra are many."""
    if len(weight) <= _FEW:
        return np.stack([(vectors.T * row) @ vectors for row in weight])
    size = vectors.shape[1]
    rows, columns = np.tril_indices(size)
    packed = weight @ (vectors[:, rows] * vectors[:, columns])
    gram = np.empty((len(weight), size, size))
    gram[:, rows, columns] = packed
    gram[:, columns, rows] = packed
    return gram


class PreparedPrior:
    """A prior's mixture in the form `infer` uses: precisions of d at unit scale, computed once.

    Parameters
    ----------
    prior : SpectralPrior
        The prior.
    """

    def __init__(self, prior: SpectralPrior) -> None:
        self.prior = prior
        means, inverse = prior.means, np.linalg.inv(prior.covariances)
        self.location = np.concatenate([np.ones((prior.n_mixture, 1)), means], axis=1)
        pull = np.einsum("kij,kj->ki", inverse, means)
        self.precision = np.empty((prior.n_mixture, means.shape[1] + 1, means.shape[1] + 1))
        self.precision[:, 0, 0] = _SCALE_SPREAD**-2 + np.einsum("ki,ki->k", means, pull)
        self.precision[:, 0, 1:] = self.precision[:, 1:, 0] = -pull
        self.precision[:, 1:, 1:] = inverse
        log_det = np.linalg.slogdet(prior.covariances)[1] + 2 * np.log(_SCALE_SPREAD)
        with np.errstate(divide="ignore"):
            self.log_weight = np.log(prior.weights) - 0.5 * log_det
        self.label_parts = prior.label_parts()


def fit_linear(projections: Projections, prior: PreparedPrior, iterations: int = 3) -> LinearFit:
    """Fit spectra under a one-Gaussian prior; the flux scale is found from all pixels.

    Parameters
    ----------
    projections : Projections
        Of the spectra.
    prior : PreparedPrior
        Of a single Gaussian (`SpectralPrior.collapsed`).
    iterations : int
        Rounds of posterior scale → prior scale.

    Returns
    -------
    LinearFit
        The fit. Within it the prior's scale is floored at its error, so that a spectrum of no signal keeps a proper
        prior.
    """
    gram = projections.gram
    scale, error = projections.data[:, 0] / gram[:, 0, 0], gram[:, 0, 0] ** -0.5
    for _ in range(iterations):
        floored = np.maximum(scale, error)
        covariance = np.linalg.inv(prior.precision[0] / floored[:, None, None] ** 2 + gram)
        start = floored[:, None] * prior.location[0]
        gradient = projections.data - np.einsum("nij,nj->ni", gram, start)
        mean = start + np.einsum("nij,nj->ni", covariance, gradient)
        scale, error = mean[:, 0], np.sqrt(covariance[:, 0, 0])
    return LinearFit(np.maximum(scale, error), error, mean, np.einsum("nij,nji->n", covariance, gram))


def infer(projections: Projections, prior: PreparedPrior, scale: FloatArray) -> CoefficientPosterior:
    """Posterior of the coefficients and labels under the whole mixture.

    Parameters
    ----------
    projections : Projections
        Of the spectra.
    prior : PreparedPrior
        The prior.
    scale : (n_spectra,)
        Flux scale s₀ > 0 of each spectrum.

    Returns
    -------
    CoefficientPosterior
        Moments over the mixture.
    """
    results = [
        _infer_one(projections.gram[i], projections.data[i], projections.power[i], prior, scale[i])
        for i in range(len(scale))
    ]
    mean, covariance, log_evidence, dof, labels = zip(*results, strict=True)
    return CoefficientPosterior(
        mean=np.array(mean),
        covariance=np.array(covariance),
        log_evidence=np.array(log_evidence),
        dof=np.array(dof),
        labels=_label_posterior(labels, prior.prior.label_names),
    )


def _infer_one(
    gram: FloatArray, data: FloatArray, power: float, prior: PreparedPrior, scale: float
) -> tuple[FloatArray, FloatArray, float, float, _Parts]:
    size = len(data)
    start = scale * prior.location
    pulled = start @ gram
    gradient = data - pulled
    log_posterior, precision = _log_posterior(gram, gradient, prior, scale)
    log_posterior -= 0.5 * (power - 2 * start @ data + np.einsum("ki,ki->k", start, pulled))
    top = log_posterior.max()
    weights = np.exp(log_posterior - top)
    total = weights.sum()
    weights /= total
    keep = np.flatnonzero(weights > _NEGLIGIBLE)
    weights = weights[keep] / weights[keep].sum()

    covariances = np.linalg.inv(precision[keep])
    means = start[keep] + np.einsum("kij,kj->ki", covariances, gradient[keep])
    mean = weights @ means
    offset = means - mean
    covariance = np.einsum("k,kij->ij", weights, covariances) + (weights[:, None] * offset).T @ offset
    dof = weights @ np.einsum("kij,ji->k", covariances, gram)
    labels = _labels(prior, keep, weights, means, covariances, scale)
    log_evidence = top + np.log(total) - size * np.log(scale)
    return mean, covariance, log_evidence, float(dof), labels


def _log_posterior(
    gram: FloatArray, gradient: FloatArray, prior: PreparedPrior, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Log weights of the mixture but for the data's distance from each start, and the precisions H, (k, d, d)."""
    # One Cholesky factor of [[H, v], [vᵀ, huge]] yields both ln |H| and vᵀH⁻¹v: its last row is (L⁻¹v)ᵀ.
    n_mixture, size = gradient.shape
    bordered = np.empty((n_mixture, size + 1, size + 1))
    bordered[:, :size, :size] = prior.precision / scale**2 + gram
    bordered[:, size, :size] = bordered[:, :size, size] = gradient
    bordered[:, size, size] = 1e300
    factor = np.linalg.cholesky(bordered)
    log_det = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)[:, :size]).sum(axis=1)
    gain = np.einsum("ki,ki->k", factor[:, size, :size], factor[:, size, :size])
    return prior.log_weight - 0.5 * log_det + 0.5 * gain, bordered[:, :size, :size]


def _labels(
    prior: PreparedPrior,
    keep: npt.NDArray[np.intp],
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    scale: float,
) -> _Parts:
    """Mixture of the labels: the prior's conditionals, averaged over the posterior of the shape."""
    model = prior.prior
    centre = model.means[keep]
    shape = (means[:, 1:] - means[:, :1] * centre) / scale  # c − m_k, to first order in the scale's error
    slopes = model.slopes[keep]
    transfer = np.concatenate([-slopes @ centre[:, :, None], slopes], axis=2) / scale
    labels = model.labels[keep] + np.einsum("kpi,ki->kp", slopes, shape)
    spread = transfer @ covariances @ np.swapaxes(transfer, 1, 2)
    part_weights, offsets, part_covariances = (array[keep] for array in prior.label_parts)
    return _thinned(
        (weights[:, None] * part_weights).ravel(),
        np.concatenate(labels[:, None] + offsets),
        np.concatenate(spread[:, None] + part_covariances),
    )


def _thinned(weights: FloatArray, means: FloatArray, covariances: FloatArray) -> _Parts:
    """At most `_MOST_PARTS` Gaussians of the same mean and covariance as a whole."""
    order = np.argsort(weights)[::-1]
    kept, rest = order[: _MOST_PARTS - 1], order[_MOST_PARTS - 1 :]
    parts = weights[kept], means[kept], covariances[kept]
    if not rest.size or weights[rest].sum() <= 0:
        return parts
    merged = merged_moments(weights[rest], means[rest], covariances[rest])
    return tuple(np.concatenate([part, np.array(one)[None]]) for part, one in zip(parts, merged, strict=True))


def _label_posterior(parts: Sequence[_Parts], names: tuple[str, ...]) -> ParameterPosterior:
    """Gather the mixtures of all spectra, filled up with parts of weight 0."""
    n, most, size = len(parts), max(len(weights) for weights, _, _ in parts), len(names)
    gathered = ParameterPosterior(
        names,
        np.zeros((n, most), dtype=np.float32),
        np.zeros((n, most, size), dtype=np.float32),
        np.tile(np.eye(size, dtype=np.float32), (n, most, 1, 1)),
    )
    for row, (weights, means, covariances) in enumerate(parts):
        gathered.weights[row, : len(weights)] = weights
        gathered.means[row, : len(weights)] = means
        gathered.covariances[row, : len(weights)] = covariances
    return gathered
