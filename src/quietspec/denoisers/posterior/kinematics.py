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
from scipy.linalg.lapack import dpotrf, dtrtri

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.calibration import CalibrationKnots
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.losvd import BroadeningTable, LosvdBasis, log_width
from quietspec.denoisers.posterior.prior import SpectralPrior

__all__ = ["KinematicCoordinates", "Linearised", "Marginalised", "PixelModel", "State"]

MOTIONS = 2  #: coordinates of velocity and width; they stand before those of the populations
_VELOCITY_SIZE = 400.0  # km/s, 1σ of the Gaussian prior of the velocity within a fit
_WIDTH_CENTRE, _WIDTH_SIZE = 4.7, 0.6  # the same of u: σ of 100 km/s, from none to 350
_SHAPE_SIZE = 0.05  # 1σ of h3 and h4
_REFERENCE_SIGMA = 120.0  # km/s, at which coordinates are ordered by what data tell of them
_LARGEST_STEP = 120.0, 0.35  # km/s and u
_FARTHEST = 900.0  # km/s
_FAINTEST = 1e-3  # least flux scale, in units of its error
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

    motion_sizes = np.array([_VELOCITY_SIZE, _WIDTH_SIZE])  #: 1σ of the prior of velocity (km/s) and u within a fit

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

    @staticmethod
    def motions(coordinates: FloatArray) -> FloatArray:
        """Velocity (km/s) and u of their coordinates at unit scale, (…, 2)."""
        return np.asarray(coordinates * [_VELOCITY_SIZE, _WIDTH_SIZE] + [0.0, _WIDTH_CENTRE])

    @staticmethod
    def log_prior_within(width: FloatArray) -> FloatArray:
        """Log density of the Gaussian prior of u that a fit is made under, not normalised."""
        return np.asarray(-0.5 * ((width - _WIDTH_CENTRE) / _WIDTH_SIZE) ** 2)


