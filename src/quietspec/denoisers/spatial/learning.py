"""What a cube says of itself: its galaxy, its calibration, the noise between its spaxels, fields on the sky."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.kinematic_fit import KinematicGrid
from quietspec.denoisers.posterior.kinematics import MOTIONS
from quietspec.denoisers.posterior.walk import halved
from quietspec.denoisers.spatial.field import Field
from quietspec.denoisers.spatial.first_pass import FirstPass, knowledge_of, masked, tile_rows, with_knowledge
from quietspec.denoisers.spatial.frame import Frame, Messages, PackedLikelihoods, blocks
from quietspec.denoisers.spatial.galaxy import GalaxyPrior, belonging, some_of
from quietspec.denoisers.spatial.gas import GasLikelihoods, motions_of_gas
from quietspec.denoisers.spatial.motions import MotionLikelihoods
from quietspec.denoisers.spatial.neighbourhoods import Neighbourhoods
from quietspec.denoisers.spatial.refit import Kept, Refit
from quietspec.denoisers.spatial.stack import FittedStack, Stack
from quietspec.denoisers.spatial.together import LIKELY, Alone, Known, Together
from quietspec.errors import SpectraError
from quietspec.noise import NoiseCorrelation, best_patch, correlation_of_signs
from quietspec.spectra import Spectra

__all__ = ["Learning", "Mapped", "Tiles"]

Tiles = Callable[[], Iterable[Spectra]]  #: reads a cube anew, tile by tile
Mapped = Callable[[Callable[[Spectra], Any], Iterable[Spectra]], Iterable[Any]]  #: as `map`, possibly side by side

_COMMON = 0.05  # correlation of all spaxels at least: errors of sky, continuum and model that no averaging removes
_ROUNDS = 2  # times that the galaxy's prior is learned: first where motions may be anything, then where it has them


@dataclass(frozen=True, eq=False)
class Learning:
    """How a cube is learned between the passes.

    Parameters
    ----------
    denoiser : KinematicPosterior
        Denoiser of the first pass.
    alone : callable
        The usual posterior.
    first : FirstPass
        What the first pass left.
    tiles : callable
        Reads the cube anew.
    shape : (ny, nx)
        Of the image.
    mapped : callable
        Applies a function to tiles.
    """

    denoiser: KinematicPosterior
    alone: Alone
    first: FirstPass
    tiles: Tiles
    shape: tuple[int, int]
    mapped: Mapped

    def __call__(self) -> Together:
        """Learn the cube."""
        if self.first.stack is None:
            raise ValueError("no spaxel belongs to the galaxy")
        law, grid = self._seen()
        frame = self._frame()
        stack = self._fitted(self.first.stack, grid, frame)
        tool = KinematicPosterior(
            self.denoiser.name,
            self.denoiser.prior,
            law.reduced(stack.share),
            self.denoiser.emission,
            self.denoiser.noise,
            higher_moments=self.denoiser.higher_moments,
            two_components=self.denoiser.two_components,
            shared=stack.calibration,
        )
        known = self._known(frame, self._likelihoods(tool, stack, frame))
        return Together(tool, self.alone, self.first, stack, frame, known)

    def _seen(self) -> tuple[CalibrationLaw, KinematicGrid]:
        """Calibration law of this cube, and the pixels of its galaxy."""
        for tile in self.tiles():
            for _, kept in self.first.of_tile(tile_rows(tile)):
                return self.denoiser.law_of(tile), kept.batch(self.denoiser, masked(tile)).grid
        raise ValueError("no spaxel belongs to the galaxy")

    def _fitted(self, stack: Stack, grid: KinematicGrid, frame: Frame) -> FittedStack:
        """Fit the sum; where the algebra breaks down on it, spaxels share no calibration."""
        try:
            return stack.fit(grid, self.denoiser.emission)
        except np.linalg.LinAlgError:
            return FittedStack.unknown(frame.base, len(self.denoiser.prior.label_names))

    def _frame(self) -> Frame:
        coordinates, first = self.denoiser.coordinates, self.first
        member = first.members[first.rows]
        weights = np.concatenate([kept.weights for kept in first.kept])[member].mean(axis=0, dtype=np.float64)
        information = np.sum([kept.information for kept in first.kept], axis=0)
        return Frame.of(coordinates.mixture, coordinates.centre, weights, information)

    def _likelihoods(self, tool: KinematicPosterior, stack: FittedStack, frame: Frame) -> PackedLikelihoods:
        """What the data say about the populations of the sum: their own noise would find itself in their own."""
        tiles = (with_knowledge(tile, list(self.first.of_tile(tile_rows(tile)))) for tile in self.tiles())
        parts = self.mapped(_Reduced(tool, stack.shape, frame), tiles)
        return PackedLikelihoods.stack([one for part in parts for one in part])

    def _noise(self) -> NoiseCorrelation:
        """Correlation of the noise between spaxels in what denoising left, some of it common to all in any case."""
        rows = np.arange(len(self.first.snr)).reshape(self.shape)[best_patch(self.first.snr.reshape(self.shape))]
        try:
            measured = correlation_of_signs(self.first.signs(rows.ravel()).reshape(*rows.shape, -1)).correlation
        except SpectraError:  # too few spaxels
            measured = NoiseCorrelation()
        return NoiseCorrelation(measured.lags, max(measured.typical_common, _COMMON))

    def _known(self, frame: Frame, linear: PackedLikelihoods) -> Known:
        """What is known of every spaxel once all have been seen."""
        first, motions = self.first, MotionLikelihoods.stack([kept.motions for kept in self.first.kept])
        places = np.stack(np.unravel_index(first.rows, self.shape), axis=1).astype(float)
        members = first.members[first.rows] & linear.informative
        noise = self._noise()
        field = Field.of(*self._galaxy(frame, linear, motions, members), Neighbourhoods(places, members, noise))
        messages = field.messages
        about, spread = frame.motions(messages)
        precision, gradient = motions.gaussians(about, spread)
        alike, found, pulls = _joined(linear, frame.of_motions(precision, gradient, about), messages)
        of_galaxy = np.where(members, alike, 0.0)
        covariance = np.linalg.inv(precision + np.linalg.inv(spread))
        mean = about + (covariance @ gradient[..., None])[..., 0]
        own = of_galaxy < LIKELY
        stars = np.where(own[:, None], motions.mean, mean)
        stars_covariance = np.where(own[:, None, None], motions.covariance, covariance)
        errors = np.sqrt(stars_covariance[:, 0, 0])
        lines = GasLikelihoods.stack([kept.gas for kept in first.kept])
        sky = Neighbourhoods(places, members, noise, apart=True)
        return Known(
            modes=found,
            messages=messages,
            motions=stars,
            motion_covariance=stars_covariance,
            of_galaxy=of_galaxy,
            pulls=pulls,
            n_spaxels=np.where(own, 1.0, field.n_spaxels),
            gas=motions_of_gas(lines, stars[:, 0], errors, members & ~own, sky).but(own),
        )

    def _galaxy(
        self, frame: Frame, linear: PackedLikelihoods, motions: MotionLikelihoods, members: BoolArray
    ) -> tuple[PackedLikelihoods, GalaxyPrior]:
        """What the data say where the galaxy has its motions, and its prior."""
        some = some_of(members)
        few, theirs = linear[some], motions[some]
        galaxy = GalaxyPrior(np.zeros(frame.size), np.eye(frame.size))
        for _ in range(_ROUNDS):
            before, galaxy = galaxy, GalaxyPrior.of(_moving(few, theirs, frame, galaxy).unpacked())
        return _moving(linear, motions, frame, before), galaxy


def _moving(
    linear: PackedLikelihoods, motions: MotionLikelihoods, frame: Frame, galaxy: GalaxyPrior
) -> PackedLikelihoods:
    """What the data say where spaxels move as in a galaxy."""
    about, spread = frame.motions(Messages.alike(len(linear), galaxy.mean, galaxy.covariance))
    return linear.with_motions(*frame.of_motions(*motions.gaussians(about, spread), about))


def _joined(
    linear: PackedLikelihoods, motions: tuple[FloatArray, FloatArray], messages: Messages
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Join what the data say, given precision and gradient of motions, with what the others say of each spaxel.

    Returns
    -------
    of_galaxy, modes, pulls : (n,), (n, k) and (n, k)
        As in `Known`.
    """
    parts = []
    for block in blocks(len(linear)):
        precision, gradient = motions
        data = linear[block].unpacked().with_motions(precision[block], gradient[block])
        mean, covariance = messages.mean[block], messages[block].covariance
        found, left = posterior = data.posterior(mean, covariance)
        gained = np.einsum("nii->ni", covariance - left)
        pulls = (found - mean) / np.sqrt(np.maximum(gained, 1e-12))
        parts.append((belonging(data, mean, covariance, posterior), found, pulls))
    of_galaxy, modes, pulls = (np.concatenate(values) for values in zip(*parts, strict=True))
    return of_galaxy, modes, pulls


