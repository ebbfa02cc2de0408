"""Sums of spectra: fluxes add up, variances as the noise is correlated, and masked pixels are made up for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.binning import MANGA_NOISE, NoiseCorrelation, bin_spectra, sum_spectra
from quietspec.binning.weights import label_weights
from quietspec.errors import SpectraError

from .cubes import N_PIXELS, cube, masked

LAGS = np.array([[0.02, 0.1, 0.05], [0.3, 1.0, 0.3], [0.05, 0.1, 0.02]])


def matrix_of(correlation, shape):
    """Correlation between all spaxels of an image, by its definition."""
    y, x = np.indices(shape).reshape(2, -1)
    dy, dx = (each[None] - each[:, None] + correlation.reach for each in (y, x))
    size = len(correlation.lags)
    near = (dy >= 0) & (dx >= 0) & (dy < size) & (dx < size)
    lags = np.where(near, correlation.lags[np.clip(dy, 0, size - 1), np.clip(dx, 0, size - 1)], 0.0)
    return correlation.common + (1 - correlation.common) * lags


def test_fluxes_and_variances_add_up():
    spectra = cube([[1, 3], [10, 5]], sigma=2)
    binned = bin_spectra(spectra, np.array([0, 0, 1, -1]))
    np.testing.assert_allclose(binned.spectra.flux, [[4] * N_PIXELS, [10] * N_PIXELS])
    np.testing.assert_allclose(binned.spectra.ivar, [[1 / 8] * N_PIXELS, [1 / 4] * N_PIXELS])
    np.testing.assert_array_equal(binned.n_spaxels, [2, 1])
    np.testing.assert_allclose(binned.spectra.redshift, 0.01)
    assert binned.spectra.spatial_shape is None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_bins_together_hold_what_all_spaxels_hold(seed, n_bins):
    rng = np.random.default_rng(seed)
    spectra = cube(rng.uniform(-1, 5, (4, 5)), sigma=rng.uniform(0.5, 2, 20))
    number = np.concatenate([np.arange(n_bins), rng.integers(0, n_bins, 20 - n_bins)])
    binned, whole = bin_spectra(spectra, number).spectra, sum_spectra(spectra, np.ones(20))
    np.testing.assert_allclose(binned.flux.sum(axis=0), whole.flux[0], rtol=1e-6)
    np.testing.assert_allclose((1 / binned.ivar).sum(axis=0), 1 / whole.ivar[0], rtol=1e-6)
    np.testing.assert_allclose(whole.flux[0], spectra.flux.sum(axis=0), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5), st.integers(1, 9), st.integers(1, 6))
def test_the_variance_is_that_of_the_whole_correlation_matrix(seed, common, at_once, ny):
    rng = np.random.default_rng(seed)
    correlation = NoiseCorrelation(LAGS, common=common)
    sigma, weights = rng.uniform(0.5, 2, ny * 5), rng.uniform(0, 1, (3, ny * 5)) * rng.integers(0, 2, (3, ny * 5))
    weights[:, 0] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quietspec.binning.sums._AT_ONCE", at_once)
        found = sum_spectra(cube(np.ones((ny, 5)), sigma), weights, correlation)
    noise = weights * sigma
    wanted = np.einsum("si,ij,sj->s", noise, matrix_of(correlation, (ny, 5)), noise)
    np.testing.assert_allclose(1 / found.ivar, np.repeat(wanted[:, None], N_PIXELS, axis=1), rtol=1e-5)


def test_each_pixel_may_have_a_common_part_of_its_own():
    common = np.linspace(0, 1, N_PIXELS)
    found = sum_spectra(cube(np.ones((2, 2))), np.ones(4), NoiseCorrelation(common=common))
    np.testing.assert_allclose(1 / found.ivar[0], 4 + 12 * common, rtol=1e-6)
    with pytest.raises(SpectraError, match="common"):
        sum_spectra(cube(np.ones((2, 2))), np.ones(4), NoiseCorrelation(common=np.zeros(3)))


def test_the_law_of_manga_makes_the_noise_of_bins_larger():
    binned = bin_spectra(cube(np.ones((2, 5))), np.zeros(10, dtype=int), MANGA_NOISE)
    np.testing.assert_allclose(binned.spectra.sigma, np.sqrt(10) * (1 + 1.62))
    alone = bin_spectra(cube([[1.0]]), np.zeros(1, dtype=int), MANGA_NOISE)
    np.testing.assert_allclose(alone.spectra.sigma, 1)


def test_fractions_of_spaxels_count_as_such():
    found = sum_spectra(cube([[2, 4]], sigma=[1, 3], ebv=[0.0, 0.3]), [[1.0, 0.5]])
    np.testing.assert_allclose(found.flux, 4)
    np.testing.assert_allclose(1 / found.ivar, 1 + 9 / 4, rtol=1e-6)
    np.testing.assert_allclose(found.ebv, 0.1)


def test_a_masked_pixel_is_made_up_for_by_the_light_of_the_others():
    spectra = masked(cube([[1, 3]]), 0, [2])
    binned = bin_spectra(spectra, np.zeros(2, dtype=int)).spectra
    np.testing.assert_allclose(binned.flux[0], 4)
    np.testing.assert_allclose(binned.sigma[0, [1, 2]], [np.sqrt(2), 1 / 0.75])


def test_where_most_of_the_light_is_masked_so_is_the_bin():
    binned = bin_spectra(masked(cube([[1, 3]]), 1, [2]), np.zeros(2, dtype=int)).spectra
    np.testing.assert_array_equal(binned.good[0], np.arange(N_PIXELS) != 2)


def test_every_spaxel_in_its_own_bin_changes_nothing():
    rng = np.random.default_rng(0)
    spectra = cube(rng.uniform(1, 5, (3, 4)), fwhm=rng.uniform(2, 3, (12, N_PIXELS)))
    binned = bin_spectra(spectra, np.arange(12)).spectra
    for name in ("flux", "ivar", "redshift", "fwhm"):
        np.testing.assert_allclose(getattr(binned, name), getattr(spectra, name))


def test_dark_spaxels_count_alike():
    binned = bin_spectra(masked(cube([[0.0, 0.0]]), 1, [0]), np.zeros(2, dtype=int)).spectra
    assert binned.good.all()
    np.testing.assert_allclose(binned.flux, 0)


def test_members_without_a_redshift_have_no_say():
    spectra = cube([[1, 1, 1]], redshift=np.array([0.1, np.nan, np.nan]))
    binned = bin_spectra(spectra, np.array([0, 0, 1])).spectra
    np.testing.assert_allclose(binned.redshift, [0.1, np.nan])


@pytest.mark.parametrize("number", [[-1, -1], [0, 2]])
def test_gaps_in_the_numbers_are_refused(number):
    with pytest.raises(SpectraError, match="without gaps"):
        bin_spectra(cube([[1, 1]]), np.array(number))


def test_labels_must_be_whole_numbers_one_for_each_spectrum():
    with pytest.raises(SpectraError, match="3 numbers for 2 spectra"):
        label_weights([0, 0, 0], 2)
    with pytest.raises(SpectraError, match="whole numbers"):
        label_weights([0.5, 1.0], 2)
    with pytest.raises(SpectraError, match="whole numbers"):
        label_weights([np.nan, 0.0], 2)
    with pytest.raises(SpectraError, match="whole numbers"):
        label_weights(["a", "b"], 2)
    np.testing.assert_array_equal(label_weights(np.array([[0.0, -1.0]]), 2).toarray(), [[1, 0]])


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [np.nan, 1.0], [1.0, 1.0, 1.0]])
def test_weights_that_make_no_sum_are_refused(weights):
    with pytest.raises(SpectraError, match="weights"):
        sum_spectra(cube([[1, 1]]), weights)


def test_spectra_that_form_no_image_have_no_neighbours():
    with pytest.raises(SpectraError, match="form no image"):
        sum_spectra(cube(np.ones((2, 2)))[[0, 1]], np.ones(2), NoiseCorrelation(LAGS))
