"""Compare, by the evidence, fits of one spectrum's lines with one motion and with further ones.

Line profiles are taken to be known to only 5 % of their height, since the line spread of instruments is hardly known
better.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.contamination import line_mask
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, GasState, LineDesign, LineModel
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.small_matrices import solved
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["FirstLook", "Found", "Trial"]

_PROFILE = 0.05  # share of a line by which its profile may be wrong
_BRIGHT = 5.0  # σ, beyond which a line is looked at
_LINE_REACH = 1000.0  # km/s, within which pixels are those of one line
_LEAST_SCALE = 0.2  # of the flux scale of stars, below which a fit has lost its way
_ROUNDS, _LAST_ROUNDS = 14, 3  # steps at most, of lines alone and of everything
_CONVERGED = 0.05  # change of χ²
_DECISIVE = 5.0  # ln evidence that further motions must add
_ELSEWHERE = 6.0  # χ² that they must gain outside the line where they gain most


class FirstLook(NamedTuple):
    """Stars as they were found under a mask of lines, and the residual, (n_pixels,)."""

    state: State
    residual: FloatArray


class Found(NamedTuple):
    """Where to begin a fit with further motions, and the log evidence that they add."""

    state: State
    gain: float


@dataclass(frozen=True, eq=False)
class Trial:
    """Fits of one spectrum with and without further motions.

    Parameters
    ----------
    model, lines : PixelModel, LineModel
        Models on the spectrum's pixels.
    state : State
        With lines of one motion.
    flux, weight : (n_pixels,)
        Data, and inverse variances with which fits are compared.
    beside, left : (n_pixels,)
        Data minus stars, and data minus stars and lines of one motion.
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
    def of(cls, data: Marginalised, model: PixelModel, flux: FloatArray, weight: FloatArray) -> Trial:
        """Prepare trials about the last fit."""
        linearised = data.linearised
        step, scale = data.step
        beside = flux - linearised.model - linearised.change(step)
        return cls._of(linearised.state.moved(step, scale), model, flux, weight, beside)

    @classmethod
    def about(cls, first: FirstLook, model: PixelModel, flux: FloatArray, weight: FloatArray) -> Trial:
        """Prepare trials about the stars of a first look."""
        assert model.lines is not None
        assert first.state.gas is not None
        gas = model.lines.fitted(first.state.gas, first.residual, weight, first.state.scale)
        return cls._of(replace(first.state, gas=gas), model, flux, weight, first.residual)

    @classmethod
    def _of(cls, state: State, model: PixelModel, flux: FloatArray, weight: FloatArray, beside: FloatArray) -> Trial:
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

    def settled(self, gas: GasState) -> tuple[GasState, float]:
        """Fit lines alone to what the stars leave: best state, and its χ² with that of the prior."""
        scale = self.state.scale
        lines = self.lines.design(gas, scale)
        information, slope = self._equations(gas, lines)
        now, damping = self._chi2(gas, lines), 1e-2
        for _ in range(_ROUNDS):
            step = solved(information + damping * np.diag(np.diagonal(information)), slope)
            trial = gas.moved(step, scale)
            lines = self.lines.design(trial, scale)
            then = self._chi2(trial, lines)
            if not then < now:
                damping *= 10
                continue
            gas, gain, now, damping = trial, now - then, then, damping / 10
            if gain < _CONVERGED:
                break
            information, slope = self._equations(gas, lines)
        return gas, now

    def _chi2(self, gas: GasState, lines: LineDesign) -> float:
        """χ² of lines beside the stars, with that of the prior."""
        left = lines.left(self.beside)
        return float(self.weight @ left**2 + np.sum(gas.coordinates(self.state.scale) ** 2))

    def _equations(self, gas: GasState, lines: LineDesign) -> tuple[FloatArray, FloatArray]:
        """Information on the coordinates of lines (n, n), and slope (n,), the prior included; the stars are held."""
        root = np.sqrt(self.weight[lines.rows])
        weighted = (lines.columns * root[:, None]).astype(np.float64)
        slope = weighted.T @ (root * (self.beside[lines.rows] - lines.flux)) - gas.coordinates(self.state.scale)
        return weighted.T @ weighted + np.eye(lines.size), slope

    def within_a_step(self, gas: GasState) -> float:
        """χ² (with the prior's) of lines alone after one step from a state, if lines were linear."""
        lines = self.lines.design(gas, self.state.scale)
        information, slope = self._equations(gas, lines)
        return self._chi2(gas, lines) - float(slope @ solved(information, slope))

    def fitted(self, state: State) -> Marginalised:
        """Fit everything, from a state."""
        for last in range(_LAST_ROUNDS, 0, -1):
            linearised = self.model.linearise(state)
            data = linearised.marginalise(linearised.lines.left(self.flux - linearised.model), self.weight)
            step, scale = data.step
            if last > 1:
                state = state.moved(step, scale)
        return data

    @cached_property
    def _settled_one(self) -> tuple[GasState, float]:
        """Best lines of one motion, and their χ², as `settled` gives them."""
        return self.settled(self.gas)

    @cached_property
    def _evidence_of_one(self) -> float:
        """Log evidence of lines of one motion, everything fitted."""
        return self.fitted(self.state).log_evidence(self.state.scale)

    def gain_elsewhere(self, before: GasState, after: GasState) -> float:
        """χ² gained outside the line that gains most: a gain in one line only may be a spike."""
        scale, rest = self.state.scale, self.lines.rest
        gain = np.zeros(len(rest))
        for sign, gas in ((1, before), (-1, after)):
            gain += sign * self.weight * self.lines.design(gas, scale).left(self.beside) ** 2
        reach = _LINE_REACH / SPEED_OF_LIGHT
        of_lines = [gain[np.abs(rest / one.wavelength - 1) < reach].sum() for one in self.lines.groups]
        return float(gain.sum() - max(of_lines))

    def likeliest(self, starts: Iterable[GasState]) -> Found | None:
        """Fit further motions from several starts, and everything from the best; None if the evidence asks for none."""
        gas, chi2 = min((self.settled(gas) for gas in starts), key=lambda pair: pair[1])
        one, chi2_of_one = self._settled_one
        if chi2_of_one - chi2 < 2 * _DECISIVE or self.gain_elsewhere(one, gas) < _ELSEWHERE:
            return None
        with_it = self.fitted(replace(self.state, gas=gas))
        gain = with_it.log_evidence(self.state.scale) - self._evidence_of_one
        if gain < _DECISIVE:
            return None
        return Found(with_it.linearised.state.moved(*with_it.step), gain)

    def keeps_stars(self, state: State) -> bool:
        """Whether the stars of a state are as bright as they were."""
        return bool(state.scale > _LEAST_SCALE * self.state.scale)
