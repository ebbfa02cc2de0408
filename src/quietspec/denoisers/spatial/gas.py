"""The motion of a galaxy's gas: velocity relative to the stars and ln σ, each a field on the sky.

Where lines are bright, a first pass fitted their motion; where they are faint, their evidence is known on a lattice of
motions. Of both the galaxy's own law of gas motions and a field are learned, as for the stars, and what the others say
of a spaxel replaces the law of the survey when its lines are measured again. Fluxes are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from quietspec.arrays import BoolArray, BySpectrum, FloatArray, IntArray
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.contamination import TRACERS
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, USUAL_WIDTH, LineModel
from quietspec.denoisers.posterior.gas_scan import LineScan, MotionLaw
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.velocity_scan import moments_on_lattice
from quietspec.denoisers.posterior.walk import Noise
from quietspec.denoisers.spatial.field import Field
from quietspec.denoisers.spatial.frame import Likelihoods, Messages
from quietspec.denoisers.spatial.galaxy import GalaxyPrior, mixed, share_of_galaxy, some_of
from quietspec.denoisers.spatial.motions import at_least, effect, known_on
from quietspec.denoisers.spatial.neighbourhoods import Neighbourhoods
from quietspec.lines.results import FittedLines

__all__ = ["GasLikelihoods", "GasMotions", "ScanningFit", "motions_of_gas"]

_VELOCITIES, _WIDTHS = 60.0 * np.arange(-5, 6), np.log([25.0, 50.0, 100.0, 200.0])  # km/s from the stars; ln σ
_FINE = np.linspace(_VELOCITIES[0], _VELOCITIES[-1], 61), np.linspace(_WIDTHS[0], _WIDTHS[-1], 19)
_TO_FINE = (
    CubicSpline(_VELOCITIES, np.eye(len(_VELOCITIES)))(_FINE[0]),
    CubicSpline(_WIDTHS, np.eye(len(_WIDTHS)))(_FINE[1]).T,
)
_NARROWEST = np.array([10.0, 0.15])  # km/s and ln σ: widths that the fine lattice resolves
_USUAL = MotionLaw(0.0, USUAL_WIDTH)  # of gas in the survey, about the stars
_SIZES = np.array([_USUAL.velocity_size, _USUAL.width_size])
_LINE = np.array([[0.0, 1.0], [70.0, 0.5]])  # offset from the stars (km/s), and factor: means beforehand, and 1σ
_SCATTER, _STEPS = 40.0, 4  # km/s, of gas about these; iterations
_TAILS, _FAR = 4.0, 16.0  # χ² at which a spaxel counts half, and beyond which neighbours learn nothing of it
_VARIANCES = np.array([0.5, 2.0])  # of a galaxy about which the data say nothing, in units of these sizes
_LEAST = 1e-4  # precision of what says nothing, in units of that law's
_WORTHWHILE = 5.0  # ln evidence of the spaxels, each predicted from the others, that the galaxy's gas must gain
_LIKELY = 0.5  # probability of the galaxy's gas below which a spaxel keeps to the law of the survey
_ROUNDS = 2  # times that the galaxy's prior is learned
_TOGETHER = 256  # spaxels worked on at a time

_TRACERS: WeakKeyDictionary[LineModel, LineModel] = WeakKeyDictionary()  # those of `_tracers_of`


class ScanningFit(BatchFit):
    """The fit of a batch that also finds the evidence of gas over a lattice of motions, where lines are faint.

    Attributes
    ----------
    gas_logs : (n_spectra, n_velocities, n_widths) of float32
        Log evidence over that of no gas, once there is a solution; 0 where lines are not scanned.
    """

    def __init__(
        self, batch: Batch[KinematicGrid], emission: Emission, noise: Noise, *, two_components: bool = True
    ) -> None:
        super().__init__(batch, emission, noise, two_components=two_components)
        self.gas_logs = np.zeros((len(batch.flux), len(_VELOCITIES), len(_WIDTHS)), dtype=np.float32)

    def _motion_of_gas(self, row: int, scan: LineScan) -> MotionLaw | None:
        tracers = _tracers_of(scan.model)
        if tracers.size:
            velocity, width = np.meshgrid(_origin(scan.velocity) + _VELOCITIES, _WIDTHS, indexing="ij")
            found = scan.log_evidence(velocity.ravel(), width.ravel(), tracers)
            self.gas_logs[row] = found.reshape(velocity.shape)
        return super()._motion_of_gas(row, scan)


def _tracers_of(model: LineModel) -> LineModel:
    """Lines of a model that reveal gas; made once."""
    if model not in _TRACERS:
        groups = tuple(group for group in model.groups if group.name in TRACERS)
        _TRACERS[model] = LineModel(model.rest, model.fwhm, groups)
    return _TRACERS[model]


def _origin(velocity: float) -> float:
    """Middle of the lattice for stars of a velocity, km/s, so that spectra share their profiles."""
    return float(20.0 * round(velocity / 20.0))


@dataclass(frozen=True, eq=False)
class GasLikelihoods(BySpectrum):
    """What the data of n spaxels say of the velocity of gas (km/s) and ln σ.

    Parameters
    ----------
    moves : (n,) of bool
        Spaxels whose lines are bright enough to have been fitted with a motion: that is used, of the others `logs`.
    origin : (n,)
        Velocity in the middle of the lattice.
    logs : (n, n_velocities, n_widths) of float32
        Log evidence of gas over that of none.
    mean, precision : (n, 2)
        Of the fits, without their prior.
    """

    moves: BoolArray
    origin: FloatArray
    logs: FloatArray
    mean: FloatArray
    precision: FloatArray

    @classmethod
    def of(cls, fit: ScanningFit) -> Self:
        """Take them from the fits of a batch, once these have their solution."""
        n = len(fit.states)
        moves, mean, error = np.zeros(n, dtype=bool), np.zeros((n, GAS_MOTIONS)), np.ones((n, GAS_MOTIONS))
        for row, (state, lines) in enumerate(zip(fit.states, fit.lines, strict=False)):
            moves[row] = state.gas is not None and state.gas.moves
            mean[row], error[row] = (lines.velocity, lines.log_sigma), lines.motion_errors
        # The velocity was fitted under a prior about where the data had it.
        prior = np.array([0.0, _SIZES[1] ** -2])
        precision = np.maximum(error**-2 - prior, _LEAST * _SIZES**-2)
        mean = (error**-2 * mean - prior * USUAL_WIDTH) / precision
        origin = np.array([_origin(state.velocity) for state in fit.states])
        return cls(moves, origin, fit.gas_logs, mean, precision)

    def silenced(self, which: BoolArray) -> GasLikelihoods:
        """Let some spaxels, (n,) of bool, say nothing."""
        logs = np.where(which[:, None, None], np.float32(0), self.logs)
        return replace(self, moves=self.moves & ~which, logs=logs)

    def gaussians(self, mean: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gaussians that stand for the likelihoods where others say N(mean, covariance), (n, 2) and (n, 2, 2).

        Returns
        -------
        precision, gradient : (n, 2, 2) and (n, 2)
            Of the log likelihood −½ (m − mean)ᵀ precision (m − mean) + gradient · (m − mean).
        """
        precision, gradient = self.precision[:, None] * np.eye(GAS_MOTIONS), self.precision * (self.mean - mean)
        for rows, known, wide in self._scanned(mean, covariance):
            log = known_on(self._fine(rows), _FINE, known, wide)
            density = np.exp(log - log.max(axis=(1, 2), keepdims=True))
            density /= density.sum(axis=(1, 2), keepdims=True)
            precision[rows], gradient[rows] = effect(known, wide, *moments_on_lattice(density, _FINE))
        return precision, gradient

    def log_evidence(self, mean: FloatArray, covariance: FloatArray) -> FloatArray:
        """Log evidence (n,) where others say N(mean, covariance), but for a constant of each spaxel."""
        total = np.einsum("nii->ni", covariance) + 1 / self.precision
        found = -0.5 * (np.log(total) + (self.mean - mean) ** 2 / total).sum(axis=1)
        for rows, known, wide in self._scanned(mean, covariance):
            prior = known_on(np.zeros((len(rows), *map(len, _FINE))), _FINE, known, wide)
            both = logsumexp(prior + self._fine(rows), axis=(1, 2)), logsumexp(prior, axis=(1, 2))
            found[rows] = both[0] - both[1]
        return np.asarray(found)

    def _scanned(self, mean: FloatArray, covariance: FloatArray) -> Iterator[tuple[IntArray, FloatArray, FloatArray]]:
        """Spaxels with a lattice, some at a time, and what is known: about its middle, as wide as it resolves."""
        rows = np.flatnonzero(~self.moves)
        for start in range(0, len(rows), _TOGETHER):
            some = rows[start : start + _TOGETHER]
            away = mean[some] - np.stack([self.origin[some], np.zeros(len(some))], axis=1)
            away = np.clip(away, [_FINE[0][0], _FINE[1][0]], [_FINE[0][-1], _FINE[1][-1]])
            yield some, away, at_least(covariance[some], _NARROWEST)

    def _fine(self, rows: IntArray) -> FloatArray:
        """Log likelihood of motions on the fine lattice, if gas is as likely as not."""
        fine = _TO_FINE[0] @ self.logs[rows].astype(np.float64) @ _TO_FINE[1]
        return np.asarray(np.logaddexp(fine, 0.0) - np.log(2))


