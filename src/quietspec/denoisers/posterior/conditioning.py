r"""The prior's Gaussians conditioned on compressed data, in closed form.

Component k says ξ ~ N(μₖ − x₁/s, Sₖ + μₖμₖᵀ): its shape covariance Sₖ, and μₖ times the relative change of the scale,
about which the prior says next to nothing (spread 1). Three steps:

1. `expand_residual`: the data that compression left out, of gradient r and precision E, are counted to first order.
   They shift the component's mean by Σₖ (r − E(μₖ − x₁/s)), weakened so that it stays finite.
2. `predict`: the compressed data under each component are z ~ N(Uᵀ E[ξ], M + aaᵀ), with M = UᵀSₖU + 1 and a = Uᵀμₖ.
   The relative scale then has the posterior mean δ = aᵀM⁻¹v / (1 + aᵀM⁻¹a) for the innovation v, and the evidence
   follows by the matrix determinant lemma.
3. `condition`: the components of weight, given z. For (u, r) = (Uᵀξ, remaining coordinates) and C = Cov(u, r) at a
   known scale, with the weighted innovation w = M⁻¹(v − δa) = (M + aaᵀ)⁻¹v:
   E[u] = z − w, E[r] = E₀[r] + δ μ_r + Cᵀw, Cov(u) = 1 − M⁻¹, Cov(u, r) = M⁻¹C, Cov(r) = S_r − CᵀM⁻¹C, plus in
   each block the outer product of the change with 1σ of the scale, (M⁻¹a, μ_r − CᵀM⁻¹a) / √(1 + aᵀM⁻¹a).

The scale is taken out of Σₖ and put back in closed form, and moments are kept as those of (u, r) until all components
are summed. So no small number is the difference of large ones, and single precision suffices below an S/N of some 1000.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.compression import CompressedData, products
from quietspec.denoisers.posterior.coordinates import LEADING, Gaussians
from quietspec.denoisers.posterior.small_matrices import factorised, inverted, sum_by_spectrum

__all__ = [
    "SCREENED_VALUES", "Conditioned", "Expansion", "Prediction", "condition", "expand_residual", "likely", "predict",
]  # fmt: skip

SCREENED_VALUES = 14  #: of the compressed data by which components are screened
_UNLIKELY = 12.0  # in log weight by these
_HUGE = 1e30
_NO_PRECISION = 1e-9  # precision that rounding may leave

Pairs = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]  # spectra and components, by spectrum


class Expansion(NamedTuple):
    """The prior's components after the data that compression left out, to first order.

    Parameters
    ----------
    mean : (m, k, d)
        Means of ξ.
    label_mean : (m, k, n_labels)
        Means of the labels.
    log_weight : (m, k)
        Log of the weights.
    dof : (m, k)
        tr EΣₖ, the number of coordinates these data would determine under the component.
    breadth : (m, k)
        Mean variance of the coordinates that these data inform: tr EΣₖ / tr E, which is 1 for the prior as a whole.
    """

    mean: FloatArray
    label_mean: FloatArray
    log_weight: FloatArray
    dof: FloatArray
    breadth: FloatArray


def expand_residual(data: CompressedData, mixture: Gaussians) -> Expansion:
    """Count the data that compression left out to first order.

    Parameters
    ----------
    data : CompressedData
        The data.
    mixture : Gaussians
        The prior.

    Returns
    -------
    Expansion
        The components after them; the log weights hold the constant ½(z·z − χ²) of the whole likelihood.
    """
    precision = data.residual_precision
    # Gradient of the residual log likelihood at each component's mean.
    offset = mixture.mean - data.start[:, None]
    gradient = data.gradient[:, None] - offset @ precision
    # Squared signal-to-noise of these data under the component, in all and per direction that they inform.
    dof = precision.reshape(len(precision), -1).astype(mixture.precision) @ mixture.flat_covariance.T
    dof = np.maximum(dof, 0).astype(np.float64)
    trace = np.einsum("mii->m", precision)[:, None]
    breadth = np.divide(dof, trace, out=np.ones_like(dof), where=trace > _NO_PRECISION)
    # As if all of it lay in directions of one precision: exact for one direction, and the shift stays finite.
    trace_of_square = np.einsum("mij,mij->m", precision, precision)[:, None]
    typical = np.divide(breadth * trace_of_square, trace, out=np.zeros_like(dof), where=trace > _NO_PRECISION)
    typical = np.maximum(typical, _NO_PRECISION)
    # Shifts of the means of ξ and of the labels: covariance times weakened gradient.
    weakened = np.swapaxes(gradient / (1 + typical)[:, :, None], 0, 1).astype(mixture.precision)  # (k, m, d)
    shift = np.swapaxes(weakened @ mixture.flat_covariance.reshape(mixture.covariance.shape), 0, 1)
    label_mean = mixture.label_mean + np.swapaxes(weakened @ np.swapaxes(mixture.label_cross, 1, 2), 0, 1)
    # Evidence of these data, with the determinant of 1 + EΣₖ as if of one typical eigenvalue.
    likelihood = _dot(offset, data.gradient[:, None] + gradient) + _dot(gradient, shift)
    likelihood -= dof * np.log1p(typical) / typical
    likelihood += (_dot(data.values, data.values) - data.chi2)[:, None]
    return Expansion(offset + shift, label_mean, mixture.log_weight + 0.5 * likelihood, dof, breadth)


class Prediction(NamedTuple):
    """Compressed data z as components predict them, z ~ N(z − v, M + aaᵀ): one row per pair of spectrum and component.

    Parameters
    ----------
    cross_covariance : (m, q, k, d)
        UᵀSₖ, covariance of z with ξ at a known scale.
    factor : (n_pairs, q, q)
        L of M = LLᵀ, with M = UᵀSₖU + 1 the covariance of z at a known scale; the lower triangle.
    slope : (n_pairs, q)
        a, change of z with the relative scale.
    innovation : (n_pairs, q)
        v.
    scale_precision : (n_pairs,)
        aᵀM⁻¹a, precision of the data about the relative scale.
    scale_mean : (n_pairs,)
        δ, posterior mean of the relative change of the scale.
    log_likelihood : (n_pairs,)
        ln p(z) without its constant −½ q ln 2π.
    """

    cross_covariance: FloatArray
    factor: FloatArray
    slope: FloatArray
    innovation: FloatArray
    scale_precision: FloatArray
    scale_mean: FloatArray
    log_likelihood: FloatArray

    def of(self, pairs: BoolArray) -> Prediction:
        """Keep some of the pairs, (n_pairs,) of bool."""
        return Prediction(self.cross_covariance, *(values[pairs] for values in self[1:]))


def predict(data: CompressedData, mixture: Gaussians, mean: FloatArray, near: BoolArray) -> Prediction:
    """Predict z under the components that may have weight.

    Parameters
    ----------
    data : CompressedData
        The data.
    mixture : Gaussians
        The prior.
    mean : (m, k, d)
        Means of ξ under the components.
    near : (m, k) of bool
        Which components may have weight in which spectrum.

    Returns
    -------
    Prediction
        In the precision of the prior, or in double where single does not suffice.
    """
    try:
        return _predict(data, mixture, mean, near, mixture.stacked_shapes)
    except np.linalg.LinAlgError:
        return _predict(data, mixture, mean, near, mixture.stack_shapes(np.dtype(np.float64)))


def _predict(
    data: CompressedData, mixture: Gaussians, mean: FloatArray, near: BoolArray, shapes: FloatArray
) -> Prediction:
    (m, size, q), n_mixture = data.factor.shape, len(mixture.mean)
    # UᵀSₖ for all components in one product; the last coordinates may have no part in U.
    informed = np.flatnonzero(data.factor.any(axis=(0, 2)))
    end = int(informed[-1]) + 1 if q else 0
    factor = data.factor[:, :end].astype(shapes.dtype)
    cross = np.ascontiguousarray(np.swapaxes(factor, 1, 2)).reshape(m * q, end) @ shapes[:end]
    slope, innovation = mixture.mean @ data.factor, data.values[:, None] - mean @ data.factor
    slope, innovation = slope[near], innovation[near]
    # One Cholesky factor of [[M, a, v], [aᵀ, huge, 0], [vᵀ, 0, huge]] yields all: its last rows are (L⁻¹a)ᵀ and
    # (L⁻¹v)ᵀ for M = LLᵀ. It needs the lower triangle.
    bordered = np.zeros((len(slope), q + 2, q + 2), dtype=shapes.dtype)
    shape_part = cross.reshape(m, q * n_mixture, size)[:, :, :end] @ factor
    bordered[:, :q, :q] = np.swapaxes(shape_part.reshape(m, q, n_mixture, q), 1, 2)[near]
    bordered[:, np.arange(q), np.arange(q)] += 1
    bordered[:, q, :q], bordered[:, q + 1, :q] = slope, innovation
    bordered[:, [q, q + 1], [q, q + 1]] = _HUGE
    cholesky = factorised(bordered)
    white_slope, white_innovation = (cholesky[:, row, :q].astype(np.float64) for row in (q, q + 1))
    # The scale: precision aᵀM⁻¹a and, with its prior spread of 1, posterior mean aᵀM⁻¹v / (1 + aᵀM⁻¹a).
    scale_precision, projection = _dot(white_slope, white_slope), _dot(white_slope, white_innovation)
    scale_mean = projection / (1 + scale_precision)
    # ln det(M + aaᵀ) = ln det M + ln(1 + aᵀM⁻¹a), and likewise vᵀ(M + aaᵀ)⁻¹v = vᵀM⁻¹v − δ aᵀM⁻¹v.
    diagonal = np.einsum("nii->ni", cholesky)[:, :q]
    log_determinant = np.log1p(scale_precision) + 2 * np.log(diagonal).sum(axis=1, dtype=np.float64)
    chi2 = _dot(white_innovation, white_innovation) - projection * scale_mean
    return Prediction(
        cross.reshape(m, q, n_mixture, size),
        cholesky[:, :q, :q],
        slope,
        innovation,
        scale_precision,
        scale_mean,
        -0.5 * (chi2 + log_determinant),
    )


def likely(data: CompressedData, mixture: Gaussians) -> BoolArray:
    """Find the components that may have weight in each spectrum, by its best determined data alone.

    Parameters
    ----------
    data : CompressedData
        The data.
    mixture : Gaussians
        The prior.

    Returns
    -------
    (m, k) of bool
        Components whose weight, by the first few of the values z, is above e⁻¹² of the largest. The first values hold
        most of the signal, and what the others say can hardly make up for that much: components of less than 1e-3 of
        the weight are left out in all, mostly of less than 1e-4.
    """
    mean = (mixture.mean - data.start[:, None])[:, :, :LEADING]
    factor = data.factor[:, :LEADING, :SCREENED_VALUES]
    few = replace(data, factor=factor, values=data.values[:, :SCREENED_VALUES])
    every = np.ones(mean.shape[:2], dtype=bool)
    log_weight = mixture.log_weight + predict(few, mixture.leading, mean, every).log_likelihood.reshape(every.shape)
    near = log_weight > log_weight.max(axis=1, keepdims=True) - _UNLIKELY
    return np.asarray(near)


@dataclass(frozen=True, eq=False)
class Conditioned:
    """Components of weight given z, as moments of (u, r) = (Uᵀξ, remaining coordinates): one row per pair.

    Parameters
    ----------
    pairs : two arrays (n_pairs,) of int
        Spectrum and component of each pair, by spectrum.
    starts : (m,) of int
        First pair of each spectrum.
    mean : (n_pairs, d)
        Means.
    precision : (n_pairs, q, q)
        M⁻¹.
    cross_covariance : (n_pairs, q, d − q)
        C, prior covariance of u with r at a known scale.
    scale_change : (n_pairs, d)
        Change of the means with 1σ of the scale.
    weighted_innovation : (n_pairs, q)
        w = (M + aaᵀ)⁻¹v.
    """

    pairs: Pairs
    starts: npt.NDArray[np.intp]
    mean: FloatArray
    precision: FloatArray
    cross_covariance: FloatArray
    scale_change: FloatArray
    weighted_innovation: FloatArray

    def covariance(self, weight: FloatArray, mixture: Gaussians, remaining: npt.NDArray[np.intp]) -> FloatArray:
        """Mean covariance of (u, r) within the components, at unit scale.

        Parameters
        ----------
        weight : (n_pairs,)
            Posterior weights of the pairs.
        mixture : Gaussians
            The prior.
        remaining : (m, d − q) of int
            The remaining coordinates of each spectrum.

        Returns
        -------
        (m, d, d)
            Σ w [[1 − M⁻¹, M⁻¹C], [CᵀM⁻¹, S_r − CᵀM⁻¹C]] plus the part of the scale.
        """
        (n_pairs, q, n_remaining), m = self.cross_covariance.shape, len(remaining)
        size = q + n_remaining
        shapes = mixture.flat_shapes
        # Prior covariance at a known scale, averaged over the components of each spectrum.
        every = np.zeros((m, len(shapes)), dtype=shapes.dtype)
        every[self.pairs] = weight
        prior = (every @ shapes).reshape(m, size, size)
        # The part of the scale, then the blocks.
        within = sum_by_spectrum(self.starts, weight[:, None] * self.scale_change, self.scale_change)
        weighted = self.precision * weight.astype(self.precision.dtype)[:, None, None]
        gain = weighted @ self.cross_covariance
        within[:, :q, :q] += np.eye(q) - np.add.reduceat(weighted, self.starts)
        within[:, :q, q:] += np.add.reduceat(gain, self.starts)
        within[:, q:, :q] = np.swapaxes(within[:, :q, q:], 1, 2)
        within[:, q:, q:] += prior[np.arange(m)[:, None, None], remaining[:, :, None], remaining[:, None, :]]
        flat = (n_pairs * q, n_remaining)
        within[:, q:, q:] -= sum_by_spectrum(q * self.starts, self.cross_covariance.reshape(flat), gain.reshape(flat))
        return within

    def labels(self, data: CompressedData, mixture: Gaussians, label_mean: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Moments of the labels given z, without their scatter at given coordinates.

        Parameters
        ----------
        data : CompressedData
            The data.
        mixture : Gaussians
            The prior.
        label_mean : (n_pairs, n_labels)
            Means of the labels before z.

        Returns
        -------
        mean : (n_pairs, n_labels)
            Lw added, with L = Cov(labels, u).
        covariance : (n_pairs, n_labels, n_labels)
            Prior covariance that comes with the coordinates, less LM⁻¹Lᵀ, plus the part of the scale.
        """
        n_mixture, n_labels, size = mixture.label_cross.shape
        q = data.n_values
        factor = data.factor.astype(self.precision.dtype)
        every = mixture.label_cross.reshape(-1, size) @ factor
        cross = np.asarray(every.reshape(len(factor), n_mixture, n_labels, q)[self.pairs])
        mean = label_mean + products(cross, self.weighted_innovation)
        scale = products(cross, self.scale_change[:, :q])
        covariance = mixture.label_covariance[self.pairs[1]] - cross @ self.precision @ np.swapaxes(cross, 1, 2)
        return mean, np.asarray(covariance + scale[:, :, None] * scale[:, None, :])


