r"""Posterior of a spectrum's coordinates under a Gaussian-mixture prior, in closed form.

Given a guess s of the flux scale, component k of the prior says x ~ N(s μ_k, s² Σ_k), where Σ_k lets the scale vary by
its own size. Of the data, G = VᵀWV and the gradient at x₁ (`linear`), with ξ = (x − x₁)/s, a pivoted Cholesky factor
UUᵀ of s²G makes q numbers of unit noise, z = Uᵀξ + noise: those directions of which they tell more than a little. Under
each component these are an ordinary set of q data, Cov z = UᵀΣ_kU + 1. What the data tell of the rest, E = s²G − UUᵀ,
is counted to first order.

The scale, of which the prior says next to nothing, is taken out of Σ_k and put back in closed form, and results are
kept as (z, the coordinates that are no pivots) until all components are summed: so no small number is the difference of
large ones, and single precision does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates, Gaussians
from quietspec.denoisers.posterior.labels import label_posterior
from quietspec.denoisers.posterior.linear import Projections
from quietspec.parameters import ParameterPosterior

__all__ = ["CoefficientPosterior", "infer"]

_TOLD = 0.04  # squared signal-to-noise, for the whole prior, of the best direction that is counted to first order
_NEGLIGIBLE = 5e-4  # mixture components of lower weight, times their breadth, are left out of moments
_HUGE = 1e30
_NOTHING = 1e-9  # information that rounding may leave
_TOGETHER = 12  # spectra worked on at a time: more would not fit into the processor's cache


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
        Number of coordinates the data determine.
    labels : ParameterPosterior
        Posterior of the labels.
    reach : (n_spectra,)
        Mean square of what was counted to first order, as the components in use have it, over that of the whole
        prior. Where this is large, less of it may be.
    """

    mean: FloatArray
    covariance: FloatArray
    log_evidence: FloatArray
    dof: FloatArray
    labels: ParameterPosterior
    reach: FloatArray

    def with_rows(self, rows: npt.NDArray[np.intp], other: Self) -> Self:
        """Return the same with the spectra `rows` replaced by those of another, in order."""
        names = ("mean", "covariance", "log_evidence", "dof", "reach")
        changed = {name: getattr(self, name).copy() for name in names}
        for name, values in changed.items():
            values[rows] = getattr(other, name)
        return replace(self, labels=self.labels.with_rows(rows, other.labels), **changed)


def infer(
    projections: Projections, coordinates: Coordinates, scale: FloatArray, reach: FloatArray | float = 1.0
) -> CoefficientPosterior:
    """Posterior of the coordinates and labels under the whole mixture.

    Parameters
    ----------
    projections : Projections
        Of the spectra, on all coordinates.
    coordinates : Coordinates
        Of the pixels.
    scale : (n_spectra,)
        Flux scale s > 0 of each spectrum.
    reach : (n_spectra,) or float
        What is known of `CoefficientPosterior.reach`.

    Returns
    -------
    CoefficientPosterior
        Moments over the mixture.
    """
    tolerance = np.broadcast_to(_TOLD / np.asarray(reach), scale.shape)
    moments = _Moments(coordinates.mixture, len(scale))
    for rows, data in _compressed(projections, scale, tolerance):
        moments.set(rows, data, coordinates.prior.breadth)
    return moments.posterior(projections.start, scale, coordinates)


