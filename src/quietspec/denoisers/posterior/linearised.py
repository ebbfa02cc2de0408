"""The linear model about a state, what data say of it, and the steps and errors that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.calibration import CalibrationKnots
from quietspec.denoisers.posterior.gas import GAS_MOTIONS
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State

__all__ = ["Linearised", "Marginalised"]

_STILL_GAS = 0.3  # of the error of its motion
_FAINTEST = 1e-3  # least flux scale, in units of its error


@dataclass(frozen=True, eq=False)
class Linearised:
    """The model about a state: model + change · (coordinates − those of the state).

    The coordinates are, in this order, velocity and u in units of their priors, x, h3 and h4 in units of theirs, those
    of emission lines (`gas`), z.

    Parameters
    ----------
    coordinates : KinematicCoordinates
        In which spectra are fitted.
    knots : CalibrationKnots
        Of the calibration.
    state : State
        The state.
    design : (n_pixels, d + 2 + n_gas)
        Change with all coordinates before z.
    stars : (n_pixels,)
        The stars there without calibration.
    model : (n_pixels,)
        The stars there.
    lines : (n_pixels,)
        The lines there.
    """

    coordinates: KinematicCoordinates
    knots: CalibrationKnots
    state: State
    design: FloatArray
    stars: FloatArray
    model: FloatArray
    lines: FloatArray

    @property
    def n_stars(self) -> int:
        """Number of coordinates of the stars before z; those of lines follow them."""
        return self.coordinates.size + 2

    @property
    def gas(self) -> slice:
        """Place of the coordinates of lines among those that are marginalised: h, lines, z."""
        return slice(2, 2 + self.design.shape[1] - self.n_stars)

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

    def change(self, step: FloatArray, *, lines: bool = True) -> FloatArray:
        """Change of the model, or of the stars alone, with a step in all coordinates, (n_pixels,)."""
        single = step.astype(np.float32)
        own = self.design.shape[1] if lines else self.n_stars
        knots = single[self.design.shape[1] :]
        return np.asarray(self.design[:, :own] @ single[:own] + self.stars * (self.knots.hats @ knots))

    def normal_equations(self, residual: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Information (n, n) and gradient (n,) of data minus model, in float64."""
        knots, own = self.knots, self.design.shape[1]
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
        own, knots, design = self.n_stars, self.knots, self.design[:, : self.n_stars]
        response, inner_half = self.of_stars(response), self.of_stars(inner_half)
        following = np.concatenate([half, -response @ half])
        covariance = following @ following.T
        kept = len(half)
        covariance[kept:, kept:] += inner_half @ inner_half.T
        single = covariance[:, :own].astype(np.float32)
        with_knots = self.stars[:, None] * (knots.hats @ single[own:])
        total = np.einsum("pi,pi->p", design @ single[:own] + 2 * with_knots, design)
        return np.asarray(total + self.stars**2 * knots.variance(covariance[own:, own:]))

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

    def sums(self, weights: FloatArray, half: FloatArray, response: FloatArray, inner_half: FloatArray) -> FloatArray:
        """Square root of the covariance of sums of the stars' pixels by weights (n_sums, n_pixels), as of `factor`."""
        kept, own = len(half), self.n_stars
        design = weights @ self.design[:, :own]
        knots = self.knots.gather @ (weights * self.stars).T
        along, alone = -self.of_stars(response) @ half, self.of_stars(inner_half)
        by_rest = np.concatenate([design[:, kept:], np.asarray(knots).T], axis=1)
        return np.concatenate([design[:, :kept] @ half + by_rest @ along, by_rest @ alone], axis=1)

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
        bare = (flux / (1 + self.knots.hats @ self.state.calibration))[:, None]
        following = vectors @ half[MOTIONS:] - bare * (self.knots.hats @ (response @ half)[shape:])
        return flux, np.concatenate([following, bare * (self.knots.hats @ inner_half[shape:])], axis=1)

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
        now = state.rest()
        prior = self.rest_precision
        slope = gradient[kept:] - prior @ now
        lower, failed = dpotrf(information[kept:, kept:] + prior, lower=1, clean=1)
        if failed:
            raise np.linalg.LinAlgError("the calibration is not determined")
        inverse, _ = dtrtri(lower, lower=1)
        turned = inverse @ np.column_stack([information[kept:, :kept], slope])
        across, along = turned[:, :kept], turned[:, kept]
        determinant = 2 * np.log(np.diagonal(lower)).sum() - self.knots.log_precision
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

    def gas_is_still(self, step: FloatArray) -> bool:
        """Whether a step hardly moves the gas: by less than a third of its error, with flux to move."""
        gas = self.linearised.state.gas
        if gas is None or not gas.moves:
            return True
        place = slice(len(self.gradient) + 2, len(self.gradient) + 2 + GAS_MOTIONS)
        root = self.inner_half[2 : 2 + GAS_MOTIONS]
        error = np.sqrt(np.einsum("ij,ij->i", root, root))
        return bool(gas.flux.any() and np.all(np.abs(step[place]) < _STILL_GAS * error))

    def errors(self, scale: float) -> FloatArray:
        """1σ of velocity (km/s) and u under one Gaussian, (2,)."""
        covariance = np.linalg.inv(self.gram + np.diag(self._prior(scale)[1]))
        sizes = self.linearised.coordinates.motion_sizes
        return np.asarray(np.sqrt(np.diagonal(covariance)[:MOTIONS]) * sizes)

    def determined(self, scale: float) -> float:
        """Count the coordinates that the data determine under one Gaussian."""
        precision = self._prior(scale)[1]
        half = np.linalg.inv(np.linalg.cholesky(self.gram + np.diag(precision))).T
        prior = self.linearised.rest_precision
        following = self.response @ half
        known = np.einsum("ij,ij->", prior @ self.inner_half, self.inner_half)
        known += np.einsum("ij,ij->", prior @ following, following) + precision @ (half**2).sum(axis=1)
        return float(len(precision) + len(prior) - known)
