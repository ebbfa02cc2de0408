"""The model of moving stars and their calibration on the pixels of one redshift and resolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.calibration import CalibrationKnots, CalibrationModes
from quietspec.denoisers.posterior.gas import LineDesign, LineModel
from quietspec.denoisers.posterior.kinematics import (
    MOTIONS,
    SHAPE_SIZE,
    VELOCITY_SIZE,
    WIDTH_SIZE,
    FewCoordinates,
    KinematicCoordinates,
    State,
)
from quietspec.denoisers.posterior.linearised import Linearised
from quietspec.denoisers.posterior.losvd import LosvdBasis
from quietspec.denoisers.posterior.sky import NO_SKY, SkyPixels
from quietspec.lines.catalogue import LineGroup

__all__ = ["CoarseModel", "PixelModel"]

_FEW, _FEW_MODES = 24, 12  # coordinates of populations and modes of the calibration in a coarse model


@dataclass(frozen=True, eq=False)
class _Stars:
    """What a linear model about a state is made of."""

    coordinates: KinematicCoordinates | FewCoordinates
    basis: LosvdBasis
    knots: CalibrationKnots | CalibrationModes
    shape_size: float = SHAPE_SIZE
    lines: LineModel | None = None
    sky: SkyPixels = NO_SKY

    def linearise(self, state: State) -> Linearised:
        """Change of the model with all coordinates, about a state."""
        local = self.basis.linearise(state.velocity, state.width, state.populations)
        factor = self._calibration(state)
        size = local.vectors.shape[1] + MOTIONS
        design = np.empty((len(factor), size + 2), dtype=np.float32)
        np.multiply(local.vectors, factor[:, None], out=design[:, MOTIONS:size])
        design[:, 0] = local.with_velocity * (factor * np.float32(VELOCITY_SIZE))
        design[:, 1] = local.with_width * (factor * np.float32(WIDTH_SIZE))
        shape = local.with_shape * np.float32(self.shape_size)
        np.multiply(shape, factor[:, None], out=design[:, size:])
        stars = local.spectrum + shape @ state.shape.astype(np.float32)
        lines = self._lines(state)
        return Linearised(self.coordinates, self.knots, state, design, stars, factor, factor * stars, lines, self.sky)

    def _calibration(self, state: State) -> FloatArray:
        return np.asarray(1 + self.knots.hats @ state.calibration.astype(np.float32))

    def _lines(self, state: State) -> LineDesign:
        if state.gas is None or self.lines is None:
            return LineDesign.none()
        return self.lines.design(state.gas, state.scale)


@dataclass(frozen=True, eq=False)
class PixelModel(_Stars):
    """The model on the pixels of one redshift and resolution.

    Parameters
    ----------
    coordinates : KinematicCoordinates
        Of the populations and motions.
    basis : LosvdBasis
        On the pixels.
    knots : CalibrationKnots
        Of the calibration.
    shape_size : float
        1σ of h3 and h4 before the data; 0 for Gaussian LOSVDs.
    lines : LineModel, optional
        Emission lines, for states that have gas.
    sky : SkyPixels, optional
        Where the air absorbs and glows; nowhere if not given.
    """

    coordinates: KinematicCoordinates
    knots: CalibrationKnots

    @cached_property
    def coarse(self) -> CoarseModel:
        """The model in the few coordinates that faint spectra determine."""
        return CoarseModel.of(self)

    @property
    def groups(self) -> tuple[LineGroup, ...]:
        """Groups of emission lines that are fitted."""
        return () if self.lines is None else self.lines.groups

    def start(self, velocity: float, width: float, populations: FloatArray, scale: float) -> State:
        """State of populations at given motions and scale, without higher moments and calibration errors."""
        return State(velocity, width, populations, np.zeros(2), np.zeros(self.knots.n_knots), scale)

    def log_likelihood(self, state: State, width: float, flux: FloatArray, weight: FloatArray) -> float:
        """Log evidence at some u under one Gaussian, moments and calibration held, but for what does not depend on u.

        Parameters
        ----------
        state : State
            Best state.
        width : float
            u.
        flux, weight : (n_pixels,)
            Data and inverse variances.

        Returns
        -------
        float
            Populations and velocity are marginalised.
        """
        local = self.basis.linearise(state.velocity, width, state.populations)
        factor = self._calibration(state)
        design = np.empty((len(flux), local.vectors.shape[1] + 1), dtype=np.float32)
        root = np.sqrt(weight)
        np.multiply(local.vectors, (factor * root)[:, None], out=design[:, 1:])
        design[:, 0] = local.with_velocity * (factor * root * np.float32(VELOCITY_SIZE))
        single = state.populations.astype(np.float32)
        shape = local.with_shape @ (state.shape * self.shape_size).astype(np.float32)
        residual = root * (self._lines(state).left(flux) - factor * shape) - design[:, 1:] @ single
        prior = np.concatenate([[1.0], np.full(len(single), state.scale**-2)])
        offset = np.concatenate(
            [[state.velocity / VELOCITY_SIZE], state.populations - state.scale * self.coordinates.populations.centre]
        )
        slope = (design.T @ residual).astype(np.float64) - prior * offset
        inner = (design.T @ design).astype(np.float64) + np.diag(prior)
        chi2 = residual @ residual
        sky = self.sky.filter(weight, state.sky)
        if sky is not None:
            taken = sky.taken(sky.along(np.column_stack([design, residual])))
            inner -= taken[:, :-1].T @ taken[:, :-1]
            slope -= taken[:, :-1].T @ taken[:, -1]
            chi2 -= taken[:, -1] @ taken[:, -1]
        gain = slope @ np.linalg.solve(inner, slope)
        return float(-0.5 * (chi2 + prior @ offset**2 - gain + np.linalg.slogdet(inner)[1]))


@dataclass(frozen=True, eq=False)
class CoarseModel(_Stars):
    """The model in the few coordinates that faint spectra determine: where to linearise the whole one is found in it.

    Parameters
    ----------
    coordinates : FewCoordinates
        Of the populations and motions.
    basis : LosvdBasis
        Of these populations.
    knots : CalibrationModes
        Largest modes of the calibration.
    shape_size : float
        As for `PixelModel`.
    lines : LineModel, optional
        As for `PixelModel`.
    sky : SkyPixels, optional
        As for `PixelModel`.
    """

    coordinates: FewCoordinates
    knots: CalibrationModes

    @classmethod
    def of(cls, model: PixelModel) -> Self:
        """Make that of a whole model."""
        few = FewCoordinates(model.coordinates, _FEW)
        modes = model.knots.modes(_FEW_MODES)
        return cls(few, model.basis.combined(few.transform), modes, model.shape_size, model.lines, model.sky)

    def begun(self, state: State) -> State:
        """Return a state of the whole model, whose calibration is not fitted yet, in the few coordinates."""
        return replace(
            state, populations=state.populations[: self.basis.size], calibration=np.zeros(self.knots.n_knots)
        )

    def ended(self, state: State) -> State:
        """Return a state of this model in all coordinates."""
        populations, calibration = (
            self.coordinates.transform @ state.populations,
            self.knots.vectors @ state.calibration,
        )
        return replace(state, populations=populations, calibration=calibration)

    def approached(self, state: State, flux: FloatArray, weight: FloatArray, most: int) -> State:
        """Find where to linearise the whole model.

        Parameters
        ----------
        state : State
            Of the whole model, where to begin.
        flux, weight : (n_pixels,)
            Data and inverse variances.
        most : int
            Number of steps.

        Returns
        -------
        State
            Of the whole model. It need not be exact: within half an error of the motions, rms errors of simulated
            spectra of S/N 2 to 40 are those of fits in all coordinates to 1 %.
        """
        few = self.begun(state)
        for _ in range(most):
            linearised = self.linearise(few)
            marginalised = linearised.marginalise(linearised.lines.left(flux - linearised.model), weight)
            step, scale = marginalised.step
            few = few.moved(step, scale)
            if marginalised.is_nearly_still(step, scale):
                break
        return self.ended(few)
