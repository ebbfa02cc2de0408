"""Scores of cubes tell what they say: of right, wrong, scaled and moved estimates, by groups, strangers apart."""

import numpy as np
import pytest

from quietspec.denoised import Flag
from quietspec.lab.evaluation.cubes import BRIGHT, FAINT, SHAPE, score_cube, shape_errors, spaxel_groups
from quietspec.parameters import ParameterPosterior
from quietspec.wavelengths import SPEED_OF_LIGHT

from .made_cubes import LABELS, N_PIXELS, estimate, made_cube

N = 48


@pytest.fixture(scope="module")
def cube():
    return made_cube()


def test_groups_leave_out_empty_spaxels_and_strangers(cube):
    groups = spaxel_groups(cube)
    assert groups.keys() == {"all", "S/N < 4", SHAPE, FAINT, BRIGHT, "near clump", "near border"}
    assert np.flatnonzero(groups["all"]).tolist() == list(range(1, N))
    assert np.flatnonzero(groups["S/N < 4"]).tolist() == [1, 2]
    assert np.flatnonzero(groups[FAINT]).tolist() == [2, 3]
    assert np.flatnonzero(groups[SHAPE]).tolist() == [1, 2, 3, 4, 5, 6]
    assert np.flatnonzero(groups["near clump"]).tolist() == list(range(1, 16))
    with_companion = spaxel_groups(made_cube(companion=3))
    assert not any(inside[3] for inside in with_companion.values())


def test_a_perfect_estimate(cube):
    scores = score_cube(cube, estimate(cube))
    assert scores.answered == 1
    assert set(scores.error.values()) == {0.0}
    assert max(scores.shape.values()) < 1e-6
    assert all(set(one.values()) == {0.0} for one in (*scores.labels.values(), *scores.bias.values()))
    assert set(scores.flux_coverage.values()) == {1.0}
    assert set(scores.label_coverage["mh_lw"].values()) == {1.0}
    assert scores.maps["log_age_lw"].slope == pytest.approx(1)
    assert scores.maps["log_age_lw"].count == N - 1
    assert scores.moved == scores.strangers == {}


def test_the_error_of_the_shape_ignores_the_brightness(cube):
    brighter = estimate(cube, error=0.3 * cube.simulated.truth)
    np.testing.assert_allclose(shape_errors(brighter, cube.simulated.truth)[1:], 0, atol=1e-6)
    assert score_cube(cube, brighter).error["all"] > 3
    bent = estimate(cube, error=0.5 * np.cos(np.arange(N_PIXELS) / 3.0))
    assert score_cube(cube, bent).shape["all"] == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_coverage_is_that_of_the_errors(cube):
    rng = np.random.default_rng(1)
    scores = [score_cube(cube, estimate(cube, 0.2 * rng.standard_normal((N, N_PIXELS)), sigma)) for sigma in (0.2, 0.1)]
    assert [one.flux_coverage["all"] for one in scores] == pytest.approx([0.683, 0.383], abs=0.02)


def test_labels_are_compared_with_their_errors(cube):
    pull = np.where(np.arange(N) < 24, 0.9, -1.1)
    scores = score_cube(cube, estimate(cube, label_pull=pull))
    assert scores.label_coverage["mh_lw"]["all"] == pytest.approx(23 / 47)
    assert scores.labels["velocity"][FAINT] == pytest.approx(0.9 * LABELS["velocity"])
    assert scores.bias["velocity"]["near border"] == pytest.approx(-1.1 * LABELS["velocity"])
    assert scores.pulls["log_age_lw"]["near border"] == pytest.approx(1.1)


@pytest.mark.parametrize(("weight", "share"), [(0.9, 0.0), (0.7, 1.0)])
def test_a_posterior_that_is_not_gaussian_is_asked_for_its_interval(cube, weight, share):
    """Two narrow Gaussians on either side of the truth, which is within one standard deviation of the mean."""
    truth = cube.simulated.parameters["mh_lw"]
    weights, means = np.tile([weight, 1 - weight], (N, 1)), np.stack([truth - 0.5, truth + 1.5], axis=1)
    posterior = ParameterPosterior(("mh_lw",), weights, means[:, :, None], np.full((N, 2, 1, 1), 0.01**2))
    mean, sigma = posterior.mean("mh_lw"), posterior.sigma("mh_lw")
    assert np.all(np.abs(mean - truth) < sigma)
    found = estimate(cube, parameters={"mh_lw": (mean, sigma)}, parameter_posterior=posterior)
    assert score_cube(cube, found).label_coverage["mh_lw"]["all"] == share


def test_a_velocity_at_another_redshift_is_the_same_velocity(cube):
    moved = np.full(N, (1.02 * np.exp(100 / SPEED_OF_LIGHT)) - 1)
    found = estimate(cube, redshift=moved)
    there = found.parameters | {"velocity": (cube.simulated.parameters["velocity"] - 100, np.full(N, 20.0))}
    scores = score_cube(cube, estimate(cube, redshift=moved, parameters=there))
    assert scores.labels["velocity"]["all"] == pytest.approx(0, abs=1e-6)
    assert score_cube(cube, found).labels["velocity"]["all"] == pytest.approx(100)


def test_bright_spaxels_that_move_are_told(cube):
    reference = estimate(cube)
    moved = estimate(cube, error=np.where(np.arange(N) > 14, 0.05, 3.0)[:, None], label_pull=0.2)
    scores = score_cube(cube, moved, reference).moved
    assert scores == pytest.approx({"flux": 0.5} | dict.fromkeys(LABELS, 0.2))


def test_strangers_are_scored_apart():
    cube = made_cube(companion=30)
    wrong = np.where(np.arange(N) == 30, 50.0, 0.0)
    found = score_cube(cube, estimate(cube, error=wrong[:, None], label_pull=wrong))
    assert found.error["all"] == 0
    assert found.labels["velocity"]["all"] == 0
    stranger = found.strangers["companion"]
    assert (stranger.count, stranger.flagged) == (1, 0)
    assert stranger.velocity == pytest.approx(50 * LABELS["velocity"])
    assert stranger.velocity_pull == pytest.approx(50)
    flags = np.where(np.arange(N) == 30, int(Flag.WRONG_REDSHIFT), int(Flag.PRIOR_LABELS))
    assert score_cube(cube, estimate(cube, flags=flags)).strangers["companion"].flagged == 1


def test_spaxels_without_an_estimate_are_counted_and_not_scored(cube):
    error = np.where(np.arange(N) % 2 == 1, np.nan, 0.0)[:, None]
    scores = score_cube(cube, estimate(cube, error=error))
    assert scores.answered == pytest.approx(23 / 47)
    assert scores.error["all"] == 0
    assert scores.flux_coverage["all"] == 1
