r"""Coordinates of a pixel grid in which the prior is white and the data inform the first few directions most.

A spectrum is B b with b = s (1, c), s the flux scale and c the coefficients of its shape. Here b = T x, with T such
that at s = 1 the one Gaussian nearest to the prior is N(x₀, 1), and that even noise on the grid's pixels informs the
directions of x independently, the first the most: T = H Q, with H the Cholesky factor of that Gaussian's covariance
and Q the eigenvectors of (B H)ᵀ(B H). A spectrum of given noise then needs only its first r directions. About the
others the data say next to nothing, and that little may be counted with the diagonal of their precision alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.prior import SpectralPrior

__all__ = ["LEADING", "Coordinates", "Gaussians", "PreparedPrior"]

LEADING = 28  #: coordinates that suffice to tell which Gaussians data may come from
_LABEL_REACH = 3.0  # σ beyond the Gaussians' mean labels within which a spectrum's mean labels must lie
_RANKS = (16, 24, 34, 40, 48, 56)  # numbers of directions used, below all of them
_FEW = 16  # spectra for which the products of all pairs of basis vectors cost more than they save


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The prior's mixture over x at unit scale, the scale's own spread included.

    Parameters
    ----------
    log_weight : (k,)
        ln wₖ.
    mean : (k, d)
        μₖ.
    covariance : (k, d, d)
        Σₖ.
    label_mean : (k, n_labels)
        Means of the labels.
    label_slope : (k, n_labels, d)
        Change of the labels with x.
    """

    log_weight: FloatArray
    mean: FloatArray
    covariance: FloatArray
    label_mean: FloatArray
    label_slope: FloatArray
    precision: ClassVar[type[np.floating[Any]]] = np.float32  #: of what is computed of them

    @property
    def in_double(self) -> Gaussians:
        """The same, of which all is computed in double precision."""
        return _InDouble(self.log_weight, self.mean, self.covariance, self.label_mean, self.label_slope)

    @cached_property
    def flat_covariance(self) -> FloatArray:
        """Covariances as rows, (k, d²)."""
        return self.covariance.reshape(len(self.covariance), -1).astype(self.precision)

    @property
    def shape_covariance(self) -> FloatArray:
        """Covariances at a known scale, Sₖ = Σₖ − μₖμₖᵀ, (k, d, d)."""
        return np.asarray(self.covariance - self.mean[:, :, None] * self.mean[:, None, :])

    @cached_property
    def flat_shapes(self) -> FloatArray:
        """Covariances at a known scale as rows, (k, d²)."""
        return self.shape_covariance.reshape(len(self.covariance), -1).astype(self.precision)

    @cached_property
    def stacked_shapes(self) -> FloatArray:
        """Covariances at a known scale side by side, (d, k d)."""
        return self.stack_shapes(np.dtype(self.precision))

    def stack_shapes(self, precision: np.dtype[np.floating[Any]]) -> FloatArray:
        """Covariances at a known scale side by side, (d, k d), in a given precision."""
        by_coordinate = np.swapaxes(self.shape_covariance, 0, 1)
        return np.ascontiguousarray(by_coordinate.reshape(len(by_coordinate), -1), dtype=precision)

    def taken(self, which: npt.NDArray[np.intp]) -> Gaussians:
        """Keep some of the Gaussians, (n,) of int, with all that has been computed of them."""
        some = type(self)(
            self.log_weight[which],
            self.mean[which],
            self.covariance[which],
            self.label_mean[which],
            self.label_slope[which],
        )
        size = self.mean.shape[1]
        stacked = self.stacked_shapes.reshape(size, -1, size)[:, which]
        known = {
            name: getattr(self, name)[which]
            for name in ("flat_covariance", "flat_shapes", "label_cross", "label_covariance")
        }
        some.__dict__.update(known, stacked_shapes=np.ascontiguousarray(stacked.reshape(size, -1)))
        return some

    @cached_property
    def leading(self) -> Gaussians:
        """The Gaussians over the first `LEADING` coordinates alone."""
        first = slice(LEADING)
        return type(self)(
            self.log_weight,
            self.mean[:, first],
            self.covariance[:, first, first],
            self.label_mean,
            self.label_slope[:, :, first],
        )

    @cached_property
    def label_cross(self) -> FloatArray:
        """Covariance of the labels with x, (k, n_labels, d)."""
        return (self.label_slope @ self.covariance).astype(self.precision)

    @cached_property
    def label_covariance(self) -> FloatArray:
        """Covariance of the labels that comes with the spread of x, (k, n_labels, n_labels)."""
        return np.asarray(self.label_slope @ self.covariance @ np.swapaxes(self.label_slope, 1, 2))


class _InDouble(Gaussians):
    precision = np.float64


