r"""Projections of spectra onto the coordinates, and the fit under one Gaussian that finds the flux scale.

A spectrum is y = V x + noise (`coordinates`). Everything the data say enters through G = VᵀWV, the gradient
VᵀW(y − V x₁) and χ² at some x₁ close to the answer, with W the inverse noise variances; so masks, gaps and any pixel
grid are exact. From x₁ the step is small, and single precision in G suffices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates
from quietspec.denoisers.posterior.grid import BasisGrid, Batch
from quietspec.denoisers.posterior.sky import SkyFilter

__all__ = [
    "LinearFit", "NormalEquations", "Projections", "RankGroups", "first_fit", "fit_groups", "fit_linear",
    "full_projections", "project", "project_groups",
]  # fmt: skip

_ROUNDS = 3  # of posterior scale → prior scale


class NormalEquations(NamedTuple):
    """What data minus model say of all coordinates, in float64.

    Parameters
    ----------
    information, gradient : (n, n) and (n,)
        About the state.
    chi2 : float
        χ² of the state.
    log_determinant : float
        Of the covariance of what the air leaves, in units of the noise.
    """

    information: FloatArray
    gradient: FloatArray
    chi2: float
    log_determinant: float

    def filtered(self, sky: SkyFilter, along: FloatArray) -> NormalEquations:
        """Allow for the process of a filter, of which `along` (n_columns, n + 1) is as `Linearised.along` gives it."""
        taken = sky.taken(along)
        products = taken.T @ taken
        return NormalEquations(
            self.information - products[:-1, :-1],
            self.gradient - products[:-1, -1],
            self.chi2 - float(products[-1, -1]),
            sky.log_determinant,
        )


@dataclass(frozen=True, eq=False)
class Projections(BySpectrum):
    """What the data say about the coordinates: in full for the first `rank`, only the diagonal for the others.

    Parameters
    ----------
    start : (n_spectra, d)
        x₁, about which the likelihood is expanded.
    gram : (n_spectra, rank, rank)
        G = VᵀWV.
    gradient : (n_spectra, d)
        VᵀW(y − V x₁).
    information : (n_spectra, d − rank)
        Diagonal of VᵀWV for the other coordinates; the entries beside it are neglected.
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
        """Number of coordinates about which the data are taken in full."""
        return int(self.gram.shape[1])

    def informed(self, precision: FloatArray, pull: FloatArray, scale: FloatArray) -> Self:
        """Add knowledge of ξ = x / s from elsewhere, of log density −½ ξᵀ precision ξ + pull · ξ.

        Parameters
        ----------
        precision : (n_spectra, d, d)
            Of ξ; positive semi-definite.
        pull : (n_spectra, d)
            Gradient at ξ = 0.
        scale : (n_spectra,)
            Flux scale s.

        Returns
        -------
        Projections
            The same as if this were data; `chi2` leaves out a constant.
        """
        start = self.start / scale[:, None]
        toward = np.einsum("nij,nj->ni", precision, start)
        return replace(
            self,
            gram=self.gram + precision / scale[:, None, None] ** 2,
            gradient=self.gradient + (pull - toward) / scale[:, None],
            chi2=self.chi2 + np.vecdot(start, toward) - 2 * np.vecdot(start, pull),
        )

    def full(self) -> Self:
        """The same projections with the full matrix over all coordinates, neglected entries set to 0."""
        n, size = self.start.shape
        gram = np.zeros((n, size, size))
        gram[:, : self.rank, : self.rank] = self.gram
        others = np.arange(self.rank, size)
        gram[:, others, others] = self.information
        return type(self)(self.start, gram, self.gradient, self.information[:, :0], self.chi2)


@dataclass(frozen=True, eq=False)
class LinearFit(BySpectrum):
    """Posterior under one Gaussian, in short.

    Parameters
    ----------
    scale, error : (n_spectra,)
        Flux scale s > 0 and its 1σ.
    mean : (n_spectra, d)
        Posterior mean of x.
    dof : (n_spectra,)
        Number of coordinates that the data determine, each taken alone.
    """

    scale: FloatArray
    error: FloatArray
    mean: FloatArray
    dof: FloatArray


RankGroups = list[tuple[npt.NDArray[np.intp], Projections]]  #: spectra that need the same rank, and their projections


