"""The galaxy's own prior: mean and covariance of its spaxels, by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import expit

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.denoisers.posterior.kinematics import MOTIONS
from quietspec.denoisers.spatial.frame import Likelihoods

__all__ = ["GalaxyPrior", "belonging", "mixed", "share_of_galaxy", "some_of"]

_STRANGERS = 0.03  # share of spaxels that are expected not to be of the galaxy
_PRIOR_COUNT = 6.0  # of the inverse-Wishart prior of the covariance; modes about which nothing is seen stay wide …
_PRIOR_VARIANCE = 0.1, 1.0  # … by this variance of motions and populations, in units of the base's
_ROUNDS, _TRUSTING, _STILL = 200, 5, 3e-3  # iterations; after which all are judged; relative change at which to stop
# Neighbours are alike, and errors of noise, calibration and model are common to many spaxels: however many there are,
# they tell no more of the mean than a few independent ones.
_INDEPENDENT = 5.0
_MOST = 3000  # spaxels from which it is learned; more would not make it better
_SEED = 18


def some_of(members: BoolArray) -> IntArray:
    """Members, (n,) of bool, from which a galaxy is learned: which of the spaxels they are."""
    rows = np.flatnonzero(members)
    if len(rows) <= _MOST:
        return rows
    return rows[np.sort(np.random.default_rng(_SEED).choice(len(rows), _MOST, replace=False))]


@dataclass(frozen=True, eq=False)
class GalaxyPrior:
    """Distribution of the modes over the spaxels of a galaxy, N(mean, covariance).

    Parameters
    ----------
    mean : (k,)
        Mean.
    covariance : (k, k)
        Covariance.
    """

    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def of(
        cls,
        likelihoods: Likelihoods,
        usual: FloatArray | None = None,
        independent: float = _INDEPENDENT,
    ) -> Self:
        """Learn it from the data of spaxels, each counted as far as it belongs to the galaxy.

        Parameters
        ----------
        likelihoods : Likelihoods
            Of the spaxels; `some_of` them are enough.
        usual : (k,), optional
            Variances of the modes in a galaxy of which the data say nothing; those of motions and populations of stars
            by default.
        independent : float, optional
            Number of independent spaxels that would tell as much of the mean as all of them do; at most all count.

        Returns
        -------
        GalaxyPrior
            Shrunk towards the base N(0, 1). The covariance includes that of the mean's own error.
        """
        k = likelihoods.gradient.shape[1]
        usual = np.repeat(_PRIOR_VARIANCE, (MOTIONS, k - MOTIONS)) if usual is None else usual
        alike = max(len(likelihoods.gradient) / independent, 1.0)
        stranger = likelihoods.log_evidence(np.zeros(k), np.eye(k))
        mean: FloatArray = np.zeros(k)
        covariance: FloatArray = np.eye(k)
        share: FloatArray = np.ones(len(likelihoods.gradient))
        for number in range(_ROUNDS):
            before = np.diagonal(covariance)
            found, spread = posterior = likelihoods.posterior(mean, covariance)
            if number >= _TRUSTING:
                share = share_of_galaxy(likelihoods.log_evidence(mean, covariance, posterior) - stranger)
            inverse = np.linalg.inv(covariance)
            weight = share / alike
            mean = np.linalg.solve(weight.sum() * inverse + np.eye(k), inverse @ (weight @ found))
            offset = found - mean
            total = np.einsum("n,nij->ij", share, spread) + (share[:, None] * offset).T @ offset
            total += _PRIOR_COUNT * np.diag(usual)
            covariance = total / (share.sum() + _PRIOR_COUNT)
            if number > _TRUSTING and np.abs(np.log(np.diagonal(covariance) / before)).max() < _STILL:
                break
        return cls(mean, covariance + _error_of_mean(likelihoods, share, mean, covariance, alike))


def _error_of_mean(
    likelihoods: Likelihoods, share: FloatArray, mean: FloatArray, covariance: FloatArray, alike: float
) -> FloatArray:
    """Covariance (k, k) of the error of the mean, where so many spaxels tell as much as one."""
    # Of the mean, a spaxel of precision Λ tells (C + Λ⁻¹)⁻¹ = C⁻¹ − C⁻¹ (C⁻¹ + Λ)⁻¹ C⁻¹.
    inverse, spread = np.linalg.inv(covariance), likelihoods.posterior(mean, covariance)[1]
    told = share.sum() * inverse - inverse @ np.einsum("n,nij->ij", share, spread) @ inverse
    return np.asarray(np.linalg.inv(np.eye(len(mean)) + told / alike))


def belonging(
    likelihoods: Likelihoods,
    mean: FloatArray,
    covariance: FloatArray,
    posterior: tuple[FloatArray, FloatArray] | None = None,
) -> FloatArray:
    """Probability that spaxels follow N(mean, covariance), one or one per spaxel, rather than the base, (n,).

    Parameters
    ----------
    likelihoods : Likelihoods
        Of the spaxels.
    mean, covariance : (k,) and (k, k), or (n, k) and (n, k, k)
        Of the galaxy.
    posterior : two arrays (n, k) and (n, k, k), optional
        Moments of the modes under that, if they are known (`Likelihoods.posterior`).

    Returns
    -------
    (n,)
        Probabilities.
    """
    base = np.zeros(likelihoods.gradient.shape[1]), np.eye(likelihoods.gradient.shape[1])
    gain = likelihoods.log_evidence(mean, covariance, posterior) - likelihoods.log_evidence(*base)
    return share_of_galaxy(gain)


def share_of_galaxy(gain: FloatArray) -> FloatArray:
    """Probability that spaxels are of the galaxy, whose log evidence exceeds that of the base by a gain (n,)."""
    return np.asarray(expit(gain + np.log(1 / _STRANGERS - 1)))


def mixed(gain: FloatArray) -> FloatArray:
    """Log evidence (n,) of galaxy and base mixed, over that of the base, which the galaxy's exceeds by a gain."""
    return np.asarray(np.logaddexp(gain + np.log(1 - _STRANGERS), np.log(_STRANGERS)))
