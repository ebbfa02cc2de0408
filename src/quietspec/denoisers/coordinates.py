r"""Coordinates of a pixel grid in which the prior is white and the first few directions hold what data can tell.

A spectrum is B d with d = s (1, c), s the flux scale and c the shape. Here d = T x, with T such that at s = 1 the one
Gaussian nearest to the prior is N(x₀, 1), and that even noise on the grid's pixels informs the directions of x
independently, the first the most. A spectrum of given noise then needs only its first r directions: of the others
the data say next to nothing: what the prior says of them, given the first, is known beforehand, and what the data
add is small enough to count to first order, as if the directions were seen independently.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quietspec.denoisers.prior import SpectralPrior
from quietspec.spectra import FloatArray

__all__ = ["Coordinates", "Gaussians", "PreparedPrior"]

_SCALE_SPREAD = 1.0  # τ: the scale prior's relative width about the current guess; wide, since data fix the scale
_LABEL_REACH = 3.0  # σ beyond the Gaussians' labels that a spectrum's may lie
_RANKS = (16, 24, 34, 40, 48, 56)  # numbers of directions used, below all of them
_NEGLECTED = (
    0.003  # of the whole error: how far, in rms, the data on neglected directions would have moved the estimate
)
_FEW = 16  # spectra for which the products of all pairs of basis vectors cost more than they save


@dataclass(frozen=True, eq=False)
class Gaussians:
    """The prior's mixture at unit scale: marginals of the first `rank` coordinates, and the others given these.

    Parameters
    ----------
    log_weight : (k,)
        ln w − ½ ln |covariance| of the first coordinates.
    location : (k, d)
        Means.
    precision : (k, rank, rank)
        Inverse covariances of the first coordinates.
    regression : (k, d − rank, rank)
        Change of the other coordinates with the first.
    spread : (k, d − rank, d − rank)
        Covariance of the others at given first ones.
    labels : (k, n_labels)
        Means of the labels.
    transfer : (k, n_labels, rank)
        Change of the labels with the first coordinates.
    label_spread : (k, n_labels, n_labels)
        What the other coordinates add to the covariance of the labels at given first ones.
    label_others : (k, n_labels, d − rank)
        Change of the labels with the other coordinates.
    even : (d − rank,)
        Information that even noise gives about the other coordinates.
    """

    log_weight: FloatArray
    location: FloatArray
    precision: FloatArray
    regression: FloatArray
    spread: FloatArray
    labels: FloatArray
    transfer: FloatArray
    label_spread: FloatArray
    label_others: FloatArray
    even: FloatArray

    @cached_property
    def reach(self) -> FloatArray:
        """Mean square of the other coordinates over that of the whole prior, (k,); 1 where data on all are taken."""
        if not self.even.size:
            return np.ones(len(self.location))
        cross = self.regression @ np.linalg.inv(self.precision)
        square = self.location[:, self.rank :] ** 2 + np.einsum("kii->ki", self.spread)
        square += np.einsum("kij,kij->ki", self.regression, cross)
        return np.asarray(square @ self.even / self.even.sum())

    @cached_property
    def bordered(self) -> FloatArray:
        """Precision of the first coordinates, and what even noise on the others adds to it, (k, 2, (rank + 1)²).

        Each has a last row and column of zeros more.
        """
        through = np.swapaxes(self.regression, 1, 2) @ (self.even[:, None] * self.regression)
        both = np.stack([self.precision, through], axis=1)
        return np.pad(both, ((0, 0), (0, 0), (0, 1), (0, 1))).reshape(len(both), 2, (self.rank + 1) ** 2)

    @cached_property
    def sides(self) -> FloatArray:
        """Transposed regression and transfer side by side, (k, rank, d − rank + n_labels)."""
        return np.swapaxes(np.concatenate([self.regression, self.transfer], axis=1), 1, 2)

    @cached_property
    def independent(self) -> tuple[FloatArray, FloatArray]:
        """Variances λ (k, d − rank) and directions W (k, d − rank, d − rank): W λ Wᵀ = `spread`, W⁻ᵀW⁻¹ = `even`."""
        root = np.sqrt(np.maximum(self.even, 1e-12 * self.even.max(initial=1e-300)))
        variances, directions = np.linalg.eigh(self.spread * root * root[:, None])
        return np.maximum(variances, 0), directions / root[:, None]

    @property
    def rank(self) -> int:
        """Number of coordinates the data speak of."""
        return int(self.precision.shape[1])


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
        self.covariance = _SCALE_SPREAD**2 * self.location[:, :, None] * self.location[:, None, :]
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

    def marginal(self, transform: FloatArray, even: FloatArray, rank: int) -> Gaussians:
        """Bring the mixture to coordinates x with d = T x, of which the first `rank` will meet data.

        Parameters
        ----------
        transform : (d, d)
            T.
        even : (d,)
            Information that even noise gives about each coordinate.
        rank : int
            Number of coordinates the data speak of.

        Returns
        -------
        Gaussians
            The mixture.
        """
        inverse = np.linalg.inv(transform)
        covariance = inverse @ self.covariance @ inverse.T
        first, cross = covariance[:, :rank, :rank], covariance[:, rank:, :rank]
        precision = np.linalg.inv(first)
        regression = cross @ precision
        spread = covariance[:, rank:, rank:] - regression @ np.swapaxes(cross, 1, 2)
        slopes = self.slopes @ transform
        others = slopes[:, :, rank:]
        with np.errstate(divide="ignore"):
            log_weight = np.log(self.prior.weights) - 0.5 * np.linalg.slogdet(first)[1]
        return Gaussians(
            log_weight=log_weight,
            location=self.location @ inverse.T,
            precision=precision,
            regression=regression,
            spread=spread,
            labels=self.prior.labels,
            transfer=slopes[:, :, :rank] + others @ regression,
            label_spread=others @ spread @ np.swapaxes(others, 1, 2),
            label_others=others,
            even=even[rank:],
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
        even, directions = np.linalg.eigh(white.T @ white)
        self._even, directions = np.maximum(even[::-1], 0), directions[:, ::-1]
        self.prior = prior
        self.transform = half @ directions
        self.centre = directions.T @ np.linalg.solve(half, mean)
        self.vectors = (white @ directions).astype(np.float32)
        self.shape = self.vectors @ self.centre.astype(np.float32)
        self._mixtures: dict[int, Gaussians] = {}

    def __getstate__(self) -> dict[str, object]:
        """What is sent to other processes: not what can be computed again."""
        made = ("_pairs", "_squares")
        return {name: value for name, value in self.__dict__.items() if name not in made} | {"_mixtures": {}}

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return len(self.centre)

    def mixture(self, rank: int) -> Gaussians:
        """The prior's mixture where data speak of the first `rank` coordinates; computed once."""
        if rank not in self._mixtures:
            self._mixtures[rank] = self.prior.marginal(self.transform, self._even, rank)
        return self._mixtures[rank]

    def information(self, weight: FloatArray) -> FloatArray:
        """What noise of inverse variances (n_spectra, n_pixels) leaves known of each coordinate, (n_spectra, d)."""
        return (weight @ self._squares).astype(np.float64)

    def ranks(self, information: FloatArray, scale: FloatArray) -> npt.NDArray[np.intp]:
        """Number of directions that spectra of given noise need.

        Parameters
        ----------
        information : (n_spectra, d)
            Of each coordinate (`information`).
        scale : (n_spectra,)
            Flux scale.

        Returns
        -------
        (n_spectra,) of int
            The fewest beyond which the data would move the estimate little.
        """
        information = scale[:, None] ** 2 * information
        determined = (information / (1 + information)).sum(axis=1)
        # Data of information g about a direction of unit variance move the estimate by g in units of their noise.
        beyond = np.cumsum(information[:, ::-1] ** 2, axis=1)[:, ::-1]
        needed = (beyond > _NEGLECTED**2 * determined[:, None]).sum(axis=1)
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
