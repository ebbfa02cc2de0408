"""The model of moving stars and their calibration on the pixels of one redshift and resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.calibration import CalibrationKnots
from quietspec.denoisers.posterior.gas import LineModel
from quietspec.denoisers.posterior.kinematics import (
    MOTIONS,
    SHAPE_SIZE,
    VELOCITY_SIZE,
    WIDTH_SIZE,
    KinematicCoordinates,
    State,
)
from quietspec.denoisers.posterior.linearised import Linearised
from quietspec.denoisers.posterior.losvd import LosvdBasis
from quietspec.lines.catalogue import LineGroup

__all__ = ["PixelModel"]


@dataclass(frozen=True, eq=False)
class PixelModel:
    """The model on the pixels of one redshift and resolution.

    Parameters
    ----------
    coordinates : KinematicCoordinates
        In which spectra are fitted.
    basis : LosvdBasis
        On the pixels.
    knots : CalibrationKnots
        Of the calibration.
    shape_size : float
        1σ of h3 and h4 before the data; 0 for Gaussian LOSVDs.
    lines : LineModel, optional
        Emission lines, for states that have gas.
    """

    coordinates: KinematicCoordinates
    basis: LosvdBasis
    knots: CalibrationKnots
    shape_size: float = SHAPE_SIZE
    lines: LineModel | None = None

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
        factor = 1 + self.knots.hats @ state.calibration.astype(np.float32)
        design = np.empty((len(flux), local.vectors.shape[1] + 1), dtype=np.float32)
        root = np.sqrt(weight)
        np.multiply(local.vectors, (factor * root)[:, None], out=design[:, 1:])
        design[:, 0] = local.with_velocity * (factor * root * np.float32(VELOCITY_SIZE))
        single = state.populations.astype(np.float32)
        shape = local.with_shape @ (state.shape * self.shape_size).astype(np.float32)
        residual = root * (flux - factor * shape - self._gas(state)[1]) - design[:, 1:] @ single
        prior = np.concatenate([[1.0], np.full(len(single), state.scale**-2)])
        offset = np.concatenate(
            [[state.velocity / VELOCITY_SIZE], state.populations - state.scale * self.coordinates.populations.centre]
        )
        slope = (design.T @ residual).astype(np.float64) - prior * offset
        inner = (design.T @ design).astype(np.float64) + np.diag(prior)
        gain = slope @ np.linalg.solve(inner, slope)
        return float(-0.5 * (residual @ residual + prior @ offset**2 - gain + np.linalg.slogdet(inner)[1]))

    def linearise(self, state: State) -> Linearised:
        """Change of the model with all coordinates, about a state."""
        local = self.basis.linearise(state.velocity, state.width, state.populations)
        factor = 1 + self.knots.hats @ state.calibration.astype(np.float32)
        size = local.vectors.shape[1] + MOTIONS
        shape = local.with_shape * np.float32(self.shape_size)
        stars = local.vectors @ state.populations.astype(np.float32) + shape @ state.shape.astype(np.float32)
        gas, lines = self._gas(state)
        design = np.empty((len(stars), size + 2 + gas.shape[1]), dtype=np.float32)
        design[:, 0] = local.with_velocity * np.float32(VELOCITY_SIZE)
        design[:, 1] = local.with_width * np.float32(WIDTH_SIZE)
        design[:, MOTIONS:size] = local.vectors
        design[:, size : size + 2] = shape
        design[:, : size + 2] *= factor[:, None]
        design[:, size + 2 :] = gas
        return Linearised(self.coordinates, self.knots, state, design, stars, factor * stars, lines)

    def _gas(self, state: State) -> tuple[FloatArray, FloatArray]:
        """Design of a state's lines, (n_pixels, n_gas), and their flux, (n_pixels,)."""
        if state.gas is None or self.lines is None:
            n_pixels = self.basis.n_pixels
            return np.empty((n_pixels, 0), dtype=np.float32), np.zeros(n_pixels, dtype=np.float32)
        return self.lines.design(state.gas, state.scale)
