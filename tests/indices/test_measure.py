"""Spectral indices: closed forms, gradients, errors, and two independent implementations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.errors import SpectraError
from quietspec.indices import (
    DEFINITIONS,
    FactoredCovariance,
    IndexDefinition,
    IndexFlag,
    find_definition,
    measure_index,
    measure_indices,
)

from .made import LINEAR, LOG, spectra

NOT_BREAKS = [name for name, one in DEFINITIONS.items() if one.kind != "break"]
#: Values of the MaNGA DAP's own classes AbsorptionLineIndices and BandheadIndices (sdss-mangadap 4.5.0), with the bands
#: of its files extindx.par and bhbasic.par, for `made.spectra` on the two grids; `dap_reference.py` made the file.
DAP = json.loads((Path(__file__).parent / "dap.json").read_text())
GRIDS = {"LINEAR": LINEAR, "LOG": LOG}
each_index = pytest.mark.parametrize("name", DEFINITIONS)
each_grid = pytest.mark.parametrize("grid", GRIDS)


# --- closed forms ---


@settings(max_examples=30, deadline=None)
@given(slope=st.floats(-9e-5, 9e-5), level=st.floats(1e-20, 1e20), offset=st.floats(0, 1), step=st.floats(0.1, 3))
def test_a_straight_line_has_index_zero_on_any_grid(slope, level, offset, step):
    wavelength = np.arange(3700 + offset, 10050, step)
    found = measure_indices(NOT_BREAKS, wavelength, level * (1 + slope * (wavelength - 3700))[None])
    np.testing.assert_allclose(found.values, 0, atol=1e-9)


@given(value=st.floats(0.2, 5), offset=st.floats(0, 1), step=st.floats(0.1, 3))
def test_a_step_is_the_ratio_of_its_levels(value, offset, step):
    wavelength = np.arange(3700 + offset, 9000, step)
    high = np.where(wavelength < 3975, 1.0, value) / wavelength**2
    assert measure_index("Dn4000", wavelength, high)[0] == pytest.approx(value, rel=1e-9)
    low = np.where(wavelength < 8862, value, 1.0)
    assert measure_index("TiOCvD", wavelength, low)[0] == pytest.approx(value, rel=1e-9)


@settings(max_examples=50)
@given(width=st.floats(-4, 4), sigma=st.floats(1, 2.4), shift=st.floats(-2, 2), slope=st.floats(-1e-4, 1e-4))
def test_a_gaussian_line_has_its_equivalent_width_absorption_positive(width, sigma, shift, slope):
    centre = 4862 + shift
    line = width / np.sqrt(2 * np.pi) / sigma * np.exp(-0.5 * ((LINEAR - centre) / sigma) ** 2)
    flux = (1 + slope * (LINEAR - 4862)) * (1 - line)
    assert measure_index("Hbeta", LINEAR, flux)[0] == pytest.approx(width, abs=2e-3)


def test_a_constant_depth_is_a_constant_magnitude():
    low, high = find_definition("Mg_2").band
    flux = np.where((low < LINEAR) & (high > LINEAR), 10**-0.1, 1.0)
    assert measure_index("Mg_2", LINEAR, flux)[0] == pytest.approx(0.25, abs=2e-3)  # the ends fall within pixels


@settings(max_examples=20)
@given(scale=st.floats(1e-25, 1e25))
def test_the_unit_of_the_flux_does_not_matter(scale):
    flux = spectra(LINEAR, 2)
    once, again = (measure_indices("all", LINEAR, one) for one in (flux, scale * flux))
    np.testing.assert_allclose(again.values, once.values, rtol=1e-9, atol=1e-10)


def test_the_calcium_index_is_that_of_the_triplet_less_its_share_of_paschen():
    found = measure_indices(["CaT_star", "CaT", "PaT"], LINEAR, spectra(LINEAR)).values
    np.testing.assert_allclose(found[:, 0], found[:, 1] - 0.93 * found[:, 2], rtol=1e-12)


def test_weights_of_the_continuum_are_those_of_a_weighted_fit():
    definition, flux = find_definition("CaT"), spectra(LINEAR, 1)
    weights = np.random.default_rng(0).uniform(0.1, 1, flux.shape)
    inside = np.any([(low < LINEAR) & (high > LINEAR) for low, high in definition.continuum], axis=0)
    only_whole_pixels = np.where(inside, weights, 0) * _whole(definition.continuum)
    slope, level = np.polyfit(LINEAR - 8600, flux[0], 1, w=np.sqrt(only_whole_pixels[0]))
    continuum = level + slope * (LINEAR - 8600)
    expected = sum(np.sum((1 - flux[0] / continuum) * _widths(band)) for band in definition.features)
    found = measure_index(definition, LINEAR, flux, continuum_weights=only_whole_pixels)[0]
    assert found[0] == pytest.approx(expected, abs=1e-9)


def _widths(band):
    return np.clip(np.minimum(LINEAR + 0.45, band[1]) - np.maximum(LINEAR - 0.45, band[0]), 0, None)


def _whole(bands):
    return np.sum([_widths(band) > 0.9 - 1e-9 for band in bands], axis=0)


# --- independent implementations ---


@each_grid
@pytest.mark.parametrize("name", DAP)
def test_the_dap_finds_the_same(name, grid):
    found, _ = measure_index(name, GRIDS[grid], spectra(GRIDS[grid]))
    np.testing.assert_allclose(found, DAP[name][grid], atol=1e-3)


def by_quadrature(definition: IndexDefinition, wavelength: np.ndarray, flux: np.ndarray) -> float:
    """Integrate the spectrum as a staircase at 400 points per Å, the continuum being the definition's own line."""
    edges = np.concatenate([[-np.inf], (wavelength[1:] + wavelength[:-1]) / 2])

    def sampled(band):
        points = np.linspace(*band, int(400 * (band[1] - band[0])) + 1)
        points = (points[1:] + points[:-1]) / 2
        return points, flux[np.searchsorted(edges, points) - 1]

    if definition.kind == "break":
        power = 2 if definition.per == "frequency" else 0
        blue, red = (np.mean(points**power * f) for points, f in map(sampled, (definition.blue, definition.red)))
        return red / blue if definition.ratio == "red/blue" else blue / red
    if definition.generic:
        points, f = map(np.concatenate, zip(*map(sampled, definition.continuum), strict=True))
        line = np.polynomial.Polynomial.fit(points, f, 1)
    else:
        means = [np.mean(sampled(band)[1]) for band in (definition.blue, definition.red)]
        line = np.polynomial.Polynomial.fit([np.mean(definition.blue), np.mean(definition.red)], means, 1)
    total = 0.0
    for band, weight in definition.weighted_features:
        points, f = sampled(band)
        ratio = np.mean(f / line(points))
        total += weight * (
            (band[1] - band[0]) * (1 - ratio) if definition.kind == "angstrom" else -2.5 * np.log10(ratio)
        )
    return total


