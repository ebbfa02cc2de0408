"""Posterior of velocity and dispersion as it is, not as the Gaussian of a linearised fit, carried into all else.

A fit linearised about its best state gives a Gaussian over velocity V, width u and populations. Where the signal is
faint the likelihood of u is no Gaussian, and the prior of σ never is. Both are known on a line of values of u (or, of
the faintest spectra, on the lattice of the scan). Populations and labels follow V and u linearly, so giving V and u
their true mean and covariance gives all else its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates
from quietspec.denoisers.posterior.losvd import dispersion, log_width
from quietspec.denoisers.posterior.velocity_scan import log_prior_of_width
from quietspec.parameters import ParameterPosterior

__all__ = ["NARROWEST", "WIDEST", "Dispersion", "Joint", "condition_on_motions", "label_moments", "label_motions"]

Joint = tuple[FloatArray, FloatArray]  #: mean and covariance of (motions, populations) at unit scale

NARROWEST, WIDEST = float(log_width(10.0)), float(log_width(550.0))  #: u between which a dispersion is sought
_LEAST_SHARE = 1e-2  # of the variance of a motion, that each part of the labels' mixture has
_REACH, _POINTS = 5.0, 121  # σ about the mean, and values of u there, on which its posterior is integrated
_RESOLVED = 0.6  # 1σ of u, in steps between as many values of all u, below which these do not resolve its posterior


@dataclass(frozen=True)
class Dispersion:
    """Posterior moments of u, and of σ in km/s.

    Parameters
    ----------
    mean, variance : float
        Of u.
    sigma, sigma_error : float
        Mean and standard deviation of σ, km/s.
    """

    mean: float
    variance: float
    sigma: float
    sigma_error: float

    @classmethod
    def of_density(cls, width: FloatArray, log_density: FloatArray) -> Dispersion:
        """Moments of a log density at values of u in equal steps, (n,) each."""
        weight = np.exp(log_density - log_density.max())
        weight /= weight.sum()
        mean = float(weight @ width)
        sigma = dispersion(width)
        typical = float(weight @ sigma)
        spread = float(np.sqrt(weight @ (sigma - typical) ** 2))
        return cls(mean, float(weight @ (width - mean) ** 2), typical, spread)

    @classmethod
    def of_gaussian(cls, mean: float, variance: float) -> Dispersion:
        """Where a fit gave u this mean and variance under its own Gaussian prior, which is replaced by the true one."""
        width = _about(mean, variance)
        prior = log_prior_of_width(width) - KinematicCoordinates.log_prior_within(width)
        return cls.of_density(width, -0.5 * (width - mean) ** 2 / variance + prior)

    @classmethod
    def of_normal(cls, mean: float, variance: float) -> Dispersion:
        """Where the posterior of u has this mean and variance."""
        width: FloatArray = np.linspace(NARROWEST, WIDEST, _POINTS)
        if variance < (_RESOLVED * (width[1] - width[0])) ** 2:
            width = _about(mean, variance)
        density = cls.of_density(width, -0.5 * (width - mean) ** 2 / variance)
        return cls(mean, variance, density.sigma, density.sigma_error)

    @classmethod
    def of_nodes(cls, nodes: FloatArray, log_likelihood: FloatArray) -> Dispersion:
        """Where the log likelihood of u is known at some values of it."""
        width = np.linspace(nodes[0], nodes[-1], _POINTS)
        found = cls.of_density(width, CubicSpline(nodes, log_likelihood)(width) + log_prior_of_width(width))
        best = float(nodes[log_likelihood.argmax()])
        if best not in (nodes[0], nodes[-1]) or not NARROWEST < best < WIDEST:
            return found
        # The best value lies beyond them, and u is known no better than they reach.
        reach, (low, high) = float(np.ptp(nodes)) / 2, dispersion(nodes[[0, -1]])
        return replace(
            found,
            variance=max(found.variance, reach**2),
            sigma_error=max(found.sigma_error, float(high - low) / 2),
        )


def _about(mean: float, variance: float) -> FloatArray:
    """Values of u, (n,), within reach of a Gaussian."""
    reach = _REACH * float(np.sqrt(variance))
    low, high = np.clip([mean - reach, mean + reach], NARROWEST, WIDEST)
    return np.linspace(low, max(high, low + 1e-4), _POINTS)


def condition_on_motions(
    mean: FloatArray, covariance: FloatArray, true_mean: FloatArray, true_covariance: FloatArray, first: int = 0
) -> tuple[FloatArray, FloatArray]:
    """Give the motions of a joint Gaussian another mean and covariance; what is correlated with them follows.

    Parameters
    ----------
    mean, covariance : (d,) and (d, d)
        The joint Gaussian; its coordinates `first` to 1 are the motions.
    true_mean, true_covariance : (m,) and (m, m)
        Of these.
    first : int
        0 for velocity and u, 1 for u alone.

    Returns
    -------
    mean, covariance : (d,) and (d, d)
        Changed.
    """
    these = slice(first, MOTIONS)
    old = covariance[these, these]
    gain = np.linalg.solve(old, covariance[these]).T
    return mean + gain @ (true_mean - mean[these]), covariance + gain @ (true_covariance - old) @ gain.T


def label_motions(labels: ParameterPosterior, velocity: FloatArray, found: Sequence[Dispersion]) -> ParameterPosterior:
    """Give labels the true moments of motions, u turned into σ.

    Parameters
    ----------
    labels : ParameterPosterior
        Of n spectra; the last two are ``velocity`` and ``width``.
    velocity : (n_spectra, 2)
        Means and 1σ, km/s.
    found : sequence of Dispersion
        Of u and σ of each.

    Returns
    -------
    ParameterPosterior
        The same with ``sigma`` (km/s) in the place of ``width``; other labels follow as they are correlated.
    """
    width = np.array([[one.mean, one.variance**0.5] for one in found])
    means, covariances = labels.means.astype(np.float64), labels.covariances.astype(np.float64)
    for name, target in (("velocity", velocity), ("width", width)):
        index, total = labels.names.index(name), labels.sigma(name)
        ratio = target[:, 1] / total
        old = means[:, :, index].copy()
        variance = covariances[:, :, index, index]  # single precision may leave none
        variance = np.maximum(variance, _LEAST_SHARE * total[:, None] ** 2)
        covariances[:, :, index, index] = variance
        gain = covariances[:, :, :, index] / variance[:, :, None]
        shift = target[:, :1] + ratio[:, None] * (old - labels.mean(name)[:, None]) - old
        means += gain * shift[:, :, None]
        growth = (ratio**2 - 1)[:, None] * variance
        covariances += (gain[..., :, None] * gain[..., None, :]) * growth[:, :, None, None]
    index = labels.names.index("width")
    sigma = np.array([[one.sigma, one.sigma_error] for one in found])
    slope = sigma[:, 1] / np.maximum(width[:, 1], 1e-12)
    means[:, :, index] = sigma[:, :1] + slope[:, None] * (means[:, :, index] - width[:, :1])
    covariances[:, :, index] *= slope[:, None, None]
    covariances[:, :, :, index] *= slope[:, None, None]
    names = tuple("sigma" if name == "width" else name for name in labels.names)
    return ParameterPosterior(names, labels.weights, means.astype(np.float32), covariances.astype(np.float32))


def label_moments(labels: ParameterPosterior, mean: FloatArray, error: FloatArray) -> ParameterPosterior:
    """Add ``h3`` and ``h4`` to the labels of spectra.

    Parameters
    ----------
    labels : ParameterPosterior
        Of n spectra.
    mean, error : (n_spectra, 2)
        Of h3 and h4.

    Returns
    -------
    ParameterPosterior
        With the two, which are taken to be independent of the other labels.
    """
    n, parts, size = labels.means.shape
    means = np.empty((n, parts, size + 2), dtype=np.float32)
    covariances = np.zeros((n, parts, size + 2, size + 2), dtype=np.float32)
    means[..., :size], means[..., size:] = labels.means, mean[:, None]
    covariances[..., :size, :size] = labels.covariances
    covariances[..., [size, size + 1], [size, size + 1]] = error[:, None] ** 2
    return ParameterPosterior((*labels.names, "h3", "h4"), labels.weights, means, covariances)