def _with_motions(prior: SpectralPrior) -> SpectralPrior:
    """Add velocity and u to a prior, as two components without a spectrum and as two labels."""
    n_mixture, n, n_labels = prior.n_mixture, prior.n_components, len(prior.label_names)
    covariances = np.zeros((n_mixture, n + MOTIONS, n + MOTIONS))
    covariances[:, :n, :n] = prior.covariances
    covariances[:, n:, n:] = np.eye(MOTIONS)
    slopes = np.zeros((n_mixture, n_labels + MOTIONS, n + MOTIONS))
    slopes[:, :n_labels, :n] = prior.slopes
    slopes[:, n_labels:, n:] = np.diag([_VELOCITY_SIZE, _WIDTH_SIZE])
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
    """

    velocity: float
    width: float
    populations: FloatArray
    shape: FloatArray
    calibration: FloatArray
    scale: float

    def motions(self) -> FloatArray:
        """Coordinates of velocity and u at unit scale, (2,)."""
        return np.array([self.velocity / _VELOCITY_SIZE, (self.width - _WIDTH_CENTRE) / _WIDTH_SIZE])

    def moved(self, step: FloatArray, scale: float) -> State:
        """Return the state after a step in all coordinates, of limited size in the motions and moments."""
        size, (largest, widest) = len(self.populations) + MOTIONS, _LARGEST_STEP
        by_velocity = float(np.clip(step[0] * _VELOCITY_SIZE, -largest, largest))
        by_width = float(np.clip(step[1] * _WIDTH_SIZE, -widest, widest))
        moments = self.shape + step[size : size + 2]
        return State(
            velocity=float(np.clip(self.velocity + by_velocity, -_FARTHEST, _FARTHEST)),
            width=float(np.clip(self.width + by_width, log_width(0.0), log_width(600.0))),
            populations=self.populations + step[MOTIONS:size],
            shape=np.clip(moments, -_LARGEST_MOMENT, _LARGEST_MOMENT),
            calibration=self.calibration + step[size + 2 :],
            scale=scale,
        )


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
    """

    coordinates: KinematicCoordinates
    basis: LosvdBasis
    knots: CalibrationKnots

    @cached_property
    def rest_precision(self) -> FloatArray:
        """Precision of (h, z) before the data."""
        n = 2 + self.knots.n_knots
        precision = np.eye(n)
        precision[2:, 2:] = self.knots.precision
        return precision

    def start(self, velocity: float, width: float, scale: float) -> State:
        """State of the prior's mean populations at given motions and scale."""
        populations = scale * self.coordinates.populations.centre
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
        design[:, 0] = local.with_velocity * (factor * root * np.float32(_VELOCITY_SIZE))
        single = state.populations.astype(np.float32)
        shape = local.with_shape @ (state.shape * _SHAPE_SIZE).astype(np.float32)
        residual = root * (flux - factor * shape) - design[:, 1:] @ single
        prior = np.concatenate([[1.0], np.full(len(single), state.scale**-2)])
        offset = np.concatenate(
            [[state.velocity / _VELOCITY_SIZE], state.populations - state.scale * self.coordinates.populations.centre]
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
        shape = local.with_shape * np.float32(_SHAPE_SIZE)
        stars = local.vectors @ state.populations.astype(np.float32) + shape @ state.shape.astype(np.float32)
        design = np.empty((len(stars), size + 2), dtype=np.float32)
        design[:, 0] = local.with_velocity * np.float32(_VELOCITY_SIZE)
        design[:, 1] = local.with_width * np.float32(_WIDTH_SIZE)
        design[:, MOTIONS:size] = local.vectors
        design[:, size:] = shape
        design *= factor[:, None]
        return Linearised(self, state, design, stars, factor * stars)


@dataclass(frozen=True, eq=False)
class Linearised:
    """The model about a state: model + change · (coordinates − those of the state).

    The coordinates are, in this order, velocity and u in units of their priors, x, h3 and h4 in units of theirs, z.

    Parameters
    ----------
    pixels : PixelModel
        The model.
    state : State
        The state.
    design : (n_pixels, d + 2)
        Change with all coordinates before z.
    stars : (n_pixels,)
        The model there without calibration.
    model : (n_pixels,)
        The model there.
    """

    pixels: PixelModel
    state: State
    design: FloatArray
    stars: FloatArray
    model: FloatArray

    @property
    def coordinates(self) -> KinematicCoordinates:
        """In which spectra are fitted."""
        return self.pixels.coordinates

    def change(self, step: FloatArray) -> FloatArray:
        """Change of the model with a step in all coordinates, (n_pixels,)."""
        single = step.astype(np.float32)
        own = self.design.shape[1]
        return np.asarray(self.design @ single[:own] + self.stars * (self.pixels.knots.hats @ single[own:]))

    def normal_equations(self, residual: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Information (n, n) and gradient (n,) of data minus model, in float64."""
        knots, own = self.pixels.knots, self.design.shape[1]
        n = own + knots.n_knots
        root = np.sqrt(weight)
        weighted = self.design * root[:, None]
        starlight = self.stars * root
        sides = np.empty((len(root), own + 1), dtype=np.float32)
        np.multiply(weighted, starlight[:, None], out=sides[:, :own])
        sides[:, own] = residual * root * starlight
        at_knots = knots.gather @ sides
        information, gradient = np.zeros((n, n)), np.empty(n)
        information[:own, :own] = weighted.T @ weighted
        information[own:, :own] = at_knots[:, :own]
        information[:own, own:] = at_knots[:, :own].T
        information[own:, own:] = knots.information(starlight**2)
        gradient[:own], gradient[own:] = weighted.T @ (residual * root), at_knots[:, own]
        return information, gradient

    def variance(self, half: FloatArray, response: FloatArray, inner_half: FloatArray) -> FloatArray:
        """Variance of each pixel, (n_pixels,): the diagonal of F Fᵀ with `factor`'s F, without making it."""
        own, knots = self.design.shape[1], self.pixels.knots
        following = np.concatenate([half, -response @ half])
        covariance = following @ following.T
        kept = len(half)
        covariance[kept:, kept:] += inner_half @ inner_half.T
        single = covariance[:, :own].astype(np.float32)
        with_knots = self.stars[:, None] * (knots.hats @ single[own:])
        total = np.einsum("pi,pi->p", self.design @ single[:own] + 2 * with_knots, self.design)
        return np.asarray(total + self.stars**2 * knots.variance(covariance[own:, own:]))

    def factor(self, half: FloatArray, response: FloatArray, inner_half: FloatArray) -> FloatArray:
        """Square root F of the pixel covariance F Fᵀ.

        Parameters
        ----------
        half : (d, d)
            Square root of the covariance of motions and populations.
        response : (n_rest, d)
            By how much h and z fall with them.
        inner_half : (n_rest, n_rest)
            Square root of the covariance of h and z given them.

        Returns
        -------
        (n_pixels, d + n_rest)
            F.
        """
        kept, own = len(half), self.design.shape[1]
        shape = own - kept
        rest = -response @ half
        following = self.design[:, :kept] @ half + self.design[:, kept:] @ rest[:shape]
        following += self.stars[:, None] * (self.pixels.knots.hats @ rest[shape:])
        alone = self.design[:, kept:] @ inner_half[:shape]
        alone += self.stars[:, None] * (self.pixels.knots.hats @ inner_half[shape:])
        return np.concatenate([following, alone], axis=1)

    def marginalise(self, residual: FloatArray, weight: FloatArray) -> Marginalised:
        """Take h and z out of what the data say.

        Parameters
        ----------
        residual, weight : (n_pixels,)
            Data minus `model`, and inverse variances.

        Returns
        -------
        Marginalised
            About the state.
        """
        information, gradient = self.normal_equations(residual, weight)
        state, kept = self.state, self.coordinates.size
        now = np.concatenate([state.shape, state.calibration])
        prior = self.pixels.rest_precision
        slope = gradient[kept:] - prior @ now
        lower, failed = dpotrf(information[kept:, kept:] + prior, lower=1, clean=1)
        if failed:
            raise np.linalg.LinAlgError("the calibration is not determined")
        inverse, _ = dtrtri(lower, lower=1)
        turned = inverse @ np.column_stack([information[kept:, :kept], slope])
        across, along = turned[:, :kept], turned[:, kept]
        determinant = 2 * np.log(np.diagonal(lower)).sum() - self.pixels.knots.log_precision
        return Marginalised(
            linearised=self,
            gram=information[:kept, :kept] - across.T @ across,
            gradient=gradient[:kept] - across.T @ along,
            chi2=float(weight @ residual**2 + now @ prior @ now - along @ along),
            log_determinant=float(determinant),
            response=inverse.T @ across,
            offset=inverse.T @ along,
            inner_half=inverse.T,
        )


@dataclass(frozen=True, eq=False)
class Marginalised:
    """What the data say of motions and populations, h and z marginalised; ζ = (h, z), a = (motions, x).

    Parameters
    ----------
    linearised : Linearised
        The model about the state.
    gram, gradient : (d, d) and (d,)
        Information and gradient of a about the state, motions in units of their priors.
    chi2 : float
        χ² of the state with the best ζ, their prior included.
    log_determinant : float
        Of the information on ζ in units of their prior: twice what marginalising costs in log evidence.
    response, offset : (n_rest, d) and (n_rest,)
        Given a, the mean of ζ is offset − response (a − a_state) beyond the state's.
    inner_half : (n_rest, n_rest)
        Square root of the covariance of ζ given a.
    """

    linearised: Linearised
    gram: FloatArray
    gradient: FloatArray
    chi2: float
    log_determinant: float
    response: FloatArray
    offset: FloatArray
    inner_half: FloatArray

    def _prior(self, scale: float) -> tuple[FloatArray, FloatArray]:
        """Expected values of a and their precisions under one Gaussian, (d,) each."""
        coordinates = self.linearised.coordinates
        expected = scale * coordinates.centre
        precision = np.ones(coordinates.size)
        precision[MOTIONS:] = scale**-2
        return expected, precision

    def step(self, rounds: int = 2) -> tuple[FloatArray, float]:
        """Best step of all coordinates under one Gaussian, (n,), and the flux scale it leads to."""
        state, to_scale = self.linearised.state, self.linearised.coordinates.populations.transform[0]
        now = np.concatenate([state.motions(), state.populations])
        scale, step = state.scale, now
        for _ in range(rounds):
            expected, precision = self._prior(scale)
            step = np.linalg.solve(self.gram + np.diag(precision), self.gradient - precision * (now - expected))
            found = (now + step)[MOTIONS:] @ to_scale
            scale = max(float(found), _FAINTEST * float(self.gram[MOTIONS, MOTIONS]) ** -0.5)
        return np.concatenate([step, self.offset - self.response @ step]), scale

    def errors(self, scale: float) -> FloatArray:
        """1σ of velocity (km/s) and u under one Gaussian, (2,)."""
        covariance = np.linalg.inv(self.gram + np.diag(self._prior(scale)[1]))
        sizes = self.linearised.coordinates.motion_sizes
        return np.asarray(np.sqrt(np.diagonal(covariance)[:MOTIONS]) * sizes)

    def determined(self, scale: float) -> float:
        """Count the coordinates that the data determine under one Gaussian."""
        precision = self._prior(scale)[1]
        half = np.linalg.inv(np.linalg.cholesky(self.gram + np.diag(precision))).T
        prior = self.linearised.pixels.rest_precision
        following = self.response @ half
        known = np.einsum("ij,ij->", prior @ self.inner_half, self.inner_half)
        known += np.einsum("ij,ij->", prior @ following, following) + precision @ (half**2).sum(axis=1)
        return float(len(precision) + len(prior) - known)
