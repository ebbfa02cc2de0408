"""Denoise a cube as a whole: spaxels that know their galaxy and their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import FAILURES, Denoised, Flag, ModelId
from quietspec.denoisers.base import initial_flags
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.kinematics import MOTIONS
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.spatial.field import Field
from quietspec.denoisers.spatial.frame import Frame, Likelihoods, Messages
from quietspec.denoisers.spatial.galaxy import GalaxyPrior, belonging
from quietspec.denoisers.spatial.motions import MotionLikelihoods
from quietspec.denoisers.spatial.neighbourhoods import Neighbourhoods
from quietspec.denoisers.spatial.refit import Kept, Refit
from quietspec.denoisers.spatial.stack import FittedStack, Stack
from quietspec.errors import SpectraError
from quietspec.noise import NoiseCorrelation, best_patch, measure_correlation
from quietspec.spectra import Spectra

__all__ = ["SpatialPosterior"]

_FEWEST = 20  # spaxels of a galaxy that can say anything of each other
_COMMON = 0.05  # correlation of all spaxels at least: errors of sky, continuum and model that no averaging removes
_BRIGHT = 0.9  # share of the squared S/N of all spaxels that the bright ones have, which are summed
_STRANGE = (
    Flag.STAR | Flag.WRONG_REDSHIFT | Flag.UNLIKE_PRIOR | Flag.NOT_GALAXY | Flag.POOR_FIT | Flag.NUCLEUS | FAILURES
)
_ROUNDS = 2  # times that the galaxy's prior is learned: first where motions may be anything, then where it has them
_SEED = 18


class SpatialPosterior(KinematicPosterior):
    """Posterior of the spaxels of one galaxy, each of which knows all others.

    A first pass is the usual posterior of each spaxel. The sum of the bright ones shows the calibration errors that all
    share. Of the rest, mean and covariance over the galaxy are learned, and a field on the sky; what these say of a
    spaxel without its own data joins its own data in a second pass. Spaxels that are unlike their galaxy keep to their
    own data.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        Of unbroadened spectra at rest (`SpectralPrior.at_rest`).
    calibration : CalibrationLaw, optional
        As for `KinematicPosterior`.
    emission, noise : str, optional
        As for `KinematicPosterior`.
    higher_moments : bool
        As for `KinematicPosterior`.

    Examples
    --------
    >>> import quietspec
    >>> from quietspec.denoisers import SpatialPosterior, load_prior
    >>> cube = quietspec.read(quietspec.demo_cube())[6:14, 6:14]
    >>> denoised = SpatialPosterior("posterior", load_prior("survey")).denoise(cube)
    >>> bool((denoised.n_spaxels >= 1).all())
    True
    """

    @property
    def model(self) -> ModelId:
        """The name, which says that spaxels were taken together, with the hash of the prior."""
        return _model_id(self)

    def _denoise(self, spectra: Spectra) -> Denoised:
        if spectra.spatial_shape is None:
            raise SpectraError("denoise: these spectra form no image, and cannot know their neighbours: spatial=False.")
        with threadpool_limits(limits=1):
            first = _Keeping(spectra, self._label_names)
            first.estimates.flags[:] = initial_flags(spectra, rest_frame=True)
            self._denoise_rows(np.flatnonzero(first.estimates.flags == 0), first)
            alone = self._finish(first)
            cube = _Cube.of(self, first, alone)
            if cube is None:
                return alone
            del alone  # it may be large
            return cube.denoised()

    def _denoise_batch(self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], result: Accumulator) -> None:
        fit = BatchFit(batch, self.emission, self.noise)
        self.store(rows, batch, fit, result)
        if isinstance(result, _Keeping):
            result.kept.append(Kept.of(rows, batch, fit))


class _Keeping(Accumulator):
    """An accumulator that keeps what a second pass needs."""

    def __init__(self, spectra: Spectra, label_names: tuple[str, ...]) -> None:
        super().__init__(spectra, label_names)
        self.kept: list[Kept] = []


@dataclass(frozen=True, eq=False)
class _Cube:
    """The second pass over the spaxels of one redshift.

    Parameters
    ----------
    tool : KinematicPosterior
        Denoiser that knows the calibration which all spaxels share.
    result : Accumulator
        Result of the first pass, which the second replaces.
    flags, p_value : (n_spectra,)
        Of the first pass.
    kept : list of Kept
        Of the spaxels, n in all.
    members : (n,) of bool
        Spaxels that belong to the galaxy for all that is known.
    stack : FittedStack
        Of the bright members.
    noise : NoiseCorrelation
        Correlation of the noise of spaxels.
    """

    tool: KinematicPosterior
    result: Accumulator
    flags: npt.NDArray[np.int64]
    p_value: FloatArray
    kept: list[Kept]
    members: BoolArray
    stack: FittedStack
    noise: NoiseCorrelation

    @classmethod
    def of(cls, denoiser: KinematicPosterior, first: _Keeping, alone: Denoised) -> _Cube | None:
        """Take the spaxels of the most frequent redshift, and sum the bright ones; None where there are too few."""
        kept = _of_one_redshift(first)
        members = (alone.flags[_rows(kept)] & int(_STRANGE)) == 0
        if members.sum() < _FEWEST:
            return None
        signal = np.where(members, np.concatenate([one.signal for one in kept]), 0.0)
        stack = _summed(denoiser, first.spectra, kept, _brightest(signal)).fit(denoiser.emission)
        tool = KinematicPosterior(
            denoiser.name,
            denoiser.prior,
            denoiser.law_of(first.spectra).reduced(stack.share),
            denoiser.emission,
            denoiser.noise,
            higher_moments=denoiser.higher_moments,
            shared=stack.calibration,
        )
        flags = alone.flags.astype(np.int64)
        return cls(tool, first, flags, alone.p_value, kept, members, stack, _noise_of(alone))

    def denoised(self) -> Denoised:
        """Make the result of the whole cube."""
        frame = self._frame()
        linear, motions = self._likelihoods(frame), MotionLikelihoods.stack([kept.motions for kept in self.kept])
        field = Field.of(*self._of_galaxy(frame, linear, motions), self._sky())
        about, spread = frame.motions(field.messages)
        precision, gradient = motions.gaussians(about, spread)
        likelihoods = linear.with_motions(*frame.of_motions(precision, gradient, about))
        own = (belonging(likelihoods, field.messages.mean, field.messages.covariance) < 0.5) | ~self.members
        covariance = np.linalg.inv(precision + np.linalg.inv(spread))
        mean = about + (covariance @ gradient[..., None])[..., 0]
        found = np.where(own[:, None], motions.mean, mean), np.where(own[:, None, None], motions.covariance, covariance)
        estimates = self.result.estimates
        evidence, noise_scale = estimates.evidence.copy(), estimates.noise_scale.copy()
        self._second(frame, likelihoods, field.messages, own, found)
        self.result.estimates = replace(self.result.estimates, evidence=evidence, noise_scale=noise_scale)
        return self._finished(np.where(own, 1.0, field.n_spaxels), own)

    def _of_galaxy(
        self, frame: Frame, linear: Likelihoods, motions: MotionLikelihoods
    ) -> tuple[Likelihoods, GalaxyPrior]:
        """What the data say where the galaxy has its motions, and its prior."""
        k = frame.size
        galaxy, likelihoods = GalaxyPrior(np.zeros(k), np.eye(k)), linear
        for _ in range(_ROUNDS):
            about, spread = frame.motions(Messages.alike(len(motions.scanned), galaxy.mean, galaxy.covariance))
            likelihoods = linear.with_motions(*frame.of_motions(*motions.gaussians(about, spread), about))
            galaxy = GalaxyPrior.of(likelihoods[self.members], np.random.default_rng(_SEED))
        return likelihoods, galaxy

    def _frame(self) -> Frame:
        coordinates = self.tool.coordinates
        weights = np.concatenate([kept.weights for kept in self.kept])[self.members].mean(axis=0, dtype=np.float64)
        information = np.sum([kept.information for kept in self.kept], axis=0)
        return Frame.of(coordinates.mixture, coordinates.centre, weights, information)

    def _likelihoods(self, frame: Frame) -> Likelihoods:
        """What the data say, about the populations of the sum: their own noise would find itself in them."""
        parts = []
        for kept, batch, ignored in self._batches():
            shapes = kept.shapes.astype(np.float64)
            shapes[:, MOTIONS:] = self.stack.shape[MOTIONS:]
            fit = Refit(batch, kept, shapes, ignored)
            parts.append(frame.likelihoods(fit.projections, fit.scale, shapes))
        return Likelihoods.stack(parts)

    def _batches(self) -> Iterator[tuple[Kept, Batch[KinematicGrid], BoolArray]]:
        """Batches of the first pass anew, without the calibration they share, and the pixels that it left out."""
        spectra = self.result.spectra
        for kept in self.kept:
            grid = self.tool.grid(spectra, float(spectra.redshift[kept.rows[0]]), int(kept.rows[0]))
            if grid is not None:
                ignored = self.result.estimates.ignored[kept.rows, grid.pixels]
                yield kept, self.tool.batch(spectra, kept.rows, grid), ignored

    def _sky(self) -> Neighbourhoods:
        shape = self.result.spectra.spatial_shape or ()
        places = np.stack(np.unravel_index(_rows(self.kept), shape), axis=1).astype(float)
        return Neighbourhoods(places, self.members, self.noise)

    def _second(
        self,
        frame: Frame,
        likelihoods: Likelihoods,
        messages: Messages,
        own: BoolArray,
        motions: tuple[FloatArray, FloatArray],
    ) -> None:
        """Replace the results of the first pass, spaxels that keep to their `own` data without messages."""
        self.result.forget_compact()
        self.result.estimates.flags[_rows(self.kept)] = 0
        modes = likelihoods.posterior(messages.mean, messages.covariance)[0]
        done = 0
        for kept, batch, ignored in self._batches():
            part = slice(done, done + len(kept.rows))
            told = ~own[part]
            shapes = np.where(told[:, None], frame.shapes(modes[part], kept.shapes), kept.shapes)
            fit = Refit(batch, kept, shapes, ignored)
            precision, pull = frame.in_coordinates(messages[part])
            informed = fit.projections.informed(precision * told[:, None, None], pull * told[:, None], fit.scale)
            fit.conclude(informed, (motions[0][part], motions[1][part]))
            self.tool.store(kept.rows, batch, fit, self.result)
            done = part.stop

    def _finished(self, n_spaxels: FloatArray, own: BoolArray) -> Denoised:
        """Make the result; flags are those of the first pass but for labels that are little more than the prior."""
        rows, flags, count = _rows(self.kept), self.flags, np.ones(len(self.flags))
        flags[rows] &= ~int(Flag.PRIOR_LABELS)
        flags[rows] |= self.result.estimates.flags[rows] & int(Flag.PRIOR_LABELS)
        flags[rows[own]] |= int(Flag.UNLIKE_NEIGHBOURS)
        self.result.estimates.flags[:] = flags
        count[rows] = n_spaxels
        self.result.widen_labels(rows, self.stack.label_covariance)
        joined = self.result.finish(_model_id(self.tool))
        return replace(joined, flags=flags, p_value=self.p_value, n_spaxels=count)


def _model_id(denoiser: KinematicPosterior) -> ModelId:
    return ModelId(f"{denoiser.name}, spatial", denoiser.prior.hash)


def _of_one_redshift(first: _Keeping) -> list[Kept]:
    """What was kept of the spaxels of the most frequent redshift, without those that were moved to another one."""
    given = first.spectra.redshift
    usual = _usual(given[_rows(first.kept)])
    parts = [one.taken(first.estimates.redshift[one.rows] == usual) for one in first.kept]
    return [part for part in parts if len(part.rows) and given[part.rows[0]] == usual]


def _rows(kept: list[Kept]) -> npt.NDArray[np.intp]:
    return np.concatenate([np.empty(0, dtype=np.intp), *(one.rows for one in kept)])


def _usual(redshift: FloatArray) -> float:
    """The most frequent redshift; NaN without any."""
    values, counts = np.unique(redshift, return_counts=True)
    return float(values[counts.argmax()]) if values.size else float("nan")


def _noise_of(alone: Denoised) -> NoiseCorrelation:
    """Correlation of the noise between spaxels in what denoising leaves, some of it common to all in any case."""
    snr = np.where(alone.valid.any(axis=1), alone.spectra.snr, np.nan)
    y, x = best_patch(alone.spectra.image(snr))
    try:
        measured = measure_correlation(alone[y, x]).correlation
    except SpectraError:  # too few spaxels
        measured = NoiseCorrelation()
    return NoiseCorrelation(measured.lags, max(measured.typical_common, _COMMON))


def _brightest(signal: FloatArray) -> BoolArray:
    """The fewest spaxels that have nine tenths of the squared S/N of all."""
    order = np.argsort(-signal, kind="stable")
    enough = int(np.searchsorted(np.cumsum(signal[order]), _BRIGHT * signal.sum())) + 1
    chosen = np.zeros(len(signal), dtype=bool)
    chosen[order[:enough]] = True
    return chosen


def _summed(denoiser: KinematicPosterior, spectra: Spectra, every: list[Kept], chosen: BoolArray) -> Stack:
    """Sum some of the spaxels."""
    first = int(every[0].rows[0])
    grid = denoiser.grid(spectra, float(spectra.redshift[first]), first)
    if grid is None:
        raise ValueError("the model covers none of the pixels")
    stack, done = Stack(grid), 0
    for kept in every:
        these = chosen[done : done + len(kept.rows)]
        done += len(kept.rows)
        if these.any():
            batch = denoiser.batch(spectra, kept.rows, grid)
            scale = np.array([state.scale for state in kept.states])
            stack.add(batch.flux[these], kept.weight(batch)[these], scale[these])
    return stack