def condition(
    data: CompressedData, mixture: Gaussians, mean: FloatArray, prediction: Prediction, pairs: Pairs
) -> Conditioned:
    """Condition some of the components of each spectrum on z.

    Parameters
    ----------
    data : CompressedData
        The data.
    mixture : Gaussians
        The prior.
    mean : (m, k, d)
        Means of ξ under the components, before z.
    prediction : Prediction
        z as the components of the pairs predict them.
    pairs : two arrays (n_pairs,) of int
        Spectrum and component of each pair, by spectrum.

    Returns
    -------
    Conditioned
        One row per pair.
    """
    spectrum, member = pairs
    starts = np.flatnonzero(np.diff(spectrum, prepend=-1))
    remaining = data.remaining[spectrum]
    precision = inverted(prediction.factor)
    # C: columns of UᵀSₖ that belong to the remaining coordinates, taken spectrum by spectrum.
    cross = np.concatenate(
        [
            np.swapaxes(np.take(np.take(every, members, axis=1), columns, axis=2), 0, 1)
            for every, members, columns in zip(
                prediction.cross_covariance, np.split(member, starts[1:]), data.remaining, strict=True
            )
        ]
    )
    transposed = np.swapaxes(cross, 1, 2)
    slope, scale_mean = prediction.slope, prediction.scale_mean[:, None]
    # w = M⁻¹(v − δa), and the means E[u] = z − w, E[r] = E₀[r] + δ μ_r + Cᵀw.
    weighted_innovation = products(precision, prediction.innovation - scale_mean * slope)
    component_mean = np.take_along_axis(mixture.mean[member], remaining, axis=1)
    before = np.take_along_axis(mean[pairs], remaining, axis=1)
    after = before + scale_mean * component_mean + products(transposed, weighted_innovation)
    # Change with 1σ of the scale, whose posterior variance is 1 / (1 + aᵀM⁻¹a).
    weighted_slope = products(precision, slope)
    change = np.concatenate([weighted_slope, component_mean - products(transposed, weighted_slope)], axis=1)
    return Conditioned(
        pairs,
        starts,
        mean=np.concatenate([data.values[spectrum] - weighted_innovation, after], axis=1),
        precision=precision,
        cross_covariance=cross,
        scale_change=change / np.sqrt(1 + prediction.scale_precision)[:, None],
        weighted_innovation=weighted_innovation,
    )


def _dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """Scalar products over the last axis."""
    return np.asarray(np.einsum("...i,...i->...", one, other))
