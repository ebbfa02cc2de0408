r"""Emission lines of gas beside the stars: amplitudes that are linear, and a motion of their own.

A line of flux a is a·G(λ; λ₀ e^{v/c}, σ) with σ² = σ_instrument² + (λ σ_g / c)². Amplitudes have a broad Gaussian prior
about 0, so that negative ones are allowed and faint ones unbiased. With v and ln σ_g, they are fitted and marginalised
with calibration and higher moments (`linearised`), so that the stars under the lines are known as well as the data say,
and line fluxes have the error of the stars in theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from scipy.sparse import csr_array

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.denoisers.posterior.small_matrices import solved
from quietspec.lines.catalogue import GROUPS, LineGroup, is_forbidden
from quietspec.lines.results import FittedLines
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = [
    "GAS_MOTIONS", "USUAL_WIDTH", "Away", "FurtherMotions", "GasState", "Known", "LineDesign", "LineModel", "Motion",
    "Roots", "is_near",
]  # fmt: skip

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
_STILL = 0.5, 0.005  # km/s and ln σ: a smaller step ends the fit of lines alone, of which there are at most …
_STEPS = 6
_LEAST_PIXELS = 3
_KEPT = 60  # sets of profiles, of some 0.2 MB each
_NEAR = 15.0  # Å, from a line, within which the continuum about it is measured


def is_near(velocity: FloatArray | float, stars: FloatArray | float) -> BoolArray:
    """Whether gas of a velocity (km/s) can belong to stars of another, which is uncertain where they are faint."""
    return np.asarray(np.minimum(np.abs(velocity - stars), np.abs(velocity)) < _FAR)


Motion = tuple[float, float]  #: velocity (km/s) and ln σ
Known = tuple[FloatArray, FloatArray]  # change of coordinates from a state to their mean, and a square root


class Roots(NamedTuple):
    """Square roots of the covariances of fluxes, of continua, and of velocity (km/s) and ln σ, a row for each."""

    flux: FloatArray
    continuum: FloatArray
    motions: FloatArray


class Away(NamedTuple):
    """By how much forbidden lines are away from the others, km/s and ln σ, and its change with their coordinates."""

    motion: FloatArray
    slope: FloatArray


class FurtherMotions(Protocol):
    """A second component of gas (`second_gas`), or forbidden lines that move apart from the others (`lines_apart`)."""

    @property
    def size(self) -> int:
        """Number of its coordinates."""

    def coordinates(self) -> FloatArray:
        """Its coordinates in units of their priors, (size,)."""

    def moved(self, step: FloatArray) -> FurtherMotions:
        """Return it after a step in these coordinates."""

    def motions(self, first: Motion) -> list[Motion]:
        """All motions, those of the first lines included."""

    def design(self, model: LineModel, first: GasState, scale: float) -> LineDesign:
        """All lines, and their change with the coordinates of `first` and its own."""

    def packed(self) -> FloatArray:
        """It as numbers for a file."""

    def added(self, lines: FittedLines, roots: Roots, known: Known, model: LineModel) -> FittedLines:
        """Add what it says, known by mean and square root of the covariance of its coordinates, to lines without it."""


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
    further : FurtherMotions, optional
        A second component, or forbidden lines with a motion of their own; `velocity` and `width` are then those of the
        first, or of the other lines.
    """

    velocity: float
    width: float
    flux: FloatArray
    origin: float
    moves: bool
    further: FurtherMotions | None = None

    def coordinates(self, scale: float) -> FloatArray:
        """Motions and fluxes in units of their priors, (2 + n_groups,), then those of further motions."""
        motions = [(self.velocity - self.origin) / _VELOCITY_SIZE, (self.width - USUAL_WIDTH) / _WIDTH_SIZE]
        further = np.empty(0) if self.further is None else self.further.coordinates()
        return np.concatenate([motions, self.flux / (scale * _WIDTH), further])

    @property
    def motions(self) -> list[tuple[float, float]]:
        """Velocity and σ (km/s) of each component, or of each group of lines."""
        first = (self.velocity, self.width)
        motions = [first] if self.further is None else self.further.motions(first)
        return [(velocity, float(np.exp(width))) for velocity, width in motions]

    def is_odd(self, velocity: float) -> bool:
        """Whether lines are narrower than gas is, or far from stars of a velocity (km/s)."""
        return self.width < _ODD or not bool(is_near(self.velocity, velocity))

    def at_rest_with(self, velocity: float) -> GasState:
        """Return lines without flux at a velocity, which is not fitted."""
        return GasState(velocity, USUAL_WIDTH, np.zeros_like(self.flux), velocity, moves=False)

    def moved(self, step: FloatArray, scale: float) -> GasState:
        """Return the state after a step in these coordinates, limited in the motions."""
        by_velocity = min(max(float(step[0]) * _VELOCITY_SIZE, -_LARGEST_STEP[0]), _LARGEST_STEP[0])
        by_width = min(max(float(step[1]) * _WIDTH_SIZE, -_LARGEST_STEP[1]), _LARGEST_STEP[1])
        low, high = self.origin - _FARTHEST, self.origin + _FARTHEST
        own = GAS_MOTIONS + len(self.flux)
        return GasState(
            velocity=min(max(self.velocity + by_velocity, low), high),
            width=min(max(self.width + by_width, _NARROWEST), _WIDEST),
            flux=self.flux + step[GAS_MOTIONS:own] * (scale * _WIDTH),
            origin=self.origin,
            moves=self.moves,
            further=None if self.further is None else self.further.moved(step[own:]),
        )


