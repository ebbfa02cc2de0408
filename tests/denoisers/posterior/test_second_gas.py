"""A second component of gas: found where it is, not where it is not, with fluxes that are sums."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior
from quietspec.denoisers.posterior.gas import LineModel
from quietspec.denoisers.posterior.second_gas import SecondGas, unpacked, without_spikes
from quietspec.wavelengths import EMISSION_LINES

from .rest_frame import rest_prior
from .test_gas import FWHM, REDSHIFT, REST, VERY_SMALL, fitted, observed, stars, with_lines  # noqa: F401

STRENGTHS = {"Hbeta": 8.0, "[OIII]5007": 12.0, "[OIII]4959": 12.0 / 2.98, "Halpha": 24.0}
SECOND = {name: 0.6 * flux for name, flux in STRENGTHS.items()}
APART = {"velocity": -240.0, "sigma": 150.0}


@pytest.fixture(scope="module")
def two(stars):  # noqa: F811
    """Twelve spectra whose lines have a component of σ 60 km/s at 80 km/s, and a fainter one 320 km/s from it."""
    flux = with_lines(stars[:12], STRENGTHS, sigma=60.0)
    return observed(with_lines(flux, SECOND, **APART), 20.0)


@pytest.fixture(scope="module")
def found(two):
    return fitted(two)


def second(model, velocity=-100.0, width=5.0):
    rng = np.random.default_rng(3)
    return SecondGas(velocity, width, 40.0, rng.uniform(1, 3, model.size), rng.normal(size=1 + model.size))


def test_the_design_is_the_derivative_of_both_components():
    model = LineModel(REST, np.full(len(REST), FWHM))
    state = replace(
        model.start(40.0, 90.0, moves=True), flux=np.linspace(1, 3, model.size), further=second(model)
    )  # fmt: skip
    lines = model.design(state, 1.0)
    assert lines.size == len(state.coordinates(1.0))
    step = 1e-4 * np.random.default_rng(1).normal(size=lines.size)
    moved = model.design(state.moved(step, 1.0), 1.0)
    nothing = np.zeros(len(REST))
    change = lines.left(nothing) - moved.left(nothing)
    expected = np.zeros(len(REST))
    expected[lines.rows] = lines.columns @ step
    np.testing.assert_allclose(change, expected, atol=2e-4 * np.abs(lines.flux).max())


def test_a_component_survives_packing():
    model = LineModel(REST, np.full(len(REST), FWHM))
    one = second(model)
    again = unpacked(np.concatenate([one.packed(), np.zeros(5)]))
    assert again is not None
    assert (again.velocity, again.width) == (one.velocity, one.width)
    np.testing.assert_array_equal(again.flux, one.flux)
    assert unpacked(np.zeros(7)) is None
    assert unpacked(np.empty(0)) is None


def test_one_or_two_runs_of_pixels_are_spikes_and_more_are_not():
    quoted, hit = np.ones(40), np.zeros(40, dtype=bool)
    hit[[3, 4, 11]] = True
    np.testing.assert_array_equal(without_spikes(quoted, hit), ~hit)
    hit[30] = True
    np.testing.assert_array_equal(without_spikes(quoted, hit), quoted)


def test_a_second_component_is_found_and_fluxes_are_those_of_both(found):
    lines = found.lines
    np.testing.assert_array_equal(lines.components, 2)
    for values, truth in ((lines.velocity, 80.0), (lines.sigma, 60.0), (lines.second_velocity, APART["velocity"]),
                          (lines.second_sigma, APART["sigma"]), (lines.second_share, 0.6 / 1.6)):  # fmt: skip
        pulls = (values[:, 0] - truth) / values[:, 1]
        assert np.abs(np.median(pulls)) < 1.5
        assert np.median(np.abs(pulls)) < 2
    for name, flux in STRENGTHS.items():
        line = found.line(name)
        pulls = (line.flux - 1.6 * flux * (1 + REDSHIFT)) / line.error
        assert np.abs(pulls.mean()) < 1
        assert pulls.std() < 1.6


def test_lines_of_one_motion_have_no_second_component(stars):  # noqa: F811
    lines = fitted(observed(with_lines(stars, STRENGTHS), 20.0)).lines
    assert np.mean(lines.components == 1) > 0.95
    assert not (lines.components == 2).any()
    assert np.isnan(lines.second_velocity).all()


def test_where_none_is_found_results_are_those_without_the_option(stars):  # noqa: F811
    spectra = observed(with_lines(stars[:8], STRENGTHS), 20.0)
    prior = rest_prior()
    without, with_option = (
        KinematicPosterior("gas", prior, VERY_SMALL, "fit", "quoted", two_components=on).denoise(spectra)
        for on in (False, True)
    )
    np.testing.assert_array_equal(without.flux, with_option.flux)
    np.testing.assert_array_equal(without.lines.flux, with_option.lines.flux)


def test_a_spike_on_one_line_is_no_second_component(stars):  # noqa: F811
    spectra = observed(with_lines(stars[:20], STRENGTHS, sigma=60.0), 20.0)
    spectra.flux[:, np.abs(REST - EMISSION_LINES["Halpha"] * 1.001).argmin()] += 6.0
    assert not (fitted(spectra).lines.components == 2).any()


def test_the_stars_are_known_as_well_beside_two_components(stars, found):  # noqa: F811
    bare = fitted(observed(stars[:12], 20.0))
    errors = [np.sqrt(np.mean((one.flux - stars[:12]) ** 2)) for one in (found, bare)]
    assert errors[0] < 1.2 * errors[1]


def test_covariances_come_back_from_the_compact_posterior(found):
    variance = np.sum(found.factor_of(0) ** 2, axis=1) + found.remainder[0] ** 2
    covered = np.isfinite(found.sigma[0]) & (found.sigma[0] > 0)
    ratio = np.sqrt(variance[covered]) / found.sigma[0][covered]
    assert abs(np.median(ratio) - 1) < 0.05
