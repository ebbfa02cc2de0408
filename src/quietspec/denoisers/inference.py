r"""Posterior of a spectrum's coordinates under a Gaussian-mixture prior, in closed form.

A spectrum is y = V x + noise (`coordinates`). Given a guess s of the flux scale, component k of the prior says
x ~ N(s μ_k, s² Σ_k), where Σ_k lets the scale vary by its own size. Everything the data say enters through G = VᵀWV,
the gradient VᵀW(y − V x₁) and χ² at some x₁ close to the answer, W the inverse noise variances, so masks, gaps and
any pixel grid are exact. From x₁ it is a small step, which single precision in G does not harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.denoisers.coordinates import Coordinates, Gaussians
from quietspec.denoisers.labels import label_posterior
from quietspec.mixtures import ParameterPosterior
from quietspec.spectra import BoolArray, FloatArray

__all__ = ["CoefficientPosterior", "LinearFit", "Projections", "fit_linear", "infer", "project"]

_NEGLIGIBLE = 5e-4  # mixture components of lower weight, times their breadth, are left out of moments
_HUGE = 1e300
_BLOCK = 2**18  # numbers in the precision matrices of spectra worked on at a time
_SMALL = 24  # matrices up to this size are inverted as they are


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
        return np.asarray(self.information.sum(axis=1, keepdims=True) / max(float(mixture.even.sum()), 1e-300))

    def __getitem__(self, rows: slice) -> Self:
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

    def __getitem__(self, rows: npt.NDArray[np.intp] | BoolArray) -> Self:
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

    def __getitem__(self, rows: npt.NDArray[np.intp] | BoolArray) -> Self:
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
    beside = _Beside(projections, mixture, scale)
    result = _Moments(projections, mixture, scale, beside)
    for rows in _blocks(len(scale), mixture):
        precision = _precision(projections[rows], mixture, scale[rows], beside.slope[:, rows])
        logs = beside.constant[:, rows] + _log_integral(precision)
        result.log_evidence[rows], weights = _normalised(logs, coordinates.prior.breadth)
        result.add(rows, weights, precision)
    return result.posterior(coordinates)


def _blocks(n: int, mixture: Gaussians) -> Iterator[slice]:
    """Spectra whose precision matrices under all components fit into the processor's cache."""
    step = max(1, _BLOCK // mixture.bordered[:, 0].size)
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


class _Beside:
    """The components of the prior beside the data, all of shape (k, n_spectra, …).

    The steps δ = x − x₁ of the first coordinates have the prior mean `offset`. Those of the others are
    `others` + B δ plus a scatter, so the data on them speak of the first as well. `slope` is that of the log posterior
    of δ at 0, `constant` its value there, the scatter integrated out.
    """

    def __init__(self, projections: Projections, mixture: Gaussians, scale: FloatArray) -> None:
        rank, square = mixture.rank, scale[:, None] ** 2
        gradient, self._information = projections.gradient[:, rank:], projections.information
        variances, self._directions = mixture.independent
        step = scale[:, None] * mixture.location[:, None] - projections.start
        self.offset = step[:, :, :rank]
        self.others = step[:, :, rank:] - self.offset @ np.swapaxes(mixture.regression, 1, 2)
        broad = projections.evenness(mixture) * square * variances[:, None]
        self._narrowed = square * variances[:, None] / (1 + broad)
        self._slope = gradient - self._information * self.others  # of the log likelihood at `others`
        scatter = self._scattered(self._slope)
        pull = self.offset @ mixture.precision / square
        through = (self._slope - self._information * scatter) @ mixture.regression
        self.slope = projections.gradient[:, :rank] + pull + through
        self.constant = (
            mixture.log_weight[:, None]
            + 0.5 * _dot(self.others, gradient + self._slope)
            + 0.5 * (_dot(self._slope, scatter) - np.log1p(broad).sum(axis=2))
            - 0.5 * _dot(self.offset, pull)
            - 0.5 * projections.chi2
            - rank * np.log(scale)
        )

    def _scattered(self, slope: FloatArray) -> FloatArray:
        """Mean scatter of the other coordinates where the log likelihood has this slope."""
        return np.asarray((slope @ self._directions * self._narrowed) @ np.swapaxes(self._directions, 1, 2))

    def scatter(self, change: FloatArray) -> FloatArray:
        """Mean scatter of the other coordinates where they have changed with the first ones."""
        return self._scattered(self._slope - self._information * change)

    def left(self, variances: FloatArray) -> FloatArray:
        """What the data leave of the scatter's variance, as a factor on that at unit scale, (k, n_spectra)."""
        return np.asarray(self._narrowed.sum(axis=2) / np.maximum(variances.sum(axis=1), 1e-300)[:, None])


def _precision(projections: Projections, mixture: Gaussians, scale: FloatArray, slope: FloatArray) -> FloatArray:
    """Precision matrices H of the first coordinates, each bordered by the slope, (k, n_spectra, rank + 1, rank + 1)."""
    n, rank = len(scale), mixture.rank
    data = np.zeros((n, rank + 1, rank + 1))
    data[:, :rank, :rank] = projections.gram
    data[:, rank, rank] = _HUGE
    share = np.concatenate([scale[:, None] ** -2, projections.evenness(mixture)], axis=1)
    bordered = (share @ mixture.bordered).reshape(-1, n, rank + 1, rank + 1)
    bordered += data
    bordered[:, :, rank, :rank] = slope
    return bordered


def _log_integral(bordered: FloatArray) -> FloatArray:
    """−½ ln |H| + ½ vᵀH⁻¹v of precision matrices H bordered by slopes v, (k, n_spectra)."""
    # One Cholesky factor of [[H, v], [vᵀ, huge]] yields both: its last row is (L⁻¹v)ᵀ. It reads the lower triangle.
    factor = np.linalg.cholesky(bordered)
    rank = factor.shape[2] - 1
    solved = factor[:, :, rank, :rank]
    return np.asarray(0.5 * _dot(solved, solved) - np.log(np.einsum("knii->kni", factor)[:, :, :rank]).sum(axis=2))


def _normalised(logs: FloatArray, breadth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log of the sum, (n_spectra,), and shares in it without the negligible ones, both of logs (k, n_spectra)."""
    top = logs.max(axis=0)
    weights = np.exp(logs - top)
    total = weights.sum(axis=0)
    # Broad components count by what they add to the variance.
    weights[weights * breadth[:, None] < _NEGLIGIBLE * total] = 0.0
    return top + np.log(total), weights / weights.sum(axis=0)


class _Moments:
    """Moments of x and of the labels under each component of weight, and over all."""

    def __init__(self, projections: Projections, mixture: Gaussians, scale: FloatArray, beside: _Beside) -> None:
        (n, size), (n_mixture, n_labels) = projections.start.shape, mixture.labels.shape
        self._projections, self._mixture, self._scale, self._beside = projections, mixture, scale, beside
        self.log_evidence = np.empty(n)
        self._weights = np.zeros((n_mixture, n))
        self._first = np.zeros((n_mixture, n, mixture.rank))  # mean step of the first coordinates
        self._within = np.zeros((n, size, size))
        self._label_spread = np.zeros((n, n_mixture, n_labels, n_labels))

    def add(self, block: slice, weights: FloatArray, precision: FloatArray) -> None:
        """Add some spectra of given weights (k, n) and bordered precision matrices (k, n, rank + 1, rank + 1)."""
        mixture, rank, size = self._mixture, self._mixture.rank, self._within.shape[1]
        self._weights[:, block] = weights
        place, member = np.nonzero(weights.T)
        row, weight = place + block.start, weights[member, place]
        inverse = _inverse(precision[member, place, :rank, :rank])
        slope = self._beside.slope[member, row]
        self._first[member, row] = (inverse @ slope[:, :, None])[:, :, 0]
        sides = inverse @ mixture.sides[member]
        cross, labels = np.split(sides, [size - rank], axis=2)
        spread = mixture.transfer[member] @ labels
        self._label_spread[row, member] = spread / self._scale[row, None, None] ** 2 + mixture.label_spread[member]
        self._sum(row, weight, inverse, slice(None, rank), slice(None, rank))
        if rank < size:
            self._sum(row, weight, cross, slice(None, rank), slice(rank, None))
            self._sum(row, weight, mixture.regression[member] @ cross, slice(rank, None), slice(rank, None))

    def _sum(
        self, row: npt.NDArray[np.intp], weight: FloatArray, values: FloatArray, down: slice, across: slice
    ) -> None:
        """Add weighted matrices (n_pairs, …) of pairs sorted by spectrum to a part of the covariances."""
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        flat = values.reshape(len(values), -1)
        for start, end in pairwise([*starts.tolist(), len(row)]):
            total = weight[start:end] @ flat[start:end]
            self._within[row[start], down, across] += total.reshape(values.shape[1:])

    def posterior(self, coordinates: Coordinates) -> CoefficientPosterior:
        """Put together the moments over all components."""
        mixture, rank, beside, scale = self._mixture, self._mixture.rank, self._beside, self._scale
        change = self._first @ np.swapaxes(mixture.regression, 1, 2)
        scatter = beside.scatter(change)
        shift = (self._first - beside.offset) @ np.swapaxes(mixture.transfer, 1, 2)
        shift += scatter @ np.swapaxes(mixture.label_others, 1, 2)
        labels = np.swapaxes(mixture.labels[:, None] + shift / scale[:, None], 0, 1)
        labels = np.clip(labels, *coordinates.prior.label_limits)
        step = np.swapaxes(np.concatenate([self._first, beside.others + change + scatter], axis=2), 0, 1)
        weights = self._weights.T
        dof = np.einsum("nij,nij->n", self._within[:, :rank, :rank], self._projections.gram)
        mean = (weights[:, None] @ step)[:, 0]
        return CoefficientPosterior(
            mean=self._projections.start + mean,
            covariance=self._covariance(step - mean[:, None]),
            log_evidence=self.log_evidence,
            dof=dof,
            labels=label_posterior(weights, labels, self._label_spread, coordinates.prior),
            reach=weights @ mixture.reach,
        )

    def _covariance(self, offset: FloatArray) -> FloatArray:
        """Covariance within the components, and between their means' offsets (n_spectra, k, d) from the mean."""
        rank, weights = self._mixture.rank, self._weights.T
        left = self._beside.left(self._mixture.independent[0])
        within = self._within
        within[:, rank:, rank:] += np.tensordot(weights * left.T, self._mixture.spread, 1)
        within[:, rank:, :rank] = np.swapaxes(within[:, :rank, rank:], 1, 2)
        within += np.swapaxes(offset * weights[:, :, None], 1, 2) @ offset
        return within


def _inverse(matrices: FloatArray) -> FloatArray:
    """Inverse of symmetric positive matrices (n, d, d), by halves: products are faster than numpy's solver."""
    size = matrices.shape[1]
    if size <= _SMALL:
        return np.linalg.inv(matrices)
    half = size // 2
    corner = _inverse(matrices[:, :half, :half])
    beside = matrices[:, half:, :half]
    through = beside @ corner
    other = _inverse(matrices[:, half:, half:] - through @ np.swapaxes(beside, 1, 2))
    cross = other @ through
    inverse = np.empty_like(matrices)
    inverse[:, :half, :half] = corner + np.swapaxes(through, 1, 2) @ cross
    inverse[:, half:, half:] = other
    inverse[:, half:, :half] = -cross
    inverse[:, :half, half:] = -np.swapaxes(cross, 1, 2)
    return inverse


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Scalar products over the last axis."""
    return np.asarray(np.einsum("...i,...i->...", one, other))
