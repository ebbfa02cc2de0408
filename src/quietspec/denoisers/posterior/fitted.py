"""One spectrum's last fit, and what it says: flux and errors of the pixels, motions, moments, emission lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, USUAL_WIDTH, LineModel
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.motions import Dispersion, Joint, condition_on_motions
from quietspec.lines.results import FittedLines

__all__ = [
    "MOMENTS", "Fitted", "Motions", "Pixels", "as_inferred", "as_scanned", "change_and_half", "fitted_lines",
    "on_pixels", "projections_of", "with_true_dispersion",
]  # fmt: skip

MOMENTS = 2  #: h3 and h4, which stand first among what is marginalised
_LINEAR = np.array([60.0, 0.35])  # km/s and u, over which a spectrum changes evenly


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
    """One spectrum's flux and variance, (n_pixels,), h3 and h4, x, and half, a square root of the joint covariance."""

    flux: FloatArray
    variance: FloatArray
    populations: FloatArray
    moments: FloatArray
    moment_errors: FloatArray
    half: FloatArray


def on_pixels(one: Fitted, joint: Joint, shape_size: float) -> Pixels:
    """Turn what is known of a spectrum's coordinates into flux, errors and moments."""
    state, data, linearised = one.state, one.marginalised, one.marginalised.linearised
    change, half = change_and_half(one, joint)
    rest = data.offset - data.response @ change
    flux = linearised.model + linearised.change(np.concatenate([change, rest]), lines=False)
    by_motions = data.response[:MOMENTS] @ half
    spread = np.einsum("ij,ij->i", by_motions, by_motions)
    spread += np.einsum("ij,ij->i", data.inner_half[:MOMENTS], data.inner_half[:MOMENTS])
    return Pixels(
        flux=flux,
        variance=linearised.variance(half, data.response, data.inner_half),
        populations=state.populations + change[MOTIONS:],
        moments=shape_size * (state.shape + rest[:MOMENTS]),
        moment_errors=shape_size * np.sqrt(spread),
        half=half,
    )


def fitted_lines(one: Fitted, joint: Joint, model: LineModel) -> FittedLines:
    """Turn what is known of a spectrum's coordinates into line fluxes and the continuum under them."""
    state, data, linearised = one.state, one.marginalised, one.marginalised.linearised
    gas = state.gas
    if gas is None:
        raise ValueError("no lines are fitted")
    change, half = change_and_half(one, joint)
    rest = data.offset - data.response @ change
    motions = gas.coordinates(state.scale)[:GAS_MOTIONS] + rest[2 : 2 + GAS_MOTIONS]
    place = slice(2 + GAS_MOTIONS, linearised.gas.stop)
    size = model.flux_size(state.scale)
    near = np.array([model.near(group.name) for group in model.groups])
    joint_root = np.concatenate([-data.response @ half, data.inner_half], axis=1)
    flux_root = size * joint_root[place]
    continuum_root = linearised.sums(near, half, data.response, data.inner_half)
    stars = linearised.model + linearised.change(np.concatenate([change, rest]), lines=False)
    motion_root = joint_root[2 : 2 + GAS_MOTIONS]
    return FittedLines(
        flux=gas.flux + size * rest[place],
        continuum=near @ stars,
        covariance=_outer(np.concatenate([flux_root, continuum_root])),
        velocity=gas.origin + float(motions[0] * model.sizes[0]),
        log_sigma=float(gas.coordinates(state.scale)[1] + rest[3]) * model.sizes[1] + USUAL_WIDTH,
        motion_errors=np.sqrt(np.einsum("ij,ij->i", motion_root, motion_root)) * model.sizes,
    )


def _outer(root: FloatArray) -> FloatArray:
    return np.asarray(root @ root.T)


def change_and_half(one: Fitted, joint: Joint) -> tuple[FloatArray, FloatArray]:
    """Change of motions and populations from the state to their mean, and a square root of their covariance."""
    state = one.state
    scale = np.ones(len(joint[0]))
    scale[MOTIONS:] = state.scale
    mean, covariance = joint[0] * scale, joint[1] * np.outer(scale, scale)
    repaired = (covariance + covariance.T) / 2 + np.diag(1e-10 * np.diagonal(covariance))
    return mean - np.concatenate([state.motions(), state.populations]), np.linalg.cholesky(repaired)


def projections_of(fitted: list[Fitted], scale: FloatArray) -> Projections:
    """What the data say, in coordinates that grow with the scale."""
    starts, grams, gradients = [], [], []
    for one, size in zip(fitted, scale, strict=True):
        state = one.state
        shrink = np.ones(len(one.marginalised.gradient))
        shrink[:MOTIONS] = 1 / size
        starts.append(np.concatenate([state.motions() * size, state.populations]))
        grams.append(one.marginalised.gram * shrink[:, None] * shrink)
        gradients.append(one.marginalised.gradient * shrink)
    chi2 = np.array([one.marginalised.chi2 for one in fitted])
    return Projections(np.array(starts), np.array(grams), np.array(gradients), np.zeros((len(fitted), 0)), chi2)


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


def as_inferred(joint: Joint, width: FloatArray) -> Motions:
    """Take velocity and u as the posterior of all coordinates says; `width` holds mean and 1σ of u."""
    size = KinematicCoordinates.motion_sizes
    velocity, _ = KinematicCoordinates.motions(joint[0][:MOTIONS])
    found = Dispersion.of_normal(float(width[0]), float(width[1]) ** 2)
    return Motions(joint, (float(velocity), float(joint[1][0, 0] ** 0.5 * size[0])), found)
