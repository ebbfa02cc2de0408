"""The linear model about a state, what data say of it, and the steps and errors that follow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri, dtrtrs

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.calibration import CalibrationKnots, CalibrationModes
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, LineDesign
from quietspec.denoisers.posterior.kinematics import MOTIONS, FewCoordinates, KinematicCoordinates, State
from quietspec.denoisers.posterior.linear import NormalEquations
from quietspec.denoisers.posterior.sky import NO_SKY, SkyPixels
from quietspec.denoisers.posterior.small_matrices import solved

__all__ = ["Linearised", "Marginalised", "solved_triangle", "triangle"]

_STILL_GAS, _NEARLY_STILL = 0.3, 0.5  # of the errors of the motions of gas and stars
_FAINTEST = 1e-3  # least flux scale, in units of its error


@dataclass(frozen=True, eq=False)
class Linearised:
    """The model about a state: model + change · (coordinates − those of the state).

    The coordinates are, in this order, velocity and u in units of their priors, x, h3 and h4 in units of theirs, those
    of emission lines (`gas`), z.

    Parameters
    ----------
    coordinates : KinematicCoordinates or FewCoordinates
        In which spectra are fitted.
    knots : CalibrationKnots or CalibrationModes
        Of the calibration.
    state : State
        The state.
    design : (n_pixels, n_stars)
        Change with the coordinates of the stars before z.
    stars, calibration : (n_pixels,)
        The stars there without calibration, and the calibration.
    model : (n_pixels,)
        The stars there.
    lines : LineDesign
        The lines there, and their change with their coordinates.
    sky : SkyPixels, optional
        Where the air absorbs and glows; what it leaves is as large as the state says.
    """

    coordinates: KinematicCoordinates | FewCoordinates
    knots: CalibrationKnots | CalibrationModes
    state: State
    design: FloatArray
    stars: FloatArray
    calibration: FloatArray
    model: FloatArray
    lines: LineDesign
    sky: SkyPixels = NO_SKY

    @property
    def n_stars(self) -> int:
        """Number of coordinates of the stars before z; those of lines follow them."""
        return self.coordinates.size + 2

    @property
    def gas(self) -> slice:
        """Place of the coordinates of lines among those that are marginalised: h, lines, z."""
        return slice(2, 2 + self.lines.size)

    @property
    def rest_precision(self) -> FloatArray:
        """Precision of (h, lines, z) before the data."""
        first = self.gas.stop
        precision = np.eye(first + self.knots.n_knots)
        precision[first:, first:] = self.knots.precision
        return precision

    def of_stars(self, rest: FloatArray) -> FloatArray:
        """Rows (or elements) of h and z, without those of lines."""
        return np.concatenate([rest[:2], rest[self.gas.stop :]])

    def change(self, step: FloatArray) -> FloatArray:
        """Change of the stars with a step in all coordinates, (n_pixels,)."""
        single, own = step.astype(np.float32), self.n_stars
        knots = self.knots.hats @ single[own + self.lines.size :]
        return np.asarray(self.design @ single[:own] + self.stars * knots)

    def normal_equations(self, residual: FloatArray, weight: FloatArray) -> NormalEquations:
        """Return what data minus model say of all coordinates; h, lines and z come last."""
        equations = NormalEquations(*self._products(residual, weight), float(weight @ residual**2), 0.0)
        sky = self.sky.filter(weight, self.state.sky)
        return equations if sky is None else equations.filtered(sky, self.along(sky.columns, residual, weight))

    def along(self, columns: FloatArray, residual: FloatArray, weight: FloatArray) -> FloatArray:
        """Uᵀ of the whitened change with all coordinates and, last, of the residuals, (n_columns, n + 1)."""
        rows, white = self.sky.rows, columns * np.sqrt(weight)[:, None]
        parts: list[FloatArray] = [white[rows].T @ self.design[rows]]
        if self.lines.size:
            parts.append(white[self.lines.rows].T @ self.lines.columns)
        parts.append((self.knots.gather @ (white * self.stars[:, None])).T)
        return np.concatenate([*parts, (residual[rows] @ white[rows])[:, None]], axis=1)

    def _products(self, residual: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Information and gradient without what the air leaves."""
        root = np.sqrt(weight)
        own, n_knots = self.n_stars, self.knots.n_knots
        sides = np.empty((len(root), own + 1), dtype=np.float32)
        design, starlight = sides[:, :own], self.stars * root
        np.multiply(self.design, root[:, None], out=design)
        pull = sides[:, own] = residual * root
        size = own + self.lines.size + n_knots
        information, gradient = np.zeros((size, size)), np.empty(size)
        before, lines, after = slice(own), slice(own, size - n_knots), slice(size - n_knots, None)
        gather = self.knots.gathering(starlight)
        products, at_knots = sides.T @ sides, gather @ sides
        information[before, before], gradient[before] = products[:own, :own], products[:own, own]
        information[after, before], gradient[after] = at_knots[:, :own], at_knots[:, own]
        information[after, after] = self.knots.information(starlight**2)
        if self.lines.size:
            rows = self.lines.rows
            columns = self.lines.columns * root[rows, None]
            information[lines, lines] = columns.T @ columns
            information[lines, before] = columns.T @ design[rows]
            information[after, lines] = self.knots.gathered(columns * starlight[rows, None], rows)
            information[lines, after] = information[after, lines].T
            gradient[lines] = pull[rows] @ columns
        information[before, own:] = information[own:, before].T
        return information, gradient

    def deviations(self, half: FloatArray, response: FloatArray) -> FloatArray:
        """Change of the stars' pixels with each column of `half`, h and z following, (n_pixels, d).

        Parameters
        ----------
        half : (d, d)
            Square root of the covariance of motions and populations.
        response : (n_rest, d)
            By how much h, lines and z fall with them.

        Returns
        -------
        (n_pixels, d)
            Square root of the covariance of the stars' pixels, as far as they follow motions and populations.
        """
        following = (-self.of_stars(response) @ half).astype(np.float32)
        deviations = self.design @ np.concatenate([half.astype(np.float32), following[:2]])
        deviations += self.knots.scaled(self.stars) @ following[2:]
        return np.asarray(deviations)

    def variance(self, deviations: FloatArray, inner_half: FloatArray) -> FloatArray:
        """Variance of the stars' pixels.

        Parameters
        ----------
        deviations : (n_pixels, d)
            What `deviations` gave.
        inner_half : (n_rest, n_rest)
            Square root of the covariance of h, lines and z given motions and populations.

        Returns
        -------
        (n_pixels,)
            Diagonal of F Fᵀ with the F of `factor`.
        """
        inner = self.of_stars(inner_half)
        shape, with_shape = self.design[:, self.coordinates.size :], (inner @ inner[:2].T).astype(np.float32)
        alone = shape @ with_shape[:2] + 2 * self.stars[:, None] * (self.knots.hats @ with_shape[2:])
        variance = np.einsum("pi,pi->p", deviations, deviations) + np.einsum("pi,pi->p", alone, shape)
        return np.asarray(variance + self.stars**2 * self.knots.variance(inner[2:]))

    def factor(self, half: FloatArray, response: FloatArray, inner_half: FloatArray) -> FloatArray:
        """Square root F of the covariance F Fᵀ of the stars' pixels.

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
        kept, own, shape = len(half), self.n_stars, 2
        response, inner_half = self.of_stars(response), self.of_stars(inner_half)
        rest = -response @ half
        following = self.design[:, :kept] @ half + self.design[:, kept:own] @ rest[:shape]
        following += self.stars[:, None] * (self.knots.hats @ rest[shape:])
        alone = self.design[:, kept:own] @ inner_half[:shape]
        alone += self.stars[:, None] * (self.knots.hats @ inner_half[shape:])
        return np.concatenate([following, alone], axis=1)

    def sums(self, weights: Any, deviations: FloatArray, inner_half: FloatArray) -> FloatArray:
        """Square root of the covariance of sums of the stars' pixels by weights (n_sums, n_pixels).

        Parameters
        ----------
        weights : sparse (n_sums, n_pixels)
            The weights.
        deviations, inner_half : arrays
            As for `variance`.

        Returns
        -------
        (n_sums, d + n_rest)
            Its columns are those of `deviations` and `inner_half`.
        """
        with_knots = weights @ self.knots.scaled(self.stars)
        by_rest = np.concatenate([weights @ self.design[:, self.coordinates.size :], with_knots.toarray()], axis=1)
        return np.concatenate([weights @ deviations, by_rest @ self.of_stars(inner_half)], axis=1)

    def nucleus(
        self, populations: FloatArray, half: FloatArray, response: FloatArray, inner_half: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Flux of the nucleus, and a square root of its covariance whose columns are those of `factor`.

        Parameters
        ----------
        populations : (d,)
            x.
        half, response, inner_half : arrays
            As for `factor`.

        Returns
        -------
        flux : (n_pixels,)
            Flux of the nucleus; 0 for a prior without nuclei.
        factor : (n_pixels, d + n_rest)
            Square root of its covariance.
        """
        kept, shape = len(half), 2
        response, inner_half = self.of_stars(response), self.of_stars(inner_half)
        picked = self.coordinates.nucleus
        if picked is None:
            return np.zeros(len(self.stars)), np.zeros((len(self.stars), kept + len(inner_half)))
        vectors = self.design[:, MOTIONS:kept] @ picked
        flux = vectors @ populations
        bare = (flux / self.calibration)[:, None]
        following = vectors @ half[MOTIONS:] - bare * (self.knots.hats @ (response @ half)[shape:])
        return flux, np.concatenate([following, bare * (self.knots.hats @ inner_half[shape:])], axis=1)

    def marginalise(self, residual: FloatArray, weight: FloatArray) -> Marginalised:
        """Take h, lines and z out of what the data say.

        Parameters
        ----------
        residual, weight : (n_pixels,)
            Data minus stars and lines, and inverse variances.

        Returns
        -------
        Marginalised
            About the state.
        """
        return self.solved(self.normal_equations(residual, weight))

    def solved(self, equations: NormalEquations) -> Marginalised:
        """Take h, lines and z out of the normal equations."""
        information, gradient, chi2, cost = equations
        kept, now = self.coordinates.size, self.state.rest()
        prior = self.rest_precision
        slope = gradient[kept:] - prior @ now
        lower = triangle(information[kept:, kept:] + prior)
        turned = solved_triangle(lower, np.column_stack([information[kept:, :kept], slope]))
        across, along = turned[:, :kept], turned[:, kept]
        back = solved_triangle(lower, turned, transposed=True)
        determinant = 2 * np.log(np.diagonal(lower)).sum() - self.knots.log_precision
        return Marginalised(
            linearised=self,
            gram=information[:kept, :kept] - across.T @ across,
            gradient=gradient[:kept] - across.T @ along,
            chi2=float(chi2 + now @ prior @ now - along @ along),
            log_determinant=float(determinant + cost),
            response=back[:, :kept],
            offset=back[:, kept],
            inner_factor=lower,
        )


