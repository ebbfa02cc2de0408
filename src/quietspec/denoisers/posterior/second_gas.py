r"""A second component of gas beside the first, where the evidence asks for it.

It has a velocity and width of its own. Its fluxes are f = s (t r + o δ), with a size s for each line, which is its flux
in a fit of one component, one coordinate r that all lines share, and δ for each line, all N(0, 1): bright lines tell
their own share, faint ones follow the others. It is kept where the evidence of lines, stars and calibration together,
the range of its motions included, is e⁵ times that without it, profiles of lines being known to 5 % only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.contamination import TRACERS, interstellar_mask, line_mask
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, GasState, Known, LineDesign, LineModel, Motion, Roots
from quietspec.denoisers.posterior.gas_scan import spikes_on_lines
from quietspec.denoisers.posterior.gas_trial import FirstLook, Found, Trial
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.lines_apart import LinesApart, may_be_apart, with_lines_apart
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.lines.results import FittedLines, GasMotion

__all__ = ["FirstLook", "SecondGas", "unpacked", "with_second_gas", "without_spikes"]


_VELOCITY_SIZE = 200.0  # km/s, 1σ of the prior of the velocity about that of the first component
_WIDTH, _WIDTH_SIZE = float(np.log(150.0)), 0.7  # ln σ (km/s): centre and 1σ of its prior
_WIDTHS = float(np.log(15.0)), float(np.log(1000.0))
_TIED, _OWN = 0.5, 0.2  # 1σ of the part of fluxes in proportion to their sizes, and of each flux's own, over its size
_SIZES = np.array([_VELOCITY_SIZE, _WIDTH_SIZE])
_EXCESS = 1.5  # σ of χ² at the lines of one component, beyond which a second one is tried
_SPOILT = 30.0  # … and beyond which lines of one motion have spoilt the stars
#: Starts of fits of two components: offsets of both in σ of the one, and widths of both over this.
_STARTS = (
    (0.0, 0.0, 0.8, 2.5), (0.0, -1.3, 0.8, 2.0), (0.0, 1.3, 0.8, 2.0), (-0.8, 0.9, 0.45, 0.45), (0.8, -0.9, 0.45, 0.45),
)  # fmt: skip
_START_SHARE = 0.35
_LEAST_SHARE = 0.05  # of the flux of bright lines that either component must have
_MOST_SPIKES = 2  # runs of pixels that stand out of lines of one motion and are taken for spikes
_LEAST_SCALE = 0.2  # of the flux scale of stars, below which a fit has lost its way
_MASKED = 250.0  # km/s, σ of the lines within which pixels are used when a second component is tried
_LARGEST_STEP = np.array([80.0, 0.4])  # km/s and ln σ


class Reading(NamedTuple):
    """Velocity (km/s), ln σ and their 1σ; fluxes (n,) and a square root of their covariance, a row for each."""

    velocity: float
    log_sigma: float
    motion_errors: FloatArray
    flux: FloatArray
    root: FloatArray


@dataclass(frozen=True, eq=False)
class SecondGas:
    """A further component, where it is linearised.

    Parameters
    ----------
    velocity, width, origin : float
        Velocity (km/s), ln σ, and centre of the prior of the velocity.
    sizes : (n,)
        Size s of each flux.
    shares : (1 + n,)
        r and δ.
    """

    velocity: float
    width: float
    origin: float
    sizes: FloatArray
    shares: FloatArray

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return GAS_MOTIONS + len(self.shares)

    @property
    def mixing(self) -> FloatArray:
        """Change of the fluxes with r and δ, (n, 1 + n)."""
        each = np.diag(_OWN * self.sizes)
        return np.concatenate([_TIED * self.sizes[:, None], each], axis=1)

    @property
    def flux(self) -> FloatArray:
        """Fluxes, (n,)."""
        return np.asarray(self.mixing @ self.shares)

    def coordinates(self) -> FloatArray:
        """Velocity, ln σ, r and δ in units of their priors."""
        motions = np.array([self.velocity - self.origin, self.width - _WIDTH]) / _SIZES
        return np.concatenate([motions, self.shares])

    def moved(self, step: FloatArray) -> SecondGas:
        """Return the component after a step in these coordinates, of limited size in the motions."""
        by_velocity, by_width = np.clip(step[:GAS_MOTIONS] * _SIZES, -_LARGEST_STEP, _LARGEST_STEP)
        return replace(
            self,
            velocity=self.velocity + float(by_velocity),
            width=float(np.clip(self.width + by_width, *_WIDTHS)),
            shares=self.shares + step[GAS_MOTIONS:],
        )

    def motions(self, first: Motion) -> list[Motion]:
        """Its velocity and ln σ, after those of the first component."""
        return [first, (self.velocity, self.width)]

    def design(self, model: LineModel, first: GasState, scale: float) -> LineDesign:
        """Lines of both components, and their change with the coordinates of both."""
        lines = model.unit_design(self.velocity, self.width, self.flux)
        columns = [lines.columns[:, :GAS_MOTIONS] * _SIZES, lines.columns[:, GAS_MOTIONS:] @ self.mixing]
        own = replace(lines, columns=np.concatenate(columns, axis=1).astype(np.float32))
        return model.one_component(first, scale).beside(own, len(model.rest))

    def packed(self) -> FloatArray:
        """Number of lines, velocity, ln σ, sizes, r and δ."""
        return np.array([len(self.sizes), self.velocity, self.width, *self.sizes, *self.shares])

    def read(self, known: Known) -> Reading:
        """Motions and fluxes, from the change of its coordinates to their mean and a square root of the covariance."""
        mean, root = known
        motions = self.coordinates()[:GAS_MOTIONS] + mean[:GAS_MOTIONS]
        return Reading(
            velocity=self.origin + float(motions[0]) * _VELOCITY_SIZE,
            log_sigma=_WIDTH + float(motions[1]) * _WIDTH_SIZE,
            motion_errors=np.linalg.norm(root[:GAS_MOTIONS], axis=1) * _SIZES,
            flux=self.mixing @ (self.shares + mean[GAS_MOTIONS:]),
            root=self.mixing @ root[GAS_MOTIONS:],
        )

    def added(self, lines: FittedLines, roots: Roots, known: Known, model: LineModel) -> FittedLines:
        """Add its fluxes to those of the first component; the brighter one of both then counts as the first."""
        own = self.read(known)
        flux, root = lines.flux + own.flux, roots.flux + own.root
        everything = np.concatenate([root, roots.continuum])
        bright = np.array([group.name in TRACERS for group in model.groups])
        total = flux[bright].sum()
        share = own.flux[bright].sum() / total
        error = np.linalg.norm(own.root[bright].sum(axis=0) - share * root[bright].sum(axis=0)) / abs(total)
        motions = [(lines.velocity, lines.log_sigma, lines.motion_errors), own[:3]]
        first, second = motions if share <= 0.5 else motions[::-1]
        return replace(
            lines,
            flux=flux,
            covariance=everything @ everything.T,
            velocity=first[0],
            log_sigma=first[1],
            motion_errors=first[2],
            components=2,
            second=GasMotion(*second),
            second_share=(float(min(share, 1 - share)), float(error)),
        )


def without_spikes(weight: FloatArray, hit: BoolArray) -> FloatArray:
    """Leave out one or two runs of pixels (n_pixels,) that stand out: they are spikes, more are a profile's misfit."""
    runs = int(np.count_nonzero(np.diff(hit.astype(np.int8), prepend=0) == 1))
    return np.where(hit, 0, weight) if runs <= _MOST_SPIKES else weight


