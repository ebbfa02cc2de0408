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

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import dpstrf

from quietspec.denoisers.coordinates import Coordinates, Gaussians
from quietspec.denoisers.labels import label_posterior
from quietspec.denoisers.linear import Projections
from quietspec.mixtures import ParameterPosterior
from quietspec.spectra import BoolArray, FloatArray

__all__ = ["CoefficientPosterior", "infer"]

_TOLD = 0.04  # squared signal-to-noise, for the whole prior, of the best direction that is counted to first order
_NEGLIGIBLE = 5e-4  # mixture components of lower weight, times their breadth, are left out of moments
_HUGE = 1e30
_NOTHING = 1e-9  # information that rounding may leave
_BLOCK = 64  # spectra whose vectors under all components are held at a time


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

    def __getitem__(self, rows: npt.NDArray[np.intp] | BoolArray) -> Self:
        """Select spectra."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join the posteriors of several sets of spectra."""
        names = ("mean", "covariance", "log_evidence", "dof", "reach")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(labels=ParameterPosterior.stack([part.labels for part in parts]), **joined)


def infer(
    projections: Projections, coordinates: Coordinates, scale: FloatArray, reach: FloatArray | float = 1.0
) -> CoefficientPosterior:
    """Posterior of the coordinates and labels under the whole mixture.

    Parameters
    ----------
    projections : Projections
        Of the spectra.
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
    for start in range(0, len(scale), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(scale)))
        data = [_Data.compress(projections, row, float(scale[row]), float(tolerance[row])) for row in rows]
        first = _FirstOrder.expand(data, coordinates.mixture)
        for number, row in enumerate(rows):
            moments.set(row, data[number], first, number, coordinates.prior.breadth)
    return moments.posterior(projections.start, scale, coordinates)


@dataclass(frozen=True, eq=False)
class _Data:
    """What one spectrum tells of ξ.

    Parameters
    ----------
    columns : (d, q)
        U.
    values : (q,)
        z.
    gradient : (d,)
        Of the log likelihood of the rest at ξ = 0.
    rest : (d, d)
        E, its information.
    order : (d,)
        The q pivots among the coordinates, then the others.
    inverse : (q, q)
        Of U's rows of the pivots.
    start : (d,)
        x₁ / s.
    chi2 : float
        χ² of x₁.
    """

    columns: FloatArray
    values: FloatArray
    gradient: FloatArray
    rest: FloatArray
    order: npt.NDArray[np.intp]
    inverse: FloatArray
    start: FloatArray
    chi2: float

    @classmethod
    def compress(cls, projections: Projections, row: int, scale: float, tolerance: float) -> Self:
        """Make z of all that is told beyond a tolerance."""
        gram = scale**2 * projections.whole_gram(row)
        gradient = scale * projections.gradient[row]
        packed, pivots, q, _ = dpstrf(gram, tol=tolerance, lower=1)
        order = pivots - 1
        columns = np.zeros((len(gram), q))
        columns[order] = np.tril(packed)[:, :q]
        inverse = np.linalg.inv(columns[order[:q]])
        values = inverse @ gradient[order[:q]]
        rest, others = np.zeros_like(gram), np.ix_(order[q:], order[q:])
        rest[others] = gram[others] - columns[order[q:]] @ columns[order[q:]].T
        return cls(
            columns,
            values,
            gradient - columns @ values,
            rest,
            order,
            inverse,
            projections.start[row] / scale,
            float(projections.chi2[row]),
        )

    @property
    def n_values(self) -> int:
        """Number q of data."""
        return len(self.values)

    @property
    def others(self) -> npt.NDArray[np.intp]:
        """The coordinates that are no pivots."""
        return self.order[self.n_values :]

    def coordinates(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Turn moments of (Uᵀξ, other coordinates) into those of ξ."""
        q, where = self.n_values, np.argsort(self.order)
        back = np.concatenate([self.inverse.T, -self.inverse.T @ self.columns[self.others].T], axis=1)
        turned = covariance.copy()
        turned[:q] = back @ covariance
        turned[:q, :q] = turned[:q] @ back.T
        turned[q:, :q] = turned[:q, q:].T
        return np.concatenate([back @ mean, mean[q:]])[where], turned[where[:, None], where]


