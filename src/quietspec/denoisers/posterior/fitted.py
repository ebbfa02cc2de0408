"""One spectrum's last fit, and what it says: flux and errors of the pixels, motions, moments, emission lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, USUAL_WIDTH, LineModel, Roots
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.motions import Dispersion, Joint, condition_on_motions
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.lines.results import FittedLines

__all__ = [
    "Fitted", "Motions", "Pixels", "as_scanned", "change_and_half", "on_pixels", "projections_of",
    "square_root", "with_true_dispersion",
]  # fmt: skip

_MOMENTS = 2  # h3 and h4, which stand first among what is marginalised
_LINEAR = np.array([60.0, 0.35])  # km/s and u, over which a spectrum changes evenly
_RIDGE = 1e-10  # of the variances, added to covariances
_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of the largest eigenvalue, below which others are not known


@dataclass(frozen=True, eq=False)
class Fitted:
    """One spectrum's last linearisation, what the data said there, and the likelihood of u where it is no Gaussian.

    The motions of a faint one are what the scan says of them.
    """

    marginalised: Marginalised
    faint: bool
    nodes: FloatArray
    log_likelihood: FloatArray

    @property
    def state(self) -> State:
        """Where the model was linearised."""
        return self.marginalised.linearised.state


@dataclass(frozen=True, eq=False)
class Pixels:
    """One spectrum's flux and variance, (n_pixels,), h3 and h4, x, lines, and what all follow from.

    The latter are the change of motions and populations from the state to their mean, and a square root of their
    covariance.
    """

    flux: FloatArray
    variance: FloatArray
    populations: FloatArray
    moments: FloatArray
    moment_errors: FloatArray
    change: FloatArray
    half: FloatArray
    lines: FittedLines | None


def on_pixels(one: Fitted, joint: Joint, model: PixelModel) -> Pixels:
    """Turn what is known of a spectrum's coordinates into flux, errors, moments and lines."""
    state, data, linearised = one.state, one.marginalised, one.marginalised.linearised
    change, half = change_and_half(one, joint)
    rest = data.offset - data.response @ change
    deviations = linearised.deviations(half, data.response)
    rest_root = np.concatenate([-data.response @ half, data.inner_half], axis=1)
    flux = linearised.model + linearised.change(np.concatenate([change, rest]))
    return Pixels(
        flux=flux,
        variance=linearised.variance(deviations, data.inner_half),
        populations=state.populations + change[MOTIONS:],
        moments=model.shape_size * (state.shape + rest[:_MOMENTS]),
        moment_errors=model.shape_size * _norms(rest_root[:_MOMENTS]),
        change=change,
        half=half,
        lines=_fitted_lines(one, model.lines, flux, (rest, rest_root), deviations),
    )


def _fitted_lines(
    one: Fitted,
    model: LineModel | None,
    stars: FloatArray,
    rest: tuple[FloatArray, FloatArray],
    deviations: FloatArray,
) -> FittedLines | None:
    """Turn what is known of h, lines and z, mean and square root, into line fluxes and the continuum under them."""
    state, linearised = one.state, one.marginalised.linearised
    gas, (mean, root) = state.gas, rest
    if gas is None or model is None:
        return None
    place, of_motions = slice(2 + GAS_MOTIONS, 2 + GAS_MOTIONS + model.size), slice(2, 2 + GAS_MOTIONS)
    motions = gas.coordinates(state.scale)[:GAS_MOTIONS] + mean[of_motions]
    size = model.flux_size(state.scale)
    flux, flux_root = gas.flux + size * mean[place], size * root[place]
    continuum_root = linearised.sums(model.near, deviations, one.marginalised.inner_half)
    found = FittedLines(
        flux=flux,
        continuum=model.near @ stars,
        covariance=_outer(np.concatenate([flux_root, continuum_root])),
        velocity=gas.origin + float(motions[0] * model.sizes[0]),
        log_sigma=float(motions[1]) * model.sizes[1] + USUAL_WIDTH,
        motion_errors=_norms(root[of_motions]) * model.sizes,
        components=int(gas.moves),
    )
    if gas.further is None:
        return found
    own = slice(place.stop, linearised.gas.stop)
    roots = Roots(flux_root, continuum_root, root[of_motions] * model.sizes[:, None])
    return gas.further.added(found, roots, (mean[own], root[own]), model)