def with_second_gas(
    data: Marginalised, model: PixelModel, flux: FloatArray, weights: tuple[FloatArray, FloatArray], first: FirstLook
) -> State | None:
    """Try a second component of gas, and forbidden lines that move apart from the others, on one spectrum.

    Parameters
    ----------
    data : Marginalised
        What the data say about its last state, with lines of one motion.
    model : PixelModel
        On its pixels.
    flux : (n_pixels,)
        Data.
    weights : two arrays (n_pixels,)
        Inverse variances of that fit, and those before anything was left out, the noise as measured.
    first : FirstLook
        The stars before lines were fitted, which lines of a wrong motion have not spoilt.

    Returns
    -------
    State or None
        Where to begin the fit with the likelier of the two, if the evidence asks for either; None if not.
    """
    lines, before = model.lines, first.state.gas
    if lines is None or before is None or not before.moves:
        return None
    # Pixels within reach of bright lines are used, whatever the first fit made of them.
    near = line_mask(lines.rest, lines.fwhm, before.velocity, _MASKED) & ~interstellar_mask(lines.rest, lines.fwhm)
    weight = np.where(near, weights[1], weights[0])
    gas, scale = data.linearised.state.gas, data.linearised.state.scale
    sound = gas is not None and gas.moves and scale > _LEAST_SCALE * first.state.scale
    trial = Trial.of(data, model, flux, weight) if sound else Trial.about(first, model, flux, weight)
    if trial.excess() < _EXCESS and not may_be_apart(trial):
        return None
    if sound:
        weight = without_spikes(weight, spikes_on_lines(data, flux, weight))
        trial = Trial.of(data, model, flux, weight)
    excess = trial.excess()
    found = _likelier(trial, two=excess >= _EXCESS)
    if found is None and sound and excess > _SPOILT:
        found = _likelier(Trial.about(first, model, flux, weight), two=True)
    return None if found is None else found.state