@dataclass(frozen=True, eq=False)
class _Data:
    """What m spectra tell of ξ, each by as many numbers.

    Parameters
    ----------
    columns : (m, d, q)
        U.
    values : (m, q)
        z.
    gradient : (m, d)
        Of the log likelihood of the rest at ξ = 0.
    rest : (m, d, d)
        E, its information.
    order : (m, d)
        The q pivots among the coordinates, then the others.
    inverse : (m, q, q)
        Of U's rows of the pivots.
    start : (m, d)
        x₁ / s.
    chi2 : (m,)
        χ² of x₁.
    """

    columns: FloatArray
    values: FloatArray
    gradient: FloatArray
    rest: FloatArray
    order: npt.NDArray[np.intp]
    inverse: FloatArray
    start: FloatArray
    chi2: FloatArray

    @classmethod
    def compress(
        cls,
        lower: FloatArray,
        order: npt.NDArray[np.intp],
        gram: FloatArray,
        gradient: FloatArray,
        start: FloatArray,
        chi2: FloatArray,
    ) -> Self:
        """Make z with the first columns (m, d, q) of pivoted Cholesky factors of the information (m, d, d)."""
        q, each = lower.shape[2], np.arange(len(lower))[:, None]
        columns, rest = np.zeros_like(lower), np.zeros_like(gram)
        columns[each, order] = lower
        inverse = np.linalg.inv(lower[:, :q])
        values = _times(inverse, gradient[each, order[:, :q]])
        both = each[:, :, None], order[:, q:, None], order[:, None, q:]
        rest[both] = gram[both] - lower[:, q:] @ np.swapaxes(lower[:, q:], 1, 2)
        return cls(columns, values, gradient - _times(columns, values), rest, order, inverse, start, chi2)

    @property
    def n_values(self) -> int:
        """Number q of data."""
        return int(self.values.shape[1])

    @property
    def others(self) -> npt.NDArray[np.intp]:
        """The coordinates that are no pivots, (m, d − q)."""
        return self.order[:, self.n_values :]

    def coordinates(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Turn moments of (Uᵀξ, other coordinates), (m, d) and (m, d, d), into those of ξ."""
        q, rows = self.n_values, np.arange(len(mean))[:, None]
        inverse, across = np.swapaxes(self.inverse, 1, 2), np.swapaxes(self.columns[rows, self.others], 1, 2)
        back = np.concatenate([inverse, -inverse @ across], axis=2)
        turned = covariance.copy()
        turned[:, :q] = back @ covariance
        turned[:, :q, :q] = turned[:, :q] @ np.swapaxes(back, 1, 2)
        turned[:, q:, :q] = np.swapaxes(turned[:, :q, q:], 1, 2)
        where = np.argsort(self.order, axis=1)
        mean = np.concatenate([_times(back, mean), mean[:, q:]], axis=1)
        return mean[rows, where], turned[rows[:, :, None], where[:, :, None], where[:, None, :]]


def _compressed(
    projections: Projections, scale: FloatArray, tolerance: FloatArray
) -> Iterator[tuple[npt.NDArray[np.intp], _Data]]:
    """Make z of all that is told beyond a tolerance; spectra that make equally many numbers come together."""
    gram = scale[:, None, None] ** 2 * projections.gram
    gradient, start = scale[:, None] * projections.gradient, projections.start / scale[:, None]
    factors = [dpstrf(one, tol=limit, lower=1) for one, limit in zip(gram, tolerance, strict=True)]
    order = np.array([pivots for _, pivots, _, _ in factors], dtype=np.intp) - 1
    numbers = np.array([rank for _, _, rank, _ in factors])
    for q in np.unique(numbers):
        alike = np.flatnonzero(numbers == q)
        for rows in np.split(alike, range(_TOGETHER, len(alike), _TOGETHER)):
            lower = np.stack([np.tril(factors[row][0])[:, :q] for row in rows])
            some = gram[rows], gradient[rows], start[rows], projections.chi2[rows]
            yield rows, _Data.compress(lower, order[rows], *some)


@dataclass(frozen=True, eq=False)
class _FirstOrder:
    """The components of the prior as the data beside z leave them.

    Parameters
    ----------
    location : (m, k, d)
        Means of ξ.
    labels : (m, k, n_labels)
        Means of the labels.
    constant : (m, k)
        Log of the weights.
    told : (m, k)
        tr EΣ_k.
    reach : (m, k)
        The same over that of the whole prior.
    """

    location: FloatArray
    labels: FloatArray
    constant: FloatArray
    told: FloatArray
    reach: FloatArray

    @classmethod
    def expand(cls, data: _Data, mixture: Gaussians) -> Self:
        """Count those data."""
        before = mixture.location - data.start[:, None]
        pull = data.gradient[:, None] - before @ data.rest
        told = np.maximum(data.rest.reshape(len(pull), -1).astype(np.float32) @ mixture.flat.T, 0).astype(np.float64)
        whole = np.einsum("mii->m", data.rest)[:, None]
        reach = np.divide(told, whole, out=np.ones_like(told), where=whole > _NOTHING)
        # As if all of it were in directions of the same information: exact for one direction, and never runs off.
        square = np.einsum("mij,mij->m", data.rest, data.rest)[:, None]
        typical = np.divide(reach * square, whole, out=np.zeros_like(told), where=whole > _NOTHING)
        typical = np.maximum(typical, _NOTHING)
        weakened = np.swapaxes(pull / (1 + typical)[:, :, None], 0, 1).astype(np.float32)  # (k, m, d)
        shift = np.swapaxes(weakened @ mixture.flat.reshape(mixture.covariance.shape), 0, 1)
        labels = mixture.labels + np.swapaxes(weakened @ np.swapaxes(mixture.cross, 1, 2), 0, 1)
        likelihood = _dot(before, data.gradient[:, None] + pull) + _dot(pull, shift)
        likelihood -= told * np.log1p(typical) / typical
        likelihood += (_dot(data.values, data.values) - data.chi2)[:, None]
        constant = mixture.log_weight + 0.5 * likelihood
        return cls(before + shift, labels, constant, told, reach)


class _Moments:
    """Moments of ξ and of the labels over all components."""

    def __init__(self, mixture: Gaussians, n: int) -> None:
        n_mixture, n_labels, size = mixture.cross.shape
        self._mixture = mixture
        self._mean, self._covariance = np.empty((n, size)), np.empty((n, size, size))
        self._log_evidence, self._dof, self._reach = np.empty((3, n))
        self._weights = np.zeros((n, n_mixture))
        self._labels = np.zeros((n, n_mixture, n_labels))
        self._label_spread = np.zeros((n, n_mixture, n_labels, n_labels))

    def set(self, rows: npt.NDArray[np.intp], data: _Data, breadth: FloatArray) -> None:
        """Set those of some spectra."""
        mixture, q = self._mixture, data.n_values
        first = _FirstOrder.expand(data, mixture)
        seen = _Seen.compare(data, mixture, first.location)
        self._log_evidence[rows], weights = _normalised(first.constant + seen.log_likelihood, breadth)
        spectrum, member = np.nonzero(weights)
        pairs = spectrum, member
        weight = weights[pairs]
        part = _Conditioned.condition(data, mixture, first.location, seen, pairs)
        middle = np.add.reduceat(weight[:, None] * part.mean, part.starts)
        within = part.covariance(weight, mixture.flat_shapes, data.others)
        self._dof[rows] = np.einsum("mii->m", within[:, :q, :q]) + (weights * first.told).sum(axis=1)
        offset = part.mean - middle[spectrum]
        within += _by_spectrum(part.starts, weight[:, None] * offset, offset)
        self._mean[rows], self._covariance[rows] = data.coordinates(middle, within)
        self._reach[rows] = (weights * first.reach).sum(axis=1)
        self._weights[rows] = weights
        told = part.told(data, mixture)
        at = rows[spectrum], member
        self._labels[at] = first.labels[pairs] + _times(told, part.gain)
        self._label_spread[at] = part.label_spread(told, mixture)

    def posterior(self, start: FloatArray, scale: FloatArray, coordinates: Coordinates) -> CoefficientPosterior:
        """Moments of x = x₁ + s ξ, and the posterior of the labels."""
        labels = np.clip(self._labels, *coordinates.prior.label_limits)
        return CoefficientPosterior(
            mean=start + self._mean * scale[:, None],
            covariance=self._covariance * scale[:, None, None] ** 2,
            log_evidence=self._log_evidence,
            dof=self._dof,
            labels=label_posterior(self._weights, labels, self._label_spread, coordinates.prior),
            reach=self._reach,
        )


@dataclass(frozen=True, eq=False)
class _Seen:
    """Data z as the components expect them, Cov z = M + aaᵀ, the latter what the scale does.

    Parameters
    ----------
    turned : (m, q, k, d)
        UᵀS_k, S_k the covariance of the shapes.
    covariance : (m, k, q, q)
        M = UᵀS_kU + 1.
    slope : (m, k, q)
        a, change of z with the scale.
    innovation : (m, k, q)
        Differences of z from the expected ones.
    scale_information : (m, k)
        aᵀM⁻¹a.
    scale_shift : (m, k)
        What the data say the scale's relative change is.
    log_likelihood : (m, k)
        Of z less ½ z².
    """

    turned: FloatArray
    covariance: FloatArray
    slope: FloatArray
    innovation: FloatArray
    scale_information: FloatArray
    scale_shift: FloatArray
    log_likelihood: FloatArray

    @classmethod
    def compare(cls, data: _Data, mixture: Gaussians, location: FloatArray) -> Self:
        """Compare with components at given means of ξ, (m, k, d)."""
        try:
            return cls._compare(data, mixture, location, mixture.stacked_shapes)
        except np.linalg.LinAlgError:  # of S/N beyond some thousand
            return cls._compare(data, mixture, location, mixture.stack_shapes(np.dtype(np.float64)))

    @classmethod
    def _compare(cls, data: _Data, mixture: Gaussians, location: FloatArray, shapes: FloatArray) -> Self:
        (m, size, q), n_mixture = data.columns.shape, len(mixture.location)
        some = np.flatnonzero(data.columns.any(axis=(0, 2)))  # the data tell nothing of the last coordinates
        end = int(some[-1]) + 1 if q else 0
        columns = data.columns[:, :end].astype(shapes.dtype)
        turned = np.ascontiguousarray(np.swapaxes(columns, 1, 2)).reshape(m * q, end) @ shapes[:end]
        slope, innovation = mixture.location @ data.columns, data.values[:, None] - location @ data.columns
        bordered = np.zeros((m, n_mixture, q + 2, q + 2), dtype=shapes.dtype)
        product = turned.reshape(m, q * n_mixture, size)[:, :, :end] @ columns
        bordered[:, :, :q, :q] = np.swapaxes(product.reshape(m, q, n_mixture, q), 1, 2)
        bordered[:, :, np.arange(q), np.arange(q)] += 1
        bordered[:, :, q, :q], bordered[:, :, q + 1, :q] = slope, innovation
        bordered[:, :, [q, q + 1], [q, q + 1]] = _HUGE
        # One Cholesky factor of [[M, a, v], [aᵀ, huge, 0], [vᵀ, 0, huge]] yields all: its last rows are (L⁻¹a)ᵀ and
        # (L⁻¹v)ᵀ. It reads the lower triangle.
        factor = np.linalg.cholesky(bordered)
        expected, found = factor[:, :, q, :q].astype(np.float64), factor[:, :, q + 1, :q].astype(np.float64)
        information, along = _dot(expected, expected), _dot(expected, found)
        diagonal = np.einsum("mkii->mki", factor)[:, :, :q]
        determinant = np.log1p(information) + 2 * np.log(diagonal).sum(axis=2, dtype=np.float64)
        shift = along / (1 + information)
        return cls(
            turned.reshape(m, q, n_mixture, size),
            bordered[:, :, :q, :q],
            slope,
            innovation,
            information,
            shift,
            -0.5 * (_dot(found, found) - along * shift + determinant),
        )


@dataclass(frozen=True, eq=False)
class _Conditioned:
    """Components of weight, conditioned on the data z: n pairs of a spectrum and a component, by spectrum.

    Parameters
    ----------
    mean : (n, d)
        Means of (Uᵀξ, other coordinates).
    inverse : (n, q, q)
        M⁻¹.
    across : (n, q, d − q)
        Covariance of Uᵀξ with the other coordinates at given scale.
    scale_error : (n, d)
        Change of (Uᵀξ, other coordinates) with 1σ of the scale.
    gain : (n, q)
        (M + aaᵀ)⁻¹ times the innovation.
    pairs : two arrays (n,)
        Spectrum and component.
    starts : (m,)
        First pair of each spectrum.
    """

    mean: FloatArray
    inverse: FloatArray
    across: FloatArray
    scale_error: FloatArray
    gain: FloatArray
    pairs: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    starts: npt.NDArray[np.intp]

    @classmethod
    def condition(
        cls,
        data: _Data,
        mixture: Gaussians,
        location: FloatArray,
        seen: _Seen,
        pairs: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    ) -> Self:
        """Condition some of the components."""
        spectrum, member = pairs
        starts = np.flatnonzero(np.diff(spectrum, prepend=-1))
        others = data.others[spectrum]
        inverse = np.linalg.inv(seen.covariance[pairs])
        across = np.concatenate(
            [
                np.swapaxes(np.take(np.take(turned, members, axis=1), order, axis=2), 0, 1)
                for turned, members, order in zip(seen.turned, np.split(member, starts[1:]), data.others, strict=True)
            ]
        )
        slope, shift = seen.slope[pairs], seen.scale_shift[pairs][:, None]
        gain = _times(inverse, seen.innovation[pairs] - shift * slope)
        through = _times(inverse, slope)
        shape = np.take_along_axis(mixture.location[member], others, axis=1)
        back = np.swapaxes(across, 1, 2)
        along = np.concatenate([through, shape - _times(back, through)], axis=1)
        error = along / np.sqrt(1 + seen.scale_information[pairs])[:, None]
        moved = np.take_along_axis(location[pairs], others, axis=1) + shift * shape + _times(back, gain)
        mean = np.concatenate([data.values[spectrum] - gain, moved], axis=1)
        return cls(mean, inverse, across, error, gain, pairs, starts)

    def covariance(self, weight: FloatArray, shapes: FloatArray, others: npt.NDArray[np.intp]) -> FloatArray:
        """Mean covariance of (Uᵀξ, other coordinates) within the components.

        Parameters
        ----------
        weight : (n,)
            Weights.
        shapes : (k, d²)
            Prior covariances of the shapes of all components.
        others : (m, d − q)
            The other coordinates.

        Returns
        -------
        (m, d, d)
            At unit scale.
        """
        (n, q, n_others), m = self.across.shape, len(others)
        size = q + n_others
        every = np.zeros((m, len(shapes)), dtype=shapes.dtype)
        every[self.pairs] = weight
        prior = (every @ shapes).reshape(m, size, size)
        within = _by_spectrum(self.starts, weight[:, None] * self.scale_error, self.scale_error)
        weighted = self.inverse * weight.astype(self.inverse.dtype)[:, None, None]
        gain = weighted @ self.across
        within[:, :q, :q] += np.eye(q) - np.add.reduceat(weighted, self.starts)
        within[:, :q, q:] += np.add.reduceat(gain, self.starts)
        within[:, q:, :q] = np.swapaxes(within[:, :q, q:], 1, 2)
        within[:, q:, q:] += prior[np.arange(m)[:, None, None], others[:, :, None], others[:, None, :]]
        flat = (n * q, n_others)
        within[:, q:, q:] -= _by_spectrum(q * self.starts, self.across.reshape(flat), gain.reshape(flat))
        return within

    def told(self, data: _Data, mixture: Gaussians) -> FloatArray:
        """Covariance of the labels with Uᵀξ, (n, n_labels, q)."""
        n_mixture, n_labels, size = mixture.cross.shape
        columns = data.columns.astype(self.inverse.dtype)
        every = mixture.cross.reshape(-1, size) @ columns
        return np.asarray(every.reshape(len(columns), n_mixture, n_labels, data.n_values)[self.pairs])

    def label_spread(self, told: FloatArray, mixture: Gaussians) -> FloatArray:
        """Covariance of the labels, but for that at given coefficients, (n, n_labels, n_labels)."""
        scale = _times(told, self.scale_error[:, : told.shape[2]])
        spread = mixture.label_spread[self.pairs[1]] - told @ self.inverse @ np.swapaxes(told, 1, 2)
        return np.asarray(spread + scale[:, :, None] * scale[:, None, :])


def _normalised(logs: FloatArray, breadth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log of the sum, (m,), and shares in it without the negligible ones, both of logs (m, k)."""
    top = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - top)
    total = weights.sum(axis=1, keepdims=True)
    # Broad components count by what they add to the variance.
    weights[weights * breadth < _NEGLIGIBLE * total] = 0.0
    return (top + np.log(total))[:, 0], weights / weights.sum(axis=1, keepdims=True)


def _by_spectrum(starts: npt.NDArray[np.intp], one: FloatArray, other: FloatArray) -> FloatArray:
    """Sums of products of rows, (m, i, j), of rows (n, i) and (n, j) that come by spectrum."""
    ends = np.append(starts[1:], len(one))
    return np.stack([one[a:b].T @ other[a:b] for a, b in zip(starts, ends, strict=True)]).astype(np.float64)


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Scalar products over the last axis."""
    return np.asarray(np.einsum("...i,...i->...", one, other))


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Products of matrices (n, i, j) with vectors (n, j)."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])
