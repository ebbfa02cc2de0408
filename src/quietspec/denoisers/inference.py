r"""Posterior of a spectrum's coordinates under a Gaussian-mixture prior, in closed form.

A spectrum is y = V x + noise (`coordinates`). Given a guess s of the flux scale, component k of the prior says
x ~ N(s μ_k, s² Σ_k), where Σ_k lets the scale vary by its own size. Everything the data say enters through G = VᵀWV,
the gradient VᵀW(y − V x₁) and χ² at some x₁ close to the answer, W the inverse noise variances, so masks, gaps and
any pixel grid are exact. From x₁ it is a small step, which single precision in G does not harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.denoisers.coordinates import Coordinates, Gaussians
from quietspec.denoisers.labels import label_posterior
from quietspec.mixtures import ParameterPosterior
from quietspec.spectra import FloatArray

__all__ = ["CoefficientPosterior", "LinearFit", "Projections", "fit_linear", "infer", "project"]

_NEGLIGIBLE = 5e-4  # mixture components of lower posterior weight are left out of moments
_HUGE = 1e300


@dataclass(frozen=True)
class Projections:
    """What the data say about the coordinates: about the first `rank` all, about the others to first order.

    Parameters
    ----------
    start : (n_spectra, d)
        x₁, about which the rest is taken.
    gram : (n_spectra, rank, rank)
        G = VᵀWV.
    gradient : (n_spectra, d)
        VᵀW(y − V x₁).
    information : (n_spectra, d − rank)
        Diagonal of VᵀWV for the other coordinates; what is beside it is neglected.
    chi2 : (n_spectra,)
        χ² of x₁.
    """

    start: FloatArray
    gram: FloatArray
    gradient: FloatArray
    information: FloatArray
    chi2: FloatArray

    @property
    def rank(self) -> int:
        """Number of coordinates of which the data are taken in full."""
        return int(self.gram.shape[1])

    def evenness(self, mixture: Gaussians) -> FloatArray:
        """Information about the other coordinates over that of even noise, (n_spectra, 1)."""
        return self.information.sum(axis=1, keepdims=True) / max(float(mixture.even.sum()), 1e-300)

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Self:
        """Select spectra."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class LinearFit:
    """Posterior under one Gaussian, in short.

    Parameters
    ----------
    scale, error : (n_spectra,)
        Flux scale s > 0 and its 1σ.
    mean : (n_spectra, d)
        Posterior mean of x.
    dof : (n_spectra,)
        Number of coordinates the data determine.
    """

    scale: FloatArray
    error: FloatArray
    mean: FloatArray
    dof: FloatArray

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Self:
        """Select spectra."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join the fits of several sets of spectra."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class CoefficientPosterior:
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
        Number of coordinates the data determine, tr(H⁻¹G).
    labels : ParameterPosterior
        Posterior of the labels.
    reach : (n_spectra,)
        Mean square of the coordinates whose data were taken to first order, as the components in use have it, over
        that of the whole prior. Where this is large, more of them matter.
    """

    mean: FloatArray
    covariance: FloatArray
    log_evidence: FloatArray
    dof: FloatArray
    labels: ParameterPosterior
    reach: FloatArray

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Self:
        """Select spectra."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join the posteriors of several sets of spectra."""
        names = ("mean", "covariance", "log_evidence", "dof", "reach")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(labels=ParameterPosterior.stack([part.labels for part in parts]), **joined)


def project(
    residual: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    coordinates: Coordinates,
    information: FloatArray,
    rank: int,
) -> Projections:
    """Project spectra onto a basis with their noise weights.

    Parameters
    ----------
    residual, weight : (n_spectra, n_pixels)
        Flux less V x₁, and inverse variances (0 where the residual does not matter).
    start : (n_spectra, d)
        x₁.
    coordinates : Coordinates
        Of the pixels.
    information : (n_spectra, d)
        `Coordinates.information` of the weights.
    rank : int
        Number of coordinates of which the data are taken in full.

    Returns
    -------
    Projections
        In float64.
    """
    weighted = residual * weight
    gradient = weighted @ coordinates.vectors
    chi2 = np.einsum("ij,ij->i", weighted, residual)
    return Projections(
        start,
        coordinates.gram(weight, rank),
        gradient.astype(np.float64),
        information[:, rank:],
        chi2.astype(np.float64),
    )


