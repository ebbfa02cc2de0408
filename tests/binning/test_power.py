"""Bins of equal S/N: bright spaxels stay alone, correlated noise needs larger bins, and bins have the S/N promised."""

import numpy as np
import pytest

from quietspec.binning import NoiseCorrelation, bin_spectra, bin_to_snr
from quietspec.errors import SpectraError

from .cubes import cube, masked


def fading(side=16):
    y, x = np.indices((side, side)) - (side - 1) / 2
    return cube(20 * np.exp(-np.hypot(y, x) / 5))


def test_bright_spaxels_are_left_alone_and_faint_ones_all_joined():
    np.testing.assert_array_equal(bin_to_snr(cube(np.full((3, 3), 30.0)), 20), np.arange(9))
    np.testing.assert_array_equal(bin_to_snr(cube(np.full((3, 3), 0.1)), 20), 0)
    np.testing.assert_array_equal(bin_to_snr(cube(np.full((1, 3), 10.0)), 15), 0)  # too few to tile


@pytest.mark.parametrize(
    "correlation", [NoiseCorrelation(), NoiseCorrelation.of_kernel(1.5), NoiseCorrelation(common=0.01)]
)
def test_bins_reach_the_target_whatever_the_correlation(correlation):
    pytest.importorskip("powerbin")
    spectra = fading()
    number = bin_to_snr(spectra, 20, correlation)
    assert number.min() == 0
    binned = bin_spectra(spectra, number, correlation)
    assert 5 < len(binned.spectra) < 256
    assert abs(np.median(binned.spectra.snr / 20 - 1)) < 0.1


def test_correlated_noise_needs_larger_bins():
    pytest.importorskip("powerbin")
    alone = bin_to_snr(fading(), 20).max()
    assert bin_to_snr(fading(), 20, NoiseCorrelation(excess=0.5)).max() < alone
    assert bin_to_snr(fading(), 20, NoiseCorrelation.of_kernel(2.0)).max() < alone


def test_bins_are_numbered_by_their_first_spaxels():
    pytest.importorskip("powerbin")
    number = bin_to_snr(fading(), 20)
    _, first = np.unique(number, return_index=True)
    assert (np.diff(first) > 0).all()


def test_spaxels_without_light_are_in_no_bin():
    spectra = masked(cube([[5, -5], [5, 5], [5, 5]]), 3, slice(None))
    number = bin_to_snr(spectra, 50)
    np.testing.assert_array_equal(number, [0, -1, 0, -1, 0, 0])
    with pytest.raises(SpectraError, match="positive median flux"):
        bin_to_snr(cube([[-1.0, -2.0]]), 5)


def test_spectra_without_an_image_have_no_neighbours():
    with pytest.raises(SpectraError, match="form no image"):
        bin_to_snr(cube([[1.0]])[[0]], 5)
