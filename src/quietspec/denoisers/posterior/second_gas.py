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
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, GasState, Known, LineDesign, LineModel, Roots
from quietspec.denoisers.posterior.gas_scan import spikes_on_lines
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.lines.results import FittedLines, SecondMotion
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["FirstLook", "SecondGas", "unpacked", "with_second_gas", "without_spikes"]


_VELOCITY_SIZE = 200.0  # km/s, 1σ of the prior of the velocity about that of the first component
_WIDTH, _WIDTH_SIZE = float(np.log(150.0)), 0.7  # ln σ (km/s): centre and 1σ of its prior
_WIDTHS = float(np.log(15.0)), float(np.log(1000.0))
_TIED, _OWN = 0.5, 0.2  # 1σ of the part of fluxes in proportion to their sizes, and of each flux's own, over its size
_SIZES = np.array([_VELOCITY_SIZE, _WIDTH_SIZE])
_DECISIVE = 5.0  # ln evidence that a component must add
_PROFILE = 0.05  # share of a line by which its profile may be wrong
_EXCESS = 1.5  # σ of χ² at the lines of one component, beyond which a second one is tried
_SPOILT = 30.0  # … and beyond which lines of one motion have spoilt the stars
_BRIGHT = 5.0  # σ, beyond which a line is looked at
_ELSEWHERE = 6.0  # χ² that a second component must gain outside the line where it gains most …
#: Starts of fits of two components: offsets of both in σ of the one, and widths of both over this.
_STARTS = (
    (0.0, 0.0, 0.8, 2.5), (0.0, -1.3, 0.8, 2.0), (0.0, 1.3, 0.8, 2.0), (-0.8, 0.9, 0.45, 0.45), (0.8, -0.9, 0.45, 0.45),
)  # fmt: skip
_START_SHARE = 0.35
_LINE_REACH = 1000.0  # … within so many km/s
_LEAST_SHARE = 0.05  # of the flux of bright lines that either component must have
_MOST_SPIKES = 2  # runs of pixels that stand out of lines of one motion and are taken for spikes
_LEAST_SCALE = 0.2  # of the flux scale of stars, below which a fit has lost its way
_MASKED = 250.0  # km/s, σ of the lines within which pixels are used when a second component is tried
_LARGEST_STEP = np.array([80.0, 0.4])  # km/s and ln σ
_ROUNDS, _LAST_ROUNDS = 14, 3  # steps at most, of lines alone and of everything
_CONVERGED = 0.05  # change of χ²


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

    def design(self, model: LineModel) -> LineDesign:
        """Its lines, and their change with its coordinates."""
        lines = model.unit_design(self.velocity, self.width, self.flux)
        columns = [lines.columns[:, :GAS_MOTIONS] * _SIZES, lines.columns[:, GAS_MOTIONS:] @ self.mixing]
        return replace(lines, columns=np.concatenate(columns, axis=1).astype(np.float32))

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
        flux, root = lines.flux + own.flux, roots[0] + own.root
        everything = np.concatenate([root, roots[1]])
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
            second=SecondMotion(*second, share=(float(min(share, 1 - share)), float(error))),
        )


def without_spikes(weight: FloatArray, hit: BoolArray) -> FloatArray:
    """Leave out one or two runs of pixels (n_pixels,) that stand out: they are spikes, more are a profile's misfit."""
    runs = int(np.count_nonzero(np.diff(hit.astype(np.int8), prepend=0) == 1))
    return np.where(hit, 0, weight) if runs <= _MOST_SPIKES else weight


def with_second_gas(
    data: Marginalised, model: PixelModel, flux: FloatArray, weights: tuple[FloatArray, FloatArray], first: FirstLook
) -> State | None:
    """Try further components of gas on one spectrum.

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
        Where to begin the fit with the components that are kept; None if none is.
    """
    lines, before = model.lines, first.state.gas
    if lines is None or before is None or not before.moves:
        return None
    # Pixels within reach of bright lines are used, whatever the first fit made of them.
    near = line_mask(lines.rest, lines.fwhm, before.velocity, _MASKED) & ~interstellar_mask(lines.rest, lines.fwhm)
    weight = np.where(near, weights[1], weights[0])
    gas, scale = data.linearised.state.gas, data.linearised.state.scale
    sound = gas is not None and gas.moves and scale > _LEAST_SCALE * first.state.scale
    trial = _Trial.of(data, model, flux, weight) if sound else _Trial.about(first, model, flux, weight)
    if (excess := trial.excess()) < _EXCESS:
        return None
    if sound:
        weight = without_spikes(weight, spikes_on_lines(data, flux, weight))
        trial = _Trial.of(data, model, flux, weight)
        if (excess := trial.excess()) < _EXCESS:
            return None
    found = trial.with_second()
    if found is None and sound and excess > _SPOILT:
        found = _Trial.about(first, model, flux, weight).with_second()
    return found


