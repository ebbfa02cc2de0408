"""Stresses spoil what they say and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from quietspec.lab.evaluation.scores import equivalent_width
from quietspec.lab.evaluation.stresses import STRESSES, Scene, young_stars
from quietspec.lab.simulate import INSTRUMENTS, SurveyRecipe
from quietspec.lab.simulate.emission import Gas
from quietspec.wavelengths import EMISSION_LINES, LINE_WINDOWS, in_window, rest_air

BY_NAME = {stress.name: stress for stress in STRESSES}
CONTAMINATED = {"cosmic rays", "sky residuals"}
Z, N = 0.02, 12


@pytest.fixture(scope="module")
def recipe(tiny_library) -> SurveyRecipe:
    return SurveyRecipe(tiny_library, instruments=["CALIFA V500"], calibration_error=False, sky=False)


@pytest.fixture(scope="module")
def scene(recipe) -> Scene:
    rest = recipe.rest(N, np.random.default_rng(0))
    gas = Gas(np.zeros((N, len(EMISSION_LINES))), rest.parameters["velocity"], np.full(N, 80.0))
    seen = {"instrument": INSTRUMENTS["CALIFA V500"], "redshift": Z, "snr": 20.0}
    return Scene(recipe=recipe, rest=rest, gas=gas, seed=(1, 2), **seen)


def unit_noise(observation) -> np.ndarray:
    """What the flux has beyond truth and lines, in units of the true noise."""
    simulated = observation.simulated
    lines = 0 if observation.lines is None else observation.lines
    return (simulated.observed.flux - simulated.truth - lines) / observation.noise


@settings(max_examples=40, deadline=None, derandomize=True)
@given(stress=st.sampled_from(STRESSES), place=st.floats(0, 1))
def test_galaxies_and_noise_stay_the_same_at_any_amount(scene, stress, place) -> None:
    low, high = min(stress.amounts), max(stress.amounts)
    seen = stress.observe(scene, low + place * (high - low))
    assert_array_equal(seen.simulated.observed.wavelength, scene.plain.simulated.observed.wavelength)
    assert np.all(np.isfinite(seen.simulated.truth))
    assert np.all(seen.noise > 0)
    if stress.name not in CONTAMINATED:
        good = seen.simulated.observed.good
        assert_allclose(unit_noise(seen)[good], unit_noise(scene.plain)[good], atol=0.01)


@pytest.mark.parametrize("stress", [stress for stress in STRESSES if stress.plain], ids=lambda stress: stress.name)
def test_at_the_reference_amount_nothing_is_spoilt(scene, stress) -> None:
    seen, plain = stress.observe(scene, stress.reference).simulated, scene.plain.simulated
    assert stress.reference in stress.amounts
    assert_allclose(seen.observed.flux, plain.observed.flux, rtol=1e-5, atol=1e-5)
    assert_allclose(seen.observed.ivar, plain.observed.ivar, rtol=1e-5)
    assert_allclose(seen.observed.redshift, plain.observed.redshift)
    assert_allclose(seen.truth, plain.truth, rtol=1e-5)


@pytest.mark.parametrize("name", ["masks", "blue missing", "red missing"])
def test_the_fraction_masked_is_that_asked_for(scene, name) -> None:
    for amount in BY_NAME[name].amounts:
        good = BY_NAME[name].observe(scene, amount).simulated.observed.good
        assert 1 - good.mean() == pytest.approx(amount, abs=0.05)


def test_a_gap_is_one_run_of_its_width_and_grows_in_place(scene) -> None:
    wavelength = scene.plain.simulated.observed.wavelength
    narrow, wide = (~BY_NAME["arm gap"].observe(scene, width).simulated.observed.good for width in (100.0, 600.0))
    assert np.all(wide[narrow])
    assert_allclose([np.ptp(wavelength[bad]) for bad in narrow], 100, atol=4)


def test_quoted_variance_is_wrong_by_the_amount(scene) -> None:
    seen = BY_NAME["wrong variance"].observe(scene, 4.0)
    assert_allclose(seen.simulated.observed.sigma, 2 * seen.noise, rtol=1e-5)


def test_defects_are_as_many_and_as_high_as_said(scene) -> None:
    plain = unit_noise(scene.plain)
    rays = unit_noise(BY_NAME["cosmic rays"].observe(scene, 20.0)) - plain
    assert 10 < np.mean(np.sum(rays > 4.9, axis=1)) < 40
    sky = unit_noise(BY_NAME["sky residuals"].observe(scene, 5.0)) - plain
    wavelength = scene.plain.simulated.observed.wavelength
    alone = np.abs(wavelength - 5577.34) < 20
    assert np.abs(sky[:, alone]).max() == pytest.approx(5, rel=0.05)
    assert_allclose(sky[:, alone].sum(axis=1), 0, atol=2)
    assert_allclose(sky[:, np.abs(wavelength - 5000) < 300], 0, atol=1e-3)


def test_emission_lines_have_the_equivalent_width_asked_for(scene) -> None:
    seen = BY_NAME["broad Balmer lines"].observe(scene, 50.0)
    observed = seen.simulated.observed
    rest = rest_air(observed.wavelength, Z, observed.medium)
    near, beside = in_window(rest, (6350, 6780)), in_window(rest, (6523, 6603))
    width = np.sum(seen.lines[:, near], axis=1) * np.mean(np.diff(rest[near]))
    assert_allclose(width / seen.simulated.truth[:, beside].mean(axis=1), 50, rtol=0.05)


def test_alpha_enhancement_deepens_magnesium_and_weakens_iron(scene) -> None:
    for line, grows in (("Mg b", True), ("Fe I 4383", False)):
        truths = [BY_NAME["α-enhanced stars"].observe(scene, amount).simulated for amount in (0.0, 0.4)]
        rest = rest_air(truths[0].observed.wavelength, Z, truths[0].observed.medium)
        before, after = (equivalent_width(rest, each.truth, LINE_WINDOWS[line]) for each in truths)
        assert np.all((after > before) == grows)


def test_nucleus_and_young_stars_take_all_the_light_at_share_one(scene, recipe, tiny_library) -> None:
    nucleus = BY_NAME["active nucleus"].observe(scene, 1.0).simulated
    rest = rest_air(nucleus.observed.wavelength, Z, nucleus.observed.medium)
    slope = np.polyfit(np.log(rest), np.log(nucleus.truth).T, 1)[0]
    assert_allclose(slope, -1.5, atol=0.02)
    oldest = float(10 ** (tiny_library.log_age.max() - 6))
    young, old = (young_stars(recipe, age).observe(scene, 1.0).simulated for age in (70.0, oldest))
    blue = in_window(rest, (3700, 4000))
    assert np.all(young.truth[:, blue].mean(axis=1) > old.truth[:, blue].mean(axis=1))
