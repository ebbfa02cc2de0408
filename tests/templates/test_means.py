"""Means over populations: against sums by hand, and their derivatives against differences."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.templates import mass_to_light, population_labels
from quietspec.templates.means import population_jacobian
from quietspec.wavelengths import SNR_WINDOW

NAMES = {"log_age_mw", "mh_mw", "log_age_lw", "mh_lw", "log_t50", "log_t90", "log_ml_v"}
STEP = 0.48  # dex between the ages of the small library


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-10, 1e10))
def test_the_unit_of_mass_does_not_matter(tiny_library, seed, factor):
    weights = np.random.default_rng(seed).exponential(size=(3, tiny_library.n_ssp))
    one, other = population_labels(tiny_library, weights), population_labels(tiny_library, factor * weights)
    assert one.keys() == NAMES
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-9, atol=1e-9)


def test_one_ssp_has_its_own_labels(tiny_library):
    found = population_labels(tiny_library, np.eye(tiny_library.n_ssp, dtype=int))
    for kind in ("mw", "lw"):
        np.testing.assert_allclose(found[f"log_age_{kind}"], tiny_library.log_age)
        np.testing.assert_allclose(found[f"mh_{kind}"], tiny_library.metallicity)
    np.testing.assert_allclose(found["log_ml_v"], np.log10(mass_to_light(tiny_library).ratio))


def test_stars_of_one_age_formed_within_its_bin(tiny_library):
    found = population_labels(tiny_library, np.eye(tiny_library.n_ssp))
    np.testing.assert_allclose(found["log_t50"], tiny_library.log_age)  # steps are even: the age is the bin's middle
    np.testing.assert_allclose(found["log_t90"], tiny_library.log_age - 0.4 * STEP)


def test_a_library_of_one_age_forms_all_stars_then(tiny_library):
    library = tiny_library.within(log_age=(9.2, 9.3))
    found = population_labels(library, np.ones((1, library.n_ssp)))
    assert found["log_t50"] == found["log_t90"] == library.log_ages
    assert not population_jacobian(library, np.ones(library.n_ssp))["log_t50"].any()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), sparse=st.floats(0.1, 1))
def test_half_of_the_stars_formed_before_t50_and_nine_tenths_before_t90(tiny_library, seed, sparse):
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=(20, tiny_library.n_ssp)) * (rng.random((20, tiny_library.n_ssp)) < sparse)
    weights[:, rng.integers(tiny_library.n_ssp)] = 0.3
    found = population_labels(tiny_library, weights)
    assert np.all(found["log_t90"] <= found["log_t50"])
    for name, fraction in (("log_t50", 0.5), ("log_t90", 0.9)):
        # Part of each bin that is older, by the definition: bins of STEP about the ages, filled evenly.
        older = np.clip((tiny_library.log_age + STEP / 2 - found[name][:, None]) / STEP, 0, 1)
        np.testing.assert_allclose((weights * older).sum(axis=1) / weights.sum(axis=1), fraction)


def test_formation_times_change_evenly_with_the_weights(tiny_library):
    """Mass that moves from the oldest to the youngest stars, over all ages between."""
    shares = np.linspace(0, 1, 2001)[:, None]
    ages = (tiny_library.log_age - 7.8) / 2.4
    found = population_labels(tiny_library, shares * (1 - ages) ** 2 + (1 - shares) * ages**2 + 0.01)
    for name in ("log_t50", "log_t90"):
        steps = np.diff(found[name])
        assert np.all(steps < 0)
        assert np.abs(steps).max() < 0.02


@pytest.mark.parametrize("window", [SNR_WINDOW, (6000.0, 6500.0)])
def test_two_ssps_by_hand(tiny_library, window):
    a, b = 2, 16
    weights = np.zeros((1, tiny_library.n_ssp))
    weights[0, a], weights[0, b] = 1.0, 3.0
    inside = (tiny_library.wavelength >= window[0]) & (tiny_library.wavelength <= window[1])
    light_a = tiny_library.spectra[a, inside].mean()
    light_b = 3 * tiny_library.spectra[b, inside].mean()
    found = population_labels(tiny_library, weights, window)
    for name, values in (("log_age", tiny_library.log_age), ("mh", tiny_library.metallicity)):
        assert found[f"{name}_mw"][0] == pytest.approx((values[a] + 3 * values[b]) / 4)
        mean = (light_a * values[a] + light_b * values[b]) / (light_a + light_b)
        assert found[f"{name}_lw"][0] == pytest.approx(mean)
    ratio = mass_to_light(tiny_library).ratio
    luminosity = 1 / ratio[a] + 3 / ratio[b]  # the library knows no remaining masses: one solar mass formed each
    assert found["log_ml_v"][0] == pytest.approx(np.log10(4 / luminosity))


def test_mass_that_remains_counts_in_the_mass_to_light_ratio(tiny_library):
    remaining = np.linspace(0.9, 0.5, tiny_library.n_ssp)
    library = replace(tiny_library, remaining_mass=remaining)
    weights = np.random.default_rng(0).exponential(size=(4, library.n_ssp))
    left = (weights @ remaining) / weights.sum(axis=1)
    expected = population_labels(tiny_library, weights)["log_ml_v"] + np.log10(left)
    np.testing.assert_allclose(population_labels(library, weights)["log_ml_v"], expected)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-5, 1e5))
def test_derivatives_are_those_of_differences(tiny_library, seed, scale):
    library = replace(tiny_library, remaining_mass=np.linspace(0.9, 0.5, tiny_library.n_ssp))
    rng = np.random.default_rng(seed)
    weights = scale * rng.exponential(size=library.n_ssp) * (rng.random(library.n_ssp) < 0.6)
    weights[0] = scale
    step = 1e-6 * weights.sum()
    jacobian = population_jacobian(library, weights)
    assert jacobian.keys() == NAMES
    up, down = (population_labels(library, weights + sign * step * np.eye(library.n_ssp)) for sign in (1, -1))
    for name, values in jacobian.items():
        difference = (up[name] - down[name]) / (2 * step)
        np.testing.assert_allclose(values, difference, rtol=1e-5, atol=1e-5 * np.abs(difference).max())
        assert values @ weights == pytest.approx(0, abs=1e-9 * np.abs(values * weights).sum() + 1e-12)


def test_a_library_of_light_has_no_masses(tiny_library):
    library = tiny_library.normalised()
    weights = np.full((2, library.n_ssp), 1.0 / library.n_ssp)
    found = population_labels(library, weights)
    assert found.keys() == NAMES - {"log_ml_v"}
    assert np.isnan(found["log_age_mw"]).all()
    for name in ("mh_mw", "log_t50", "log_t90"):
        assert np.isnan(found[name]).all()
    np.testing.assert_allclose(found["log_age_lw"], library.log_age.mean())
    jacobian = population_jacobian(library, weights[0])
    assert jacobian.keys() == found.keys()
    for name in ("mh_mw", "log_t50", "log_t90"):
        assert np.isnan(jacobian[name]).all()
    assert np.isfinite(jacobian["mh_lw"]).all()


def test_a_library_without_v_has_no_mass_to_light_ratio(tiny_library):
    found = population_labels(tiny_library.between(3600, 5000), np.ones((1, tiny_library.n_ssp)))
    assert found.keys() == NAMES - {"log_ml_v"}
    assert np.isfinite(found["log_age_mw"]).all()