@dataclass(frozen=True, eq=False)
class _Reduced:
    """Linearises the spaxels of a tile about populations of this shape ξ, and reduces them to modes."""

    tool: KinematicPosterior
    shape: FloatArray
    frame: Frame

    def __call__(self, tile: Spectra) -> list[PackedLikelihoods]:
        tile, pairs = knowledge_of(masked(tile))
        with threadpool_limits(limits=1):
            return [self._batch(tile, kept) for _, kept in pairs]

    def _batch(self, tile: Spectra, kept: Kept) -> PackedLikelihoods:
        """Reduce the spaxels of a batch; those on which the algebra breaks down tell nothing."""

        def reduced(part: slice) -> PackedLikelihoods:
            return self._some(tile, kept.taken(part))

        parts = halved(reduced, lambda _: PackedLikelihoods.none(self.frame.size), slice(0, len(kept.rows)))
        return PackedLikelihoods.stack(parts)

    def _some(self, tile: Spectra, kept: Kept) -> PackedLikelihoods:
        shapes = kept.shapes.astype(np.float64)
        shapes[:, MOTIONS:] = self.shape[MOTIONS:]
        fit = Refit(kept.batch(self.tool, tile), kept, shapes)
        return self.frame.likelihoods(fit.projections, fit.scale, shapes).checked().packed()
