"""Spectra drawn from a prior as galaxies show them: where the prior is at rest, broadened and shifted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import shift

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.losvd import BroadeningTable, log_width, velocity_step
from quietspec.denoisers.posterior.prior import SpectralPrior

__all__ = ["drawn_spectra", "with_usual_motions"]

_SIGMA = (20.0, 500.0)  # km/s, between which dispersions are drawn evenly in ln σ
_VELOCITY = 110.0  # km/s, 1σ of velocities
_DRAWS, _COMPONENTS = 1000, 24
_STREAM = 0, 77  # of the draws that are analysed: none that trains or tests


def drawn_spectra(prior: SpectralPrior, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw noise-free shapes at velocity 0.

    Parameters
    ----------
    prior : SpectralPrior
        The prior; where it is at rest, each draw gets a dispersion.
    n : int
        Number of draws.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    (n, n_pixels)
        On the prior's wavelengths.
    """
    member = rng.choice(prior.n_mixture, n, p=prior.weights / prior.weights.sum())
    half = np.linalg.cholesky(prior.covariances)[member]
    shape = prior.means[member] + np.einsum("nij,nj->ni", half, rng.standard_normal(half.shape[:2]))
    if not prior.at_rest:
        return np.asarray(prior.mean + shape @ prior.components)
    table = BroadeningTable(prior)
    sigma = np.exp(rng.uniform(np.log(_SIGMA[0]), np.log(_SIGMA[1]), n))
    entry = np.abs(table.width[:, None] - log_width(sigma)).argmin(axis=0)
    flux = np.empty((n, len(prior.wavelength)))
    for one in np.unique(entry):
        rows = entry == one
        flux[rows] = np.column_stack([np.ones(rows.sum()), shape[rows]]) @ table.vectors[one].T
    return flux


def with_usual_motions(prior: SpectralPrior) -> SpectralPrior:
    """Make a prior whose own basis holds the motions of a prior at rest: one Gaussian over principal components.

    Parameters
    ----------
    prior : SpectralPrior
        At rest.

    Returns
    -------
    SpectralPrior
        Without labels.
    """
    rng = np.random.default_rng(_STREAM)
    flux = drawn_spectra(prior, _DRAWS, rng)
    moved = rng.normal(0.0, _VELOCITY, _DRAWS) / velocity_step(prior)
    flux = np.array([shift(one, by, mode="nearest") for one, by in zip(flux, moved, strict=True)])
    mean = flux.mean(axis=0)
    _, spread, vectors = np.linalg.svd(flux - mean, full_matrices=False)
    size = np.sqrt(np.mean(prior.mean**2))
    scores = spread[:_COMPONENTS] / np.sqrt(_DRAWS)
    left = flux - mean - ((flux - mean) @ vectors[:_COMPONENTS].T) @ vectors[:_COMPONENTS]
    return replace(
        prior,
        mean=mean,
        components=vectors[:_COMPONENTS] * size,
        truncation=np.sqrt(np.mean(left**2, axis=0)),
        weights=np.ones(1),
        means=np.zeros((1, _COMPONENTS)),
        covariances=np.diag((scores / size) ** 2)[None],
        label_names=(),
        labels=np.zeros((1, 0)),
        slopes=np.zeros((1, 0, _COMPONENTS)),
        label_covariances=np.zeros((1, 0, 0)),
        part_weights=None,
        part_offsets=None,
        part_covariances=None,
        card={name: value for name, value in prior.card.items() if name not in ("kinematics", "nucleus_components")},
    )