def _likelier(trial: Trial, *, two: bool) -> Found | None:
    """The likelier of `two` components, if they are tried, and of lines apart, if either is kept."""
    tried = [_with_second(trial) if two else None, with_lines_apart(trial)]
    kept = [one for one in tried if one is not None]
    return max(kept, key=lambda one: one.gain) if kept else None


def unpacked(row: FloatArray) -> SecondGas | LinesApart | None:
    """Invert `SecondGas.packed` and `LinesApart.packed`; None for a row of zeros, or none at all."""
    if not row.any():
        return None
    n = int(row[0])
    if n == LinesApart.code:
        return LinesApart(row[1:3])
    velocity, width = float(row[1]), float(row[2])
    sizes, shares = np.split(row[3 : 4 + 2 * n], [n])
    return SecondGas(velocity, width, velocity, sizes, shares)


def _with_second(trial: Trial) -> Found | None:
    """State with a second component where it is best, if the evidence asks for it; None if not."""
    found = trial.likeliest(_starts(trial))
    return found if found is not None and _is_sound(found.state, trial) else None


def _starts(trial: Trial) -> Iterator[GasState]:
    """Places from which to look for a second component: wings on either side, and two like peaks."""
    gas = trial.gas
    sigma = float(np.exp(gas.width))
    sizes = np.hypot(gas.flux, trial.errors)
    for first, offset, narrow, wide in _STARTS:
        shares = np.zeros(1 + len(sizes))
        shares[0] = _START_SHARE / _TIED
        velocity = gas.velocity + offset * max(sigma, 80.0)
        width = float(np.log(max(wide * sigma, 20.0)))
        yield replace(
            gas,
            velocity=gas.velocity + first * sigma,
            flux=(1 - _START_SHARE) * gas.flux,
            width=gas.width + float(np.log(narrow)),
            further=SecondGas(velocity, width, gas.velocity, sizes, shares),
        )


def _is_sound(state: State, trial: Trial) -> bool:
    """Whether both components have a fair share of the light of bright lines, and the stars have not changed."""
    assert state.gas is not None
    assert isinstance(state.gas.further, SecondGas)
    second = state.gas.further.flux[trial.bright].sum()
    share = second / (second + state.gas.flux[trial.bright].sum())
    return bool(_LEAST_SHARE < share < 1 - _LEAST_SHARE and trial.keeps_stars(state))
