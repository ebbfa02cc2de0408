"""What a spaxel's galaxy and neighbours say of it: the galaxy's prior, mode by mode a field on the sky."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import softmax

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.denoisers.posterior.kinematics import MOTIONS
from quietspec.denoisers.spatial.frame import Likelihoods, Messages, PackedLikelihoods, blocks
from quietspec.denoisers.spatial.galaxy import GalaxyPrior
from quietspec.denoisers.spatial.neighbourhoods import FieldLaw, Mode, Neighbourhoods

__all__ = ["Field"]

_FAINTEST = 1e-6  # precision of a spaxel that says nothing, in units of the galaxy's own
_SHORTER = 0.5, 0.25  # lengths that are tried place by place, in units of that of the whole galaxy
_NEAREST, _TRUST = 16, 1.0  # spaxels whose misfits widen a prediction, and how many good ones they are held against


@dataclass(frozen=True, eq=False)
class Field(BySpectrum):
    """What is known of spaxels without their own data.

    Parameters
    ----------
    messages : Messages
        Of the modes.
    n_spaxels : (n,)
        Number of spaxels like itself that know as much as each and all others together; at least 1. It is the mean over
        the modes, each weighted by how far the spaxel's own data determine it.
    """

    messages: Messages
    n_spaxels: FloatArray

    @classmethod
    def of(cls, likelihoods: PackedLikelihoods, galaxy: GalaxyPrior, sky: Neighbourhoods) -> Self:
        """Predict each spaxel from all others.

        Parameters
        ----------
        likelihoods : PackedLikelihoods
            Of all spaxels.
        galaxy : GalaxyPrior
            Of their modes.
        sky : Neighbourhoods
            Of the spaxels.

        Returns
        -------
        Field
            Of all spaxels.
        """
        root = _root(likelihoods, galaxy)
        alone = [_alone(part.turned(galaxy.mean, root)) for part in likelihoods.parts()]
        value, precision = (np.concatenate(parts) for parts in zip(*alone, strict=True))
        mean, variance = np.zeros(value.shape), np.ones(value.shape)
        laws = [sky.law_of(*data) for data in zip(value.T, precision.T, strict=True)]
        known = [mode for mode, law in enumerate(laws) if law != FieldLaw()]
        modes = [Mode(value[:, mode], precision[:, mode], _tried(laws[mode])) for mode in known]
        for place, mode, found in zip(known, modes, sky.without_own(modes), strict=True):
            mean[:, place], variance[:, place] = _predicted(sky, mode, *found)
        telling = precision / (1 + precision)
        gained = (np.maximum(1 / variance - 1, 0) / (1 + precision)).sum(axis=1) / telling.sum(axis=1)
        messages = Messages(galaxy.mean + mean @ root.T, variance, root)
        return cls(messages, np.minimum(1 + gained, sky.others.shape[1] + 1))


def _root(likelihoods: PackedLikelihoods, galaxy: GalaxyPrior) -> FloatArray:
    """Square root of the galaxy's covariance, motions apart, by which the information about populations is diagonal."""
    covariance, root = galaxy.covariance, np.zeros(galaxy.covariance.shape)
    root[:MOTIONS, :MOTIONS] = np.diag(np.sqrt(np.diagonal(covariance)[:MOTIONS]))
    lower = np.linalg.cholesky(covariance[MOTIONS:, MOTIONS:])
    if not lower.size:
        return root
    size = np.concatenate([_size(_of_populations(part), lower) for part in likelihoods.parts()])
    weight = 1 / np.maximum(size, np.median(size[size > 0]) if size.any() else 1.0)
    typical = np.zeros(lower.shape)
    for block, part in zip(blocks(len(size)), likelihoods.parts(), strict=True):
        typical += np.einsum("n,nij->ij", weight[block], _of_populations(part))
    root[MOTIONS:, MOTIONS:] = lower @ np.linalg.eigh(lower.T @ typical @ lower)[1][:, ::-1]
    return root


def _of_populations(likelihoods: Likelihoods) -> FloatArray:
    return likelihoods.precision[:, MOTIONS:, MOTIONS:]


def _size(precision: FloatArray, lower: FloatArray) -> FloatArray:
    """Trace (n,) of precisions in units of a covariance of which `lower` is the Cholesky factor."""
    return np.asarray(np.einsum("nij,ij->n", precision, lower @ lower.T))


def _alone(likelihoods: Likelihoods) -> tuple[FloatArray, FloatArray]:
    """Measurement of each mode by each spaxel and its precision, (n, k), other modes marginalised under N(0, 1)."""
    k = likelihoods.gradient.shape[1]
    mean, covariance = likelihoods.posterior(np.zeros(k), np.eye(k))
    variance = np.einsum("nii->ni", covariance)
    precision = np.maximum(1 / variance - 1, _FAINTEST)
    return mean / variance / precision, precision


def _tried(law: FieldLaw) -> list[FieldLaw]:
    """Return a law and shorter ones."""
    return [law, *(replace(law, length=share * law.length) for share in _SHORTER)]


def _predicted(
    sky: Neighbourhoods, mode: Mode, means: FloatArray, variances: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Predict a mode, of which laws predict means and variances (n_laws, n): mean and variance, (n,) each."""
    # A shorter law is taken where it predicts the neighbours better; where those thereabouts are not as predicted, the
    # prediction is less sure, as by a t distribution.
    value, precision, _ = mode
    total = variances + 1 / precision
    logs = -0.5 * (np.log(total) + (value - means) ** 2 / total)
    weight = softmax(logs[:, sky.others[:, :_NEAREST]].sum(axis=2), axis=0)
    mean = (weight * means).sum(axis=0)
    variance = (weight * (variances + (means - mean) ** 2)).sum(axis=0)
    telling = variance * precision / (1 + variance * precision)
    excess = telling * ((value - mean) ** 2 / (variance + 1 / precision) - 1)
    around = np.concatenate([np.arange(len(value))[:, None], sky.others[:, :_NEAREST]], axis=1)
    growth = 1 + excess[around].sum(axis=1) / (_TRUST + (telling**2)[around].sum(axis=1))
    return mean, np.minimum(variance * np.maximum(growth, 1.0), 1.0)
