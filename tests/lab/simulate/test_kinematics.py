"""LOSVD convolution compared with direct sums."""

import numpy as np
import pytest

from quietspec.lab.simulate.kinematics import FourierLibrary, Losvd, log_wavelengths, losvd_transform
from quietspec.wavelengths import SPEED_OF_LIGHT

STEP = 50.0


def losvd(velocity=0.0, sigma=0.0, h3=0.0, h4=0.0):
    return Losvd(*(np.atleast_1d(np.asarray(value, dtype=float)) for value in (velocity, sigma, h3, h4)))


def gauss_hermite(v, velocity, sigma, h3, h4):
    """Gauss–Hermite LOSVD of van der Marel & Franx 1993, eq. 9, with their polynomials for h3 and h4."""
    y = (v - velocity) / sigma
    shape = (
        1
        + h3 * (2 * np.sqrt(2) * y**3 - 3 * np.sqrt(2) * y) / np.sqrt(6)
        + h4 * (4 * y**4 - 12 * y**2 + 3) / (np.sqrt(24))
    )
    return np.exp(-0.5 * y**2) / (sigma * np.sqrt(2 * np.pi)) * shape


@pytest.fixture
def galaxy(tiny_library):
    grid = log_wavelengths(3600, 7350, STEP)
    return tiny_library.at(grid).normalised().spectra[[3, 16]]


@pytest.mark.parametrize("moments", [(0, 120, 0, 0), (230, 150, 0.12, -0.08), (-180, 320, -0.2, 0.15)])
def test_convolution_agrees_with_the_direct_sum(galaxy, moments):
    weights = np.array([[0.3, 0.7]])
    fast = FourierLibrary(galaxy, STEP).mix(weights, losvd(*moments))[0]
    fine = np.arange(-3000, 3001) * 1.0
    kernel = gauss_hermite(fine, *moments)
    pixels = np.arange(galaxy.shape[1])
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(pixels, weights[0] @ galaxy)
    middle = pixels[100:-100:37]
    direct = [np.sum(kernel * spline(np.clip(pixel - fine / STEP, 0, pixels[-1]))) for pixel in middle]
    np.testing.assert_allclose(fast[middle], direct, atol=2e-4)


def test_dispersions_add_in_quadrature_to_a_gaussian_line():
    pixels = np.arange(1000)
    own, sigma = 100.0, 170.0
    line = np.exp(-0.5 * ((pixels - 500) * STEP / own) ** 2)[None]
    result = FourierLibrary(line, STEP).mix(np.ones((1, 1)), losvd(sigma=sigma))[0]
    total = np.hypot(own, sigma)
    np.testing.assert_allclose(result, own / total * np.exp(-0.5 * ((pixels - 500) * STEP / total) ** 2), atol=2e-6)


def test_positive_velocity_is_a_redshift(galaxy):
    pixels = np.arange(1000)
    line = np.exp(-0.5 * ((pixels - 500) / 3) ** 2)[None]
    result = FourierLibrary(line, STEP).mix(np.ones((1, 1)), losvd(velocity=4 * STEP))[0]
    assert np.argmax(result) == 504


def test_no_losvd_and_a_null_losvd_leave_the_mixture(galaxy):
    library, weights = FourierLibrary(galaxy, STEP), np.array([[0.5, 0.5], [1.0, 0.0]])
    np.testing.assert_allclose(library.mix(weights), weights @ galaxy, atol=1e-5)
    null = losvd([0, 0], [0, 0], [0, 0], [0, 0])
    np.testing.assert_allclose(library.mix(weights, null), weights @ galaxy, atol=1e-5)


def test_transform_of_h3_and_h4_zero_is_gaussian():
    omega = np.linspace(0, np.pi / STEP, 50)
    with_zero = losvd_transform(omega, losvd(50, 100, 0, 0))
    np.testing.assert_allclose(with_zero[0], np.exp(-0.5 * (100 * omega) ** 2 - 1j * 50 * omega), atol=1e-6)
    nearly = losvd_transform(omega, losvd(50, 100, 1e-7, 1e-7))
    np.testing.assert_allclose(nearly, with_zero, atol=1e-6)


def test_each_spectrum_has_its_own_losvd(galaxy):
    weights = np.random.default_rng(1).dirichlet([1, 1], size=1100)
    moments = losvd(*np.random.default_rng(2).uniform([[-200], [30], [-0.1], [-0.1]], [[200], [300], [0.1], [0.1]],
                                                      (4, 1100)))  # fmt: skip
    library = FourierLibrary(galaxy, STEP)
    alone = library.mix(weights[777:778], moments[slice(777, 778)])
    np.testing.assert_allclose(library.mix(weights, moments)[777], alone[0], rtol=2e-6)


def test_grid_is_even_in_velocity():
    grid = log_wavelengths(3600, 7350, STEP)
    np.testing.assert_allclose(np.diff(np.log(grid)) * SPEED_OF_LIGHT, STEP, rtol=1e-8)
    assert grid[0] == 3600
    assert 7350 * np.exp(-STEP / SPEED_OF_LIGHT) < grid[-1] <= 7350
