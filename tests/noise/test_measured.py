"""The correlation that is measured of noise is the one it was drawn with."""

import numpy as np
import pytest

from quietspec.errors import SpectraError
from quietspec.noise import INDEPENDENT, NoiseCorrelation, best_patch, measure_correlation

from ..binning.cubes import noise_alone

SHAPE = (18, 18, 700)


@pytest.mark.parametrize(
    "truth", [NoiseCorrelation.of_kernel(1.5), NoiseCorrelation([[0, 0.05, 0], [0.3, 1, 0.3], [0, 0.05, 0]])]
)
def test_the_correlation_of_neighbours_is_found(truth):
    found = measure_correlation(noise_alone(truth.draw(SHAPE, np.random.default_rng(0)), sigma=3.0))
    centre, reach = len(found.lags) // 2, truth.reach
    near = found.lags[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1]
    np.testing.assert_allclose(near, truth.lags, atol=0.03)
    np.testing.assert_allclose(found.correlation.error_of_sum(12, 12), truth.error_of_sum(12, 12), rtol=0.05)
    assert found.correlation.typical_common == 0


def test_independent_noise_is_found_to_be_so():
    found = measure_correlation(noise_alone(INDEPENDENT.draw(SHAPE, np.random.default_rng(1))))
    assert found.correlation.reach == 0
    assert found.correlation.typical_common == 0


def test_the_common_part_is_found_where_it_is():
    common = np.where(np.arange(SHAPE[2]) < 350, 0.1, 0.2)
    truth = NoiseCorrelation(common=common)
    found = measure_correlation(noise_alone(truth.draw(SHAPE, np.random.default_rng(2))))
    np.testing.assert_allclose(np.mean(found.correlation.common[:300]), 0.1, atol=0.04)
    np.testing.assert_allclose(np.mean(found.correlation.common[400:]), 0.2, atol=0.08)
    assert found.correlation.reach == 0


def test_the_size_of_quoted_errors_outliers_and_broad_features_do_not_matter():
    rng = np.random.default_rng(3)
    noise = NoiseCorrelation.of_kernel(1.5).draw(SHAPE, rng)
    alone = measure_correlation(noise_alone(noise))
    broad = 5 * np.sin(np.arange(SHAPE[2]) / 80)
    spikes = 1e4 * (rng.random(SHAPE) < 1e-4)
    spoilt = measure_correlation(noise_alone(7 * noise + broad + spikes))
    np.testing.assert_allclose(spoilt.lags, alone.lags, atol=0.02)


def test_spectra_that_are_no_image_or_too_few_are_refused():
    noise = noise_alone(INDEPENDENT.draw((3, 3, 60), np.random.default_rng(4)))
    with pytest.raises(SpectraError, match="too few spaxels"):
        measure_correlation(noise)
    with pytest.raises(SpectraError, match="form no image"):
        measure_correlation(noise[[0, 1, 2]])


def test_the_best_patch_has_data_and_is_neither_bright_nor_dark():
    snr = np.full((60, 60), np.nan)
    snr[20:, 20:] = 5.0
    snr[40:, 20:] = 80.0
    rows, columns = best_patch(snr)
    assert np.isfinite(snr[rows, columns]).all()
    assert np.median(snr[rows, columns]) == 5
    assert best_patch(np.full((4, 7), np.nan)) == (slice(0, 4), slice(0, 7))


def test_of_few_channels_no_common_part_is_measured() -> None:
    noise = NoiseCorrelation.of_kernel(1.5).draw((18, 18, 200), np.random.default_rng(2))
    measured = measure_correlation(noise_alone(noise))
    assert measured.correlation.typical_common == 0
    assert measured.correlation.lags[measured.correlation.reach, measured.correlation.reach + 1] > 0.3