def fit_linear(
    projections: Projections, coordinates: Coordinates, scale: FloatArray, error: FloatArray, iterations: int = 3
) -> LinearFit:
    """Fit spectra under the one Gaussian nearest to the prior; the flux scale is found from all pixels.

    Parameters
    ----------
    projections : Projections
        Of the spectra.
    coordinates : Coordinates
        Of the pixels.
    scale, error : (n_spectra,)
        First guess of the flux scale, and its 1σ.
    iterations : int
        Rounds of posterior scale → prior scale.

    Returns
    -------
    LinearFit
        The fit. Within it the prior's scale is floored at its error, so that a spectrum of no signal keeps a proper
        prior.
    """
    rank, start = projections.rank, projections.start
    identity, centre = np.eye(rank), coordinates.centre
    to_scale = np.broadcast_to(coordinates.transform[0], start.shape)  # d₀ = s
    for _ in range(iterations):
        floored = np.maximum(scale, error)[:, None]
        slope = projections.gradient + (floored * centre - start) * floored**-2
        sides = np.stack([slope[:, :rank], to_scale[:, :rank]], axis=2)
        precision = projections.gram + identity * floored[:, None] ** -2
        solved = np.linalg.solve(precision, sides)
        alone = 1 / (projections.information + floored**-2)
        step = np.concatenate([solved[:, :, 0], alone * slope[:, rank:]], axis=1)
        mean = start + step
        scale = mean @ coordinates.transform[0]
        variance = np.einsum("ni,ni->n", solved[:, :, 1], to_scale[:, :rank]) + alone @ to_scale[0, rank:] ** 2
        error = np.sqrt(variance)
    unknown = np.einsum("nii->n", np.linalg.inv(precision)) + alone.sum(axis=1)
    return LinearFit(np.maximum(scale, error), error, mean, start.shape[1] - unknown * floored[:, 0] ** -2)


def infer(projections: Projections, coordinates: Coordinates, scale: FloatArray) -> CoefficientPosterior:
    """Posterior of the coordinates and labels under the whole mixture.

    Parameters
    ----------
    projections : Projections
        Of the spectra.
    coordinates : Coordinates
        Of the pixels.
    scale : (n_spectra,)
        Flux scale s > 0 of each spectrum.

    Returns
    -------
    CoefficientPosterior
        Moments over the mixture.
    """
    mixture = coordinates.mixture(projections.rank)
    logs = _log_posterior(projections, mixture, scale)
    top = logs.max(axis=1)
    weights = np.exp(logs - top[:, None])
    total = weights.sum(axis=1)
    weights /= total[:, None]
    weights[weights < _NEGLIGIBLE] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    moments = _Moments(projections, mixture, scale, weights)
    return CoefficientPosterior(
        mean=moments.mean(),
        covariance=moments.covariance(),
        log_evidence=top + np.log(total) - mixture.rank * np.log(scale) - 0.5 * projections.chi2,
        dof=moments.dof,
        labels=label_posterior(weights, moments.labels, moments.label_spread, coordinates.prior),
        reach=weights @ mixture.reach,
    )


class _Component:
    """One component of the prior beside the data of some spectra.

    The steps δ = x − x₁ of the first coordinates have the prior mean `offset`. Those of the others are
    `others` + B δ plus a scatter of covariance s² D, so the data on them speak of the first as well.
    """

    def __init__(self, projections: Projections, mixture: Gaussians, k: int, scale: FloatArray) -> None:
        rank, square = mixture.rank, scale[:, None] ** 2
        regression, self._information = mixture.regression[k], projections.information
        target = scale[:, None] * mixture.location[k] - projections.start
        self.offset = target[:, :rank]
        self.others = target[:, rank:] - self.offset @ regression.T
        variances, self._directions = (values[k] for values in mixture.independent)
        even = projections.evenness(mixture)
        self._narrowed = square * variances / (1 + even * square * variances)
        gradient = projections.gradient[:, rank:]
        self._slope = gradient - self._information * self.others  # of the log likelihood at `others`
        scatter = self._scattered(self._slope)
        self.pull = (self.offset @ mixture.precision[k]) / square
        through = (self._slope - self._information * scatter) @ regression
        self.slope = projections.gradient[:, :rank] + self.pull + through
        share = np.concatenate([1 / square, even], axis=1)
        self.precision = (share @ mixture.by_data[k]).reshape(projections.gram.shape)
        self.precision += projections.gram
        self.constant = (
            mixture.log_weight[k]
            + 0.5 * _dot(self.others, gradient + self._slope)
            + 0.5 * (_dot(self._slope, scatter) - np.log1p(even * square * variances).sum(axis=1))
            - 0.5 * _dot(self.offset, self.pull)
        )

    def _scattered(self, slope: FloatArray) -> FloatArray:
        """Mean scatter of the other coordinates where the log likelihood has this slope."""
        return np.asarray((slope @ self._directions * self._narrowed) @ self._directions.T)

    def scatter(self, change: FloatArray) -> FloatArray:
        """Mean scatter of the other coordinates where they have changed with the first ones."""
        return self._scattered(self._slope - self._information * change)


