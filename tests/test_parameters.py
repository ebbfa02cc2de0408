"""Posteriors of parameters as Gaussian mixtures: properties, then numbers against closed forms and quadrature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from quietspec.parameters import ParameterPosterior

from .mixtures import merged_moments

NAMES = ("log_age_mw", "mh_mw", "a_v")


def mixture(n=4, n_parts=3, seed=0, dtype=np.float64):
    """Random posteriors of three parameters."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(n, n_parts, 3, 3)) * 0.4
    covariances = roots @ np.swapaxes(roots, 2, 3) + 0.01 * np.eye(3)
    weights = rng.dirichlet(np.ones(n_parts), n)
    arrays = (weights, rng.normal(size=(n, n_parts, 3)), covariances)
    return ParameterPosterior(NAMES, *(array.astype(dtype) for array in arrays))


def marginal(posterior, row, name):
    index = posterior.names.index(name)
    return [
        (weight, stats.norm(mean[index], covariance[index, index] ** 0.5))
        for weight, mean, covariance in zip(
            posterior.weights[row], posterior.means[row], posterior.covariances[row], strict=True
        )
    ]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), probability=st.floats(1e-9, 1 - 1e-9), n_parts=st.integers(1, 6))
def test_quantile_inverts_the_cdf(seed, probability, n_parts):
    posterior = mixture(3, n_parts, seed)
    for name in NAMES:
        found = posterior.cdf(name, posterior.quantile(name, probability))
        np.testing.assert_allclose(found, probability, rtol=1e-6, atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), low=st.floats(0.001, 0.998))
def test_quantiles_increase(seed, low):
    posterior = mixture(3, 4, seed)
    assert (posterior.quantile("mh_mw", low) < posterior.quantile("mh_mw", low + 0.001)).all()


def test_moments_cdf_and_quantiles_against_scipy():
    posterior = mixture()
    for row in range(4):
        for name in NAMES:
            parts = marginal(posterior, row, name)

            def density(x, parts=parts):
                return sum(weight * part.pdf(x) for weight, part in parts)

            bounds = (-12, 12)
            mean = integrate.quad(lambda x, f=density: x * f(x), *bounds, limit=200)[0]
            variance = integrate.quad(lambda x, f=density, m=mean: (x - m) ** 2 * f(x), *bounds, limit=200)[0]
            assert posterior.mean(name)[row] == pytest.approx(mean, abs=1e-7)
            assert posterior.sigma(name)[row] == pytest.approx(variance**0.5, rel=1e-6)
            below = integrate.quad(density, -12, 0.3, limit=200)[0]
            assert posterior.cdf(name, np.full(4, 0.3))[row] == pytest.approx(below, abs=1e-7)


def test_one_gaussian_has_the_quantiles_of_the_normal_law():
    posterior = mixture(n_parts=1)
    for probability in (0.001, 0.1587, 0.5, 0.999):
        expected = posterior.mean("a_v") + stats.norm.ppf(probability) * posterior.sigma("a_v")
        np.testing.assert_allclose(posterior.quantile("a_v", probability), expected, rtol=1e-9, atol=1e-9)


def test_empty_parts_do_not_matter():
    posterior = mixture()
    rng = np.random.default_rng(1)
    more = ParameterPosterior(
        NAMES,
        np.concatenate([posterior.weights, np.zeros((4, 2))], axis=1),
        np.concatenate([posterior.means, 1e3 * rng.normal(size=(4, 2, 3))], axis=1),
        np.concatenate([posterior.covariances, np.tile(1e6 * np.eye(3), (4, 2, 1, 1))], axis=1),
    )
    for name in NAMES:
        np.testing.assert_allclose(more.mean(name), posterior.mean(name), rtol=1e-12)
        np.testing.assert_allclose(more.sigma(name), posterior.sigma(name), rtol=1e-12)
        np.testing.assert_allclose(more.quantile(name, 0.2), posterior.quantile(name, 0.2), rtol=1e-9)


