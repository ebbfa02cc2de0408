"""Populations, motions and calibration of a batch of spectra: first look, gas and spikes, last fit, posterior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.compact import CompactPosterior
from quietspec.denoised import Flag
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.broad_lines import broad_lines, nucleus_chi2
from quietspec.denoisers.posterior.calibration import rough_factor
from quietspec.denoisers.posterior.contamination import line_mask, measure_gas, noise_scale, spike_mask
from quietspec.denoisers.posterior.covariances import CompactCovariances, compact_one, stacked
from quietspec.denoisers.posterior.fitted import (
    Fitted,
    Motions,
    Pixels,
    as_scanned,
    change_and_half,
    on_pixels,
    projections_of,
    with_true_dispersion,
)
from quietspec.denoisers.posterior.gas_scan import (
    LineScan,
    MotionLaw,
    Starlight,
    is_doubtful,
    spikes_on_lines,
    with_unknown_motion,
)
from quietspec.denoisers.posterior.grid import Batch, Grid
from quietspec.denoisers.posterior.inference import CoefficientPosterior, infer
from quietspec.denoisers.posterior.kinematics import State
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.posterior.losvd import log_width
from quietspec.denoisers.posterior.masking import FIRST_MASK, gas_mask, lined
from quietspec.denoisers.posterior.motions import label_moments, label_motions
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.results import Solution
from quietspec.denoisers.posterior.second_gas import FirstLook, with_second_gas
from quietspec.denoisers.posterior.sky_size import NoiseLevels, explained_chi2
from quietspec.denoisers.posterior.steps import first_fit, last_fit
from quietspec.denoisers.posterior.velocity_scan import ScanResult, VelocityScan
from quietspec.denoisers.posterior.walk import Noise
from quietspec.lines.results import FittedLines

__all__ = ["BatchFit", "KinematicGrid"]

_WIDEST_START = float(log_width(250.0))  # of u: a fit finds its way from lines too narrow, not from lines too wide
_FIRST_DOF = 8.0  # coordinates determined by a first look
_FAINT = 30.0  # km/s, 1σ of the velocity in the scan, beyond which the scan's own moments are used


@dataclass(frozen=True, eq=False)
class KinematicGrid(Grid):
    """The pixels of one redshift and resolution, and the model of moving stars there.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed wavelengths, Å.
    model : PixelModel
        Populations, motions and calibration.
    scan : VelocityScan
        Prepared bases over a lattice of motions.
    settings : mapping
        Settings of the denoiser, with which the same model can be made again.
    """

    wavelength: FloatArray
    model: PixelModel
    scan: VelocityScan
    settings: Mapping[str, Any]


class BatchFit:
    """The fit of a batch.

    Parameters
    ----------
    batch : Batch
        The spectra.
    emission : {'auto', 'strong', 'none', 'fit'}
        How gas emission lines are treated.
    noise : {'measured', 'quoted'}
        Whether errors are rescaled by what the first fit leaves.
    two_components : bool
        Whether fitted gas may have a second component, or forbidden lines a motion of their own, where the evidence
        asks for it.

    Attributes
    ----------
    noise : NoiseLevels
        The noise that is assumed.
    evidence : (n_spectra,)
        As in `Denoised`.
    flags : (n_spectra,) of int
        Bits of `Flag`.
    nucleus_chi2 : (n_spectra,)
        χ² of no nucleus over its number of coordinates, once there is a solution.
    lines : list of FittedLines
        What is known of the lines of each spectrum, once there is a solution; empty where none are fitted.
    motions : list of Motions
        What is known of the motions of each spectrum, once there is a solution.
    """

    def __init__(
        self, batch: Batch[KinematicGrid], emission: Emission, noise: Noise, *, two_components: bool = True
    ) -> None:
        self.grid, self._flux, self._weight, self._emission = batch.grid, batch.flux, batch.weight, emission
        self._unit, self._measured = batch.scale, noise == "measured"
        n, self._bright = len(batch.flux), batch.inflation > 1
        self.noise = NoiseLevels.quoted(n)
        self.flags = np.zeros(n, dtype=np.int64)
        first = np.zeros(self._flux.shape, dtype=bool)
        if emission != "none":
            first |= line_mask(self.grid.rest, self.grid.fwhm, *FIRST_MASK)
        self._scan, states, weight, residual, dof = self._first_look(first, measured=noise == "measured")
        faint = self._scan.covariance[:, 0, 0] > _FAINT**2
        for row in np.flatnonzero(~faint).tolist():
            fitted = first_fit(self.grid.model, states[row], self._flux[row], weight[row])
            states[row], residual[row], dof[row] = fitted
        self._spikes = spike_mask(residual, np.where(first, 0, self._weight))
        self._hit = np.zeros_like(self._spikes)
        self._ignored = self._spoilt(residual, first) & (self._weight > 0)
        if noise == "measured":
            kept = np.where(self._ignored, 0, self._weight)
            levels = NoiseLevels.measured(residual, kept, dof, self.grid.model.sky)
            self.noise = levels.at_least_quoted(self._bright)
        if emission == "fit":
            states = self._with_gas(states, self._flux, residual, self._weight)
        self._used = self._trusted(slice(None), states)
        self._fitted = [self._last_fit(row, state, faint) for row, state in enumerate(states)]
        if emission == "fit":
            self._settle_gas(states, residual, faint)
        if emission == "fit" and two_components:
            self._add_second(states, residual, faint)
        self._scale = np.array([one.state.scale for one in self._fitted])
        self._infer(projections_of(self._fitted, self._scale))
        cost = np.array([one.marginalised.log_determinant for one in self._fitted])
        self.evidence = self._posterior.log_evidence - 0.5 * cost + batch.noise_constant(self._used)

    def _infer(self, projections: Projections) -> None:
        """Infer the posterior of the coordinates and labels from what the last fits say."""
        coordinates = self.grid.model.coordinates
        self._posterior = infer(projections, coordinates, self._scale, screened=True, bright=self._bright)
        labels = self._posterior.labels
        self._width = np.stack([labels.mean("width"), labels.sigma("width")], axis=1)

    def _trusted(self, rows: slice | list[int], states: list[State]) -> FloatArray:
        """Weights of the last fit: without what is spoilt, with the noise as measured and what the basis leaves out."""
        spoilt = self._ignored[rows]
        if self._emission == "fit":
            moving = np.array([state.gas is not None and state.gas.moves for state in states])
            # A spike looks like a line.
            spikes = self._hit[rows] | (self._spikes[rows] & ~moving[:, None])
            spoilt = spikes | (spoilt & ~lined(states, self.grid))
        return self._weighted(rows, spoilt, states)

    def _weighted(self, rows: slice | list[int], spoilt: BoolArray, states: list[State]) -> FloatArray:
        """Weights without spoilt pixels."""
        scale = np.array([state.scale for state in states])
        weight = np.where(spoilt, 0, self._weight[rows])
        return self.noise[rows].weighted(weight, self.grid, self.grid.model.sky, scale)

    def _with_gas(self, states: list[State], flux: FloatArray, residual: FloatArray, weight: FloatArray) -> list[State]:
        """Give states the lines of gas, at the motion seen in what the stars leave, else at that of the stars."""
        lines = self.grid.model.lines
        if lines is None or not states:
            return states
        stars = np.array([state.velocity for state in states])
        gas = measure_gas(residual, weight, flux - residual, self.grid.rest, self.grid.fwhm, stars)
        started = []
        for row, state in enumerate(states):
            moves = bool(gas.detected[row])
            velocity = float(gas.velocity[row]) if moves else state.velocity
            begin = lines.start(velocity, float(gas.sigma[row]), moves=moves)
            if moves:
                begin = lines.fitted(begin, residual[row], weight[row], state.scale)
            started.append(replace(state, gas=begin))
        return started

    def _settle_gas(self, states: list[State], residual: FloatArray, faint: BoolArray) -> None:
        """Fit again without spikes among lines, and at rest with the stars where lines are odd or faint."""
        lines = self.grid.model.lines
        if lines is None:
            return
        for row, one in enumerate(self._fitted):
            self._hit[row] = spikes_on_lines(one.marginalised, self._flux[row], self._used[row])
        odd = [row for row, one in enumerate(self._fitted) if self._hit[row].any() or one.state.gas_is_odd]
        weight = np.where(self._spikes | self._hit, 0, self._weight)[odd]
        self._refit(odd, self._with_gas([states[row] for row in odd], self._flux[odd], residual[odd], weight), faint)
        odd = [row for row, one in enumerate(self._fitted) if is_doubtful(one.marginalised, lines)]
        self._refit(odd, [self._fitted[row].state.without_moving_gas() for row in odd], faint)

    def _add_second(self, states: list[State], residual: FloatArray, faint: BoolArray) -> None:
        """Fit a second component of gas where the evidence asks for it, and find spikes in what both leave."""
        found: dict[int, State] = {}
        unspoilt = self._weighted(slice(None), np.zeros_like(self._spikes), states)
        for row, (one, measured) in enumerate(zip(self._fitted, unspoilt, strict=True)):
            weights, first = (self._used[row], measured), FirstLook(states[row], residual[row])
            start = with_second_gas(one.marginalised, self.grid.model, self._flux[row], weights, first)
            found |= {} if start is None else {row: start}
        self._hit[list(found)] = False
        self._refit(list(found), list(found.values()), faint)
        for row in found:
            self._hit[row] = spikes_on_lines(self._fitted[row].marginalised, self._flux[row], self._used[row])
        spoilt = [row for row in found if self._hit[row].any()]
        self._refit(spoilt, [found[row] for row in spoilt], faint)

    def _last_fit(self, row: int, state: State, faint: BoolArray) -> Fitted:
        flux, weight = self._flux[row], self._used[row]
        return last_fit(self.grid.model, state, flux, weight, faint=bool(faint[row]), measured=self._measured)

    def _refit(self, rows: list[int], starts: list[State], faint: BoolArray) -> None:
        """Fit some spectra again, from other states."""
        if not rows:
            return
        self._used[rows] = self._trusted(rows, starts)
        for row, start in zip(rows, starts, strict=True):
            self._fitted[row] = self._last_fit(row, start, faint)

    @property
    def states(self) -> list[State]:
        """Where the model of each spectrum was linearised."""
        return [one.state for one in self._fitted]

    @property
    def scanned(self) -> tuple[BoolArray, FloatArray]:
        """Spectra whose motions are what the scan says, (n_spectra,), and `ScanResult.logs`."""
        return np.array([one.faint for one in self._fitted]), self._scan.logs

    @property
    def scale(self) -> FloatArray:
        """Flux scales, (n_spectra,)."""
        return self._scale

    @property
    def noise_scale(self) -> FloatArray:
        """Factors on the errors of the batch, (n_spectra,)."""
        return self.noise.scale

    @property
    def used(self) -> BoolArray:
        """Pixels that the last fit used, (n_spectra, n_pixels)."""
        return self._used > 0

    @property
    def projections(self) -> Projections:
        """What the data say of motions (times the scale) and populations."""
        return projections_of(self._fitted, self._scale)

    @property
    def posterior(self) -> CoefficientPosterior:
        """Posterior of motions (times the scale) and populations, and of the labels."""
        return self._posterior

    def calibration(self, row: int) -> tuple[FloatArray, FloatArray]:
        """Posterior mean (n_knots,) of a spectrum's calibration, and its covariance given motions and populations."""
        one = self._fitted[row]
        data, knots = one.marginalised, slice(one.marginalised.linearised.gas.stop, None)
        change, _ = change_and_half(one, self._motions(row, one).joint)
        root = data.inner_half[knots]
        return one.state.calibration + (data.offset - data.response @ change)[knots], root @ root.T

    def _lines_of(self, row: int, found: Pixels) -> FittedLines | None:
        """What is known of the lines of a spectrum: over all motions that gas may have, where theirs is not fitted."""
        one, model, lines = self._fitted[row], self.grid.model.lines, found.lines
        if lines is None or model is None or one.state.gas is None:
            return lines
        if not one.state.gas.moves:
            stars = Starlight(found.change, found.half)
            scan = LineScan(model, one.marginalised, stars, self._flux[row], self._used[row])
            lines = with_unknown_motion(lines, scan, self._motion_of_gas(row, scan))
        return replace(lines, broad=broad_lines(one, found, model, self.nucleus_chi2[row]))

    def _motion_of_gas(self, row: int, scan: LineScan) -> MotionLaw | None:
        """What is known beforehand of the motion of gas that is too faint to tell it; None for the usual law."""
        return None

    def solution(self) -> Solution:
        """Give the motions their true posterior, and turn it into flux and errors."""
        found = self.motions = [self._motions(row, one) for row, one in enumerate(self._fitted)]
        pixels = [on_pixels(one, of.joint, self.grid.model) for one, of in zip(self._fitted, found, strict=True)]
        self.nucleus_chi2 = np.array([nucleus_chi2(one, self.grid.model.coordinates) for one in pixels])
        lines = [self._lines_of(row, one) for row, one in enumerate(pixels)]
        self.lines = [one for one in lines if one is not None]
        velocity = np.array([of.velocity for of in found])
        labels = label_motions(self._posterior.labels, velocity, [of.dispersion for of in found])
        compact = self._compact(pixels)
        return Solution(
            flux=np.array([one.flux for one in pixels]),
            variance=np.array([one.variance for one in pixels]),
            remainder=self._scale[:, None] * self.grid.truncation,
            ignored=self._ignored,
            determined=self._posterior.dof,
            labels=label_moments(
                labels, np.array([one.moments for one in pixels]), np.array([one.moment_errors for one in pixels])
            ),
            factor=CompactCovariances(self.grid.model, compact),
            compact=compact,
            explained=explained_chi2(
                self.states, self.grid.model.sky, self._flux - [one.flux for one in pixels], self._weight, self._used
            ),
        )

    def _compact(self, pixels: list[Pixels]) -> CompactPosterior:
        """What the covariances of the spectra follow from."""
        found = zip(self._fitted, pixels, self._used, self._unit.tolist(), strict=True)
        rows = [
            compact_one(fitted.state, one.populations - fitted.state.populations, one.half, weight, unit)
            for fitted, one, weight, unit in found
        ]
        return CompactPosterior(settings=self.grid.settings, **stacked(rows))

    def line_width(self, solution: Solution) -> FloatArray:
        """Equivalent width of what is left out, (n_spectra,): rest-frame Å in emission."""
        level = np.maximum(solution.flux, 0.1 * np.median(solution.flux, axis=1, keepdims=True))
        excess = np.where(self._ignored, (self._flux - solution.flux) / np.maximum(level, 1e-30), 0.0)
        return np.asarray(excess @ np.gradient(self.grid.rest))

    def _motions(self, row: int, one: Fitted) -> Motions:
        """Posterior of a spectrum's motions as it is, and of its populations with them."""
        posterior, scale = self._posterior, self._scale[row]
        joint = posterior.mean[row] / scale, posterior.covariance[row] / scale**2
        if one.faint:
            return as_scanned(joint, self._scan.mean[row], self._scan.covariance[row])
        return with_true_dispersion(joint, self._width[row], one)

    def _first_look(
        self, first: BoolArray, *, measured: bool
    ) -> tuple[ScanResult, list[State], FloatArray, FloatArray, FloatArray]:
        """Scan velocities and dispersions.

        Returns
        -------
        scan : ScanResult
            What the scan found.
        states : list of State
            Where fits begin, and where those of faint spectra end.
        weight, residual : (n_spectra, n_pixels)
            Weights without what looks spoilt, and what the populations at the scan's peak leave.
        dof : (n_spectra,)
            Number of coordinates determined.
        """
        scan = self.grid.scan
        residual = scan.residual(self._flux, np.where(first, 0, self._weight))
        weight = np.where(self._spoilt(residual, first), 0, self._weight)
        scale, error = scan.scale(self._flux, weight)
        self.flags[scale < 2 * error] |= int(Flag.NO_SIGNAL)
        model = self._flux - residual
        factor, dof = rough_factor(self._flux, weight, model, self.grid.wavelength)
        dof += _FIRST_DOF
        trusted = np.ones(len(factor))
        if measured:
            trusted = np.maximum(noise_scale(self._flux - factor * model, weight, dof), 1.0) ** -2
        found = scan(self._flux / factor, (weight * factor**2 * trusted[:, None]).astype(np.float32))
        widths = np.minimum(found.peak[:, 1], _WIDEST_START)
        places = zip(found.peak[:, 0], widths, found.populations, np.maximum(scale, error), strict=True)
        states = [self.grid.model.start(*place) for place in places]
        return found, states, weight, self._flux - factor * found.model, dof

    def _spoilt(self, residual: FloatArray, first: BoolArray) -> BoolArray:
        """Pixels spoilt by spikes and (unless `emission` is 'none') gas, seen in what a fit without `first` left."""
        spoilt = spike_mask(residual, np.where(first, 0, self._weight))
        if self._emission == "none":
            return spoilt
        pixels = self.grid.rest, self.grid.fwhm
        known = self.grid.model.coordinates.nucleus is not None
        return spoilt | gas_mask(residual, self._flux, self._weight, pixels, self._emission, broad_lines=not known)