def unpacked(row: FloatArray) -> SecondGas | None:
    """Invert `SecondGas.packed`; None for a row of zeros, or none at all."""
    if not row.any():
        return None
    n, velocity, width = int(row[0]), float(row[1]), float(row[2])
    sizes, shares = np.split(row[3 : 4 + 2 * n], [n])
    return SecondGas(velocity, width, velocity, sizes, shares)


class FirstLook(NamedTuple):
    """Stars as they were found under a mask of lines, and what they leave, (n_pixels,)."""

    state: State
    residual: FloatArray


@dataclass(frozen=True, eq=False)
class _Trial:
    """Fits of one spectrum with and without further components.

    Parameters
    ----------
    model, lines : PixelModel, LineModel
        On its pixels.
    state : State
        Without further components.
    flux, weight : (n_pixels,)
        Data, and inverse variances by which fits are compared.
    beside, left : (n_pixels,)
        Data less stars, and less stars and lines of one motion.
    bright : (n_groups,) of bool
        Lines that are well seen.
    errors : (n_groups,)
        1σ of the fluxes.
    """

    model: PixelModel
    lines: LineModel
    state: State
    flux: FloatArray
    weight: FloatArray
    beside: FloatArray
    left: FloatArray
    bright: BoolArray
    errors: FloatArray

    @classmethod
    def of(cls, data: Marginalised, model: PixelModel, flux: FloatArray, weight: FloatArray) -> _Trial:
        """Prepare trials about the last fit."""
        linearised = data.linearised
        step, scale = data.step()
        beside = flux - linearised.model - linearised.change(step)
        return cls._of(linearised.state.moved(step, scale), model, flux, weight, beside)

    @classmethod
    def about(cls, first: FirstLook, model: PixelModel, flux: FloatArray, weight: FloatArray) -> _Trial:
        """Prepare trials about the stars of a first look."""
        assert model.lines is not None
        assert first.state.gas is not None
        gas = model.lines.fitted(first.state.gas, first.residual, weight, first.state.scale)
        return cls._of(replace(first.state, gas=gas), model, flux, weight, first.residual)

    @classmethod
    def _of(cls, state: State, model: PixelModel, flux: FloatArray, weight: FloatArray, beside: FloatArray) -> _Trial:
        lines = model.lines
        assert lines is not None
        assert state.gas is not None
        found = lines.design(state.gas, state.scale)
        near, weight = weight[found.rows], weight.copy()
        weight[found.rows] /= 1 + near * (_PROFILE * found.flux) ** 2
        amounts = found.columns[:, GAS_MOTIONS:]
        power = np.einsum("pi,p,pi->i", amounts, near, amounts)
        errors = lines.flux_size(state.scale) / np.sqrt(1 + power)
        bright = state.gas.flux > _BRIGHT * errors
        return cls(model, lines, state, flux, weight, beside, found.left(beside), bright, errors)

    @property
    def gas(self) -> GasState:
        """Lines of one motion."""
        assert self.state.gas is not None
        return self.state.gas

    def excess(self) -> float:
        """σ by which χ² at the bright lines exceeds that of the other pixels."""
        names = [name for group, seen in zip(self.lines.groups, self.bright, strict=True) if seen
                 for name, _ in group.members]  # fmt: skip
        if not names:
            return -np.inf
        width = 1.5 * float(np.exp(self.gas.width))
        near = line_mask(self.lines.rest, self.lines.fwhm, self.gas.velocity, width, names) & (self.weight > 0)
        pulls = self.left**2 * self.weight
        usual = float(np.median(pulls[(self.weight > 0) & ~near])) / 0.455  # the median of χ² of one pixel
        n = int(near.sum())
        return float((pulls[near].sum() / usual - n) / np.sqrt(2 * n)) if n and usual > 0 else -np.inf

    def starts(self) -> Iterator[GasState]:
        """Places from which to look for a second component: wings on either side, and two like peaks."""
        gas = self.gas
        sigma = float(np.exp(gas.width))
        sizes = np.hypot(gas.flux, self.errors)
        for first, offset, narrow, wide in _STARTS:
            shares = np.zeros(1 + len(sizes))
            shares[0] = _START_SHARE / _TIED
            velocity = gas.velocity + offset * max(sigma, 80.0)
            width = float(np.log(max(wide * sigma, 20.0)))
            second = SecondGas(velocity, width, gas.velocity, sizes, shares)
            yield replace(
                gas,
                velocity=gas.velocity + first * sigma,
                flux=(1 - _START_SHARE) * gas.flux,
                width=gas.width + float(np.log(narrow)),
                second=second,
            )

    def settled(self, gas: GasState) -> tuple[GasState, float]:
        """Fit lines alone to what the stars leave: best state, and its χ² with that of the prior."""
        weight, residual, scale = self.weight, self.beside, self.state.scale

        def chi2(lines: LineDesign, gas: GasState) -> float:
            left = lines.left(residual)
            return float(weight @ left**2 + np.sum(gas.coordinates(scale) ** 2))

        lines = self.lines.design(gas, scale)
        now, damping = chi2(lines, gas), 1e-2
        for _ in range(_ROUNDS):
            root = np.sqrt(weight[lines.rows])
            weighted = (lines.columns * root[:, None]).astype(np.float64)
            slope = weighted.T @ (root * lines.left(residual)[lines.rows]) - gas.coordinates(scale)
            information = weighted.T @ weighted + np.eye(lines.size)
            step = np.linalg.solve(information + damping * np.diag(np.diagonal(information)), slope)
            trial = gas.moved(step, scale)
            moved = self.lines.design(trial, scale)
            then = chi2(moved, trial)
            if then < now:
                gas, lines, gain, now, damping = trial, moved, now - then, then, damping / 10
                if gain < _CONVERGED:
                    break
            else:
                damping *= 10
        return gas, now

    def fitted(self, state: State) -> Marginalised:
        """Fit everything, from a state."""
        for last in range(_LAST_ROUNDS, 0, -1):
            linearised = self.model.linearise(state)
            data = linearised.marginalise(linearised.lines.left(self.flux - linearised.model), self.weight)
            step, scale = data.step()
            if last > 1:
                state = state.moved(step, scale)
        return data

    def with_second(self) -> State | None:
        """State with a second component where it is best, if the evidence asks for it; None if not."""
        gas, chi2 = min((self.settled(gas) for gas in self.starts()), key=lambda pair: pair[1])
        one, chi2_of_one = self.settled(self.gas)
        if chi2_of_one - chi2 < 2 * _DECISIVE or self._gain_elsewhere(one, gas) < _ELSEWHERE:
            return None
        with_it, scale = self.fitted(replace(self.state, gas=gas)), self.state.scale
        if with_it.log_evidence(scale) - self.fitted(self.state).log_evidence(scale) < _DECISIVE:
            return None
        found = with_it.linearised.state.moved(*with_it.step())
        return found if self._is_sound(found) else None

    def _gain_elsewhere(self, before: GasState, after: GasState) -> float:
        """χ² gained outside the one line where most is: what is seen in one line only may be a spike."""
        scale, rest = self.state.scale, self.lines.rest
        gain = np.zeros(len(rest))
        for sign, gas in ((1, before), (-1, after)):
            gain += sign * self.weight * self.lines.design(gas, scale).left(self.beside) ** 2
        reach = _LINE_REACH / SPEED_OF_LIGHT
        of_lines = [gain[np.abs(rest / one.wavelength - 1) < reach].sum() for one in self.lines.groups]
        return float(gain.sum() - max(of_lines))

    def _is_sound(self, state: State) -> bool:
        """Whether both components have a fair share of the light of bright lines, and the stars have not changed."""
        assert state.gas is not None
        assert state.gas.second is not None
        second = state.gas.second.flux[self.bright].sum()
        share = second / (second + state.gas.flux[self.bright].sum())
        return bool(_LEAST_SHARE < share < 1 - _LEAST_SHARE and state.scale > _LEAST_SCALE * self.state.scale)
