"""Dust attenuation and emission lines."""

import numpy as np
import pytest

from quietspec.lab.simulate.dust import attenuation_curve, transmission
from quietspec.lab.simulate.emission import EmissionPrior, Gas, add_lines, random_gas
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA

LINES = list(EMISSION_LINES)


def test_attenuation_at_5500_is_a_v():
    np.testing.assert_allclose(transmission(np.array([5500.0]), np.array([0.0, 1.0, 2.5]))[:, 0],
                               10 ** (-0.4 * np.array([0.0, 1.0, 2.5])), rtol=1e-6)  # fmt: skip


def test_curve_is_calzettis():
    # k(λ) = A(λ)/E(B−V) calculated by hand from eq. 4 of Calzetti et al. 2000, over k(5500 Å) = 4.0479.
    np.testing.assert_allclose(attenuation_curve(np.array([3700.0, 4400.0, 6563.0])),
                               np.array([5.8934, 5.0603, 3.3258]) / 4.0479, rtol=1e-4)  # fmt: skip
    assert np.all(np.diff(attenuation_curve(np.linspace(3000, 9000, 500))) < 0.005)  # its two pieces do not quite meet


def test_tilt_pivots_about_5500():
    wavelength = np.array([4000.0, 5500.0, 7000.0])
    plain, steep = (transmission(wavelength, np.array([1.0]), slope)[0] for slope in (0.0, -0.5))
    assert steep[0] < plain[0]
    assert steep[1] == pytest.approx(plain[1], rel=1e-6)
    assert steep[2] > plain[2]


def test_bump_is_at_2175_and_leaves_the_optical():
    wavelength = np.array([1800.0, 2175.0, 2700.0, 5500.0])
    plain, bumped = (transmission(wavelength, np.array([1.0]), 0.0, bump)[0] for bump in (0.0, 3.0))
    extinction = -2.5 * np.log10(bumped / plain)
    np.testing.assert_allclose(extinction[1], 3.0 / 4.05, rtol=1e-5)  # of A_V = 1, by definition
    assert extinction[1] > 3 * extinction[[0, 2]].max()
    assert extinction[3] < 0.01


def draw(n=3000, seed=0, a_v=0.0, **prior):
    rng = np.random.default_rng(seed)
    return random_gas(np.full(n, 2.0), np.full(n, a_v), np.zeros(n), rng, EmissionPrior(**prior))


def ratio(gas, above, below):
    return gas.flux[:, LINES.index(above)] / gas.flux[:, LINES.index(below)]


def test_hydrogen_follows_case_b_and_its_reddening():
    np.testing.assert_allclose(ratio(draw(gas_fraction=1), "Halpha", "Hbeta"), 2.86, rtol=1e-5)
    reddened = ratio(draw(gas_fraction=1, a_v=0.44), "Halpha", "Hbeta")
    curve = attenuation_curve(np.array([EMISSION_LINES["Halpha"], EMISSION_LINES["Hbeta"]]))
    np.testing.assert_allclose(reddened, 2.86 * 10 ** (0.4 * (curve[1] - curve[0])), rtol=1e-5)


def test_doublets_have_their_fixed_ratios():
    gas = draw(gas_fraction=1)
    np.testing.assert_allclose(ratio(gas, "[OIII]5007", "[OIII]4959"), 2.98, rtol=1e-4)
    np.testing.assert_allclose(ratio(gas, "[NII]6583", "[NII]6548"), 3.05, rtol=1e-4)


def test_ratios_span_the_diagram_from_star_formation_to_active_nuclei():
    gas = draw(gas_fraction=1)
    nitrogen, oxygen = np.log10(ratio(gas, "[NII]6583", "Halpha")), np.log10(ratio(gas, "[OIII]5007", "Hbeta"))
    active = (nitrogen > 0) | (oxygen > 0.61 / np.minimum(nitrogen - 0.47, -1e-9) + 1.19)  # Kewley et al. 2001
    assert 0.02 < active.mean() < 0.5
    assert nitrogen.min() < -1.2
    assert np.all(np.abs(oxygen) < 2.5)


def test_equivalent_widths_are_within_their_range_and_some_spectra_have_no_gas():
    gas = draw(ew_halpha=(5.0, 50.0), gas_fraction=0.6)
    width = gas.flux[:, LINES.index("Halpha")] / 2.0
    lit = width > 0
    assert abs(lit.mean() - 0.6) < 0.04
    assert width[lit].min() >= 5
    assert width[lit].max() <= 50
    assert not gas.flux[~lit].any()


def test_added_lines_have_their_flux_position_and_width():
    wavelength = np.arange(6400.0, 6750.0, 0.5)
    flux = np.zeros((2, len(wavelength)), dtype=np.float32)
    strength = np.zeros((2, len(LINES)))
    strength[0, LINES.index("Halpha")] = 7.0
    gas = Gas(flux=strength, velocity=np.array([200.0, 0.0]), sigma=np.array([120.0, 50.0]))
    add_lines(flux, wavelength, np.full_like(wavelength, 3.0), gas)
    assert not flux[1].any()
    line = flux[0].astype(float)
    assert line.sum() * 0.5 == pytest.approx(7.0, rel=1e-4)
    centre = (line * wavelength).sum() / line.sum()
    assert centre == pytest.approx(6562.80 * (1 + 200 / 299792.458), abs=0.01)
    width = np.sqrt((line * (wavelength - centre) ** 2).sum() / line.sum())
    assert width == pytest.approx(np.hypot(6562.80 * 120 / 299792.458, 3.0 / FWHM_PER_SIGMA), rel=1e-3)


def test_lines_outside_the_pixels_are_left_out():
    flux = np.zeros((1, 100), dtype=np.float32)
    strength = np.zeros((1, len(LINES)))
    strength[0, LINES.index("Halpha")] = 7.0
    add_lines(flux, np.linspace(5200, 5300, 100), np.full(100, 2.5), Gas(strength, np.zeros(1), np.full(1, 100.0)))
    assert not flux.any()
