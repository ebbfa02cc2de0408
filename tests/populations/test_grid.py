"""Rebinning to logarithmic grids: what is kept, what errors follow, what masked pixels may do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from quietspec.populations.grid import LogGrid, Rebinning, _smoothing
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

WAVELENGTH = np.arange(4800.0, 5600.0, 1.05)
GRID = LogGrid.within(4820, 5580, 65.0)


def all_good(n=1, wavelength=WAVELENGTH):
    return np.ones((n, len(wavelength)), dtype=bool)


@settings(max_examples=40, deadline=None)
@given(low=st.floats(1000, 9000), span=st.floats(0, 5000), scale=st.floats(1, 300))
def test_grids_lie_within_and_share_their_borders(low, span, scale):
    grid = LogGrid.within(low, low + span, scale)
    assert len(grid.wavelength) == len(grid) == max(len(grid.borders) - 1, 0)
    if len(grid):
        assert grid.borders[0] >= low * (1 - 1e-12)
        assert grid.borders[-1] <= (low + span) * (1 + 1e-12)
        assert grid.borders[0] < low * np.exp(1.001 * scale / SPEED_OF_LIGHT)
        other = LogGrid(grid.first - 7, grid.last + 3, scale)
        np.testing.assert_allclose(other.wavelength[7 : 7 + len(grid)], grid.wavelength, rtol=1e-12)
        shifted = grid.wavelength * np.exp(7 * scale / SPEED_OF_LIGHT)
        np.testing.assert_allclose(LogGrid(grid.first + 7, grid.last + 7, scale).wavelength, shifted, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    step=st.floats(0.3, 3), scale=st.floats(20, 300), level=st.floats(1e-20, 1e20), added=st.sampled_from([0.0, 0.7, 5])
)
def test_flux_density_is_kept(step, scale, level, added):
    wavelength = np.arange(4800.0, 5600.0, step)
    grid = LogGrid.within(4840, 5560, scale)
    rebin = Rebinning(wavelength, grid, np.full(len(wavelength), added))
    flux, cover, good = rebin(np.full((1, len(wavelength)), level), all_good(1, wavelength))
    np.testing.assert_allclose(flux, level, rtol=1e-9)
    np.testing.assert_allclose(cover, 1, rtol=1e-9)
    assert good.all()


def test_total_flux_is_kept():
    bump = np.exp(-0.5 * ((WAVELENGTH - 5200) / 30) ** 2)[None]
    for added in (None, np.full(len(WAVELENGTH), 6.0)):
        flux, _, _ = Rebinning(WAVELENGTH, GRID, added)(bump, all_good())
        assert (flux[0] * np.diff(GRID.borders)).sum() == pytest.approx(bump.sum() * 1.05, rel=1e-4)


def test_the_same_as_ppxf_on_the_same_borders():
    log_rebin = pytest.importorskip("ppxf.ppxf_util").log_rebin
    scale = 65.0
    first = int(np.ceil(np.log(4800) / (scale / SPEED_OF_LIGHT)))
    edge = np.exp(first * scale / SPEED_OF_LIGHT)  # a border of the shared grids, where pPXF starts its own
    wavelength = edge + 0.525 + 1.05 * np.arange(700)
    flux = np.random.default_rng(0).exponential(size=700)
    expected, log_wavelength, _ = log_rebin(wavelength, flux, velscale=scale)
    grid = LogGrid(first, first + len(expected), scale)
    found, _, _ = Rebinning(wavelength, grid)(flux[None], all_good(1, wavelength))
    np.testing.assert_allclose(grid.wavelength, np.exp(log_wavelength), rtol=1e-9)
    np.testing.assert_allclose(found[0], expected, rtol=1e-7)


def test_errors_are_those_of_the_dense_sum_and_of_monte_carlo():
    rng = np.random.default_rng(1)
    good = rng.random((1, len(WAVELENGTH))) < 0.93
    variance = np.where(good, rng.uniform(0.5, 2, good.shape), 0.0)
    factor = np.where(good.T, 0.5 * rng.normal(size=(len(WAVELENGTH), 3)), 0.0)
    rebin = Rebinning(WAVELENGTH, GRID, np.full(len(WAVELENGTH), 3.0))
    noise = rng.normal(size=(4000, len(WAVELENGTH))) * variance**0.5
    _, cover, fine = rebin(noise[:1], good)
    dense = rebin.matrix.toarray() / np.maximum(cover.T, 0.7)
    np.testing.assert_allclose(rebin.variance(variance, cover)[0], np.diag(dense * variance @ dense.T), rtol=1e-12)
    total = rebin.covariance(factor, variance[0], cover[0])
    expected = dense @ (factor @ factor.T + np.diag(variance[0])) @ dense.T
    np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-12)
    flux, _, _ = rebin(noise + rng.normal(size=(4000, 3)) @ factor.T, np.broadcast_to(good, noise.shape))
    used = np.flatnonzero(fine[0])
    size = np.diag(expected)[used] ** 0.5
    seen = np.cov(flux[:, used].T)
    np.testing.assert_allclose(
        seen / np.outer(size, size), expected[np.ix_(used, used)] / np.outer(size, size), atol=0.1
    )


def test_masked_pixels_never_matter():
    rng = np.random.default_rng(2)
    flux, good = rng.normal(size=(3, len(WAVELENGTH))), rng.random((3, len(WAVELENGTH))) < 0.8
    rebin = Rebinning(WAVELENGTH, GRID, np.full(len(WAVELENGTH), 3.0))
    one = rebin(flux, good)
    other = rebin(np.where(good, flux, rng.choice([np.nan, np.inf, -1e30], flux.shape)), good)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    constant, _, fine = rebin(np.where(good, 3.0, np.nan), good)
    np.testing.assert_allclose(constant[fine], 3.0)
    assert (constant[~fine] == 0).all()


@pytest.mark.parametrize("added", [0.0, 4.0])
def test_gaps_stay_bad_and_ends_too(added):
    wavelength = WAVELENGTH[(WAVELENGTH < 5100) | (WAVELENGTH > 5200)]
    grid = LogGrid.within(4750, 5650, 65.0)
    flux, cover, good = Rebinning(wavelength, grid, np.full(len(wavelength), added))(
        np.ones((1, len(wavelength))), all_good(1, wavelength)
    )
    inside = ((grid.wavelength > 4800) & (grid.wavelength < 5100)) | (
        (grid.wavelength > 5200) & (grid.wavelength < 5600)
    )
    disagree = np.flatnonzero(good[0] != inside)
    assert len(disagree) <= 4 + 2 * added
    borders = np.array([4800, 5100, 5200, 5600])
    assert all(np.abs(grid.wavelength[pixel] - borders).min() < 1.5 + added for pixel in disagree)
    np.testing.assert_allclose(flux[good], 1.0)
    assert cover.max() <= 1 + 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), top=st.floats(0, 6))
def test_smoothing_keeps_level_and_has_the_variance_asked(seed, top):
    sigma = top * np.random.default_rng(seed).random(len(GRID))
    matrix, wider = _smoothing(sigma, GRID)
    dense = matrix.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), 1, rtol=1e-12)
    offset = np.arange(len(wider)) - (GRID.first - wider.first) - np.arange(len(GRID))[:, None]
    np.testing.assert_allclose((dense * offset).sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose((dense * offset**2).sum(axis=1), sigma**2, rtol=0.02, atol=1e-9)


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_smoothing_is_that_of_scipy_where_sigma_is_constant(sigma):
    flux = np.random.default_rng(3).normal(size=len(GRID) + 40)
    matrix, wider = _smoothing(np.full(len(GRID), sigma), GRID)
    margin = GRID.first - wider.first
    expected = gaussian_filter1d(flux, sigma, truncate=4)[20 : 20 + len(GRID)]
    found = matrix @ flux[20 - margin : 20 + len(GRID) + margin]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_line_is_as_wide_as_asked_to_the_ends_of_the_grid():
    """A Gaussian line close to the grid's end: data beyond it are used, so that nothing is lost or bent."""
    own, added = 4.0, 5.0
    for centre in (GRID.borders[0] + 2, 5200.0, GRID.borders[-1] - 2):
        line = np.exp(-0.5 * ((WAVELENGTH - centre) / own) ** 2)[None]
        flux, _, _ = Rebinning(WAVELENGTH, GRID, np.full(len(WAVELENGTH), added * FWHM_PER_SIGMA))(line, all_good())
        width = np.hypot(own, added)
        expected = own / width * np.exp(-0.5 * ((GRID.wavelength - centre) / width) ** 2)
        np.testing.assert_allclose(flux[0], expected, atol=0.012)