def _norms(rows: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def _outer(root: FloatArray) -> FloatArray:
    return np.asarray(root @ root.T)


def change_and_half(one: Fitted, joint: Joint) -> tuple[FloatArray, FloatArray]:
    """Change of motions and populations from the state to their mean, and a square root of their covariance."""
    state = one.state
    scale = np.ones(len(joint[0]))
    scale[MOTIONS:] = state.scale
    mean, covariance = joint[0] * scale, joint[1] * np.outer(scale, scale)
    return mean - np.concatenate([state.motions(), state.populations]), square_root((covariance + covariance.T) / 2)


def square_root(covariance: FloatArray) -> FloatArray:
    """Cholesky factor of a covariance (d, d), whose smallest eigenvalues single precision may have lost."""
    try:
        return np.linalg.cholesky(covariance + _RIDGE * np.diag(np.diagonal(covariance)))
    except np.linalg.LinAlgError:
        values, axes = np.linalg.eigh(covariance)
        known = np.maximum(values, _ROUNDING * values[-1])
        return np.linalg.cholesky((axes * known) @ axes.T)


def projections_of(fitted: list[Fitted], scale: FloatArray) -> Projections:
    """What the data say, in coordinates that grow with the scale."""
    starts = np.array([np.concatenate([one.state.motions(), one.state.populations]) for one in fitted])
    grams = np.array([one.marginalised.gram for one in fitted])
    gradients = np.array([one.marginalised.gradient for one in fitted])
    starts[:, :MOTIONS] *= scale[:, None]
    gradients[:, :MOTIONS] /= scale[:, None]
    grams[:, :MOTIONS] /= scale[:, None, None]
    grams[:, :, :MOTIONS] /= scale[:, None, None]
    chi2 = np.array([one.marginalised.chi2 for one in fitted])
    return Projections(starts, grams, gradients, np.zeros((len(fitted), 0)), chi2)


@dataclass(frozen=True, eq=False)
class Motions:
    """Posterior of one spectrum: motions and populations at unit scale, V in km/s with its 1σ, u and σ."""

    joint: Joint
    velocity: tuple[float, float]
    dispersion: Dispersion


def with_true_dispersion(joint: Joint, fitted: FloatArray, one: Fitted) -> Motions:
    """Take u as its likelihood says, where that is known, or as it was `fitted` (mean and 1σ), under its true prior."""
    if one.nodes.size:
        found = Dispersion.of_nodes(one.nodes, one.log_likelihood)
    else:
        found = Dispersion.of_gaussian(float(fitted[0]), float(fitted[1]) ** 2)
    centre, size = KinematicCoordinates.motions(np.zeros(MOTIONS)), KinematicCoordinates.motion_sizes
    width = np.array([(found.mean - centre[1]) / size[1]])
    joint = condition_on_motions(*joint, width, np.array([[found.variance / size[1] ** 2]]), 1)
    # The velocity follows u as it is correlated with it.
    moved = KinematicCoordinates.motions(joint[0][:MOTIONS])
    return Motions(joint, (float(moved[0]), float(np.sqrt(joint[1][0, 0]) * size[0])), found)


def as_scanned(joint: Joint, mean: FloatArray, covariance: FloatArray) -> Motions:
    """Take velocity and u as the scan says."""
    centre, size = KinematicCoordinates.motions(np.zeros(MOTIONS)), KinematicCoordinates.motion_sizes
    # The flux is linear in the motions only so far; their own posterior is given as it is.
    fitted = KinematicCoordinates.motions(joint[0][:MOTIONS])
    near = fitted + np.clip(mean - fitted, -_LINEAR, _LINEAR)
    shrink = np.minimum(_LINEAR / np.sqrt(np.diagonal(covariance)), 1.0)
    joint = condition_on_motions(*joint, (near - centre) / size, covariance * np.outer(shrink / size, shrink / size))
    found = Dispersion.of_normal(float(mean[1]), float(covariance[1, 1]))
    return Motions(joint, (float(mean[0]), float(covariance[0, 0] ** 0.5)), found)