@dataclass(frozen=True, eq=False)
class Marginalised:
    """What the data say of motions and populations, the rest marginalised; ζ = (h, lines, z), a = (motions, x).

    Parameters
    ----------
    linearised : Linearised
        The model about the state.
    gram, gradient : (d, d) and (d,)
        Information and gradient of a about the state, motions in units of their priors.
    chi2 : float
        χ² of the state with the best ζ, their prior included.
    log_determinant : float
        Of the information on ζ in units of their prior, and of the covariance of what the air leaves: twice what
        marginalising these costs in log evidence.
    response, offset : (n_rest, d) and (n_rest,)
        Given a, the mean of ζ is offset − response (a − a_state) beyond the state's.
    inner_factor : (n_rest, n_rest)
        Cholesky factor of the precision of ζ given a, a lower triangle.
    """

    linearised: Linearised
    gram: FloatArray
    gradient: FloatArray
    chi2: float
    log_determinant: float
    response: FloatArray
    offset: FloatArray
    inner_factor: FloatArray

    @cached_property
    def inner_half(self) -> FloatArray:
        """Square root of the covariance of ζ given a, (n_rest, n_rest)."""
        return np.asarray(dtrtri(self.inner_factor, lower=1)[0].T)

    def prior(self, scale: float) -> tuple[FloatArray, FloatArray]:
        """Expected values of a and their precisions under one Gaussian, (d,) each."""
        coordinates = self.linearised.coordinates
        precision = np.ones(coordinates.size)
        precision[MOTIONS:] = scale**-2
        return scale * coordinates.centre, precision

    @property
    def now(self) -> FloatArray:
        """Motions and populations of the state, (d,)."""
        return np.concatenate([self.linearised.state.motions(), self.linearised.state.populations])

    @cached_property
    def step(self) -> tuple[FloatArray, float]:
        """Best step of all coordinates under one Gaussian, (n,), and the flux scale it leads to."""
        state, to_scale = self.linearised.state, self.linearised.coordinates.to_scale
        now = step = self.now
        scale = state.scale
        for _ in range(2):  # of step → scale of the prior
            expected, precision = self.prior(scale)
            step = solved(self.gram + np.diag(precision), self.gradient - precision * (now - expected))
            scale = max(
                float((now + step)[MOTIONS:] @ to_scale), _FAINTEST * float(self.gram[MOTIONS, MOTIONS]) ** -0.5
            )
        return np.concatenate([step, self.offset - self.response @ step]), scale

    def log_evidence(self, scale: float) -> float:
        """Log evidence under one Gaussian of a flux scale, but for a constant of the data."""
        expected, precision = self.prior(scale)
        away = self.now - expected
        information, slope = self.gram + np.diag(precision), self.gradient - precision * away
        chi2 = self.chi2 + precision @ away**2 - slope @ solved(information, slope)
        volume = np.linalg.slogdet(information)[1] - np.log(precision).sum()
        return float(-0.5 * (chi2 + self.log_determinant + volume))

    def gas_is_still(self, step: FloatArray) -> bool:
        """Whether a step hardly moves the gas: by less than a third of its error, with flux to move."""
        gas = self.linearised.state.gas
        if gas is None or not gas.moves:
            return True
        place = slice(len(self.gradient) + 2, len(self.gradient) + 2 + GAS_MOTIONS)
        picked = np.eye(len(self.offset))[:, 2 : 2 + GAS_MOTIONS]
        error = np.sqrt((solved_triangle(self.inner_factor, picked) ** 2).sum(axis=0))
        return bool(gas.flux.any() and np.all(np.abs(step[place]) < _STILL_GAS * error))

    def is_nearly_still(self, step: FloatArray, scale: float) -> bool:
        """Whether a step moves stars by less than half of the errors of their motions, and gas by less than a third."""
        moved = np.abs(step[:MOTIONS]) * self.linearised.coordinates.motion_sizes
        return self.gas_is_still(step) and bool(np.all(moved < _NEARLY_STILL * self.errors(scale)))

    def errors(self, scale: float) -> FloatArray:
        """1σ of velocity (km/s) and u under one Gaussian, (2,)."""
        precision = self.gram + np.diag(self.prior(scale)[1])
        variance = np.diagonal(np.linalg.solve(precision, np.eye(len(precision), MOTIONS)))
        if not (variance > 0).all():
            raise np.linalg.LinAlgError("a precision is not positive")
        return np.asarray(np.sqrt(variance) * self.linearised.coordinates.motion_sizes)

    def determined(self, scale: float) -> float:
        """Count the coordinates that the data determine under one Gaussian."""
        precision = self.prior(scale)[1]
        half = np.linalg.inv(np.linalg.cholesky(self.gram + np.diag(precision))).T
        prior = self.linearised.rest_precision
        following = self.response @ half
        known = np.einsum("ij,ij->", prior @ self.inner_half, self.inner_half)
        known += np.einsum("ij,ij->", prior @ following, following) + precision @ (half**2).sum(axis=1)
        return float(len(precision) + len(prior) - known)


def triangle(precision: FloatArray) -> FloatArray:
    """Cholesky factor of a precision (n, n), a lower triangle."""
    lower, failed = dpotrf(precision, lower=1, clean=1)
    if failed:
        raise np.linalg.LinAlgError("a precision is not positive")
    return np.asarray(lower)


def solved_triangle(lower: FloatArray, sides: FloatArray, *, transposed: bool = False) -> FloatArray:
    """L⁻¹ B, or L⁻ᵀ B, of a lower triangle L and sides B (n, m)."""
    return np.asarray(dtrtrs(lower, sides, lower=1, trans=int(transposed))[0])
