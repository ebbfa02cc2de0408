"""The few directions in which the spaxels of a galaxy are compared, and what data say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from quietspec.arrays import SHARED, BoolArray, BySpectrum, FloatArray
from quietspec.denoisers.posterior.coordinates import Gaussians
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates
from quietspec.denoisers.posterior.linear import Projections

__all__ = ["Frame", "Likelihoods", "Messages", "PackedLikelihoods", "blocks"]

_POPULATIONS = 16  # modes of the populations that are kept
_NONE = 1e-9  # of the largest variance: directions in which the base does not extend
_LEAST = 1e-6  # precision of motions of which data say nothing
_FLAT = 0.999  # variance, in units of the base's, beyond which knowledge is none
_TOGETHER = 512  # spaxels whose matrices are held at a time


def blocks(n: int) -> Iterator[slice]:
    """Split n spaxels into blocks whose matrices fit into little memory."""
    return (slice(start, min(start + _TOGETHER, n)) for start in range(0, n, _TOGETHER))


@dataclass(frozen=True, eq=False)
class Likelihoods(BySpectrum):
    """What the data of n spaxels say of modes t, all else marginalised: ln L = −½ tᵀ precision t + gradient · t.

    Parameters
    ----------
    precision : (n, k, k)
        Positive semi-definite.
    gradient : (n, k)
        At t = 0.
    """

    precision: FloatArray
    gradient: FloatArray

    def posterior(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means (n, k) and covariances (n, k, k) of t under priors N(mean, covariance), one or one per spaxel."""
        inverse = np.linalg.inv(covariance)
        found = np.linalg.inv(self.precision + inverse)
        return _times(found, self.gradient + _times(inverse, mean)), found

    def log_evidence(
        self, mean: FloatArray, covariance: FloatArray, posterior: tuple[FloatArray, FloatArray] | None = None
    ) -> FloatArray:
        """Log evidence under priors N(mean, covariance), one or one per spaxel, (n,); `posterior` if it is known."""
        found, left = posterior or self.posterior(mean, covariance)
        told = _times(self.precision, mean)
        at_mean = np.vecdot(mean, self.gradient - 0.5 * told)
        gain = np.vecdot(self.gradient - told, found - mean)
        volume = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(left)[1]
        return np.asarray(at_mean + 0.5 * gain - 0.5 * volume)

    def with_motions(self, precision: FloatArray, gradient: FloatArray) -> Likelihoods:
        """Replace what the data say of the motions, the first modes.

        Parameters
        ----------
        precision, gradient : (n, 2, 2) and (n, 2)
            What they say instead, positive definite, other modes marginalised under the base.

        Returns
        -------
        Likelihoods
            What correlates motions and other modes grows or shrinks with the square root of the precision.
        """
        motions, others = slice(MOTIONS), slice(MOTIONS, None)
        across, slope = self.precision[:, others, motions], self.gradient[:, others]
        rest = self.precision[:, others, others] + np.eye(across.shape[1])
        gain = np.swapaxes(np.linalg.solve(rest, across), 1, 2)
        before = self.precision[:, motions, motions] - gain @ across + _LEAST * np.eye(MOTIONS)
        old, new = np.linalg.cholesky(before), np.linalg.cholesky(precision)
        change = np.swapaxes(new @ np.linalg.inv(old), 1, 2)  # of the motions, by which `before` becomes `precision`
        place = np.linalg.solve(new, gradient[..., None])[..., 0]
        place -= np.linalg.solve(old, (self.gradient[:, motions] - _times(gain, slope))[..., None])[..., 0]
        moved = slope + _times(across, np.linalg.solve(np.swapaxes(old, 1, 2), place[..., None])[..., 0])
        both, turned = self.precision.copy(), np.swapaxes(change, 1, 2) @ gain
        both[:, others, motions] = across @ change
        both[:, motions, others] = np.swapaxes(both[:, others, motions], 1, 2)
        both[:, motions, motions] = precision + turned @ both[:, others, motions]
        return Likelihoods(both, np.concatenate([gradient + _times(turned, moved), moved], axis=1))

    def checked(self) -> Likelihoods:
        """Return the same; `LinAlgError` where motions cannot be replaced, which would fail for all spaxels later."""
        n = len(self.gradient)
        found = self.with_motions(np.tile(np.eye(MOTIONS), (n, 1, 1)), np.zeros((n, MOTIONS)))
        if not (np.isfinite(found.precision).all() and np.isfinite(found.gradient).all()):
            raise np.linalg.LinAlgError("a likelihood is not finite")
        return self

    def turned(self, mean: FloatArray, root: FloatArray) -> Likelihoods:
        """Return the same of s, where t = mean + root s; root is (k, k)."""
        return Likelihoods(root.T @ self.precision @ root, (self.gradient - _times(self.precision, mean)) @ root)

    def packed(self) -> PackedLikelihoods:
        """Return the same in little more than half the memory."""
        return PackedLikelihoods(self.precision[:, *np.tril_indices(self.precision.shape[1])], self.gradient)


