r"""Fit of spectra under one Gaussian, and what the data say about the coordinates.

A spectrum is y = V x + noise (`coordinates`). Everything the data say enters through G = VᵀWV, the gradient
VᵀW(y − V x₁) and χ² at some x₁ close to the answer, W the inverse noise variances, so masks, gaps and any pixel grid
are exact. From x₁ it is a small step, which single precision in G does not harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates

__all__ = ["LinearFit", "Projections", "fit_linear", "project"]


@dataclass(frozen=True)
class _BySpectrum:
    """Arrays whose first axis is the spectra."""

    def __getitem__(self, rows: npt.NDArray[np.intp] | BoolArray) -> Self:
        """Select spectra."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join those of several sets of spectra."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True)
class Projections(_BySpectrum):
    """What the data say about the coordinates: about the first `rank` all, about each other one as if seen alone.

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

    def whole(self) -> Self:
        """The same on all coordinates, what was neglected taken as 0."""
        n, size = self.start.shape
        gram = np.zeros((n, size, size))
        gram[:, : self.rank, : self.rank] = self.gram
        others = np.arange(self.rank, size)
        gram[:, others, others] = self.information
        return type(self)(self.start, gram, self.gradient, self.information[:, :0], self.chi2)


@dataclass(frozen=True)
class LinearFit(_BySpectrum):
    """Posterior under one Gaussian, in short.

    Parameters
    ----------
    scale, error : (n_spectra,)
        Flux scale s > 0 and its 1σ.
    mean : (n_spectra, d)
        Posterior mean of x.
    dof : (n_spectra,)
        Number of coordinates the data determine, as if they told of each alone.
    """

    scale: FloatArray
    error: FloatArray
    mean: FloatArray
    dof: FloatArray


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
    told = np.concatenate([np.einsum("nii->ni", projections.gram), projections.information], axis=1) * floored**2
    return LinearFit(np.maximum(scale, error), error, mean, (told / (1 + told)).sum(axis=1))
