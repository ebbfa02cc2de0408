r"""Forbidden lines with a motion of their own, where the evidence asks for it.

Shocks, outflows and active nuclei move and widen forbidden lines apart from those of hydrogen and helium, and
absorption that eats into the core of a Balmer line looks the same. The difference of the velocities is
50 km/s · sinh u, that of ln σ is 0.3 t, with u and t N(0, 1): most are of a few tens of km/s, few of more than 200.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, Away, GasState, Known, LineDesign, LineModel, Motion, Roots
from quietspec.denoisers.posterior.gas_trial import Found, Trial
from quietspec.lines.results import FittedLines, GasMotion

__all__ = ["LinesApart", "may_be_apart", "with_lines_apart"]

_VELOCITY_SIZE, _WIDTH_SIZE = 50.0, 0.3  # km/s and ln σ, 1σ of differences that are small
_FARTHEST, _WIDEST = 450.0, 1.5  # km/s and ln σ, the largest differences
_LARGEST_STEP = np.array([60.0, 0.3])  # km/s and ln σ
_PROMISING = 12.0  # χ² by which one step must promise to be better; of those that are kept, hardly any promise less
_AWAY = (0.0, -100.0, 100.0, -200.0, 200.0)  # km/s, of either group from the one motion
_TRIED = 4  # where fits begin: the best of these


@dataclass(frozen=True, eq=False)
class LinesApart:
    """By how much forbidden lines move apart from the others.

    Parameters
    ----------
    shares : (2,)
        Coordinates u and t, in units of their priors.
    """

    code: ClassVar[int] = -1  #: number by which files tell it from a second component
    size: ClassVar[int] = GAS_MOTIONS  #: number of coordinates
    shares: FloatArray

    @classmethod
    def by(cls, velocity: float, log_sigma: float = 0.0) -> LinesApart:
        """Return lines apart by these differences (km/s and ln σ), clipped to the allowed range."""
        away = np.clip([velocity, log_sigma], [-_FARTHEST, -_WIDEST], [_FARTHEST, _WIDEST])
        return cls(np.array([np.arcsinh(away[0] / _VELOCITY_SIZE), away[1] / _WIDTH_SIZE]))

    @property
    def away(self) -> Away:
        """Differences, and their change with u and t."""
        u, t = self.shares
        motion = np.array([_VELOCITY_SIZE * np.sinh(u), _WIDTH_SIZE * t])
        return Away(motion, np.array([_VELOCITY_SIZE * np.cosh(u), _WIDTH_SIZE]))

    def coordinates(self) -> FloatArray:
        """Coordinates u and t, (2,)."""
        return self.shares

    def moved(self, step: FloatArray) -> LinesApart:
        """Return the state after a step in u and t, taken as a step in the differences and limited in size."""
        motion, slope = self.away
        velocity, log_sigma = motion + np.clip(step * slope, -_LARGEST_STEP, _LARGEST_STEP)
        return self.by(float(velocity), float(log_sigma))

    def motions(self, first: Motion) -> list[Motion]:
        """Velocity and ln σ of the other lines and of the forbidden ones."""
        velocity, log_sigma = self.away.motion
        return [first, (first[0] + float(velocity), first[1] + float(log_sigma))]

    def design(self, model: LineModel, first: GasState, scale: float) -> LineDesign:
        """All lines, and their change with the coordinates of `first`, u and t."""
        return model.one_component(first, scale, self.away)

    def packed(self) -> FloatArray:
        """Code −1, u and t, as files hold them."""
        return np.array([self.code, *self.shares])

    def added(self, lines: FittedLines, roots: Roots, known: Known, model: LineModel) -> FittedLines:
        """Add the motion of the forbidden lines."""
        motion, slope = self.away
        (velocity, log_sigma), root = motion + slope * known[0], roots.motions + slope[:, None] * known[1]
        errors = np.linalg.norm(root, axis=1)
        found = GasMotion(lines.velocity + float(velocity), lines.log_sigma + float(log_sigma), errors)
        return replace(lines, forbidden=found)


def may_be_apart(trial: Trial) -> bool:
    """Whether some line is bright, and one step from one of the starts promises a better fit than one motion."""
    return bool(trial.bright.any()) and _promise(trial)[0] > _PROMISING


def with_lines_apart(trial: Trial) -> Found | None:
    """Best state with forbidden lines apart, if the evidence asks for it, else None."""
    promise, starts = _promise(trial)
    if not trial.bright.any() or promise <= _PROMISING:
        return None
    found = trial.likeliest(starts)
    return found if found is not None and _is_sound(found, trial) else None


def _promise(trial: Trial) -> tuple[float, list[GasState]]:
    """By how much one step from the best start promises to lower χ², and the best few starts."""
    gas = trial.gas
    starts = [
        replace(gas, velocity=gas.velocity + own, further=LinesApart.by(away))
        for away in _AWAY
        for own in sorted({0.0, -away})
    ]
    chi2 = np.array([trial.within_a_step(one) for one in starts])
    best = np.argsort(chi2)[:_TRIED]
    return trial.within_a_step(gas) - float(chi2[best[0]]), [starts[one] for one in best]


def _is_sound(found: Found, trial: Trial) -> bool:
    """Whether neither motion is at a limit or odd, and the stars have not changed."""
    gas = found.state.gas
    assert gas is not None
    assert isinstance(gas.further, LinesApart)
    limited = np.abs(gas.further.away.motion) > 0.95 * np.array([_FARTHEST, _WIDEST])
    both = [replace(gas, velocity=velocity, width=float(np.log(sigma))) for velocity, sigma in gas.motions]
    odd = any(one.is_odd(found.state.velocity) for one in both)
    return not limited.any() and not odd and trial.keeps_stars(found.state)
