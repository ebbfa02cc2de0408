"""Emission lines too faint to tell their own motion: an average over the motions that gas may have.

Lines held at one velocity and width lose flux where the gas has others: a line 80 km/s off its place seems a tenth
fainter. Here amplitudes are fitted, stars and calibration marginalised, at each of several motions about that of the
stars; the posterior is the mixture of these fits, weighted by prior and evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.contamination import TRACERS, spike_mask
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, USUAL_WIDTH, LineModel
from quietspec.denoisers.posterior.kinematics import MOTIONS
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.lines.results import FittedLines

__all__ = ["LineScan", "MotionLaw", "Starlight", "is_doubtful", "spikes_on_lines", "with_unknown_motion"]

_STEP, _OFFSET_SIZE = 60.0, 70.0  # km/s: between velocities, and 1σ of that of gas about that of the stars
_OFFSETS = _STEP * np.arange(-3, 4)
_WIDTHS, _WIDTH_SIZE = np.log([45.0, 90.0, 160.0, 270.0]), 0.6  # ln σ (km/s), and 1σ of its prior
_NODES = 1.2 * np.arange(-2, 3), 1.5 * np.arange(-1, 2)  # σ of a law, at which velocities and widths are tried
_SHARP = 0.5  # probability of one motion beyond which others are tried about it, so many times nearer
_FINER = 3
_STRONG, _WEAK = 3.0, 0.3  # Å, equivalent widths usual in tracers of gas and in other lines, for the evidence
_SPIKE, _PROFILE = 5.0, 0.1  # σ, and share of a line by which its profile may be wrong
_LATTICE = 20.0  # km/s, between velocities about which trial velocities lie
_HUGE = 1e30
_SURE = 64.0  # χ² of lines beyond which their motion is known


class Starlight(NamedTuple):
    """Posterior of motions and populations about the state: mean (d,) and square root (d, d) of the covariance."""

    change: FloatArray
    half: FloatArray


class MotionLaw(NamedTuple):
    """What is known of the motion of gas beforehand: means of velocity (km/s) and ln σ, and their 1σ."""

    velocity: float
    width: float
    velocity_size: float = _OFFSET_SIZE
    width_size: float = _WIDTH_SIZE

    def log_prior(self, velocity: FloatArray, width: FloatArray) -> FloatArray:
        """Log density of motions, not normalised."""
        away = (velocity - self.velocity) / self.velocity_size, (width - self.width) / self.width_size
        return np.asarray(-0.5 * (away[0] ** 2 + away[1] ** 2))

    def lattice(self) -> Lattice:
        """Motions by which an average under this law is taken."""
        return Lattice(self.velocity + self.velocity_size * _NODES[0], self.width + self.width_size * _NODES[1])


class Lattice(NamedTuple):
    """Motions that are tried: velocities (km/s) and ln σ, each in steps."""

    velocity: FloatArray
    width: FloatArray

    @classmethod
    def about_stars(cls, velocity: float) -> Lattice:
        """Motions that gas usually has, about stars of a velocity (km/s)."""
        # Velocities lie on a lattice, so that spectra share their profiles.
        return cls(_LATTICE * round(velocity / _LATTICE) + _OFFSETS, _WIDTHS)

    @property
    def step(self) -> float:
        """Step of the velocities, km/s."""
        return float(self.velocity[1] - self.velocity[0])

    def nodes(self) -> tuple[FloatArray, FloatArray]:
        """Velocity and ln σ of every motion, (n_motions,) each."""
        velocity, width = np.meshgrid(self.velocity, self.width, indexing="ij")
        return velocity.ravel(), width.ravel()

    def about(self, node: int) -> Lattice:
        """Return a finer lattice about one of the motions, as far as its neighbours."""
        velocity, width = (axis[node] for axis in self.nodes())
        steps = np.arange(-_FINER, _FINER + 1) / _FINER
        reach = float(np.diff(self.width).max())
        return Lattice(velocity + self.step * steps, width + reach * steps)


def is_doubtful(data: Marginalised, model: LineModel) -> bool:
    """Whether the lines of a fit have no motion of gas, or are too faint for theirs to be known.

    Parameters
    ----------
    data : Marginalised
        What the data say about the last state.
    model : LineModel
        Lines on the pixels.

    Returns
    -------
    bool
        Whether lines are too narrow or too far from the stars, or all tracers of gas together below 8σ, the errors of
        stars and calibration included.
    """
    state, size = data.linearised.state, len(data.gradient)
    if state.gas is None or not state.gas.moves:
        return False
    step, scale = data.step
    if state.moved(step, scale).gas_is_odd:
        return True
    place = 2 + GAS_MOTIONS + np.array(_tracers(model), dtype=np.intp)
    value = state.rest()[place] + step[size:][place]
    response = data.response[place]
    within = np.linalg.solve(data.gram + np.diag(_sizes(data) ** -2), response.T)
    covariance = response @ within + data.inner_half[place] @ data.inner_half[place].T
    return bool(value @ np.linalg.solve(covariance, value) < _SURE)


def spikes_on_lines(data: Marginalised, flux: FloatArray, weight: FloatArray) -> BoolArray:
    """Find spikes among emission lines: short runs of pixels that no line of the fit explains.

    Parameters
    ----------
    data : Marginalised
        What the data say about the last state.
    flux, weight : (n_pixels,)
        Data and inverse variances.

    Returns
    -------
    (n_pixels,) of bool
        True where a spike is.
    """
    linearised = data.linearised
    step, _ = data.step
    lines = linearised.lines
    left = lines.left(flux - linearised.model - linearised.change(step))
    left[lines.rows] -= lines.columns @ step[linearised.n_stars :][: lines.size].astype(np.float32)
    weight = weight.copy()
    weight[lines.rows] /= 1 + weight[lines.rows] * (_PROFILE * lines.flux) ** 2
    return np.asarray(spike_mask(left[None], weight[None], _SPIKE)[0])


def _tracers(model: LineModel) -> list[int]:
    return [number for number, group in enumerate(model.groups) if group.name in TRACERS]


def _sizes(data: Marginalised) -> FloatArray:
    """1σ of motions and populations under the prior as one Gaussian, (d,)."""
    sizes = np.full(len(data.gradient), data.linearised.state.scale)
    sizes[:MOTIONS] = 1.0
    return sizes


@dataclass(frozen=True, eq=False)
class LineScan:
    """What the data of one spectrum say of line fluxes at any motion.

    Parameters
    ----------
    model : LineModel
        Lines on the pixels.
    data : Marginalised
        What the data say about a state whose lines are at the motion of the stars.
    stars : Starlight
        What is known of motions and populations.
    flux, weight : (n_pixels,)
        Data and inverse variances.
    """

    model: LineModel
    data: Marginalised
    stars: Starlight
    flux: FloatArray
    weight: FloatArray

    @property
    def velocity(self) -> float:
        """Velocity of the stars, km/s."""
        return self.data.linearised.state.velocity

    @property
    def scale(self) -> float:
        """Flux scale of the stars."""
        return self.data.linearised.state.scale

    def log_evidence(self, velocity: FloatArray, width: FloatArray, model: LineModel | None = None) -> FloatArray:
        """Log evidence of gas of motions (km/s and ln σ) over that of none, (n_motions,); `model` as for `fluxes`."""
        return self.evidence_of(*self.fluxes(velocity, width, model), model)

    def evidence_of(self, information: FloatArray, gradient: FloatArray, model: LineModel | None = None) -> FloatArray:
        """Log evidence of what `fluxes` found, (n_motions,)."""
        model = model or self.model
        usual = np.full(model.size, _WEAK * self.scale)
        usual[_tracers(model)] = _STRONG * self.scale
        return _log_evidence(information, gradient, usual)

    def fluxes(
        self, velocity: FloatArray, width: FloatArray, model: LineModel | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """What the data say of the n fluxes at several motions, all else marginalised.

        Parameters
        ----------
        velocity, width : (n_motions,)
            Motions, km/s and ln σ.
        model : LineModel, optional
            Lines that there are; all by default.

        Returns
        -------
        information, gradient : (n_motions, n, n) and (n_motions, n)
            Of the log likelihood, about fluxes of 0.
        """
        model = model or self.model
        profiles, pixels = model.shared_profiles(velocity, np.exp(width))
        shape = len(velocity), model.size  # no lines at all on short pieces that lie between them
        linearised = self.data.linearised
        residual, weight = self.flux - linearised.model, self.weight
        lower, half_slope = self._all_else
        with_knots = linearised.knots.dense(linearised.stars, pixels)
        columns = np.concatenate([linearised.design[pixels], with_knots], axis=1)
        columns *= weight[pixels, None]
        products, gradient = profiles @ columns, profiles @ (weight * residual)[pixels]
        each = profiles.toarray().reshape(*shape, len(pixels))
        informations = (each * weight[pixels]) @ each.transpose(0, 2, 1)
        sky = linearised.sky.filter(weight, linearised.state.sky)
        if sky is not None:
            kept = linearised.along(sky.columns, residual, weight)
            kept = np.delete(kept, np.s_[linearised.n_stars : linearised.n_stars + linearised.lines.size], axis=1)
            others, own = sky.taken(kept), sky.taken((profiles @ (sky.columns * np.sqrt(weight)[:, None])[pixels]).T)
            products = products - own.T @ others[:, :-1]
            gradient = gradient - own.T @ others[:, -1]
            taken = own.T.reshape(*shape, len(own))
            informations = informations - taken @ taken.transpose(0, 2, 1)
        across = solve_triangular(lower, products.T, lower=True)
        gradient = gradient - half_slope @ across
        across = across.T.reshape(*shape, len(across))
        informations = informations - across @ across.transpose(0, 2, 1)
        return informations.astype(np.float64), gradient.reshape(shape)

    @cached_property
    def _all_else(self) -> tuple[FloatArray, FloatArray]:
        """Lower Cholesky factor of the precision of all coordinates but those of lines, and L⁻¹ of their slope."""
        # Motions and populations have the Gaussian prior by which `data` lead to the mean that `stars` has.
        linearised = self.data.linearised
        information, gradient, _, _ = linearised.normal_equations(self.flux - linearised.model, self.weight)
        first, last = linearised.n_stars, linearised.n_stars + linearised.lines.size
        kept = np.r_[0:first, last : len(gradient)]
        information, gradient = information[np.ix_(kept, kept)], gradient[kept]
        size = len(self.stars.change)
        before = _prior_of_stars(self.data, self.stars)
        information[:size, :size] += before
        gradient[:size] += (self.data.gram + before) @ self.stars.change - self.data.gradient
        prior = linearised.of_stars(linearised.rest_precision)
        prior = linearised.of_stars(prior.T)
        information[size:, size:] += prior
        gradient[size:] -= prior @ linearised.of_stars(linearised.state.rest())
        lower = cholesky(information, lower=True)
        return lower, solve_triangular(lower, gradient, lower=True)


def with_unknown_motion(
    lines: FittedLines, scan: LineScan, law: MotionLaw | None = None, motions: Lattice | None = None
) -> FittedLines:
    """Average lines over the motions that gas may have.

    Parameters
    ----------
    lines : FittedLines
        Lines at the motion of the stars.
    scan : LineScan
        What the data say of their fluxes at other motions.
    law : MotionLaw, optional
        What is known of the motion; by default that gas moves about as the stars do.
    motions : Lattice, optional
        Motions that gas may have; by default those that are likely under the law, and finer ones about one that is
        much more probable than the others.

    Returns
    -------
    FittedLines
        Mean and covariance of the mixture; the covariance between fluxes and continua is that of `lines`.
    """
    lattice = motions or (Lattice.about_stars(scan.velocity) if law is None else law.lattice())
    velocity, width = lattice.nodes()
    prior = (law or MotionLaw(scan.velocity, USUAL_WIDTH)).log_prior(velocity, width)
    size = scan.model.size
    informations, gradients = scan.fluxes(velocity, width)
    share, gas = _shares(prior, scan.evidence_of(informations, gradients))
    if motions is None and share.max() > _SHARP:
        return with_unknown_motion(lines, scan, law, lattice.about(int(share.argmax())))
    covariances = np.linalg.inv(informations + scan.model.flux_size(scan.scale) ** -2 * np.eye(size))
    means = np.einsum("kij,kj->ki", covariances, gradients)
    mean = share @ means
    away = means - mean
    covariance = lines.covariance.copy()
    covariance[:size, :size] = np.tensordot(share, covariances, 1) + gas * (away.T * share) @ away
    centre, wide = float(share @ velocity), float(share @ width)
    step = lattice.step if law is None or motions is not None else 0.0
    spread = share @ (velocity - centre) ** 2 + step**2 / 12, share @ (width - wide) ** 2
    return replace(
        lines,
        flux=mean,
        covariance=covariance,
        velocity=centre,
        log_sigma=wide,
        motion_errors=np.sqrt(np.array(spread)),
    )


def _shares(log_prior: FloatArray, log_evidence: FloatArray) -> tuple[FloatArray, float]:
    """Posterior probabilities of motions, which are as the prior says if there is no gas, and of gas (½ beforehand)."""
    prior = np.exp(log_prior - np.logaddexp.reduce(log_prior))
    highest = max(float(log_evidence.max()), 0.0)
    with_gas, without = prior * np.exp(log_evidence - highest), prior * np.exp(-highest)
    share = with_gas + without
    return np.asarray(share / share.sum()), float(with_gas.sum() / share.sum())


def _log_evidence(information: FloatArray, gradient: FloatArray, size: FloatArray) -> FloatArray:
    """Log evidence of amplitudes of these prior standard deviations at several motions, over that of none."""
    (n_motions, n), each = gradient.shape, np.arange(len(size))
    bordered = np.zeros((n_motions, n + 1, n + 1))
    bordered[:, :n, :n] = information * np.outer(size, size)
    bordered[:, each, each] += 1
    bordered[:, n, :n], bordered[:, n, n] = gradient * size, _HUGE
    lower = np.linalg.cholesky(bordered)
    determinant = np.log(lower[:, each, each]).sum(axis=1)
    return np.asarray(0.5 * (lower[:, n, :n] ** 2).sum(axis=1) - determinant)


def _prior_of_stars(data: Marginalised, stars: Starlight) -> FloatArray:
    """Precision of motions and populations without the data; nowhere less than that of the prior as one Gaussian."""
    size = _sizes(data)
    precision = cho_solve((stars.half, True), np.eye(len(size))) - data.gram
    values, vectors = np.linalg.eigh(precision * size[:, None] * size)
    vectors /= size[:, None]
    return np.asarray((vectors * np.maximum(values, 1.0)) @ vectors.T)