@each_grid
@each_index
def test_dense_quadrature_finds_the_same(name, grid):
    wavelength = GRIDS[grid]
    flux = spectra(wavelength)
    found, _ = measure_index(name, wavelength, flux)
    expected = [by_quadrature(DEFINITIONS[name].in_air(), wavelength, one) for one in flux]
    np.testing.assert_allclose(found, expected, atol=1e-3)


# --- gradient and errors ---


@each_index
def test_the_gradient_is_that_of_finite_differences(name):
    flux = spectra(LINEAR, 1)
    definition = find_definition(name)
    for smoothing in (None, np.full(LINEAR.size, 3.0)):
        rng = np.random.default_rng(3)
        direction = rng.standard_normal(LINEAR.size) * 1e-4
        ahead, behind = (
            measure_index(definition, LINEAR, flux[0] + sign * direction, smoothing=smoothing)[0] for sign in (1, -1)
        )
        _, error = measure_index(
            definition, LINEAR, flux[0], FactoredCovariance(factor=direction[:, None]), smoothing=smoothing
        )
        assert error == pytest.approx(abs(ahead - behind) / 2, rel=1e-5)


def noise(rng, n_factors=4, size=0.01):
    """Broad correlated errors and white ones."""
    phase = rng.uniform(0, 6, n_factors)
    return FactoredCovariance(
        factor=size * np.sin(LINEAR[:, None] / 40 + phase) / np.sqrt(n_factors),
        remainder=np.full(LINEAR.size, size),
    )


