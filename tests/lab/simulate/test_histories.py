"""Histories: weights of the SSPs, and the labels that follow from them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.errors import TemplateError
from quietspec.lab.simulate import HistoryPrior, random_histories, random_ssp_mixtures
from quietspec.lab.simulate.histories import _delayed_tau, _formed, interpolation_weights
from quietspec.templates import population_labels

GRID = np.array([-1.71, -1.31, -0.71, -0.40, 0.0, 0.22])


@given(st.lists(st.floats(-3, 1), min_size=1, max_size=20), st.floats(0, 1))
@settings(deadline=None)
def test_interpolation_weights_are_fractions_that_sum_to_one(values, scatter):
    weights = interpolation_weights(np.array(values), GRID, scatter)
    assert weights.shape == (len(values), 6)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-9)


@given(st.floats(-1.71, 0.22))
@settings(deadline=None)
def test_interpolation_without_scatter_keeps_the_value_and_uses_two_points(value):
    weights = interpolation_weights(np.array([value]), GRID)[0]
    assert weights @ GRID == pytest.approx(value, abs=1e-9)
    assert np.sum(weights > 1e-12) <= 2


def test_scattered_weights_are_the_average_over_the_scatter():
    draws = -0.5 + 0.3 * np.random.default_rng(2).standard_normal(200_000)
    expected = interpolation_weights(draws, GRID).mean(axis=0)
    np.testing.assert_allclose(interpolation_weights(np.array(-0.5), GRID, 0.3), expected, atol=3e-3)


@pytest.mark.parametrize("draw", [random_histories, random_ssp_mixtures])
def test_weights_are_mass_fractions(tiny_library, draw):
    weights = draw(tiny_library, 500, np.random.default_rng(3))
    assert weights.shape == (500, 18)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)


def test_labels_of_one_ssp_are_its_own(tiny_library):
    labels = population_labels(tiny_library, np.eye(18))
    for kind in ("mw", "lw"):
        np.testing.assert_allclose(labels[f"log_age_{kind}"], tiny_library.log_age)
        np.testing.assert_allclose(labels[f"mh_{kind}"], tiny_library.metallicity, atol=1e-12)


def test_labels_by_light_weight_the_young_more(tiny_library):
    labels = population_labels(tiny_library, random_histories(tiny_library, 300, np.random.default_rng(4)))
    assert np.all(labels["log_age_lw"] <= labels["log_age_mw"] + 1e-9)
    young, old = 0, 17
    weights = np.zeros((1, 18))
    weights[0, [young, old]] = 0.5
    light = tiny_library.light()
    expected = np.average(tiny_library.log_age[[young, old]], weights=light[[young, old]])
    assert population_labels(tiny_library, weights)["log_age_lw"][0] == pytest.approx(expected)


def test_delayed_tau_mean_age_is_that_of_the_integral():
    start, tau = np.array([9e9]), np.array([2e9])
    log_ages = np.arange(7.8, 10.25, 0.1)
    weights = _delayed_tau(start, tau, log_ages)[0]
    elapsed = np.linspace(0, 9e9, 2_000_001)
    rate = elapsed * np.exp(-elapsed / 2e9)
    expected = np.sum(rate * np.log10(np.maximum(9e9 - elapsed, 10**7.8))) / rate.sum()
    assert weights.sum() == pytest.approx(1)
    assert weights @ log_ages == pytest.approx(expected, abs=2e-4)


def test_all_mass_has_formed_now_and_none_before_the_start():
    start, tau = np.array([[3e9]]), np.array([[1e9]])
    formed = _formed(np.array([0.0, 1e9, 3e9, 5e9]), start, tau)[0]
    np.testing.assert_allclose(formed[[0, 2, 3]], [1, 0, 0], atol=1e-12)
    assert 0 < formed[1] < 1


def test_nothing_is_older_than_the_start(tiny_library):
    prior = HistoryPrior(start_gyr=(1.0, 1.0))
    weights = random_histories(tiny_library, 200, np.random.default_rng(5), prior)
    too_old = tiny_library.log_age > 9.24 + 0.48  # the grid point above log age 9 takes its share
    np.testing.assert_allclose(weights[:, too_old], 0, atol=1e-12)


def test_bursts_have_their_age_and_mass_and_none_occur_without_them(tiny_library):
    smooth = HistoryPrior(burst_probabilities=(1.0,), start_gyr=(8.0, 8.0), tau_gyr=(0.1, 0.1))
    weights = random_histories(tiny_library, 50, np.random.default_rng(6), smooth)
    assert np.all(weights[:, tiny_library.log_age < 9.5] < 1e-6)
    burst = HistoryPrior(burst_probabilities=(0.0, 1.0), start_gyr=(8.0, 8.0), tau_gyr=(0.1, 0.1),
                         burst_log_age=(8.0, 8.0), burst_fraction=(0.5, 0.5))  # fmt: skip
    weights = random_histories(tiny_library, 50, np.random.default_rng(6), burst)
    np.testing.assert_allclose(weights[:, tiny_library.log_age < 8.3].sum(axis=1), 1 / 3, rtol=1e-6)


def test_metals_rise_with_time(tiny_library):
    prior = HistoryPrior(burst_probabilities=(1.0,), start_gyr=(12.0, 12.0), tau_gyr=(5.0, 5.0), enrichment=0.5,
                         metallicity=(-0.3, -0.3), scatter=(1e-6, 1e-6))  # fmt: skip
    weights = random_histories(tiny_library, 100, np.random.default_rng(7), prior).reshape(100, 6, 3)
    by_age = weights @ tiny_library.metallicities / np.maximum(weights.sum(axis=2), 1e-12)
    assert np.all(np.diff(by_age[:, :5], axis=1) <= 1e-9)


def test_the_prior_is_broad(tiny_library):
    labels = population_labels(tiny_library, random_histories(tiny_library, 4000, np.random.default_rng(8)))
    assert np.ptp(np.percentile(labels["log_age_mw"], [2.5, 97.5])) > 1.4
    assert np.ptp(np.percentile(labels["mh_mw"], [2.5, 97.5])) > 1.4


def test_mixtures_hold_one_to_five_members(tiny_library):
    weights = random_ssp_mixtures(tiny_library, 2000, np.random.default_rng(9))
    members = (weights > 0).sum(axis=1)
    assert members.min() == 1
    assert members.max() == 5


def test_a_library_without_masses_gives_light_only(tiny_library):
    library = tiny_library.normalised()
    with pytest.raises(TemplateError, match="mixtures"):
        random_histories(library, 3, np.random.default_rng(1))
    labels = population_labels(library, random_ssp_mixtures(library, 3, np.random.default_rng(1)))
    assert np.isnan([labels["log_age_mw"], labels["mh_mw"]]).all()
    assert np.isfinite([labels["log_age_lw"], labels["mh_lw"]]).all()


def test_normalised_spectra_are_noticed_though_nothing_says_so(tiny_library):
    alike = replace(tiny_library.normalised(), per_mass=True)
    for library, says in ((alike, "hardly changes with age"), (tiny_library.normalised(), "scaled by light")):
        with pytest.raises(TemplateError, match=f"{says}.*per solar mass formed"):
            random_histories(library, 3, np.random.default_rng(0))


@pytest.mark.parametrize("part", [{"metallicity": (0.1, 0.3)}, {"log_age": (7.7, 7.9)}])
def test_histories_need_two_ages_and_metallicities(tiny_library, part):
    with pytest.raises(TemplateError, match="need at least two of each"):
        random_histories(tiny_library.within(**part), 3, np.random.default_rng(0))