@dataclass(frozen=True, eq=False)
class LineDesign:
    """Emission lines of a state on the pixels that they touch.

    Parameters
    ----------
    rows : (n_rows,) of int
        These pixels, increasing.
    columns : (n_rows, 2 + n_groups) of float32
        Change with velocity, ln σ and fluxes in units of their priors.
    flux : (n_rows,)
        Flux of the lines.
    """

    rows: IntArray
    columns: FloatArray
    flux: FloatArray

    @classmethod
    def none(cls) -> Self:
        """No lines."""
        nothing = np.empty((0, 0), dtype=np.float32)
        return cls(np.empty(0, dtype=np.intp), nothing, nothing[:, :0].sum(axis=1))

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return int(self.columns.shape[1])

    def beside(self, other: LineDesign, n_pixels: int) -> LineDesign:
        """Join the lines of two components on n pixels, the coordinates of `other` last."""
        touched = np.zeros(n_pixels, dtype=bool)
        touched[self.rows] = touched[other.rows] = True
        rows, place = np.flatnonzero(touched), np.cumsum(touched) - 1
        columns = np.zeros((len(rows), self.size + other.size), dtype=np.float32)
        columns[place[self.rows], : self.size] = self.columns
        columns[place[other.rows], self.size :] = other.columns
        flux = np.zeros(len(rows), dtype=np.float32)
        flux[place[self.rows]] += self.flux
        flux[place[other.rows]] += other.flux
        return LineDesign(rows, columns, flux)

    def left(self, flux: FloatArray) -> FloatArray:
        """Flux (n_pixels,) less that of the lines."""
        left = flux.copy()
        left[self.rows] -= self.flux
        return left