def test_stacking_and_slicing_are_inverse():
    tiles = [mixture(2, 1, 1), ParameterPosterior.empty(2, NAMES), mixture(3, 5, 2)]
    whole = ParameterPosterior.stack(tiles)
    assert len(whole) == 7
    assert whole.weights.shape == (7, 5)
    for name in NAMES:
        for rows, tile in zip((slice(2), slice(2, 4), slice(4, 7)), tiles, strict=True):
            for found, expected in (
                (whole[rows].mean(name), tile.mean(name)),
                (whole.quantile(name, 0.9)[rows], tile.quantile(name, 0.9)),
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(whole[[6, 0]].mean("mh_mw"), whole.mean("mh_mw")[[6, 0]])
    some = np.array([True, False, False, True, False, True, False])
    np.testing.assert_array_equal(whole[some].sigma("mh_mw"), whole.sigma("mh_mw")[some])


def test_without_a_posterior_all_is_nan():
    nothing = ParameterPosterior.stack([ParameterPosterior.empty(2, NAMES), mixture(1, 3)])
    rng = np.random.default_rng(0)
    for values in (
        nothing.mean("mh_mw"), nothing.sigma("mh_mw"), nothing.quantile("mh_mw", 0.5),
        nothing.cdf("mh_mw", np.zeros(3)), nothing.draw(5, rng)[:, 0, 0],
    ):  # fmt: skip
        np.testing.assert_array_equal(np.isnan(values), [True, True, False])


def test_rows_are_replaced_and_the_rest_kept():
    posterior, other = mixture(4, 2, 3), mixture(2, 5, 4)
    found = posterior.with_rows(np.array([3, 1]), other)
    np.testing.assert_allclose(found.mean("a_v")[[3, 1]], other.mean("a_v"))
    np.testing.assert_allclose(found.mean("a_v")[[0, 2]], posterior.mean("a_v")[[0, 2]])
    np.testing.assert_allclose(found.quantile("a_v", 0.1)[[3, 1]], other.quantile("a_v", 0.1))
    assert posterior.weights.shape == (4, 2)  # the original is left alone
    np.testing.assert_array_equal(posterior.weights, mixture(4, 2, 3).weights)


def test_draws_have_the_moments_and_quantiles_of_the_mixture():
    posterior = mixture(3, 4, 5, np.float32)
    drawn = posterior.draw(60_000, np.random.default_rng(2))
    assert drawn.shape == (3, 60_000, 3)
    for row in range(3):
        _, mean, covariance = merged_moments(posterior.weights[row], posterior.means[row], posterior.covariances[row])
        np.testing.assert_allclose(drawn[row].mean(axis=0), mean, atol=0.02)
        np.testing.assert_allclose(np.cov(drawn[row].T), covariance, atol=0.03)
        for index, name in enumerate(NAMES):
            below = posterior.quantile(name, 0.2)[row]
            assert np.mean(drawn[row, :, index] < below) == pytest.approx(0.2, abs=0.01)


def test_parameters_that_follow_from_one_another_can_be_drawn():
    """A covariance of rank 1, rounded to float32, whose Cholesky factor does not exist."""
    direction = np.array([1.0, -0.3, 250.0])
    covariance = np.outer(direction, direction).astype(np.float32)
    posterior = ParameterPosterior(NAMES, np.ones((1, 1)), np.zeros((1, 1, 3)), covariance[None, None])
    drawn = posterior.draw(500, np.random.default_rng(3))[0]
    np.testing.assert_allclose(drawn[:, 2], 250 * drawn[:, 0], atol=0.5)
    assert drawn[:, 0].std() == pytest.approx(1, abs=0.1)


def test_draws_follow_the_seed_and_not_the_number_of_empty_parts():
    posterior = mixture(2, 3, 6)
    one = posterior.draw(4, np.random.default_rng(7))
    np.testing.assert_array_equal(one, posterior.draw(4, np.random.default_rng(7)))
    wider = ParameterPosterior.stack([posterior, mixture(1, 9, 8)])[:2]
    np.testing.assert_allclose(wider.draw(4, np.random.default_rng(7)), one)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n_parts=st.integers(1, 6), factor=st.floats(0.1, 10))
def test_merged_moments_are_those_of_the_mixture(seed, n_parts, factor):
    posterior = mixture(1, n_parts, seed)
    weights, means, covariances = posterior.weights[0], posterior.means[0], posterior.covariances[0]
    total, mean, covariance = merged_moments(factor * weights, means, covariances)
    assert total == pytest.approx(factor)
    second = sum(w * (c + np.outer(m, m)) for w, m, c in zip(weights, means, covariances, strict=True))
    np.testing.assert_allclose(mean, weights @ means, rtol=1e-12)
    np.testing.assert_allclose(covariance, second - np.outer(mean, mean), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.diag(covariance) ** 0.5, [posterior.sigma(name)[0] for name in NAMES], rtol=1e-9)