def test_joint_errors_are_those_of_draws():
    rng = np.random.default_rng(1)
    flux, covariance = spectra(LINEAR, 1), noise(rng)
    names = ["Hbeta", "Mg_b", "Mg_2", "Dn4000", "CaT_star"]
    draws = (
        flux
        + rng.standard_normal((3000, 4)) @ covariance.factor.T
        + rng.standard_normal((3000, LINEAR.size)) * covariance.remainder
    )
    stated = measure_indices(names, LINEAR, flux, covariance)
    drawn = np.cov(measure_indices(names, LINEAR, draws).values.T)
    scale = np.outer(stated.errors[0], stated.errors[0])
    np.testing.assert_allclose(drawn / scale, stated.covariance[0] / scale, atol=0.08)
    assert stated.covariance[0, 1, 2] / scale[1, 2] > 0.3  # Mg b lies in Mg2


def test_a_full_covariance_says_the_same_as_its_factors():
    wavelength = LINEAR[1300:2100]
    flux = spectra(wavelength, 2)
    rng = np.random.default_rng(2)
    factor, remainder = rng.standard_normal((2, 800, 3)), rng.uniform(0.1, 1, (2, 800))
    full = factor @ factor.swapaxes(1, 2) + np.stack([np.diag(one**2) for one in remainder])
    names = ["Hbeta", "Mg_b", "Fe5270"]
    factored = measure_indices(names, wavelength, flux, FactoredCovariance(factor=factor, remainder=remainder))
    np.testing.assert_allclose(measure_indices(names, wavelength, flux, full).covariance, factored.covariance)
    shared = measure_indices(names, wavelength, flux, full[0])
    np.testing.assert_allclose(shared.covariance[0], factored.covariance[0])


def test_errors_scale_with_the_noise_and_add_in_quadrature():
    flux, one = spectra(LINEAR, 1), noise(np.random.default_rng(0))
    parts = [FactoredCovariance(factor=one.factor), FactoredCovariance(remainder=one.remainder)]
    squares = [measure_indices("lick", LINEAR, flux, part).errors ** 2 for part in parts]
    np.testing.assert_allclose(measure_indices("lick", LINEAR, flux, one).errors ** 2, sum(squares))
    doubled = FactoredCovariance(factor=2 * one.factor)
    np.testing.assert_allclose(measure_indices("lick", LINEAR, flux, doubled).errors ** 2, 4 * squares[0])


# --- what cannot be measured ---


def test_what_is_not_covered_is_nan_and_says_why():
    wavelength = np.concatenate([LINEAR[:2400], LINEAR[2900:4000]])  # 3600–5759 and 6210–7199 Å
    found = measure_indices(["Hbeta", "Na_D", "TiO_2", "CaH1", "Mg_b"], wavelength, spectra(wavelength, 1))
    assert found.flags[0].tolist() == [0, IndexFlag.NOT_COVERED, IndexFlag.NOT_COVERED, 0, 0]
    assert np.isnan(found.values[0]).tolist() == [False, True, True, False, False]
    assert found.reasons[0, 1] == "a band is not covered by the wavelengths"
    edge = measure_index("Hbeta", LINEAR[LINEAR > 4828], spectra(LINEAR[LINEAR > 4828], 1))
    assert np.isnan(edge[0]).all()


