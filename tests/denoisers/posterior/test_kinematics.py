"""Populations, motions and calibration fitted together: the linear model is right, and so is its algebra."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematics import MOTIONS, FewCoordinates, KinematicCoordinates, State
from quietspec.denoisers.posterior.losvd import LosvdBasis, log_width
from quietspec.denoisers.posterior.pixel_model import PixelModel

from .rest_frame import rest_prior

REST = np.arange(4300.0, 6300.0, 2.0)


@pytest.fixture(scope="module")
def pixels():
    coordinates = KinematicCoordinates(rest_prior())
    law = CalibrationLaw(0.02, 0.0, ((200.0, 0.02),))
    return PixelModel(coordinates, LosvdBasis(coordinates.table, REST), law.knots(REST))


def state_of(pixels, velocity=120.0, sigma=150.0, scale=3.0, seed=0):
    rng = np.random.default_rng(seed)
    populations = pixels.coordinates.populations
    shape = populations.centre + 0.3 * rng.normal(size=populations.size)
    half = np.linalg.cholesky(pixels.knots.covariance)
    knots = half @ rng.normal(size=pixels.knots.n_knots)
    return State(velocity, float(log_width(sigma)), scale * shape, np.array([0.5, -0.5]), knots, scale)


def all_coordinates(state):
    return np.concatenate([state.motions(), state.populations, state.shape, state.calibration])


def test_model_changes_as_finite_differences_say(pixels):
    state = replace(state_of(pixels), shape=np.zeros(2))  # their own change with the motions is left out
    linearised = pixels.linearise(state)
    size = len(all_coordinates(state))
    for coordinate in [*range(MOTIONS + 4), *range(size - 8, size)]:
        step = np.zeros(size)
        step[coordinate] = 4e-3
        moved = [pixels.linearise(state.moved(sign * step, state.scale)).model for sign in (1, -1)]
        expected = (moved[0].astype(float) - moved[1]) / 2
        found = linearised.change(step)
        np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max() + 1e-6)


def test_normal_equations_are_those_of_the_dense_design(pixels):
    rng = np.random.default_rng(3)
    linearised = pixels.linearise(state_of(pixels))
    weight = rng.random(len(REST)).astype(np.float32)
    residual = rng.normal(size=len(REST)).astype(np.float32)
    design = np.concatenate([linearised.design, linearised.stars[:, None] * pixels.knots.hats.toarray()], axis=1)
    information, gradient, _, _ = linearised.normal_equations(residual, weight)
    np.testing.assert_allclose(information, design.T @ (weight[:, None] * design), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(gradient, design.T @ (weight * residual), rtol=1e-3, atol=1e-2)


def test_moments_and_calibration_are_marginalised_as_noise_of_their_covariance(pixels):
    rng = np.random.default_rng(4)
    state = state_of(pixels)
    state = replace(state, shape=np.zeros(2), calibration=np.zeros(pixels.knots.n_knots))
    linearised = pixels.linearise(state)
    weight = (50 * rng.random(len(REST)) + 10).astype(np.float32)
    residual = (0.1 * rng.normal(size=len(REST))).astype(np.float32)
    found = linearised.marginalise(residual, weight)
    kept = pixels.coordinates.size
    own = linearised.design[:, :kept].astype(float)
    moments = linearised.design[:, kept:].astype(float)
    starlight = linearised.stars[:, None] * pixels.knots.hats.toarray()
    noise = np.diag(1 / weight.astype(float)) + moments @ moments.T
    noise += starlight @ pixels.knots.covariance @ starlight.T
    solved = np.linalg.solve(noise, np.column_stack([own, residual]))
    np.testing.assert_allclose(found.gram, own.T @ solved[:, :-1], rtol=2e-3, atol=1e-3 * np.abs(found.gram).max())
    np.testing.assert_allclose(found.gradient, own.T @ solved[:, -1], rtol=1e-2, atol=1e-2)
    assert found.chi2 == pytest.approx(residual @ solved[:, -1], rel=1e-3)
    determinant = np.linalg.slogdet(noise)[1] + np.log(weight.astype(float)).sum()
    assert found.log_determinant == pytest.approx(determinant, rel=1e-3)


def test_fit_finds_the_truth_without_noise(pixels):
    truth = state_of(pixels, velocity=-180.0, sigma=90.0)
    truth = replace(truth, shape=np.zeros(2), calibration=np.zeros(pixels.knots.n_knots))
    flux = pixels.linearise(truth).model
    weight = np.full(len(REST), 1e5, dtype=np.float32)
    state = pixels.start(-120.0, float(log_width(160.0)), 2.5 * pixels.coordinates.populations.centre, 2.5)
    for _ in range(8):
        linearised = pixels.linearise(state)
        state = state.moved(*linearised.marginalise(flux - linearised.model, weight).step)
    assert state.velocity == pytest.approx(-180.0, abs=1.0)
    assert state.width == pytest.approx(truth.width, abs=0.01)
    np.testing.assert_allclose(pixels.linearise(state).model, flux, atol=0.01 * flux.max())


@pytest.mark.parametrize("sigma", [50.0, 120.0, 300.0])
def test_likelihood_of_the_dispersion_is_highest_at_the_truth(pixels, sigma):
    truth = state_of(pixels, sigma=sigma)
    flux = pixels.linearise(truth).model
    weight = np.full(len(REST), 1e3, dtype=np.float32)
    widths = truth.width + np.linspace(-0.3, 0.3, 13)
    logs = [pixels.log_likelihood(truth, width, flux, weight) for width in widths]
    assert abs(widths[int(np.argmax(logs))] - truth.width) < 0.06


def test_covariance_factor_carries_errors_of_all_coordinates(pixels):
    state = state_of(pixels)
    linearised = pixels.linearise(state)
    rng = np.random.default_rng(5)
    kept, n_rest = pixels.coordinates.size, 2 + pixels.knots.n_knots
    half = 0.1 * np.tril(rng.normal(size=(kept, kept)))
    response, inner = 0.1 * rng.normal(size=(n_rest, kept)), 0.05 * np.tril(rng.normal(size=(n_rest, n_rest)))
    joint = np.block([[half, np.zeros((kept, n_rest))], [-response @ half, inner]])
    columns = np.stack([linearised.change(column) for column in joint.T], axis=1)
    np.testing.assert_allclose(linearised.factor(half, response, inner), columns, rtol=1e-3, atol=1e-3)
    deviations = linearised.deviations(half, response)
    np.testing.assert_allclose(linearised.variance(deviations, inner), (columns**2).sum(axis=1), rtol=1e-3)
    weights = csr_array(rng.random((3, len(REST))))
    sums, expected = linearised.sums(weights, deviations, inner), weights @ columns
    np.testing.assert_allclose(sums @ sums.T, expected @ expected.T, rtol=1e-3)


@pytest.mark.parametrize("number", [3, 6, 1000])
def test_of_few_coordinates_the_others_follow_the_scale(pixels, number):
    whole = pixels.coordinates
    few = FewCoordinates(whole, number)
    assert len(few.centre) == few.size == min(number, whole.populations.size) + MOTIONS
    np.testing.assert_allclose(few.transform @ few.centre[MOTIONS:], whole.populations.centre, rtol=1e-10)
    some = np.random.default_rng(1).normal(size=len(few.to_scale))
    assert few.to_scale @ some == pytest.approx(whole.to_scale @ (few.transform @ some))


def test_the_coarse_model_is_the_whole_one_where_few_coordinates_describe_it(pixels):
    coarse, whole = pixels.coarse, state_of(pixels)
    begun = coarse.begun(whole)
    rng = np.random.default_rng(2)
    few = replace(begun, calibration=0.1 * rng.normal(size=len(begun.calibration)))
    found, expected = coarse.linearise(few), pixels.linearise(coarse.ended(few))
    np.testing.assert_allclose(found.model, expected.model, rtol=1e-3, atol=1e-3)
    turned = expected.design[:, MOTIONS:-2] @ coarse.coordinates.transform
    np.testing.assert_allclose(found.design[:, MOTIONS:-2], turned, rtol=1e-2, atol=1e-3 * np.abs(turned).max())
    weight = rng.random(len(REST)).astype(np.float32)
    residual = rng.normal(size=len(REST)).astype(np.float32)
    design = np.concatenate([found.design, found.stars[:, None] * coarse.knots.hats], axis=1)
    information, gradient, _, _ = found.normal_equations(residual, weight)
    np.testing.assert_allclose(information, design.T @ (weight[:, None] * design), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(gradient, design.T @ (weight * residual), rtol=1e-3, atol=1e-2)