@dataclass(frozen=True, eq=False)
class GasMotions(BySpectrum):
    """What is known of the motion of gas in n spaxels when the second pass begins.

    Parameters
    ----------
    told : (n,) of bool
        Spaxels of which the others tell something; the others keep to the law of the survey.
    mean, error : (n, 2)
        Velocity (km/s) and ln σ by the others, and 1σ.
    """

    told: BoolArray
    mean: FloatArray
    error: FloatArray

    def but(self, others: BoolArray) -> GasMotions:
        """Say nothing of others, (n,) of bool."""
        return replace(self, told=self.told & ~others)

    def law(self, row: int) -> MotionLaw | None:
        """Law of the motion of gas in a spaxel; None for that of the survey."""
        return MotionLaw(*self.mean[row].tolist(), *self.error[row].tolist()) if self.told[row] else None

    def placed(self, states: list[State]) -> list[State]:
        """States with faint lines where they are expected."""
        return [self._placed(row, state) for row, state in enumerate(states)]

    def _placed(self, row: int, state: State) -> State:
        if state.gas is None or state.gas.moves or not self.told[row]:
            return state
        velocity, width = self.mean[row].tolist()
        return replace(state, gas=replace(state.gas, velocity=velocity, width=width, origin=velocity))

    def added(self, row: int, lines: FittedLines) -> FittedLines:
        """Add what the others say to the motion of lines that was fitted."""
        if not self.told[row] or lines.components != 1 or lines.forbidden is not None:
            return lines
        weights = np.stack([lines.motion_errors, self.error[row]]) ** -2.0
        velocity, width = (weights * [[lines.velocity, lines.log_sigma], self.mean[row]]).sum(axis=0) / weights.sum(
            axis=0
        )
        return replace(
            lines, velocity=float(velocity), log_sigma=float(width), motion_errors=weights.sum(axis=0) ** -0.5
        )


