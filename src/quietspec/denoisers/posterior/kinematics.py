r"""Populations, motions and calibration of one spectrum, fitted together.

The model of a spectrum is

    y = C(z) · [ B(V, u) x + h₃ ∂B/∂h₃ x + h₄ ∂B/∂h₄ x ] + noise,   C(z) = 1 + H z,

with x the populations' coordinates (prior N(s x₀, s²) as one Gaussian, a mixture in full), V the velocity, u the
logarithmic width of the LOSVD (`losvd`), Gauss–Hermite moments h and calibration knots z (`calibration`). It is
linearised where the last step led. What has a Gaussian prior of its own and is of no interest to the mixture, h and z,
is marginalised in closed form: the data then speak of (V, u, x) alone, as `inference` wants them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.gas import GasState
from quietspec.denoisers.posterior.losvd import BroadeningTable, log_width
from quietspec.denoisers.posterior.prior import SpectralPrior

__all__ = [
    "MOTIONS", "SHAPE_SIZE", "VELOCITY_SIZE", "WIDTH_SIZE", "FewCoordinates", "KinematicCoordinates", "State",
]  # fmt: skip

MOTIONS = 2  #: coordinates of velocity and width; they stand before those of the populations
VELOCITY_SIZE = 400.0  #: km/s, 1σ of the Gaussian prior of the velocity within a fit
WIDTH_SIZE = 0.6  #: the same of u …
_WIDTH_CENTRE = 4.7  # … and its centre: σ of 100 km/s, from none to 350
SHAPE_SIZE = 0.05  #: 1σ of h3 and h4
_REFERENCE_SIGMA = 120.0  # km/s, at which coordinates are ordered by what data tell of them
_LARGEST_STEP = 120.0, 0.35  # km/s and u
_FARTHEST = 900.0  # km/s
_NARROWEST, _WIDEST = float(log_width(0.0)), float(log_width(600.0))  # of u
_LARGEST_MOMENT = 4.0  # of h3 and h4, in units of their priors


class KinematicCoordinates(Coordinates):
    """Coordinates x of a rest-frame prior, with those of velocity and width before them.

    Parameters
    ----------
    prior : SpectralPrior
        Of unbroadened spectra at rest.

    Attributes
    ----------
    table : BroadeningTable
        Of the vectors that go with the populations' coordinates.
    populations : Coordinates
        Those of the populations alone.
    """

    motion_sizes = np.array([VELOCITY_SIZE, WIDTH_SIZE])  #: 1σ of the prior of velocity (km/s) and u within a fit

    def __init__(self, prior: SpectralPrior) -> None:
        plain = BroadeningTable(prior)
        entry = int(np.abs(plain.width - log_width(_REFERENCE_SIGMA)).argmin())
        self.populations = Coordinates(PreparedPrior(prior), plain.vectors[entry].astype(np.float64))
        self.table = BroadeningTable(prior, self.populations.transform)
        self.prior = PreparedPrior(_with_motions(prior))
        size = self.populations.size
        self.transform = np.zeros((size + MOTIONS, size + MOTIONS))
        self.transform[:size, MOTIONS:] = self.populations.transform
        self.transform[size:, :MOTIONS] = np.eye(MOTIONS)
        self.centre = np.concatenate([np.zeros(MOTIONS), self.populations.centre])

    @property
    def to_scale(self) -> FloatArray:
        """Weights (d,) of x in the flux scale."""
        return np.asarray(self.populations.transform[0])

    @cached_property
    def nucleus(self) -> FloatArray | None:
        """Matrix (d, d) that leaves the nucleus of populations x: T⁻¹ E T, E picking its components; None without."""
        n_nucleus, transform = self.prior.prior.n_nucleus, self.populations.transform
        if not n_nucleus:
            return None
        picked = np.zeros_like(transform)
        picked[-n_nucleus:] = transform[-n_nucleus:]
        return np.linalg.solve(transform, picked)

    @staticmethod
    def motions(coordinates: FloatArray) -> FloatArray:
        """Velocity (km/s) and u of their coordinates at unit scale, (…, 2)."""
        return np.asarray(coordinates * [VELOCITY_SIZE, WIDTH_SIZE] + [0.0, _WIDTH_CENTRE])

    @staticmethod
    def log_prior_within(width: FloatArray) -> FloatArray:
        """Log density of the Gaussian prior of u that a fit is made under, not normalised."""
        return np.asarray(-0.5 * ((width - _WIDTH_CENTRE) / WIDTH_SIZE) ** 2)


class FewCoordinates:
    """The first few coordinates of populations, which faint spectra determine; the others follow the flux scale.

    Parameters
    ----------
    whole : KinematicCoordinates
        All coordinates.
    number : int
        Number of coordinates of populations that are kept.

    Attributes
    ----------
    transform : (d, n)
        x of the n coordinates kept: these themselves, and the others as in the prior's mean spectrum of that scale.
    size : int
        Number of coordinates, those of the motions included.
    centre : (n + 2,)
        Expected values at unit scale, motions first.
    to_scale : (n,)
        Weights of the coordinates kept in the flux scale.
    """

    motion_sizes = KinematicCoordinates.motion_sizes
    nucleus: None = None

    def __init__(self, whole: KinematicCoordinates, number: int) -> None:
        centre, to_scale = whole.populations.centre, whole.to_scale
        n = min(number, len(centre))
        self.size, self.centre = n + MOTIONS, whole.centre[: n + MOTIONS]
        self.to_scale = to_scale[:n] / (1 - to_scale[n:] @ centre[n:])
        self.transform = np.vstack([np.eye(n), np.outer(centre[n:], self.to_scale)])


def _with_motions(prior: SpectralPrior) -> SpectralPrior:
    """Add velocity and u to a prior, as two components without a spectrum and as two labels."""
    n_mixture, n, n_labels = prior.n_mixture, prior.n_components, len(prior.label_names)
    covariances = np.zeros((n_mixture, n + MOTIONS, n + MOTIONS))
    covariances[:, :n, :n] = prior.covariances
    covariances[:, n:, n:] = np.eye(MOTIONS)
    slopes = np.zeros((n_mixture, n_labels + MOTIONS, n + MOTIONS))
    slopes[:, :n_labels, :n] = prior.slopes
    slopes[:, n_labels:, n:] = np.diag([VELOCITY_SIZE, WIDTH_SIZE])
    weights, offsets, spreads = prior.label_parts()
    centre = np.broadcast_to([0.0, _WIDTH_CENTRE], (n_mixture, MOTIONS))
    return replace(
        prior,
        components=np.vstack([prior.components, np.zeros((MOTIONS, len(prior.wavelength)))]),
        means=np.concatenate([prior.means, np.zeros((n_mixture, MOTIONS))], axis=1),
        covariances=covariances,
        label_names=(*prior.label_names, "velocity", "width"),
        labels=np.concatenate([prior.labels, centre], axis=1),
        slopes=slopes,
        label_covariances=_bordered(prior.label_covariances),
        part_weights=weights,
        part_offsets=np.concatenate([offsets, np.zeros((*offsets.shape[:2], MOTIONS))], axis=2),
        part_covariances=_bordered(spreads),
    )


def _bordered(covariances: FloatArray) -> FloatArray:
    """Covariances (…, n, n) with the motions added, which follow from their coordinates."""
    n = covariances.shape[-1]
    wider = np.zeros((*covariances.shape[:-2], n + MOTIONS, n + MOTIONS))
    wider[..., :n, :n] = covariances
    return wider


@dataclass(frozen=True, eq=False)
class State:
    """Where the model of one spectrum is linearised.

    Parameters
    ----------
    velocity, width : float
        Velocity (km/s) and u.
    populations : (d,)
        x.
    shape : (2,)
        h3 and h4 in units of their priors.
    calibration : (n_knots,)
        z.
    scale : float
        Flux scale s > 0.
    gas : GasState, optional
        Emission lines; none are fitted if not given.
    sky : float
        Size q of what the air leaves, in units of the noise (`sky`).
    """

    velocity: float
    width: float
    populations: FloatArray
    shape: FloatArray
    calibration: FloatArray
    scale: float
    gas: GasState | None = None
    sky: float = 0.0

    def rest(self) -> FloatArray:
        """Coordinates beyond motions and populations: h3 and h4, lines, z."""
        gas = [] if self.gas is None else [self.gas.coordinates(self.scale)]
        return np.concatenate([self.shape, *gas, self.calibration])

    @property
    def gas_is_odd(self) -> bool:
        """Whether the motion of gas is one of a spike or a misfit, not of gas."""
        return self.gas is not None and self.gas.moves and self.gas.is_odd(self.velocity)

    def without_moving_gas(self) -> State:
        """Return the state with lines at the velocity of the stars, where no motion of gas can be trusted."""
        return self if self.gas is None else replace(self, gas=self.gas.at_rest_with(self.velocity))

    def motions(self) -> FloatArray:
        """Coordinates of velocity and u at unit scale, (2,)."""
        return np.array([self.velocity / VELOCITY_SIZE, (self.width - _WIDTH_CENTRE) / WIDTH_SIZE])

    def moved(self, step: FloatArray, scale: float) -> State:
        """Return the state after a step in all coordinates, of limited size in the motions and moments."""
        size, (largest, widest) = len(self.populations) + MOTIONS, _LARGEST_STEP
        by_velocity = min(max(float(step[0]) * VELOCITY_SIZE, -largest), largest)
        by_width = min(max(float(step[1]) * WIDTH_SIZE, -widest), widest)
        moments = self.shape + step[size : size + 2]
        first = len(step) - len(self.calibration)  # of the calibration
        return replace(
            self,
            velocity=min(max(self.velocity + by_velocity, -_FARTHEST), _FARTHEST),
            width=min(max(self.width + by_width, _NARROWEST), _WIDEST),
            populations=self.populations + step[MOTIONS:size],
            shape=np.clip(moments, -_LARGEST_MOMENT, _LARGEST_MOMENT),
            calibration=self.calibration + step[first:],
            scale=scale,
            gas=None if self.gas is None else self.gas.moved(step[size + 2 : first], self.scale),
        )
