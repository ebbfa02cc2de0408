"""A galaxy of star particles: its truth, its noise, and that it shares nothing with the other simulator."""

import ast
import inspect
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit

from quietspec.lab.simulate import ParticleSetup, particles, simulate_particles
from quietspec.lab.simulate.particles import Particles
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA

SETUP = ParticleSetup(shape=(12, 13), n=20_000, wavelengths=(4000.0, 5600.0, 1.2))


@pytest.fixture(scope="module")
def cube(tiny_library):
    return simulate_particles(tiny_library, SETUP, np.random.default_rng(1))


def test_it_shares_only_containers_and_definitions_with_the_other_simulator():
    tree = ast.parse(inspect.getsource(particles))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {"quietspec.lab.simulate.galaxy_cube", "quietspec.lab.simulate.simulated"}
    assert {name for name in modules if name.startswith("quietspec.lab")} == allowed


def test_it_is_a_cube_with_its_truth(cube, tiny_library):
    observed, parameters = cube.simulated.observed, cube.simulated.parameters
    assert observed.spatial_shape == cube.shape == (12, 13)
    assert np.isfinite(cube.simulated.truth).all()
    assert parameters["snr"].max() == pytest.approx(30)
    assert 1 < np.median(parameters["snr"]) < 15
    for kind in ("mw", "lw"):
        assert np.all((parameters[f"log_age_{kind}"] > 7.8) & (parameters[f"log_age_{kind}"] < 10.2))
        assert np.all((parameters[f"mh_{kind}"] > -1.5) & (parameters[f"mh_{kind}"] < 0.2))
    assert np.all(parameters["log_age_lw"] < parameters["log_age_mw"])
    assert cube.regions.keys() == {"clump", "companion", "border"}


def test_it_rotates_and_its_spectra_show_it(cube):
    velocity = cube.simulated.parameters["velocity"]
    assert np.ptp(velocity) > 100
    clear = np.flatnonzero(cube.simulated.parameters["snr"] > 4)
    rows = clear[[np.argmax(velocity[clear]), np.argmin(velocity[clear])]]
    truth, wavelength = cube.simulated.truth.astype(float), cube.simulated.observed.wavelength
    fine = np.exp(np.arange(np.log(4020), np.log(5580), 1e-4))
    red, blue = (np.gradient(np.log(np.interp(fine, wavelength, truth[row]))) for row in rows)
    lags = np.arange(-15, 16)
    best = lags[np.argmax([np.corrcoef(red[20:-20], np.roll(blue, lag)[20:-20])[0, 1] for lag in lags])]
    assert best * 1e-4 * 299792.458 == pytest.approx(np.ptp(velocity[clear]), abs=50)


def test_noise_is_resampled_and_quoted_errors_are_right_for_single_spaxels(tiny_library):
    cube = simulate_particles(tiny_library, SETUP, np.random.default_rng(2), emission=False).simulated
    pull = ((cube.observed.flux - cube.truth) * np.sqrt(cube.observed.ivar)).reshape(12, 13, -1)
    assert pull.std() == pytest.approx(1, abs=0.02)
    assert 0.1 < np.mean(pull[1:] * pull[:-1]) < 0.5
    assert np.mean(pull[3:] * pull[:-3]) == pytest.approx(0, abs=0.03)
    assert not cube.contaminated.any()


def test_the_quoted_resolution_is_that_of_the_spectra(tiny_library, monkeypatch):
    """A line of stars at rest, as wide as the library resolves, through smoothing and pixels that are not narrow."""
    draw, middle = Particles.draw, 4800.0
    line = np.exp(-0.5 * ((tiny_library.wavelength - middle) * FWHM_PER_SIGMA / tiny_library.fwhm) ** 2)
    library = replace(tiny_library, spectra=np.broadcast_to(1 - 0.5 * line, tiny_library.spectra.shape).copy())
    monkeypatch.setattr(Particles, "draw", lambda *given: replace(draw(*given), motion=np.zeros((SETUP.n, 3))))
    setup = replace(SETUP, wavelengths=(4000.0, 5600.0, 2.2))
    cube = simulate_particles(library, setup, np.random.default_rng(3), emission=False).simulated
    rest = cube.observed.wavelength / (1 + setup.redshift)
    near = np.abs(rest - middle) < 15
    spectrum = cube.truth[np.argmax(cube.parameters["snr"])].astype(float)

    def profile(x, level, slope, curvature, depth, centre, fwhm):
        return level + slope * x + curvature * x**2 - depth * np.exp(-0.5 * ((x - centre) * FWHM_PER_SIGMA / fwhm) ** 2)

    width = curve_fit(profile, rest[near] - middle, spectrum[near], [spectrum.max(), 0, 0, 0.5, 0, 4])[0][-1]
    quoted = cube.observed.fwhm[near].mean() / (1 + setup.redshift)
    assert width == pytest.approx(quoted, rel=0.02)


def test_gas_shines_where_the_youngest_stars_are(tiny_library):
    lit, dark = (
        simulate_particles(tiny_library, SETUP, np.random.default_rng(1), emission=on).simulated for on in (True, False)
    )
    np.testing.assert_array_equal(lit.truth, dark.truth)
    gas = lit.observed.flux - dark.observed.flux
    line = np.abs(lit.observed.wavelength / 1.025 - EMISSION_LINES["Hbeta"]) < 5
    bright = gas[:, line].max(axis=1) > 0.1
    assert gas.min() > -1e-4
    assert lit.contaminated[bright][:, line].any(axis=1).all()
    assert 0 < bright.mean() < 0.4


def test_the_seed_determines_all_draws(tiny_library, cube):
    again, other = (simulate_particles(tiny_library, SETUP, np.random.default_rng(seed)).simulated for seed in (1, 3))
    np.testing.assert_array_equal(again.observed.flux, cube.simulated.observed.flux)
    assert not np.array_equal(other.truth, cube.simulated.truth)