@each_index
def test_pixels_outside_the_bands_never_matter_and_those_inside_must_be_finite(name):
    definition = find_definition(name).in_air()
    flux = spectra(LINEAR, 1)
    far = np.all([(low > LINEAR + 0.45) | (high < LINEAR - 0.45) for low, high in definition.bands], axis=0)
    expected, _ = measure_index(name, LINEAR, flux)
    error = np.where(far, np.nan, 0.1)
    value, stated = measure_index(name, LINEAR, np.where(far, np.nan, flux), FactoredCovariance(remainder=error))
    assert value == expected
    assert np.isfinite(stated)
    for low, _ in definition.bands:
        spoiled = flux.copy()
        spoiled[0, np.argmin(np.abs(LINEAR - low - 1))] = np.nan
        found = measure_indices(name, LINEAR, spoiled)
        assert found.flags[0, 0] == IndexFlag.NO_FLUX
        assert np.isnan(found.values).all()


@each_index
def test_a_continuum_that_is_not_positive_has_no_index(name):
    found = measure_indices(name, LINEAR, -spectra(LINEAR, 2))
    assert (found.flags == IndexFlag.NO_CONTINUUM).all()
    assert np.isnan(found.values).all()


def test_one_spectrum_without_value_leaves_others_and_other_indices_alone():
    flux = spectra(LINEAR)
    flux[1, np.abs(LINEAR - 4860) < 5] = np.nan
    found = measure_indices(["Mg_b", "Hbeta"], LINEAR, flux, noise(np.random.default_rng(0)))
    assert np.isnan(found.values).tolist() == [[False, False], [False, True], [False, False]]
    assert np.isnan(found.covariance[1]).tolist() == [[False, True], [True, True]]
    assert np.isfinite(found.covariance[[0, 2]]).all()


def test_no_covariance_no_errors_and_no_spectra_no_indices():
    found = measure_indices("lick", LINEAR, spectra(LINEAR, 1))
    assert np.isfinite(found.values).all()
    assert np.isnan(found.errors).all()
    empty = measure_indices("lick", LINEAR, np.empty((0, LINEAR.size)), FactoredCovariance(remainder=LINEAR))
    assert empty.values.shape == empty.reasons.shape == (0, 25)


def test_single_precision_is_enough_for_the_input():
    flux = spectra(LINEAR)
    single, double = (measure_indices("all", LINEAR, one).values for one in (flux.astype(np.float32), flux))
    np.testing.assert_allclose(single, double, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"flux": np.ones((2, 9))}, "flux: shape"),
        ({"rest_wavelength": LINEAR[::-1]}, "not strictly increasing"),
        ({"covariance": np.ones((9, 9))}, "covariance: shape"),
        ({"covariance": FactoredCovariance(factor=np.ones((9, 2)))}, "covariance.factor: shape"),
        ({"covariance": FactoredCovariance(remainder=np.ones(9))}, "covariance.remainder: shape"),
        ({"smoothing": np.ones(9)}, "smoothing: shape"),
        ({"continuum_weights": np.ones(9)}, "continuum_weights: shape"),
    ],
)
def test_what_does_not_fit_is_named(fields, message):
    sound = {"rest_wavelength": LINEAR, "flux": np.ones((2, LINEAR.size))}
    with pytest.raises(SpectraError, match=message):
        measure_indices("lick", **sound | fields)


# --- the table ---


def test_results_select_join_and_become_a_table():
    flux = spectra(LINEAR)
    found = measure_indices(["Mg_b", "Mg_2", "Dn4000"], LINEAR, flux, noise(np.random.default_rng(0)))
    joined = type(found).stack([found[:1], found[[1, 2]]])
    np.testing.assert_array_equal(joined.covariance, found.covariance)
    np.testing.assert_array_equal(found.value("mgb"), found.values[:, 0])
    np.testing.assert_array_equal(found.error("Mg_2"), found.errors[:, 1])
    table = found.to_table()
    assert table.colnames[:3] == ["Mg_b", "Mg_b_err", "Mg_b_flag"]
    assert [str(table[name].unit) for name in found.names] == ["Angstrom", "mag", "None"]
    assert table.meta["RESOLUTN"] == "own"
    with pytest.raises(ValueError, match="'Hbeta' was not measured; Mg_b, Mg_2, Dn4000 were"):
        found.value("Hbeta")
