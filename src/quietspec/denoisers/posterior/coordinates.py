r"""Coordinates of a pixel grid in which the prior is white and the first few directions hold what data can tell.

A spectrum is B d with d = s (1, c), s the flux scale and c the shape. Here d = T x, with T such that at s = 1 the one
Gaussian nearest to the prior is N(x₀, 1), and that even noise on the grid's pixels informs the directions of x
independently, the first the most. A spectrum of given noise then needs only its first r directions: of the others
the data say next to nothing, and that little may be counted as if each were seen alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.prior import SpectralPrior

__all__ = ["Coordinates", "Gaussians", "PreparedPrior"]

_LABEL_REACH = 3.0  # σ beyond the Gaussians' labels that a spectrum's may lie
_RANKS = (16, 24, 34, 40, 48, 56)  # numbers of directions used, below all of them
_FEW = 16  # spectra for which the products of all pairs of basis vectors cost more than they save


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The prior's mixture over x at unit scale, the scale's own spread included.

    Parameters
    ----------
    log_weight : (k,)
        Log of the weights.
    location : (k, d)
        Means.
    covariance : (k, d, d)
        Covariances Σ.
    labels : (k, n_labels)
        Means of the labels.
    slopes : (k, n_labels, d)
        Change of the labels with x.
    """

    log_weight: FloatArray
    location: FloatArray
    covariance: FloatArray
    labels: FloatArray
    slopes: FloatArray

    @cached_property
    def flat(self) -> FloatArray:
        """Covariances as rows, (k, d²), in single precision."""
        return self.covariance.reshape(len(self.covariance), -1).astype(np.float32)

    @property
    def shapes(self) -> FloatArray:
        """Covariances at a given scale, (k, d, d)."""
        return np.asarray(self.covariance - self.location[:, :, None] * self.location[:, None, :])

    @cached_property
    def flat_shapes(self) -> FloatArray:
        """The same as rows, (k, d²), in single precision."""
        return self.shapes.reshape(len(self.covariance), -1).astype(np.float32)

    @cached_property
    def stacked_shapes(self) -> FloatArray:
        """The same side by side, (d, k d), in single precision."""
        return self.stack_shapes(np.dtype(np.float32))

    def stack_shapes(self, precision: np.dtype[np.floating[Any]]) -> FloatArray:
        """Covariances at a given scale side by side, (d, k d)."""
        apart = np.swapaxes(self.shapes, 0, 1)
        return np.ascontiguousarray(apart.reshape(len(apart), -1), dtype=precision)

    @cached_property
    def cross(self) -> FloatArray:
        """Covariance of the labels with x, (k, n_labels, d), in single precision."""
        return (self.slopes @ self.covariance).astype(np.float32)

    @cached_property
    def label_spread(self) -> FloatArray:
        """Covariance of the labels that comes with x, (k, n_labels, n_labels)."""
        return np.asarray(self.slopes @ self.covariance @ np.swapaxes(self.slopes, 1, 2))