def project(
    residual: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    coordinates: Coordinates,
    information: FloatArray,
    rank: int,
) -> Projections:
    """Project spectra onto the coordinates with their noise weights.

    Parameters
    ----------
    residual, weight : (n_spectra, n_pixels)
        Flux less V x₁, and inverse variances (0 where the residual does not matter).
    start : (n_spectra, d)
        x₁.
    coordinates : Coordinates
        Coordinates of the pixels.
    information : (n_spectra, d)
        `Coordinates.information` of the weights.
    rank : int
        Number of coordinates about which the data are taken in full.

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


def fit_linear(projections: Projections, coordinates: Coordinates, scale: FloatArray, error: FloatArray) -> LinearFit:
    """Fit spectra under the one Gaussian nearest to the prior; all pixels together determine the flux scale.

    Parameters
    ----------
    projections : Projections
        Projections of the spectra.
    coordinates : Coordinates
        Coordinates of the pixels.
    scale, error : (n_spectra,)
        First guess of the flux scale, and its 1σ.

    Returns
    -------
    LinearFit
        The fit. Within it the prior's scale is at least its error, so that a spectrum without signal keeps a proper
        prior.
    """
    rank, start = projections.rank, projections.start
    identity, centre = np.eye(rank), coordinates.centre
    to_scale = np.broadcast_to(coordinates.transform[0], start.shape)  # s = (T x)₀
    for _ in range(_ROUNDS):
        # Prior N(s x₀, s² 1): its precision is s⁻², its gradient at x₁ is (s x₀ − x₁) s⁻².
        floored = np.maximum(scale, error)[:, None]
        gradient = projections.gradient + (floored * centre - start) * floored**-2
        # One solution for the mean and one for the variance of the scale.
        sides = np.stack([gradient[:, :rank], to_scale[:, :rank]], axis=2)
        precision = projections.gram + identity * floored[:, None] ** -2
        solved = np.linalg.solve(precision, sides)
        other_variance = 1 / (projections.information + floored**-2)
        step = np.concatenate([solved[:, :, 0], other_variance * gradient[:, rank:]], axis=1)
        mean = start + step
        scale = mean @ coordinates.transform[0]
        variance = np.einsum("ni,ni->n", solved[:, :, 1], to_scale[:, :rank])
        variance = variance + other_variance @ to_scale[0, rank:] ** 2
        error = np.sqrt(variance)
    diagonal = np.concatenate([np.einsum("nii->ni", projections.gram), projections.information], axis=1)
    signal_to_noise2 = diagonal * floored**2
    dof = (signal_to_noise2 / (1 + signal_to_noise2)).sum(axis=1)
    return LinearFit(np.maximum(scale, error), error, mean, dof)


def first_fit(batch: Batch[BasisGrid], weight: FloatArray) -> LinearFit:
    """Fit only the scale of the prior's mean spectrum.

    Parameters
    ----------
    batch : Batch
        The spectra.
    weight : (n_spectra, n_pixels)
        Inverse variances; where all are 0, those of `batch` count.

    Returns
    -------
    LinearFit
        A fit of one degree of freedom.
    """
    coordinates = batch.grid.coordinates
    information = (weight @ coordinates.mean_shape**2).astype(np.float64)
    information = np.where(information > 0, information, batch.weight @ coordinates.mean_shape**2)
    scale = ((batch.flux * weight) @ coordinates.mean_shape) / information
    error = information**-0.5
    mean = np.maximum(scale, error)[:, None] * coordinates.centre
    return LinearFit(scale, error, mean, np.ones(len(scale)))


def project_groups(
    coordinates: Coordinates, residual: FloatArray, weight: FloatArray, fit: LinearFit, neglected: float
) -> RankGroups:
    """Project spectra, from the residuals of a fit, in groups that need the same number of directions.

    Parameters
    ----------
    coordinates : Coordinates
        Coordinates of the pixels.
    residual, weight : (n_spectra, n_pixels)
        Flux less the fit, and inverse variances (0 where the residual does not matter).
    fit : LinearFit
        The fit.
    neglected : float
        As for `Coordinates.ranks`.

    Returns
    -------
    list of ((n_rows,) of int, Projections)
        Spectra and projections of each group.
    """
    information = coordinates.information(weight)
    ranks = coordinates.ranks(information, np.maximum(fit.scale, fit.error), neglected)
    groups = []
    for rank in np.unique(ranks):
        rows = np.flatnonzero(ranks == rank)
        group = project(residual[rows], weight[rows], fit.mean[rows], coordinates, information[rows], int(rank))
        groups.append((rows, group))
    return groups


def fit_groups(groups: RankGroups, coordinates: Coordinates, fit: LinearFit) -> LinearFit:
    """Fit all groups under one Gaussian from an earlier fit's scale; spectra come in their own order."""
    fits = [fit_linear(projections, coordinates, fit.scale[rows], fit.error[rows]) for rows, projections in groups]
    return LinearFit.stack(fits)[_order(groups)]


def full_projections(groups: RankGroups) -> Projections:
    """Join the full projections of all groups; spectra come in their own order."""
    return Projections.stack([projections.full() for _, projections in groups])[_order(groups)]


def _order(groups: RankGroups) -> npt.NDArray[np.intp]:
    """Place of each spectrum among those of all groups, one group after the other."""
    return np.argsort(np.concatenate([rows for rows, _ in groups]))