class PreparedPrior:
    """A prior's mixture over b = (s, s c) at unit scale, its labels included.

    Parameters
    ----------
    prior : SpectralPrior
        The prior.
    """

    def __init__(self, prior: SpectralPrior) -> None:
        self.prior = prior
        self.mean = np.concatenate([np.ones((prior.n_mixture, 1)), prior.means], axis=1)
        # The scale's relative spread about the current guess is 1: wide, since the data determine the scale.
        self.covariance = self.mean[:, :, None] * self.mean[:, None, :]
        self.covariance[:, 1:, 1:] += prior.covariances
        # To first order in the scale's error the labels follow c − m = (b[1:] − b[0] m) / s.
        self.slopes = np.concatenate([-prior.slopes @ prior.means[:, :, None], prior.slopes], axis=2)
        self.label_parts = prior.label_parts()
        # Far from everything simulated the regression would run off the grid of ages and metallicities.
        explained = np.einsum("kpi,kij,kpj->kp", prior.slopes, prior.covariances, prior.slopes)
        reach = _LABEL_REACH * np.sqrt(explained + np.diagonal(prior.label_covariances, axis1=1, axis2=2))
        self.label_limits = (prior.labels - reach).min(axis=0), (prior.labels + reach).max(axis=0)

    @cached_property
    def whitening(self) -> tuple[FloatArray, FloatArray]:
        """Mean of b and Cholesky factor H of its covariance under the one Gaussian nearest to the prior."""
        one = PreparedPrior(self.prior.collapsed())
        return one.mean[0], np.linalg.cholesky(one.covariance[0])

    @cached_property
    def breadth(self) -> FloatArray:
        """Mean variance of each component relative to that of the one Gaussian, (k,), at least 1."""
        inverse = np.linalg.inv(self.whitening[1])
        white = inverse @ self.covariance @ inverse.T
        return np.asarray(np.maximum(np.einsum("kii->k", white) / len(inverse), 1.0))

    def in_coordinates(self, transform: FloatArray) -> Gaussians:
        """Bring the mixture to coordinates x with b = T x.

        Parameters
        ----------
        transform : (d, d)
            T.

        Returns
        -------
        Gaussians
            The mixture.
        """
        inverse = np.linalg.inv(transform)
        with np.errstate(divide="ignore"):
            log_weight = np.log(self.prior.weights)
        return Gaussians(
            log_weight=log_weight,
            mean=self.mean @ inverse.T,
            covariance=inverse @ self.covariance @ inverse.T,
            label_mean=self.prior.labels,
            label_slope=self.slopes @ transform,
        )


class Coordinates:
    """The coordinates of one pixel grid.

    Parameters
    ----------
    prior : PreparedPrior
        The prior.
    vectors : (n_pixels, d)
        Its basis on the pixels: mean shape and components.

    Attributes
    ----------
    transform : (d, d)
        T of b = T x.
    vectors : (n_pixels, d)
        V = B T, the basis that goes with x, in single precision.
    centre : (d,)
        x₀, the coordinates of the prior's mean spectrum.
    mean_shape : (n_pixels,)
        V x₀, the prior's mean spectrum.
    """

    def __init__(self, prior: PreparedPrior, vectors: FloatArray) -> None:
        mean, half = prior.whitening
        white = vectors @ half
        directions = np.linalg.eigh(white.T @ white)[1][:, ::-1]
        self.prior = prior
        self.transform = half @ directions
        self.centre = directions.T @ np.linalg.solve(half, mean)
        self.vectors = (white @ directions).astype(np.float32)
        self.mean_shape = self.vectors @ self.centre.astype(np.float32)

    def __getstate__(self) -> dict[str, object]:
        """State that is sent to other processes: without what can be computed again."""
        computed = ("_pairs", "_squares", "mixture")
        return {name: value for name, value in self.__dict__.items() if name not in computed}

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.centre)

    @cached_property
    def mixture(self) -> Gaussians:
        """The prior's mixture over x."""
        return self.prior.in_coordinates(self.transform)

    def information(self, weight: FloatArray) -> FloatArray:
        """Diagonal of VᵀWV, (n_spectra, d), for inverse variances (n_spectra, n_pixels)."""
        return (weight @ self._squares).astype(np.float64)

    def ranks(self, information: FloatArray, scale: FloatArray, neglected: float) -> npt.NDArray[np.intp]:
        """Find how many directions spectra of given noise need.

        Parameters
        ----------
        information : (n_spectra, d)
            Diagonal of VᵀWV (`information`).
        scale : (n_spectra,)
            Flux scale.
        neglected : float
            How far at most the data about neglected directions may move the estimate: rms, over the whole error.

        Returns
        -------
        (n_spectra,) of int
            The smallest sufficient of a few numbers.
        """
        information = scale[:, None] ** 2 * information
        determined = (information / (1 + information)).sum(axis=1)
        # Data of precision g about a direction of unit variance move its estimate by g in units of their noise.
        beyond = np.cumsum(information[:, ::-1] ** 2, axis=1)[:, ::-1]
        needed = (beyond > neglected**2 * determined[:, None]).sum(axis=1)
        choices = np.array([*(rank for rank in _RANKS if rank < self.size), self.size])
        return np.asarray(choices[np.searchsorted(choices, needed)])

    def gram(self, weight: FloatArray, rank: int) -> FloatArray:
        """VᵀWV of each spectrum over the first `rank` coordinates, (n_spectra, rank, rank), in float64."""
        if len(weight) <= _FEW:
            vectors = self.vectors[:, :rank]
            return np.array([(vectors.T * row) @ vectors for row in weight], dtype=np.float64)
        rows, columns = np.tril_indices(rank)
        packed = weight @ self._pairs[:, : len(rows)]
        gram = np.empty((len(weight), rank, rank))
        gram[:, rows, columns] = gram[:, columns, rows] = packed
        return gram

    def variance(self, covariance: FloatArray) -> FloatArray:
        """Variance of V x, the diagonal of V C Vᵀ, (n_spectra, n_pixels), for covariances C (n_spectra, d, d)."""
        if len(covariance) <= _FEW:
            single = covariance.astype(np.float32)
            return np.array([np.einsum("pi,pi->p", self.vectors @ one, self.vectors) for one in single])
        rows, columns = np.tril_indices(self.size)
        packed = covariance[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
        return np.asarray(packed.astype(np.float32) @ self._pairs.T)

    @cached_property
    def _squares(self) -> FloatArray:
        return np.asarray(self.vectors**2)

    @cached_property
    def _pairs(self) -> FloatArray:
        """Products of all pairs of vectors, (n_pixels, d (d + 1) / 2); those of the first r vectors come first."""
        rows, columns = np.tril_indices(self.size)
        return np.asarray(self.vectors[:, rows] * self.vectors[:, columns])