def motions_of_gas(
    data: GasLikelihoods, stars: FloatArray, errors: FloatArray, members: BoolArray, sky: Neighbourhoods
) -> GasMotions:
    """Learn how the gas of a galaxy moves, and what that says of each spaxel.

    Velocities are compared relative to those of the stars times a factor, which is less than zero where gas rotates
    the other way.

    Parameters
    ----------
    data : GasLikelihoods
        Of all n spaxels.
    stars, errors : (n,)
        Velocities of the stars, km/s, and 1σ.
    members : (n,) of bool
        Spaxels that may inform others.
    sky : Neighbourhoods
        Of the spaxels.

    Returns
    -------
    GasMotions
        Nothing where the spaxels are not better predicted by each other than by the survey.
    """
    nothing = _Comparison(stars, errors).motions(Messages.alike(len(stars), np.zeros(GAS_MOTIONS), np.eye(GAS_MOTIONS)))
    before = data.log_evidence(*nothing)
    following = _Following.of(data, members, (stars, errors), nothing)
    heard = ~following.far
    for _ in range(_ROUNDS):
        # Of lines that move unlike the galaxy, or are none, the neighbours learn nothing.
        mean, covariance = following.comparison.predicted(data.silenced(~heard), members, sky)
        gain = data.log_evidence(mean, covariance) - before
        alike = share_of_galaxy(gain) >= _LIKELY
        if np.array_equal(alike, heard):
            break
        heard = alike
    worthwhile = mixed(gain[members]).sum() > _WORTHWHILE
    return GasMotions(alike & worthwhile, mean, np.sqrt(np.einsum("nii->ni", covariance)))


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Modes in which the motions of gas are compared: velocity − zero and ln σ, in units of the survey's spread.

    zero, errors : (n,), and its 1σ in each spaxel.
    """

    zero: FloatArray
    errors: FloatArray

    def motions(self, messages: Messages) -> tuple[FloatArray, FloatArray]:
        """Means (n, 2) and covariances (n, 2, 2) of velocity and ln σ."""
        covariance = messages.covariance * np.outer(_SIZES, _SIZES)
        covariance[:, 0, 0] += self.errors**2
        return self._origin + messages.mean * _SIZES, covariance

    @property
    def _origin(self) -> FloatArray:
        return np.stack([self.zero, np.full(len(self.zero), USUAL_WIDTH)], axis=1)

    def modes(self, data: GasLikelihoods, known: tuple[FloatArray, FloatArray]) -> Likelihoods:
        """What the data say of the modes where others say N of mean and covariance of velocity and ln σ."""
        precision, gradient = data.gaussians(*known)
        # The error of the zero makes the data say less of the modes.
        spread = np.zeros((len(precision), GAS_MOTIONS, GAS_MOTIONS))
        spread[:, 0, 0] = self.errors**2
        left = np.linalg.inv(np.eye(GAS_MOTIONS) + precision @ spread)
        precision, gradient = left @ precision, (left @ gradient[..., None])[..., 0]
        at_zero = gradient - np.vecdot(precision, (self._origin - known[0])[:, None])
        return Likelihoods(precision * np.outer(_SIZES, _SIZES), at_zero * _SIZES)

    def predicted(self, data: GasLikelihoods, members: BoolArray, sky: Neighbourhoods) -> tuple[FloatArray, FloatArray]:
        """Means and covariances of velocity and ln σ of each spaxel by all others."""
        galaxy = GalaxyPrior(np.zeros(GAS_MOTIONS), np.eye(GAS_MOTIONS))
        some = some_of(members)
        few, theirs = _Comparison(self.zero[some], self.errors[some]), data[some]
        for _ in range(_ROUNDS):
            known = few.motions(Messages.alike(len(some), galaxy.mean, galaxy.covariance))
            galaxy = GalaxyPrior.of(few.modes(theirs, known), _VARIANCES, np.inf)
        known = self.motions(Messages.alike(len(self.zero), galaxy.mean, galaxy.covariance))
        return self.motions(Field.of(self.modes(data, known).packed(), galaxy, sky).messages)


@dataclass(frozen=True, eq=False)
class _Following:
    """Gas that rotates with the stars, faster, slower or the other way, and spaxels (n,) whose gas is far from that."""

    comparison: _Comparison
    far: BoolArray

    @classmethod
    def of(
        cls,
        data: GasLikelihoods,
        members: BoolArray,
        stars: tuple[FloatArray, FloatArray],
        known: tuple[FloatArray, FloatArray],
    ) -> Self:
        """Fit a line through velocities of gas and of stars, of given errors, beginning where gas is known to be."""
        velocity, errors = stars
        width = known[0][:, 1]
        design = np.stack([np.ones(len(velocity)), velocity], axis=1)
        line = _LINE[0]
        for _ in range(_STEPS):
            precision, gradient = data.gaussians(*known)
            value = known[0][:, 0] + gradient[:, 0] / precision[:, 0, 0]
            sure = 1 / (1 / precision[:, 0, 0] + _SCATTER**2 + (line[1] * errors) ** 2)
            weight = members * sure / (1 + sure * (value - design @ line) ** 2 / _TAILS)
            spread = np.linalg.inv((design.T * weight) @ design + np.diag(_LINE[1] ** -2.0))
            line = spread @ (design.T @ (weight * value) + _LINE[0] * _LINE[1] ** -2.0)
            known = np.stack([design @ line, width], axis=1), known[1]
        far = sure * (value - design @ line) ** 2 > _FAR
        variance = np.einsum("ni,ij,nj->n", design, spread, design) + (line[1] * errors) ** 2
        return cls(_Comparison(design @ line, np.sqrt(variance)), far)
