"""Broad Balmer lines read off the light of a nucleus."""

import numpy as np
import pytest

from quietspec.denoisers.posterior.broad_lines import _flux, _half_maximum, _Light, _shape
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

REST = np.arange(4500.0, 6900.0, 1.5)
HALPHA = EMISSION_LINES["Halpha"]


def light(flux=80.0, fwhm=3000.0, velocity=300.0, noise=1e-3):
    """A power law with one broad line; errors of the pixels independent."""
    centre, sigma = HALPHA * (1 + velocity / SPEED_OF_LIGHT), HALPHA * fwhm / FWHM_PER_SIGMA / SPEED_OF_LIGHT
    profile = np.exp(-0.5 * ((REST - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return _Light(REST, (REST / 5500) ** -1.5 + flux * profile, noise * np.eye(len(REST)))


@pytest.mark.parametrize("fwhm", [1500.0, 3000.0, 6000.0])
def test_flux_width_and_velocity_of_a_line_on_a_continuum(fwhm):
    one = light(fwhm=fwhm)
    velocity, width, reach = _shape(one, HALPHA)
    assert width[0] == pytest.approx(fwhm, rel=0.05)
    assert velocity[0] == pytest.approx(300.0, abs=0.03 * fwhm)
    flux, error = _flux(one, HALPHA, reach)
    assert flux == pytest.approx(80.0, rel=0.03)
    assert 0 < error < 0.2


def test_errors_are_those_of_repeated_draws():
    one = light(noise=2e-3)
    reach = _shape(one, HALPHA)[2]
    noise = 2e-3 * np.random.default_rng(2).normal(size=(300, len(REST)))
    drawn = [_flux(one._replace(flux=one.flux + row), HALPHA, reach)[0] for row in noise]
    assert np.std(drawn) == pytest.approx(_flux(one, HALPHA, reach)[1], rel=0.15)


def test_a_smooth_continuum_has_no_flux():
    flux, _ = _flux(light(flux=0.0), HALPHA, 5000.0)
    assert abs(flux) < 0.3


def test_lines_at_the_edge_are_not_measured():
    assert np.isnan(_flux(light(), 6890.0, 5000.0)).all()
    assert _shape(light(), 6899.0) is None
    assert np.isnan(_half_maximum(REST, HALPHA, -np.ones(len(REST)))).all()