def _log_posterior(projections: Projections, mixture: Gaussians, scale: FloatArray) -> FloatArray:
    """Log weights of the mixture but for what is common to all its components, (n_spectra, k)."""
    # One Cholesky factor of [[H, v], [vᵀ, huge]] yields both ln |H| and vᵀH⁻¹v: its last row is (L⁻¹v)ᵀ.
    n, rank = len(scale), projections.rank
    logs = np.empty((n, len(mixture.log_weight)))
    bordered = np.empty((n, rank + 1, rank + 1))
    bordered[:, rank, rank] = _HUGE
    for k in range(logs.shape[1]):
        component = _Component(projections, mixture, k, scale)
        bordered[:, :rank, :rank] = component.precision
        bordered[:, rank, :rank] = component.slope  # the lower triangle is all that is read
        factor = np.linalg.cholesky(bordered)
        log_det = np.log(np.einsum("nii->ni", factor)[:, :rank]).sum(axis=1)
        logs[:, k] = component.constant - log_det + 0.5 * _dot(factor[:, rank, :rank], factor[:, rank, :rank])
    return logs


class _Moments:
    """Moments of x and of the labels under each component of weight, and over all."""

    def __init__(self, projections: Projections, mixture: Gaussians, scale: FloatArray, weights: FloatArray) -> None:
        (n, size), (n_mixture, n_labels) = projections.start.shape, mixture.labels.shape
        self._start, self._weights, self._rank = projections.start, weights, mixture.rank
        self._step = np.zeros((n, n_mixture, size))  # mean of each component less x₁
        self._within = np.zeros((n, size, size))
        self.dof = np.zeros(n)
        self.labels = np.zeros((n, n_mixture, n_labels))
        self.label_spread = np.zeros((n, n_mixture, n_labels, n_labels))
        for k in range(n_mixture):
            rows = np.flatnonzero(weights[:, k])
            if rows.size:
                self._add(k, rows, projections[rows], mixture, scale[rows])
        square, variances = scale[:, None, None] ** 2, mixture.independent[0]
        left = (1 / (1 + projections.evenness(mixture)[:, :, None] * square * variances) * variances).sum(axis=2)
        left /= np.maximum(variances.sum(axis=1), 1e-300)
        spread = np.tensordot(weights * left * square[:, :, 0], mixture.spread, 1)
        self._within[:, self._rank :, self._rank :] += spread

    def _add(
        self, k: int, rows: npt.NDArray[np.intp], projections: Projections, mixture: Gaussians, scale: FloatArray
    ) -> None:
        rank, regression, weight = self._rank, mixture.regression[k], self._weights[rows, k]
        component = _Component(projections, mixture, k, scale)
        inverse = np.linalg.inv(component.precision)
        first = np.einsum("nij,nj->ni", inverse, component.slope)
        change = first @ regression.T
        scatter = component.scatter(change)
        self._step[rows, k, :rank] = first
        self._step[rows, k, rank:] = component.others + change + scatter
        self.dof[rows] += weight * np.einsum("nij,nij->n", inverse, projections.gram)
        transfer = mixture.transfer[k]
        shift = (first - component.offset) @ transfer.T + scatter @ mixture.label_others[k].T
        self.labels[rows, k] = mixture.labels[k] + shift / scale[:, None]
        spread = transfer @ inverse @ transfer.T
        self.label_spread[rows, k] = spread * scale[:, None, None] ** -2 + mixture.label_spread[k]
        inverse *= weight[:, None, None]
        cross = inverse @ regression.T
        self._within[rows, :rank, :rank] += inverse
        self._within[rows, :rank, rank:] += cross
        self._within[rows, rank:, rank:] += regression @ cross

    def mean(self) -> FloatArray:
        """Mean of x, (n_spectra, d)."""
        return self._start + np.einsum("nk,nkd->nd", self._weights, self._step)

    def covariance(self) -> FloatArray:
        """Covariance of x, (n_spectra, d, d)."""
        rank = self._rank
        offset = self._step - np.einsum("nk,nkd->nd", self._weights, self._step)[:, None]
        between = np.swapaxes(offset * self._weights[:, :, None], 1, 2) @ offset
        self._within[:, rank:, :rank] = np.swapaxes(self._within[:, :rank, rank:], 1, 2)
        return self._within + between


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Scalar products of rows, (n,)."""
    return np.asarray(np.einsum("ni,ni->n", one, other))
