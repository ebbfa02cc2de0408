"""One galaxy on the sky: light, gradients, motions, gas, and coordinates."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest

from quietspec.lab.simulate import Galaxy, Geometry, Population, simulate_galaxy
from quietspec.wavelengths import EMISSION_LINES, SNR_WINDOW, in_window, rest_air

SHAPE = (17, 18)


@pytest.fixture(scope="module")
def galaxy(tiny_library):
    return simulate_galaxy(tiny_library, np.random.default_rng(1), shape=SHAPE)


def rest_wavelength(simulated):
    observed = simulated.observed
    return rest_air(observed.wavelength, float(observed.redshift[0]), observed.medium)


def test_it_is_an_image_with_a_position_on_the_sky_and_a_unit(galaxy):
    observed = galaxy.observed
    assert observed.spatial_shape == SHAPE
    assert galaxy.truth.shape == observed.flux.shape
    assert np.isfinite(galaxy.truth).all()
    assert np.all(observed.redshift == 0.03)
    assert observed.unit.is_equivalent(u.Unit("erg s-1 cm-2 AA-1"))
    centre = observed.wcs.pixel_to_world((SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2)
    east = observed.wcs.pixel_to_world(0, (SHAPE[0] - 1) / 2)
    assert centre.separation(east).arcsec == pytest.approx((SHAPE[1] - 1) / 2, rel=1e-6)
    assert centre.position_angle(east).deg == pytest.approx(90, abs=0.01)
    assert all(values.shape == (len(galaxy),) for values in galaxy.parameters.values())


def test_snr_falls_from_the_given_value_to_a_fifteenth_under_the_same_noise(galaxy):
    snr = galaxy.parameters["snr"]
    assert snr.max() == pytest.approx(30)
    assert 1.5 < snr.min() < 2.5
    window = in_window(rest_wavelength(galaxy), SNR_WINDOW)
    noise = np.where(galaxy.observed.good, galaxy.observed.sigma, np.nan)[:, window]
    measured = galaxy.truth[:, window].mean(axis=1) / np.nanmean(noise, axis=1)
    np.testing.assert_allclose(measured, snr, rtol=0.03)
    assert np.ptp(np.nanmean(noise, axis=1)) < 0.05 * np.nanmean(noise)


def test_noise_has_the_variance_that_is_quoted(tiny_library):
    plain = simulate_galaxy(
        tiny_library, np.random.default_rng(2), shape=(8, 8), emission=False, spikes=False, masks=False
    )
    pull = (plain.observed.flux - plain.truth) * np.sqrt(plain.observed.ivar)
    assert pull.std() == pytest.approx(1, abs=0.01)


def test_gradients_go_the_right_way(tiny_library, galaxy):
    radius, _ = (image.ravel() for image in Geometry().plane(SHAPE))
    centre, edge = radius < 0.25, (radius > 1.0) & (radius < 1.2)
    for name in ("log_age_mw", "log_age_lw", "mh_lw", "mh_mw", "sigma"):
        assert galaxy.parameters[name][centre].mean() > galaxy.parameters[name][edge].mean() + 0.1
    old = Galaxy(geometry=Geometry(ring_light=0, clump_light=0))
    calm = simulate_galaxy(tiny_library, np.random.default_rng(1), galaxy=old, shape=SHAPE).parameters
    y, x = (
        (np.array(SHAPE) * 0.5 + 0.5 + np.array(Geometry().clump_place)[::-1] * max(SHAPE) / 2 - 1).round().astype(int)
    )
    clump = y * SHAPE[1] + x
    assert galaxy.parameters["log_age_lw"][clump] < calm["log_age_lw"][clump] - 0.1
    assert galaxy.parameters["a_v"].argmax() in (clump + np.array([-SHAPE[1], -1, 0, 1, SHAPE[1]]))


def test_it_rotates_about_its_centre_and_spectra_show_it(tiny_library):
    motion = simulate_galaxy(
        tiny_library, np.random.default_rng(3), shape=(15, 15), snr=1e5, emission=False, masks=False, spikes=False,
        noise_correlation=False,
    )  # fmt: skip
    velocity = motion.observed.image(motion.parameters["velocity"])
    np.testing.assert_allclose(velocity, -velocity[::-1, ::-1], atol=1e-9)
    angle = np.radians(Geometry().position_angle)
    y, x = np.unravel_index(velocity.argmax(), velocity.shape)
    assert np.cos(np.arctan2(y - 7, x - 7) - angle) > 0.9
    assert 100 < velocity.max() < 220 * np.sqrt(1 - Geometry().axis_ratio ** 2)
    assert np.all(np.sign(motion.parameters["h3"]) == -np.sign(motion.parameters["velocity"]))

    # Cross-correlation on the log-λ pixels of MaNGA: 69 km/s per pixel.
    rows = [np.argmax(motion.parameters["velocity"]), np.argmin(motion.parameters["velocity"])]
    red, blue = (np.gradient(np.log(motion.truth[row].astype(float)))[200:1500] for row in rows)
    lags = np.arange(-8, 9)
    best = lags[np.argmax([np.corrcoef(red[10:-10], np.roll(blue, lag)[10:-10])[0, 1] for lag in lags])]
    expected = np.ptp(motion.parameters["velocity"]) / (1e-4 * np.log(10) * 299792.458)
    assert best == pytest.approx(expected, abs=1)


def test_gas_is_in_the_flux_and_not_in_the_truth(tiny_library):
    quiet = {"masks": False, "spikes": False, "snr": 1e5, "shape": (10, 10)}
    lit, dark = (simulate_galaxy(tiny_library, np.random.default_rng(4), emission=on, **quiet) for on in (True, False))
    np.testing.assert_array_equal(lit.truth, dark.truth)
    excess = (lit.observed.flux - lit.truth) / lit.truth
    wavelength = rest_wavelength(lit)
    halpha = np.abs(wavelength - EMISSION_LINES["Halpha"]) < 12
    width = np.sum(excess[:, halpha] * np.gradient(wavelength)[halpha], axis=1)
    assert width.min() > 0.3
    young = Geometry().light((10, 10))
    share = (young["young"] / sum(young.values())).ravel()
    assert np.corrcoef(width, share)[0, 1] > 0.95
    continuum = in_window(wavelength, (5300, 5700))
    assert np.abs(excess[:, continuum]).max() < 1e-2
    assert not np.abs(excess).max() < 0.1


def test_light_follows_the_geometry():
    round_one = Geometry(axis_ratio=1.0, ring_light=0, clump_light=0, bulge_light=0)
    image = round_one.light((21, 21))["disc"]
    np.testing.assert_allclose(image, image.T, rtol=1e-6)
    np.testing.assert_allclose(image, image[::-1], rtol=1e-6)
    assert np.unravel_index(image.argmax(), image.shape) == (10, 10)
    flat = replace(round_one, axis_ratio=0.4, position_angle=0.0).light((21, 21))["disc"]
    assert flat[10, 18] > 1.5 * flat[18, 10]


def test_weights_of_a_population_have_its_means(tiny_library):
    stars = Population(9.3, -0.5, log_age_gradient=-0.2, mh_gradient=-0.1)
    weights = stars.weights(tiny_library, np.array([0.0, 1.0]))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights @ tiny_library.log_age, [9.3, 9.1], atol=5e-3)
    np.testing.assert_allclose(weights @ tiny_library.metallicity, [-0.5, -0.6], atol=5e-3)


def test_masks_and_spikes_are_there(galaxy):
    bad = ~galaxy.observed.good
    assert 0 < bad.mean() < 0.05
    assert np.isnan(galaxy.observed.flux[bad]).all()
    rest = rest_wavelength(galaxy)
    clean = np.all([np.abs(rest / line - 1) > 2e-3 for line in EMISSION_LINES.values()], axis=0)
    pull = np.where(bad, 0, (galaxy.observed.flux - galaxy.truth) * np.sqrt(galaxy.observed.ivar))[:, clean]
    assert 0 < (pull > 7).sum() < len(galaxy)


def test_the_calibration_error_is_common_to_all_spaxels_and_can_be_left_out(tiny_library):
    options = {"shape": (6, 6), "snr": 1e5}
    wrong, right = (
        simulate_galaxy(tiny_library, np.random.default_rng(5), calibration_error=on, **options).truth
        for on in (True, False)
    )
    ratio = wrong / right
    assert 0.005 < np.log(ratio).std() < 0.1
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=2e-3)


@pytest.mark.parametrize("instrument", ["SAMI", "CALIFA V500"])
def test_other_instruments_see_it_too(tiny_library, instrument):
    seen = simulate_galaxy(
        tiny_library, np.random.default_rng(6), shape=(3, 5), instrument=instrument, redshift=0.02, snr=50.0
    )
    assert instrument in seen.observed.meta["survey"]
    assert seen.observed.spatial_shape == (3, 5)


def test_the_seed_determines_all_draws(tiny_library):
    one, two, other = (simulate_galaxy(tiny_library, np.random.default_rng(s), shape=(4, 4)) for s in (7, 7, 8))
    np.testing.assert_array_equal(one.observed.flux, two.observed.flux)
    np.testing.assert_array_equal(one.truth, two.truth)
    assert not np.array_equal(one.observed.flux, other.observed.flux)
    np.testing.assert_array_equal(one.parameters["velocity"], other.parameters["velocity"])
