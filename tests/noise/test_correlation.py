"""`NoiseCorrelation`: closed forms, drawn noise that obeys them, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.errors import SpectraError
from quietspec.noise import INDEPENDENT, MANGA_NOISE, NoiseCorrelation


@given(st.integers(1, 30), st.integers(1, 30))
def test_independent_noise_adds_in_quadrature(ny, nx):
    np.testing.assert_allclose(INDEPENDENT.error_of_sum(ny, nx), 1)


def test_noise_that_is_all_common_adds_up():
    np.testing.assert_allclose(NoiseCorrelation(common=1.0).error_of_sum(3, 4), np.sqrt(12))


@given(st.floats(0, 4))
def test_a_wide_sum_of_smoothed_noise_has_the_power_at_zero(fwhm):
    correlation = NoiseCorrelation.of_kernel(fwhm)
    # The power at frequency 0 is the sum over all lags, of which the cut-off leaves out little.
    np.testing.assert_allclose(correlation.error_of_sum(1000, 1000) ** 2, correlation.lags.sum(), rtol=0.03)
    assert correlation.lags.sum() >= 1


def test_a_kernel_of_no_width_mixes_nothing():
    assert NoiseCorrelation.of_kernel(0).reach == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_combination_of_spaxels_has_a_negative_variance(seed):
    rng = np.random.default_rng(seed)
    lags = rng.uniform(-1, 1, (5, 5))
    lags = (lags + lags[::-1, ::-1]) / 2
    lags[2, 2] = 1
    correlation = NoiseCorrelation(lags)
    padded = np.zeros((40, 40))
    padded[:5, :5] = correlation.lags
    power = np.fft.fft2(np.roll(padded, (-2, -2), axis=(0, 1))).real
    assert power.min() > -1e-2  # the true minimum may lie between the frequencies at which it is sought
    assert correlation.lags[2, 2] == 1


def test_drawn_noise_has_the_correlations_and_its_sums_the_error():
    correlation = NoiseCorrelation(NoiseCorrelation.of_kernel(1.6).lags, common=0.1)
    noise = correlation.draw((12, 9, 20000), np.random.default_rng(0))
    near = correlation.lags[correlation.reach, correlation.reach + 1]
    np.testing.assert_allclose(noise.var(axis=-1), 1, atol=0.06)
    np.testing.assert_allclose((noise[:, 1:] * noise[:, :-1]).mean(), 0.1 + 0.9 * near, atol=0.01)
    np.testing.assert_allclose((noise[:, 8] * noise[:, 0]).mean(), 0.1, atol=0.02)
    total = noise[2:7, 1:8].sum(axis=(0, 1))
    np.testing.assert_allclose(total.std() / np.sqrt(35), correlation.error_of_sum(5, 7), rtol=0.02)


def test_reprs_say_what_is_correlated():
    assert "independent neighbours" in repr(INDEPENDENT)
    assert "1.62 log10 N" in repr(MANGA_NOISE)


@pytest.mark.parametrize(
    "lags", [np.ones((2, 2)), np.ones((1, 3)), [[0, 0, 0], [0.1, 1, 0.2], [0, 0, 0]], [[0.5]], 2 * np.ones((3, 3))]
)
def test_lags_that_are_no_correlation_are_refused(lags):
    with pytest.raises(SpectraError, match="lags"):
        NoiseCorrelation(lags)


@pytest.mark.parametrize("fields", [{"common": 1.2}, {"common": [-0.1, 0]}, {"excess": -1.0}, {"common": np.nan}])
def test_numbers_out_of_range_are_refused(fields):
    with pytest.raises(SpectraError, match="common must be between 0 and 1"):
        NoiseCorrelation(**fields)


@pytest.mark.parametrize("fwhm", [-1, 21, np.nan])
def test_kernels_of_impossible_width_are_refused(fwhm):
    with pytest.raises(SpectraError, match="0 to 20 spaxels"):
        NoiseCorrelation.of_kernel(fwhm)