@dataclass(frozen=True, eq=False)
class _FirstOrder:
    """The components of the prior as the data beside z leave them, for some spectra.

    Parameters
    ----------
    pull : (k, n_spectra, d)
        Gradient of the log likelihood of those data at the components' means.
    location : (k, n_spectra, d)
        Means of ξ.
    constant : (k, n_spectra)
        Log of the weights.
    told : (k, n_spectra)
        tr EΣ_k.
    reach : (k, n_spectra)
        The same over that of the whole prior.
    """

    pull: FloatArray
    location: FloatArray
    constant: FloatArray
    told: FloatArray
    reach: FloatArray

    @classmethod
    def expand(cls, data: Sequence[_Data], mixture: Gaussians) -> Self:
        """Count those data."""
        rest = np.stack([one.rest for one in data])
        gradient = np.stack([one.gradient for one in data])
        before = mixture.location[:, None] - np.stack([one.start for one in data])
        pull = gradient - np.swapaxes(np.swapaxes(before, 0, 1) @ rest, 0, 1)
        told = np.maximum(mixture.flat @ rest.reshape(len(data), -1).T, 0)
        whole = np.einsum("nii->n", rest)
        some = whole > _NOTHING
        reach = np.divide(told, whole, out=np.ones_like(told), where=some)
        # As if all of it were in directions of the same information: exact for one direction, and never runs off.
        mean = np.divide(np.einsum("nij,nij->n", rest, rest), whole, out=np.zeros_like(whole), where=some)
        typical = np.maximum(reach * mean, _NOTHING)
        shift = pull @ mixture.covariance / (1 + typical)[:, :, None]
        likelihood = _dot(before, gradient + pull) + _dot(pull, shift) - told * np.log1p(typical) / typical
        constant = mixture.log_weight[:, None] + 0.5 * (likelihood - np.array([one.chi2 for one in data]))
        return cls(pull, before + shift, constant, told, reach)