@dataclass(frozen=True, eq=False)
class PackedLikelihoods(BySpectrum):
    """`Likelihoods` of very many spaxels: matrices as triangles, unpacked some at a time.

    Parameters
    ----------
    triangles : (n, k (k + 1) / 2)
        Lower triangles of the precisions, row by row.
    gradient : (n, k)
        As in `Likelihoods`.
    """

    triangles: FloatArray
    gradient: FloatArray

    @classmethod
    def none(cls, k: int) -> Self:
        """Let the data of a spaxel say nothing of k modes."""
        return cls(np.zeros((1, k * (k + 1) // 2)), np.zeros((1, k)))

    def __len__(self) -> int:
        return len(self.gradient)

    @property
    def informative(self) -> BoolArray:
        """Spaxels whose data say anything, (n,)."""
        return np.asarray(self.triangles.any(axis=1))

    def unpacked(self) -> Likelihoods:
        """Return them with whole matrices."""
        n, k = self.gradient.shape
        row, column = np.tril_indices(k)
        precision = np.empty((n, k, k))
        precision[:, row, column] = precision[:, column, row] = self.triangles
        return Likelihoods(precision, self.gradient)

    def parts(self) -> Iterator[Likelihoods]:
        """Unpack them block by block."""
        return (self[block].unpacked() for block in blocks(len(self)))

    def with_motions(self, precision: FloatArray, gradient: FloatArray) -> PackedLikelihoods:
        """Replace what the data say of the motions (`Likelihoods.with_motions`)."""
        changed = PackedLikelihoods(np.empty_like(self.triangles), np.empty_like(self.gradient))
        for block in blocks(len(self)):
            part = self[block].unpacked().with_motions(precision[block], gradient[block]).packed()
            changed.triangles[block], changed.gradient[block] = part.triangles, part.gradient
        return changed


def _times(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.asarray((matrices @ vectors[..., None])[..., 0])


@dataclass(frozen=True, eq=False)
class Messages(BySpectrum):
    """What is known of the modes of n spaxels without their own data: t ~ N(mean, root variance rootᵀ).

    Parameters
    ----------
    mean : (n, k)
        Means.
    variance : (n, k)
        Variances of the coordinates s, t = root s, which are independent of each other.
    root : (k, k)
        The same for all spaxels.
    """

    mean: FloatArray
    variance: FloatArray
    root: FloatArray = field(metadata=SHARED)

    @classmethod
    def alike(cls, n: int, mean: FloatArray, covariance: FloatArray) -> Self:
        """Say the same of n spaxels, (k,) and (k, k)."""
        return cls(np.tile(mean, (n, 1)), np.ones((n, len(mean))), np.linalg.cholesky(covariance))

    @property
    def covariance(self) -> FloatArray:
        """Covariances of the modes, (n, k, k)."""
        return self.covariance_of(slice(None))

    def covariance_of(self, modes: slice) -> FloatArray:
        """Covariances of some of the m modes, (n, m, m)."""
        root = self.root[modes]
        return np.asarray((root * self.variance[:, None]) @ root.T)

    def beyond_base(self) -> tuple[FloatArray, FloatArray]:
        """Precision (n, k, k) and gradient (n, k) at 0 that turn the base N(0, 1) into these; 0 if they are wider."""
        variance, axes = np.linalg.eigh(self.covariance)
        along = np.einsum("nji,nj->ni", axes, self.mean)
        narrow = variance < _FLAT
        precision = np.where(narrow, 1 / variance - 1, 0.0)
        gradient = np.where(narrow, along / variance, 0.0)
        return np.einsum("nij,nj,nkj->nik", axes, precision, axes), _times(axes, gradient)


@dataclass(frozen=True, eq=False)
class Frame:
    """Modes t of the shape ξ of a spaxel: ξ = base + vectors t, t ~ N(0, 1) for galaxies like this one.

    The first two modes are velocity and width, each by itself; the others are of populations, the best determined
    first. Only the first k are ever compared.

    Parameters
    ----------
    base : (d,)
        Mean ξ.
    vectors : (d, n_modes)
        Change of ξ with t, at constant brightness.
    modes : (n_modes, d)
        Their inverse: t of a shape ξ of unit brightness.
    """

    base: FloatArray
    vectors: FloatArray
    modes: FloatArray

    @property
    def size(self) -> int:
        """Number k of modes that are compared."""
        return min(MOTIONS + _POPULATIONS, int(self.vectors.shape[1]))

    @classmethod
    def of(cls, mixture: Gaussians, centre: FloatArray, weights: FloatArray, information: FloatArray) -> Self:
        """Make the modes of a galaxy.

        Parameters
        ----------
        mixture : Gaussians
            The prior, in the coordinates of ξ.
        centre : (d,)
            Its mean, which is also the direction of brightness.
        weights : (n_mixture,)
            Weights of its components in this galaxy.
        information : (d, d)
            Mean precision of the data of a spaxel, in any unit.

        Returns
        -------
        Frame
            The modes that whiten the mixture with these weights and diagonalise the information.
        """
        share = weights / weights.sum()
        base = share @ mixture.mean
        offset = mixture.mean - base
        covariance = np.einsum("k,kij->ij", share, mixture.shape_covariance)
        covariance += np.einsum("k,ki,kj->ij", share, offset, offset)
        motions, populations = np.sqrt(np.diagonal(covariance)[:MOTIONS]), covariance[MOTIONS:, MOTIONS:]
        variance, axes = np.linalg.eigh(populations)
        known = variance > _NONE * variance[-1]
        white = axes[:, known] * np.sqrt(variance[known])
        across = np.concatenate([base[MOTIONS:, None], white], axis=1)
        seen = across.T @ information[MOTIONS:, MOTIONS:] @ across
        seen = seen[1:, 1:] - np.outer(seen[1:, 0], seen[0, 1:]) / seen[0, 0]
        vectors = np.zeros((len(base), MOTIONS + white.shape[1]))
        vectors[:MOTIONS, :MOTIONS] = np.diag(motions)
        vectors[MOTIONS:, MOTIONS:] = white @ np.linalg.eigh(seen)[1][:, ::-1]
        upright = np.eye(len(base)) - np.outer(base, centre / (centre @ centre))
        return cls(base, vectors, np.linalg.pinv(vectors) @ upright)

    def likelihoods(self, projections: Projections, scale: FloatArray, shapes: FloatArray) -> Likelihoods:
        """Reduce the data of spaxels to the first k modes.

        Parameters
        ----------
        projections : Projections
            Full projections of the spaxels.
        scale : (n,)
            Flux scales.
        shapes : (n, d)
            ξ about which brightness is taken out.

        Returns
        -------
        Likelihoods
            Brightness marginalised, other modes marginalised under the base.
        """
        n, k = len(scale), self.size
        gram, start = projections.gram * scale[:, None, None] ** 2, projections.start / scale[:, None]
        own = np.broadcast_to(self.vectors, (n, *self.vectors.shape))
        design = np.concatenate([own[:, :, :k], shapes[:, :, None], own[:, :, k:]], axis=2)
        origin = shapes - (shapes @ self.modes.T) @ self.vectors.T
        slope = scale[:, None] * projections.gradient + _times(gram, start - origin)
        turned = np.swapaxes(design, 1, 2)
        precision, gradient = turned @ gram @ design, _times(turned, slope)
        rest = precision[:, k:, k:].copy()
        others = np.arange(1, rest.shape[1])
        rest[:, others, others] += 1
        gain = np.linalg.solve(rest, precision[:, k:, :k])
        return Likelihoods(
            precision[:, :k, :k] - precision[:, :k, k:] @ gain,
            gradient[:, :k] - _times(np.swapaxes(gain, 1, 2), gradient[:, k:]),
        )

    def motions(self, messages: Messages) -> tuple[FloatArray, FloatArray]:
        """Means (n, 2) and covariances (n, 2, 2) of velocity (km/s) and u in messages."""
        zero, size = self._motion_units
        motions = slice(MOTIONS)
        return zero + messages.mean[:, motions] * size, messages.covariance_of(motions) * np.outer(size, size)

    def of_motions(
        self, precision: FloatArray, gradient: FloatArray, about: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Precisions (n, 2, 2) and gradients (n, 2) at t = 0 of what is said of velocity and u about some (n, 2)."""
        zero, size = self._motion_units
        at_zero = gradient - _times(precision, zero - about)
        return precision * np.outer(size, size), at_zero * size

    @property
    def _motion_units(self) -> tuple[FloatArray, FloatArray]:
        """Velocity (km/s) and u at t = 0, and what a unit of t is, (2,) each."""
        unit = np.diagonal(self.vectors)[:MOTIONS] * KinematicCoordinates.motion_sizes
        return KinematicCoordinates.motions(self.base[:MOTIONS]), np.asarray(unit)

    def shapes(self, modes: FloatArray, like: FloatArray) -> FloatArray:
        """Shapes ξ (n, d) of given first k modes (n, k) that are as others, `like` (n, d), in all other modes."""
        k = self.size
        return np.asarray(like + (modes - like @ self.modes[:k].T) @ self.vectors[:, :k].T)

    def in_coordinates(self, messages: Messages) -> tuple[FloatArray, FloatArray]:
        """Precision (n, d, d) and pull (n, d) of ξ that messages add to the prior, as `Projections.informed` takes."""
        precision, gradient = messages.beyond_base()
        modes = self.modes[: self.size]
        return modes.T @ precision @ modes, gradient @ modes
