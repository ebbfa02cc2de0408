"""Gaussian mixtures by expectation maximisation (EM), both steps as matrix products over quadratic features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.lab.training.settings import MixtureSettings

__all__ = ["Mixture", "fit_mixture"]

_BATCH = 8192  # points
_FEWEST = 5.0  # points per dimension; a Gaussian that explains fewer is dropped


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture.

    Parameters
    ----------
    weights : (n_mixture,)
        Weights, of sum 1.
    means : (n_mixture, d)
        Means of the Gaussians.
    covariances : (n_mixture, d, d)
        Covariances of the Gaussians.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def log_joint(self, features: FloatArray) -> FloatArray:
        """ln(weight × density) of points, given by their quadratic features, (n, n_mixture)."""
        precision = np.linalg.inv(self.covariances)
        size = self.means.shape[1]
        pull = np.einsum("kij,kj->ki", precision, self.means)
        constant = -0.5 * (
            np.einsum("ki,ki->k", pull, self.means) + np.linalg.slogdet(self.covariances)[1] + size * np.log(2 * np.pi)
        ) + np.log(self.weights)
        rows, columns = np.tril_indices(size)
        packed = precision[:, rows, columns] * np.where(rows == columns, -0.5, -1.0)
        return np.asarray(features @ np.concatenate([constant[:, None], pull, packed], axis=1).T)

    def responsibilities(self, points: FloatArray) -> tuple[FloatArray, float]:
        """Posterior weights of the Gaussians, (n, n_mixture), and the mean log likelihood of the points."""
        log_joint = np.concatenate([self.log_joint(quadratic_features(batch)) for batch in _batches(points)])
        return _normalised(log_joint)


def quadratic_features(points: FloatArray) -> FloatArray:
    """1, x and the lower triangle of x xᵀ of each point, (n, 1 + d + d (d + 1) / 2)."""
    rows, columns = np.tril_indices(points.shape[1])
    return np.concatenate([np.ones((len(points), 1)), points, points[:, rows] * points[:, columns]], axis=1)


def fit_mixture(
    points: FloatArray,
    settings: MixtureSettings,
    rng: np.random.Generator,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[Mixture, FloatArray]:
    """Fit a mixture by EM, stopped by the likelihood of held-out points.

    Parameters
    ----------
    points : (n, d)
        Points.
    settings : MixtureSettings
        Size of the mixture and stopping rule.
    rng : numpy.random.Generator
        Source of the draws: held-out points, and the start by k-means++.
    progress : callable, optional
        Called with the number of the round and the mean log likelihood of the held-out points.

    Returns
    -------
    mixture : Mixture
        Mixture of the best round.
    responsibilities : (n, n_mixture)
        Posterior weights of the Gaussians for all points.

    References
    ----------
    Dempster, Laird & Rubin 1977, J. R. Stat. Soc. B 39, 1 (EM); Arthur & Vassilvitskii 2007, SODA, 1027 (k-means++).
    """
    points = np.asarray(points, dtype=np.float64)
    order = rng.permutation(len(points))
    n_held = int(settings.held_out * len(points)) if settings.n_mixture > 1 else 0
    held, train = points[order[:n_held]], points[order[n_held:]]
    mixture = best = _start(train, settings, rng)
    top, since = -np.inf, 0
    for round_number in range(1, settings.max_iter + 1 if n_held else 0):
        mixture = _maximised(train, mixture, settings.floor)
        likelihood = mixture.responsibilities(held)[1]
        if progress is not None:
            progress(round_number, likelihood)
        if likelihood > top:
            best, top, since = mixture, likelihood, 0
        else:
            since += 1
        if since >= settings.patience:
            break
    return best, best.responsibilities(points)[0]


def _start(points: FloatArray, settings: MixtureSettings, rng: np.random.Generator) -> Mixture:
    """One Gaussian per k-means cluster of a subset of the points."""
    from scipy.cluster.vq import kmeans2

    if settings.n_mixture == 1:
        return _from_moments(_moments(points, np.ones((len(points), 1))), settings.floor)
    subset = points[: settings.start * settings.n_mixture]
    spread = (
        np.maximum(subset.std(axis=0), 1.0) ** 0.5
    )  # halfway between raw units, which cluster along axis 1 only, and whitened ones
    _, label = kmeans2(subset / spread, settings.n_mixture, minit="++", iter=10, rng=rng)
    member = np.eye(settings.n_mixture)[label]
    member = 0.9 * member + 0.1 * member.mean(
        axis=0
    )  # a share of all points keeps covariances of small clusters regular
    return _from_moments(_moments(subset, member), settings.floor)


def _maximised(points: FloatArray, mixture: Mixture, floor: float) -> Mixture:
    """One round of EM."""
    total: FloatArray | float = 0.0
    for batch in _batches(points):
        features = quadratic_features(batch)
        total = total + _normalised(mixture.log_joint(features))[0].T @ features
    return _from_moments(np.asarray(total), floor)


def _moments(points: FloatArray, responsibilities: FloatArray) -> FloatArray:
    return np.asarray(responsibilities.T @ quadratic_features(points))


def _from_moments(moments: FloatArray, floor: float) -> Mixture:
    """Mixture from responsibility-weighted sums of quadratic features; Gaussians with too few points are dropped."""
    size = int((np.sqrt(8 * moments.shape[1] + 1) - 3) / 2)
    moments = moments[moments[:, 0] > min(_FEWEST * size, moments[:, 0].max() / 2)]
    count = moments[:, 0]
    means = moments[:, 1 : 1 + size] / count[:, None]
    rows, columns = np.tril_indices(size)
    covariances = np.empty((len(count), size, size))
    covariances[:, rows, columns] = moments[:, 1 + size :] / count[:, None] - means[:, rows] * means[:, columns]
    covariances[:, columns, rows] = covariances[:, rows, columns]
    return Mixture(count / count.sum(), means, covariances + floor * np.eye(size))


def _normalised(log_joint: FloatArray) -> tuple[FloatArray, float]:
    """Responsibilities, (n, n_mixture), and the mean log likelihood."""
    from scipy.special import logsumexp

    total = logsumexp(log_joint, axis=1, keepdims=True)
    return np.exp(log_joint - total), float(total.mean())


def _batches(points: FloatArray) -> list[FloatArray]:
    return [points[i : i + _BATCH] for i in range(0, len(points), _BATCH)]