class LineModel:
    """Emission lines on the pixels of one redshift and resolution.

    Parameters
    ----------
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Instrumental resolution there, rest-frame FWHM in Å.
    groups : tuple of LineGroup
        Lines that there may be.

    Attributes
    ----------
    rest, fwhm : (n_pixels,)
        As given.
    groups : tuple of LineGroup
        Those with a line on the pixels.
    forbidden : (n_lines,) of bool
        Which of all their lines are forbidden ones.
    """

    #: Sizes of the coordinates of velocity (km/s) and ln σ.
    sizes = np.array([_VELOCITY_SIZE, _WIDTH_SIZE])

    def __init__(self, rest: FloatArray, fwhm: FloatArray, groups: tuple[LineGroup, ...] = GROUPS) -> None:
        self.rest, self.fwhm = rest, fwhm
        self._rest, self._sigma = rest, fwhm / FWHM_PER_SIGMA
        self.groups = tuple(group for group in groups if self._covers(group))
        members = [
            (number, EMISSION_LINES[name], ratio)
            for number, group in enumerate(self.groups)
            for name, ratio in group.members
        ]
        self._group = np.array([number for number, _, _ in members], dtype=np.intp)
        self._kept: dict[bytes, tuple[csr_array, IntArray]] = {}
        self._wavelength, self._ratio = np.array([one[1:] for one in members]).reshape(-1, 2).T
        names = [name for group in self.groups for name, _ in group.members]
        self.forbidden = np.array([is_forbidden(name) for name in names], dtype=bool)

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

    def design(self, state: GasState, scale: float) -> LineDesign:
        """Change of the spectrum with the lines' coordinates, and the lines of the state.

        Parameters
        ----------
        state : GasState
            The state.
        scale : float
            Flux scale of the stars, by which the prior of fluxes is scaled.

        Returns
        -------
        LineDesign
            The lines.
        """
        return self.one_component(state, scale) if state.further is None else state.further.design(self, state, scale)

    def unit_design(self, velocity: float, width: float, flux: FloatArray) -> LineDesign:
        """Lines of a motion and fluxes, and their change with km/s, ln σ and unit fluxes."""
        lines = self.one_component(GasState(velocity, width, flux, velocity, moves=True), 1 / _WIDTH)
        units = np.ones(lines.size, dtype=np.float32)
        units[:GAS_MOTIONS] = 1 / self.sizes
        return replace(lines, columns=lines.columns * units)

    def one_component(self, state: GasState, scale: float, away: Away | None = None) -> LineDesign:
        """Lines of a state without its further motions, or with forbidden ones `away`, which has two columns more."""
        velocity, width = (state.velocity, state.width) if away is None else self._motions(state, away)
        centre = self._wavelength * np.exp(velocity / SPEED_OF_LIGHT)
        intrinsic = centre * (np.exp(width) / SPEED_OF_LIGHT)
        sigma = np.hypot(np.interp(centre, self._rest, self._sigma), intrinsic)
        low, high = np.searchsorted(self._rest, [centre - _REACH * sigma, centre + _REACH * sigma])
        # All pixels of all lines, one after the other; lines may share pixels.
        line = np.repeat(np.arange(len(centre)), high - low)
        pixel = np.arange(len(line)) + np.repeat(low - np.cumsum(high - low) + (high - low), high - low)
        x = (self._rest[pixel] - centre[line]) / sigma[line]
        profile = (self._ratio / (sigma * np.sqrt(2 * np.pi)))[line] * np.exp(-0.5 * x**2)
        touched = np.zeros(len(self._rest), dtype=bool)
        touched[pixel] = True
        rows, place = np.flatnonzero(touched), (np.cumsum(touched) - 1)[pixel]
        group, flux = self._group[line], state.flux[self._group[line]] * profile
        own = GAS_MOTIONS + self.size
        columns = np.zeros((len(rows), own if away is None else own + GAS_MOTIONS), dtype=np.float32)
        if state.moves:
            by_velocity = (centre / sigma * (_VELOCITY_SIZE / SPEED_OF_LIGHT))[line] * x
            by_width = ((intrinsic / sigma) ** 2 * _WIDTH_SIZE)[line] * (x**2 - 1)
            columns[:, 0] = np.bincount(place, flux * by_velocity, len(rows))
            columns[:, 1] = np.bincount(place, flux * by_width, len(rows))
            if away is not None:
                for number, change in enumerate((by_velocity, by_width)):
                    apart = flux * change * self.forbidden[line] * (away.slope[number] / self.sizes[number])
                    columns[:, own + number] = np.bincount(place, apart, len(rows))
        shape = len(rows), self.size
        amounts = np.bincount(place * self.size + group, profile * (scale * _WIDTH), shape[0] * shape[1])
        columns[:, GAS_MOTIONS:own] = amounts.reshape(shape)
        return LineDesign(rows, columns, np.bincount(place, flux, len(rows)).astype(np.float32))

    def _motions(self, state: GasState, away: Away) -> tuple[FloatArray, FloatArray]:
        """Velocity and ln σ of each line."""
        return state.velocity + away.motion[0] * self.forbidden, state.width + away.motion[1] * self.forbidden

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
            flat = not state.flux.any()  # without flux there is no motion to find yet
            lines = self.design(state, scale)
            root = np.sqrt(weight[lines.rows])
            weighted = (lines.columns * root[:, None]).astype(np.float64)
            slope = weighted.T @ (root * (residual[lines.rows] - lines.flux)) - state.coordinates(scale)
            step = solved(weighted.T @ weighted + np.eye(lines.size), slope)
            state = state.moved(step, scale)
            if not flat and np.all(np.abs(step[:GAS_MOTIONS] * self.sizes) < _STILL):
                break
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
        centre = self._wavelength * np.exp(velocity[:, None] / SPEED_OF_LIGHT)
        width = np.hypot(np.interp(centre, self._rest, self._sigma), centre * (sigma[:, None] / SPEED_OF_LIGHT))
        low, high = (np.searchsorted(self._rest, centre + side * _REACH * width).ravel() for side in (-1, 1))
        count = high - low
        of = np.repeat(np.arange(count.size), count)  # which line each value belongs to
        pixel = np.arange(of.size) - np.repeat(np.cumsum(count) - count, count) + low[of]
        centre, width = centre.ravel()[of], width.ravel()[of]
        value = np.tile(self._ratio, len(velocity))[of] / (width * np.sqrt(2 * np.pi))
        value *= np.exp(-0.5 * ((self._rest[pixel] - centre) / width) ** 2)
        row = (np.arange(len(velocity))[:, None] * self.size + self._group).ravel()[of]
        pixels, column = np.unique(pixel, return_inverse=True)
        shape = (len(velocity) * self.size, len(pixels))
        return csr_array((value.astype(np.float32), (row, column)), shape=shape), pixels

    def shared_profiles(self, velocity: FloatArray, sigma: FloatArray) -> tuple[csr_array, IntArray]:
        """`profiles`, kept for other spectra that ask for the same motions."""
        key = velocity.tobytes() + sigma.tobytes()
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            found = self._kept[key] = self.profiles(velocity, sigma)
        return found

    def flux_size(self, scale: float) -> float:
        """1σ of the prior of fluxes."""
        return scale * _WIDTH

    @cached_property
    def near(self) -> Any:
        """Weights of the pixels about the strongest line of each group, sparse (n_groups, n_pixels), of sum 1."""
        centres = np.array([group.wavelength for group in self.groups])[:, None]
        inside = (np.abs(self._rest - centres) < _NEAR).astype(np.float32)
        return csr_array(inside / inside.sum(axis=1, keepdims=True))