class _Moments:
    """Moments of ξ and of the labels over all components, spectrum by spectrum."""

    def __init__(self, mixture: Gaussians, n: int) -> None:
        n_mixture, n_labels, size = mixture.cross.shape
        self._mixture = mixture
        self._mean, self._covariance = np.empty((n, size)), np.empty((n, size, size))
        self._log_evidence, self._dof, self._reach = np.empty((3, n))
        self._weights = np.zeros((n, n_mixture))
        self._labels = np.zeros((n, n_mixture, n_labels))
        self._label_spread = np.zeros((n, n_mixture, n_labels, n_labels))

    def set(self, row: int, data: _Data, first: _FirstOrder, number: int, breadth: FloatArray) -> None:
        """Set those of a spectrum, which is one of several of which `first` knows."""
        mixture = self._mixture
        seen = _Seen.compare(data, mixture, first.location[:, number])
        logs = first.constant[:, number] + 0.5 * data.values @ data.values + seen.log_likelihood
        self._log_evidence[row], weights = _normalised(logs, breadth)
        members = np.flatnonzero(weights)
        weight = weights[members]
        part = _Conditioned.condition(data, mixture, first.location[:, number], seen, members)
        within = part.covariance(weight, mixture.flat_shapes, data.others)
        middle = weight @ part.mean
        offset = part.mean - middle
        covariance = within + (offset.T * weight) @ offset
        self._mean[row], self._covariance[row] = data.coordinates(middle, covariance)
        self._dof[row] = np.trace(within[: data.n_values, : data.n_values]) + weight @ first.told[members, number]
        self._reach[row] = weight @ first.reach[members, number]
        self._weights[row] = weights
        self._labels[row, members] = part.labels(first.pull[members, number], data, mixture)
        self._label_spread[row, members] = part.label_spread(data, mixture)

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
    """One spectrum's data z as the components expect them, Cov z = M + aaᵀ, the latter what the scale does.

    Parameters
    ----------
    turned : (q, k, d)
        UᵀS_k, S_k the covariance of the shapes.
    covariance : (k, q, q)
        M = UᵀS_kU + 1.
    slope : (k, q)
        a, change of z with the scale.
    innovation : (k, q)
        Differences of z from the expected ones.
    scale_information : (k,)
        aᵀM⁻¹a.
    scale_shift : (k,)
        What the data say the scale's relative change is.
    log_likelihood : (k,)
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
        """Compare with components at given means of ξ, (k, d)."""
        try:
            return cls._compare(data, mixture, location, mixture.stacked_shapes)
        except np.linalg.LinAlgError:  # of S/N beyond some thousand
            return cls._compare(data, mixture, location, mixture.stack_shapes(np.dtype(np.float64)))

    @classmethod
    def _compare(cls, data: _Data, mixture: Gaussians, location: FloatArray, shapes: FloatArray) -> Self:
        q, (n_mixture, size), precision = data.n_values, location.shape, shapes.dtype
        columns = data.columns.astype(precision)
        turned = columns.T @ shapes
        slope, innovation = mixture.location @ data.columns, data.values - location @ data.columns
        bordered = np.zeros((n_mixture, q + 2, q + 2), dtype=precision)
        product = turned.reshape(-1, size) @ columns
        bordered[:, :q, :q] = np.swapaxes(product.reshape(q, n_mixture, q), 0, 1)
        bordered[:, np.arange(q), np.arange(q)] += 1
        bordered[:, q, :q], bordered[:, q + 1, :q] = slope, innovation
        bordered[:, [q, q + 1], [q, q + 1]] = _HUGE
        # One Cholesky factor of [[M, a, v], [aᵀ, huge, 0], [vᵀ, 0, huge]] yields all: its last rows are (L⁻¹a)ᵀ and
        # (L⁻¹v)ᵀ. It reads the lower triangle.
        factor = np.linalg.cholesky(bordered)
        expected, found = np.swapaxes(factor[:, q:, :q], 0, 1).astype(np.float64)
        information, along = _dot(expected, expected), _dot(expected, found)
        determinant = np.log1p(information) + 2 * np.log(np.einsum("kii->ki", factor)[:, :q]).sum(axis=1, dtype=float)
        shift = along / (1 + information)
        return cls(
            turned.reshape(q, n_mixture, size),
            bordered[:, :q, :q],
            slope,
            innovation,
            information,
            shift,
            -0.5 * (_dot(found, found) - along * shift + determinant),
        )


@dataclass(frozen=True, eq=False)
class _Conditioned:
    """Components of weight, conditioned on the data z of one spectrum.

    Parameters
    ----------
    mean : (k, d)
        Means of (Uᵀξ, other coordinates).
    inverse : (k, q, q)
        M⁻¹.
    across : (k, q, d − q)
        Covariance of Uᵀξ with the other coordinates at given scale.
    scale_error : (k, d)
        Change of (Uᵀξ, other coordinates) with 1σ of the scale.
    gain : (k, q)
        (M + aaᵀ)⁻¹ times the innovation.
    members : (k,)
        Which they are.
    """

    mean: FloatArray
    inverse: FloatArray
    across: FloatArray
    scale_error: FloatArray
    gain: FloatArray
    members: npt.NDArray[np.intp]

    @classmethod
    def condition(
        cls, data: _Data, mixture: Gaussians, location: FloatArray, seen: _Seen, members: npt.NDArray[np.intp]
    ) -> Self:
        """Condition some of the components."""
        others = data.others
        inverse = np.linalg.inv(seen.covariance[members])
        across = np.ascontiguousarray(np.swapaxes(seen.turned[:, members][:, :, others], 0, 1))
        slope, shift = seen.slope[members], seen.scale_shift[members][:, None]
        gain = _times(inverse, seen.innovation[members] - shift * slope)
        through = _times(inverse, slope)
        shape = mixture.location[members][:, others]
        mean = location[members][:, others] + shift * shape + _times(np.swapaxes(across, 1, 2), gain)
        along = np.concatenate([through, shape - _times(np.swapaxes(across, 1, 2), through)], axis=1)
        error = along / np.sqrt(1 + seen.scale_information[members])[:, None]
        return cls(np.concatenate([data.values - gain, mean], axis=1), inverse, across, error, gain, members)

    def covariance(self, weight: FloatArray, shapes: FloatArray, others: npt.NDArray[np.intp]) -> FloatArray:
        """Mean covariance of (Uᵀξ, other coordinates) within the components, (d, d).

        Parameters
        ----------
        weight : (k,)
            Weights.
        shapes : (K, d²)
            Prior covariances of the shapes of all components.
        others : (d − q,)
            The other coordinates.

        Returns
        -------
        (d, d)
            At unit scale.
        """
        n, q, n_others = self.across.shape
        size = q + n_others
        weighted = self.inverse * weight.astype(self.inverse.dtype)[:, None, None]
        gain = weighted @ self.across
        every = np.zeros(len(shapes), dtype=shapes.dtype)
        every[self.members] = weight
        prior = (every @ shapes).reshape(size, size)[others[:, None], others]
        within = (self.scale_error.T * weight) @ self.scale_error
        within[:q, :q] += np.eye(q) - weighted.sum(axis=0)
        within[:q, q:] += gain.sum(axis=0)
        within[q:, :q] = within[:q, q:].T
        within[q:, q:] += prior - self.across.reshape(n * q, n_others).T @ gain.reshape(n * q, n_others)
        return within

    def labels(self, pull: FloatArray, data: _Data, mixture: Gaussians) -> FloatArray:
        """Means of the labels, (k, n_labels), where the data beside z pull at ξ."""
        whole = pull + self.gain @ data.columns.T
        return np.asarray(mixture.labels[self.members] + _times(mixture.cross[self.members], whole))

    def label_spread(self, data: _Data, mixture: Gaussians) -> FloatArray:
        """Covariance of the labels, but for that at given coefficients, (k, n_labels, n_labels)."""
        n_mixture, n_labels, size = mixture.cross.shape
        columns = data.columns.astype(self.inverse.dtype)
        told = mixture.cross_single.reshape(-1, size) @ columns
        told = told.reshape(n_mixture, n_labels, data.n_values)[self.members]
        scale = _times(told, self.scale_error[:, : data.n_values])
        spread = mixture.label_spread[self.members] - told @ self.inverse @ np.swapaxes(told, 1, 2)
        return np.asarray(spread + scale[:, :, None] * scale[:, None, :])


def _normalised(logs: FloatArray, breadth: FloatArray) -> tuple[float, FloatArray]:
    """Log of the sum, and shares in it without the negligible ones, both of logs (k,)."""
    top = logs.max()
    weights = np.exp(logs - top)
    total = weights.sum()
    # Broad components count by what they add to the variance.
    weights[weights * breadth < _NEGLIGIBLE * total] = 0.0
    return float(top + np.log(total)), weights / weights.sum()


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Scalar products over the last axis."""
    return np.asarray(np.einsum("...i,...i->...", one, other))


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Products of matrices (k, m, n) with vectors (k, n)."""
    return np.asarray((matrices @ vectors[:, :, None])[:, :, 0])
