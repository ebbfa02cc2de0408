"""Given draws: their distributions, and recipes as functions of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from quietspec.lab.simulate import get_recipe
from quietspec.lab.simulate.given import GivenDraws

PROBABILITY = (np.arange(2000) + 0.5) / 2000
QUANTILES = stats.norm.ppf(PROBABILITY)[:, None]
N_COLUMNS = 60


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda rng: rng.standard_normal(2000), stats.norm()),
        (lambda rng: rng.random(2000), stats.uniform()),
        (lambda rng: rng.uniform(-2.0, 5.0, 2000), stats.uniform(-2.0, 7.0)),
        (lambda rng: rng.exponential(0.3, 2000), stats.expon(scale=0.3)),
    ],
)
def test_quantiles_of_the_normal_numbers_become_those_of_the_distribution(draw, law):
    np.testing.assert_allclose(draw(GivenDraws(QUANTILES)), law.ppf(PROBABILITY), rtol=1e-9, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6).filter(lambda p: sum(p) > 1e-3))
def test_choices_have_their_probabilities(weights):
    probability = np.array(weights) / np.sum(weights)
    chosen = GivenDraws(QUANTILES).choice(len(weights), size=2000, p=probability)
    counts = np.bincount(chosen, minlength=len(weights))
    assert len(counts) == len(weights)
    np.testing.assert_allclose(counts / 2000, probability, atol=1.5e-3)


def test_limits_may_differ_from_draw_to_draw():
    low, high = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 6.0])
    np.testing.assert_allclose(GivenDraws(np.zeros((3, 1))).uniform(low, high), [0.5, 1.0, 4.0])


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 5), (5, 1)])
def test_a_table_is_served_row_by_row_whatever_the_order_of_its_axes(shape):
    normal = np.random.default_rng(0).standard_normal((5, 4))
    rng = GivenDraws(normal)
    served = rng.standard_normal(shape, dtype=np.float32)
    expected = normal[:, : rng.used]
    np.testing.assert_array_equal(served, (expected if shape[0] == 5 else expected.T).astype(np.float32))
    assert served.dtype == np.float32
    assert rng.used == min(shape[0] * shape[1] // 5, 4)


def test_no_column_is_served_twice():
    normal = np.random.default_rng(1).standard_normal((3, 2))
    rng = GivenDraws(normal)
    np.testing.assert_array_equal(np.stack([rng.standard_normal(3), rng.standard_normal()], axis=1), normal)
    with pytest.raises(ValueError, match="2 columns used"):
        rng.random(3)


@pytest.mark.parametrize("size", [2, 4, (2, 3, 3), 7])
def test_more_than_is_given_and_what_is_no_multiple_of_the_rows_are_refused(size):
    with pytest.raises(ValueError, match="given"):
        GivenDraws(np.zeros((3, 2))).standard_normal(size)


def test_extreme_numbers_give_finite_draws():
    rng = GivenDraws(np.array([[-1e9] * 4, [1e9] * 4]))
    values = np.concatenate([rng.standard_normal(2), rng.random(2), rng.exponential(1.0, 2), rng.uniform(3, 4, 2)])
    assert np.isfinite(values).all()
    assert 3 < values[-2] < values[-1] < 4


@pytest.fixture(scope="module", params=["paper", "survey"])
def recipe(request, tiny_library):
    return get_recipe(request.param, tiny_library)


def table(n, seed=2):
    return np.random.default_rng(seed).standard_normal((n, N_COLUMNS))


def test_a_recipe_is_a_function_of_the_numbers_given(recipe):
    first, second = GivenDraws(table(6)), GivenDraws(table(6))
    one, two = recipe.rest(6, first), recipe.rest(6, second)
    np.testing.assert_array_equal(one.flux, two.flux)
    assert first.used == second.used > 5


def test_every_column_that_a_recipe_uses_matters_and_no_other(recipe):
    normal, rng = table(40), GivenDraws(table(40))
    spectra = recipe.rest(40, rng).flux
    for column in range(rng.used + 1):
        moved = normal.copy()
        moved[:, column] = -moved[:, column]
        changed = np.abs(recipe.rest(40, GivenDraws(moved)).flux / spectra - 1).max()
        assert (changed > 1e-4) == (column < rng.used), f"column {column}: {changed}"


@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_spectra_do_not_depend_on_those_made_at_the_same_time(recipe, n):
    normal = table(7)
    together = recipe.rest(7, GivenDraws(normal)).flux[:n]
    np.testing.assert_allclose(recipe.rest(n, GivenDraws(normal[:n])).flux, together, rtol=1e-4)


def test_a_recipe_has_the_same_distribution_with_given_normal_numbers(recipe):
    drawn = recipe.rest(600, np.random.default_rng(3)).parameters
    mapped = recipe.rest(600, GivenDraws(table(600, seed=4))).parameters
    for name, values in drawn.items():
        assert stats.ks_2samp(values, mapped[name]).pvalue > 1e-4, name


def test_draws_of_two_equal_axes_are_refused():
    with pytest.raises(ValueError, match="either axis"):
        GivenDraws(table(3)).standard_normal((3, 3))