class PreparedPrior:
    """A prior's mixture over d at unit scale, its labels included.

    Parameters
    ----------
    prior : SpectralPrior
        The prior.
    """

    def __init__(self, prior: SpectralPrior) -> None:
        self.prior = prior
        self.location = np.concatenate([np.ones((prior.n_mixture, 1)), prior.means], axis=1)
        # The scale's relative width about the current guess is 1: wide, since data fix the scale.
        self.covariance = self.location[:, :, None] * self.location[:, None, :]
        self.covariance[:, 1:, 1:] += prior.covariances
        # To first order in the scale's error the labels follow c − m = (d[1:] − d[0] m) / s.
        self.slopes = np.concatenate([-prior.slopes @ prior.means[:, :, None], prior.slopes], axis=2)
        self.label_parts = prior.label_parts()
        # Far from all that was simulated a regression would run off the grid of ages and metallicities.
        explained = np.einsum("kpi,kij,kpj->kp", prior.slopes, prior.covariances, prior.slopes)
        reach = _LABEL_REACH * np.sqrt(explained + np.diagonal(prior.label_covariances, axis1=1, axis2=2))
        self.label_limits = (prior.labels - reach).min(axis=0), (prior.labels + reach).max(axis=0)

    @cached_property
    def whitening(self) -> tuple[FloatArray, FloatArray]:
        """Mean of d and Cholesky factor of its covariance under the one Gaussian nearest to the prior."""
        one = PreparedPrior(self.prior.collapsed())
        return one.location[0], np.linalg.cholesky(one.covariance[0])

    @cached_property
    def breadth(self) -> FloatArray:
        """Mean variance of each component over that of the one Gaussian, (k,), at least 1."""
        inverse = np.linalg.inv(self.whitening[1])
        white = inverse @ self.covariance @ inverse.T
        return np.asarray(np.maximum(np.einsum("kii->k", white) / len(inverse), 1.0))

    def turned(self, transform: FloatArray) -> Gaussians:
        """Bring the mixture to coordinates x with d = T x.

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
            location=self.location @ inverse.T,
            covariance=inverse @ self.covariance @ inverse.T,
            labels=self.prior.labels,
            slopes=self.slopes @ transform,
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
        T of d = T x.
    vectors : (n_pixels, d)
        The basis that goes with x, in single precision.
    centre : (d,)
        x₀, of which the prior's mean spectrum is made.
    """

    def __init__(self, prior: PreparedPrior, vectors: FloatArray) -> None:
        mean, half = prior.whitening
        white = vectors @ half
        directions = np.linalg.eigh(white.T @ white)[1][:, ::-1]
        self.prior = prior
        self.transform = half @ directions
        self.centre = directions.T @ np.linalg.solve(half, mean)
        self.vectors = (white @ directions).astype(np.float32)
        self.shape = self.vectors @ self.centre.astype(np.float32)

    def __getstate__(self) -> dict[str, object]:
        """What is sent to other processes: not what can be computed again."""
        made = ("_pairs", "_squares", "mixture")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.centre)

    @cached_property
    def mixture(self) -> Gaussians:
        """The prior's mixture."""
        return self.prior.turned(self.transform)

    def information(self, weight: FloatArray) -> FloatArray:
        """What noise of inverse variances (n_spectra, n_pixels) leaves known of each coordinate, (n_spectra, d)."""
        return (weight @ self._squares).astype(np.float64)

    def ranks(self, information: FloatArray, scale: FloatArray, neglected: float) -> npt.NDArray[np.intp]:
        """Number of directions that spectra of given noise need.

        Parameters
        ----------
        information : (n_spectra, d)
            Of each coordinate (`information`).
        scale : (n_spectra,)
            Flux scale.
        neglected : float
            How far, in rms over the whole error, the data on neglected directions would move the estimate at most.

        Returns
        -------
        (n_spectra,) of int
            The fewest that do.
        """
        information = scale[:, None] ** 2 * information
        determined = (information / (1 + information)).sum(axis=1)
        # Data of information g about a direction of unit variance move the estimate by g in units of their noise.
        beyond = np.cumsum(information[:, ::-1] ** 2, axis=1)[:, ::-1]
        needed = (beyond > neglected**2 * determined[:, None]).sum(axis=1)
        choices = np.array([*(rank for rank in _RANKS if rank < self.size), self.size])
        return np.asarray(choices[np.searchsorted(choices, needed)])

    def gram(self, weight: FloatArray, rank: int) -> FloatArray:
        """VᵀWV of each spectrum over the first coordinates, (n_spectra, rank, rank), in float64."""
        if len(weight) <= _FEW:
            vectors = self.vectors[:, :rank]
            return np.array([(vectors.T * row) @ vectors for row in weight], dtype=np.float64)
        rows, columns = np.tril_indices(rank)
        packed = weight @ self._pairs[:, : len(rows)]
        gram = np.empty((len(weight), rank, rank))
        gram[:, rows, columns] = gram[:, columns, rows] = packed
        return gram

    def variance(self, covariance: FloatArray) -> FloatArray:
        """Diagonal of V C Vᵀ, (n_spectra, n_pixels), of covariances (n_spectra, d, d)."""
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
