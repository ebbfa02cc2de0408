r"""Emission lines of gas beside the stars: amplitudes that are linear, and a motion of their own.

A line of flux a is a·G(λ; λ₀ e^{v/c}, σ) with σ² = σ_instrument² + (λ σ_g / c)². Amplitudes have a broad Gaussian prior
about 0, so that negative ones are allowed and faint ones unbiased. With v and ln σ_g, they are fitted and marginalised
with calibration and higher moments (`linearised`), so that the stars under the lines are known as well as the data say,
and line fluxes have the error of the stars in theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.lines.catalogue import GROUPS, LineGroup
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["GAS_MOTIONS", "USUAL_WIDTH", "GasState", "LineModel", "is_near"]

GAS_MOTIONS = 2  #: velocity and ln σ of the gas
_VELOCITY_SIZE = 150.0  # km/s, 1σ of the prior of the gas's velocity about where it was found
USUAL_WIDTH, _WIDTH_SIZE = float(np.log(90.0)), 0.6  # ln σ (km/s): centre and 1σ of its prior
_NARROWEST, _WIDEST = float(np.log(15.0)), float(np.log(700.0))
_WIDTH = 1000.0  # Å, 1σ of the prior of equivalent widths
_REACH = 5.0  # half width over which a line is computed, in its σ
_LARGEST_STEP = 60.0, 0.3  # km/s and ln σ
_FARTHEST = 250.0  # km/s from where the gas was found
_ODD = float(np.log(18.0))  # ln σ below which a line is a spike
_FAR = 450.0  # km/s from the stars, beyond which no gas is believed
_STEPS = 6  # of the fit of lines alone
_LEAST_PIXELS = 3


def is_near(velocity: FloatArray | float, stars: FloatArray | float) -> BoolArray:
    """Whether gas of a velocity (km/s) can belong to stars of another, which is uncertain where they are faint."""
    return np.asarray(np.minimum(np.abs(velocity - stars), np.abs(velocity)) < _FAR)


@dataclass(frozen=True, eq=False)
class GasState:
    """Where the lines of one spectrum are linearised.

    Parameters
    ----------
    velocity, width : float
        Velocity (km/s) and ln σ_g.
    flux : (n_groups,)
        Line fluxes, flux unit times rest-frame Å.
    origin : float
        Centre of the prior of the velocity, km/s.
    moves : bool
        Whether velocity and width are fitted: where no line is seen, they are not.
    """

    velocity: float
    width: float
    flux: FloatArray
    origin: float
    moves: bool

    def coordinates(self, scale: float) -> FloatArray:
        """Motions and fluxes in units of their priors, (2 + n_groups,)."""
        motions = [(self.velocity - self.origin) / _VELOCITY_SIZE, (self.width - USUAL_WIDTH) / _WIDTH_SIZE]
        return np.concatenate([motions, self.flux / (scale * _WIDTH)])

    def is_odd(self, velocity: float) -> bool:
        """Whether lines are narrower than gas is, or far from stars of a velocity (km/s)."""
        return self.width < _ODD or not bool(is_near(self.velocity, velocity))

    def at_rest_with(self, velocity: float) -> GasState:
        """Return lines without flux at a velocity, which is not fitted."""
        return GasState(velocity, USUAL_WIDTH, np.zeros_like(self.flux), velocity, moves=False)

    def moved(self, step: FloatArray, scale: float) -> GasState:
        """Return the state after a step in these coordinates, limited in the motions."""
        by_velocity = float(np.clip(step[0] * _VELOCITY_SIZE, -_LARGEST_STEP[0], _LARGEST_STEP[0]))
        by_width = float(np.clip(step[1] * _WIDTH_SIZE, -_LARGEST_STEP[1], _LARGEST_STEP[1]))
        low, high = self.origin - _FARTHEST, self.origin + _FARTHEST
        return GasState(
            velocity=float(np.clip(self.velocity + by_velocity, low, high)),
            width=float(np.clip(self.width + by_width, _NARROWEST, _WIDEST)),
            flux=self.flux + step[GAS_MOTIONS:] * (scale * _WIDTH),
            origin=self.origin,
            moves=self.moves,
        )


class LineModel:
    """Emission lines on the pixels of one redshift and resolution.

    Parameters
    ----------
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Instrumental resolution there, rest-frame FWHM in Å.

    Attributes
    ----------
    groups : tuple of LineGroup
        Those with a line on the pixels.
    """

    #: Sizes of the coordinates of velocity (km/s) and ln σ.
    sizes = np.array([_VELOCITY_SIZE, _WIDTH_SIZE])

    def __init__(self, rest: FloatArray, fwhm: FloatArray) -> None:
        self._rest, self._sigma = rest, fwhm / FWHM_PER_SIGMA
        self.groups = tuple(group for group in GROUPS if self._covers(group))
        self._members = [
            (number, EMISSION_LINES[name], ratio)
            for number, group in enumerate(self.groups)
            for name, ratio in group.members
        ]

    def _covers(self, group: LineGroup) -> bool:
        centre = group.wavelength
        near = np.abs(self._rest - centre) < 2 * np.interp(centre, self._rest, self._sigma)
        return bool(near.sum() >= _LEAST_PIXELS and self._rest[0] < centre < self._rest[-1])

    @property
    def size(self) -> int:
        """Number of groups."""
        return len(self.groups)

    def start(self, velocity: float, sigma: float, *, moves: bool) -> GasState:
        """State without flux at a velocity and dispersion, km/s."""
        return GasState(velocity, float(np.log(sigma)), np.zeros(self.size), velocity, moves)

    def design(self, state: GasState, scale: float) -> tuple[FloatArray, FloatArray]:
        """Change of the spectrum with the lines' coordinates, and the lines of the state.

        Parameters
        ----------
        state : GasState
            The state.
        scale : float
            Flux scale of the stars, by which the prior of fluxes is scaled.

        Returns
        -------
        design : (n_pixels, 2 + n_groups) of float32
            Change with velocity, ln σ and fluxes in units of their priors.
        lines : (n_pixels,)
            Flux of the state's lines.
        """
        design = np.zeros((len(self._rest), GAS_MOTIONS + self.size), dtype=np.float32)
        sigma_gas = np.exp(state.width) / SPEED_OF_LIGHT
        for number, wavelength, ratio in self._members:
            centre = wavelength * np.exp(state.velocity / SPEED_OF_LIGHT)
            intrinsic = centre * sigma_gas
            sigma = float(np.hypot(np.interp(centre, self._rest, self._sigma), intrinsic))
            low, high = np.searchsorted(self._rest, [centre - _REACH * sigma, centre + _REACH * sigma])
            x = (self._rest[low:high] - centre) / sigma
            profile = ratio / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * x**2)
            design[low:high, GAS_MOTIONS + number] += profile * scale * _WIDTH
            if state.moves:
                flux = state.flux[number] * profile
                design[low:high, 0] += flux * x * (centre / sigma / SPEED_OF_LIGHT * _VELOCITY_SIZE)
                design[low:high, 1] += flux * (x**2 - 1) * (intrinsic**2 / sigma**2 * _WIDTH_SIZE)
        return design, design[:, GAS_MOTIONS:] @ (state.flux / (scale * _WIDTH)).astype(np.float32)

    def fitted(self, state: GasState, residual: FloatArray, weight: FloatArray, scale: float) -> GasState:
        """Fit lines alone to what the stars leave: strong lines far from their motion would spoil the stars.

        Parameters
        ----------
        state : GasState
            Where the fit starts.
        residual, weight : (n_pixels,)
            Data less stars, and inverse variances.
        scale : float
            Flux scale of the stars.

        Returns
        -------
        GasState
            Best state.
        """
        for _ in range(_STEPS):
            design, lines = self.design(state, scale)
            root = np.sqrt(weight)[:, None]
            weighted = (design * root).astype(np.float64)
            slope = weighted.T @ (root[:, 0] * (residual - lines)) - state.coordinates(scale)
            step = np.linalg.solve(weighted.T @ weighted + np.eye(weighted.shape[1]), slope)
            state = state.moved(step, scale)
        return state

    def profiles(self, velocity: FloatArray, sigma: FloatArray) -> tuple[csr_array, IntArray]:
        """Profiles of unit flux at several motions.

        Parameters
        ----------
        velocity, sigma : (n_motions,)
            Velocity and dispersion of the gas, km/s.

        Returns
        -------
        profiles : sparse (n_motions * n_groups, n_used)
            The groups' profiles at each motion, 1/Å.
        pixels : (n_used,)
            Numbers of the pixels that some profile reaches.
        """
        group, wavelength, ratio = (np.array(column) for column in zip(*self._members, strict=True))
        centre = wavelength * np.exp(velocity[:, None] / SPEED_OF_LIGHT)
        width = np.hypot(np.interp(centre, self._rest, self._sigma), centre * (sigma[:, None] / SPEED_OF_LIGHT))
        low, high = (np.searchsorted(self._rest, centre + side * _REACH * width).ravel() for side in (-1, 1))
        count = high - low
        of = np.repeat(np.arange(count.size), count)  # which line each value belongs to
        pixel = np.arange(of.size) - np.repeat(np.cumsum(count) - count, count) + low[of]
        centre, width = centre.ravel()[of], width.ravel()[of]
        value = np.tile(ratio, len(velocity))[of] / (width * np.sqrt(2 * np.pi))
        value *= np.exp(-0.5 * ((self._rest[pixel] - centre) / width) ** 2)
        row = (np.arange(len(velocity))[:, None] * self.size + group).ravel()[of]
        pixels, column = np.unique(pixel, return_inverse=True)
        shape = (len(velocity) * self.size, len(pixels))
        return csr_array((value.astype(np.float32), (row, column)), shape=shape), pixels

    def flux_size(self, scale: float) -> float:
        """1σ of the prior of fluxes."""
        return scale * _WIDTH

    def near(self, name: str, reach: float = 15.0) -> FloatArray:
        """Weights of the pixels about the strongest line of a group, (n_pixels,), of sum 1."""
        inside = (np.abs(self._rest - EMISSION_LINES[name]) < reach).astype(float)
        return np.asarray(inside / inside.sum())
