"""Emission lines and spikes are found and masked, and come back in the residual."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoised import Flag
from quietspec.denoisers import Posterior
from quietspec.denoisers.posterior.contamination import line_mask, measure_gas, spike_mask
from quietspec.denoisers.posterior.masking import gas_mask
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, STRONG_LINES

from ..conftest import draw, small_prior

REST = np.arange(3700.0, 7400.0, 1.0)
FWHM = np.full(REST.shape, 2.5)


def gas_lines(rest, velocity, sigma, amplitude, names=STRONG_LINES, fwhm=2.5):
    total = np.zeros(rest.shape)
    for name in names:
        centre = EMISSION_LINES[name] * (1 + velocity / SPEED_OF_LIGHT)
        width = np.hypot(sigma * centre / SPEED_OF_LIGHT, fwhm / 2.3548)
        total += amplitude * np.exp(-0.5 * ((rest - centre) / width) ** 2)
    return total


@pytest.mark.parametrize(("velocity", "sigma"), [(0, 50), (200, 150), (-300, 250)])
def test_gas_is_measured(velocity, sigma):
    noise = np.random.default_rng(0).normal(size=(20, len(REST)))
    lines = gas_lines(REST, velocity, sigma, 8.0)
    found = measure_gas(noise + lines, np.ones_like(noise), np.full_like(noise, 10.0), REST, FWHM)
    assert found.detected.all()
    assert np.median(found.velocity) == pytest.approx(velocity, abs=50)
    assert np.median(found.sigma) == pytest.approx(sigma, rel=0.7)


def test_noise_and_absorption_are_not_gas():
    noise = np.random.default_rng(1).normal(size=(200, len(REST)))
    absorption = noise - gas_lines(REST, 0, 150, 5.0)
    weight, continuum = np.ones_like(noise), np.full_like(noise, 10.0)
    assert measure_gas(noise, weight, continuum, REST, FWHM).detected.mean() < 0.01
    assert measure_gas(absorption, weight, continuum, REST, FWHM).detected.mean() < 0.01


@pytest.mark.parametrize(("name", "low"), [("[OI]6300", 6040.0), ("[ArIII]7136", 6950.0), ("Hgamma", 4080.0)])
def test_gas_is_found_in_a_piece_without_its_brightest_lines(name, low):
    rest = np.arange(low, low + 300, 1.0)
    fwhm, rng = np.full(rest.shape, 2.5), np.random.default_rng(4)
    noise = rng.normal(size=(20, len(rest)))
    lines = gas_lines(rest, 100, 100, 8.0, [name])
    weight, flux = np.ones_like(noise), noise + lines + 100
    seen = gas_mask(noise + lines, flux, weight, (rest, fwhm), "auto")
    assert seen[:, lines > 1].all()
    assert not gas_mask(noise, noise + 100, weight, (rest, fwhm), "auto")[:, lines > 1].any()
    assert not gas_mask(noise + lines, flux, weight, (rest, fwhm), "strong")[:, lines > 1].any()


def test_masked_pixels_hold_no_gas():
    lines = gas_lines(REST, 0, 100, 50.0)[None]
    found = measure_gas(lines, np.where(lines > 1e-3, 0.0, 1.0), np.full_like(lines, 10.0), REST, FWHM)
    assert not found.detected.any()


def test_line_mask_follows_velocity_and_width():
    narrow, wide = line_mask(REST, FWHM, 0, 50), line_mask(REST, FWHM, 0, 300)
    assert narrow[np.abs(REST - 5006.84).argmin()]
    assert not narrow[np.abs(REST - 5020).argmin()]
    assert (wide | narrow == wide).all()
    moved = line_mask(REST, FWHM, 300, 50)
    assert moved[np.abs(REST - 5006.84 * 1.001).argmin()]
    assert not line_mask(REST, FWHM, 0, 50, ["Halpha"])[REST < 6500].any()


def test_spikes_are_short_and_stand_out():
    residual = np.random.default_rng(2).normal(size=(3, 500))
    residual[0, 100:103] = 30
    residual[1, 200] = -12
    residual[2, 300:330] = 20
    weight = np.ones_like(residual)
    weight[1, 201], residual[1, 201] = 0, 1e9
    found = spike_mask(residual, weight)
    assert found[0, 100:103].all()
    assert found[1, 200]
    assert found.sum() <= 6  # neither the long feature nor the masked pixel


def test_lines_do_not_become_continuum_and_come_back_in_the_residual():
    prior = small_prior()
    clean, truth, *_ = draw(prior, 40, 30, np.random.default_rng(3))
    lines = gas_lines(prior.wavelength, 100, 120, 3.0, fwhm=5.0)
    tool = Posterior("posterior", prior, emission="auto")
    found = tool.denoise(replace(clean, flux=clean.flux + lines))
    assert np.abs(found.flux - truth).max() < 0.1
    flux = np.sum(np.where(found.ignored, found.residual, 0.0), axis=1)
    assert np.mean(flux) == pytest.approx(lines.sum(), rel=0.05)
    assert not (found.flags & int(Flag.POOR_FIT)).any()
    believed = Posterior("posterior", prior, emission="none").denoise(replace(clean, flux=clean.flux + lines))
    assert np.abs(believed.flux - truth).max() > np.abs(found.flux - truth).max()


def test_spikes_do_not_become_continuum():
    prior = small_prior()
    clean, truth, *_ = draw(prior, 10, 10, np.random.default_rng(4))
    flux = clean.flux.copy()
    flux[:, 300:302] += 40
    found = Posterior("posterior", prior).denoise(replace(clean, flux=flux))
    quiet = Posterior("posterior", prior).denoise(clean)
    assert found.ignored[:, 300:302].all()
    np.testing.assert_allclose(found.flux, quiet.flux, atol=0.02)
    assert np.sqrt(np.mean((found.flux - truth) ** 2)) < 0.05
