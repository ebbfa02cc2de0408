"""Bins hold the sums of their spaxels, reach the S/N asked for, and give their populations back to the spaxels."""

import numpy as np
import pytest

from quietspec.binning import MANGA_NOISE, NoiseCorrelation, bin_spectra, bin_to_snr
from quietspec.errors import SpectraError
from quietspec.populations import PopulationFlag, Populations
from quietspec.populations.spaxels import on_spaxels
from quietspec.spectra import Spectra

N_PIXELS = 6


def cube(signal, sigma=1.0, **fields):
    """Flat spectra of given levels, (ny, nx)."""
    signal = np.asarray(signal, dtype=float)
    flux = signal.reshape(-1, 1) * np.ones(N_PIXELS)
    wavelength = 5000.0 + np.arange(N_PIXELS)
    ivar = np.full(flux.shape, sigma**-2.0)
    return Spectra(
        wavelength=wavelength,
        flux=flux,
        ivar=ivar,
        spatial_shape=signal.shape,
        redshift=0.01,
        **({"medium": "air"} | fields),
    )


def masked(spectra, row, pixels):
    flux, ivar = spectra.flux.copy(), spectra.ivar.copy()
    flux[row, pixels], ivar[row, pixels] = np.nan, 0
    return Spectra(
        wavelength=spectra.wavelength,
        flux=flux,
        ivar=ivar,
        spatial_shape=spectra.spatial_shape,
        redshift=0.01,
        medium="air",
    )


def test_fluxes_and_variances_add_up():
    spectra = cube([[1, 3], [10, 5]], sigma=2)
    binned = bin_spectra(spectra, np.array([0, 0, 1, -1]))
    np.testing.assert_allclose(binned.spectra.flux, [[4] * N_PIXELS, [10] * N_PIXELS])
    np.testing.assert_allclose(binned.spectra.ivar, [[1 / 8] * N_PIXELS, [1 / 4] * N_PIXELS])
    np.testing.assert_array_equal(binned.n_spaxels, [2, 1])
    np.testing.assert_allclose(binned.spectra.redshift, 0.01)
    assert binned.spectra.spatial_shape is None


def test_covariance_makes_the_noise_of_bins_larger():
    binned = bin_spectra(cube(np.ones((2, 5))), np.zeros(10, dtype=int), correlation=MANGA_NOISE)
    np.testing.assert_allclose(binned.spectra.sigma, np.sqrt(10) * (1 + 1.62))
    alone = bin_spectra(cube([[1.0]]), np.zeros(1, dtype=int), correlation=MANGA_NOISE)
    np.testing.assert_allclose(alone.spectra.sigma, 1)


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


@pytest.mark.parametrize("number", [[-1, -1], [0, 2]])
def test_gaps_in_the_numbers_are_refused(number):
    with pytest.raises(SpectraError, match="without gaps"):
        bin_spectra(cube([[1, 1]]), np.array(number))


def test_bright_spaxels_are_left_alone_and_faint_ones_all_joined():
    np.testing.assert_array_equal(bin_to_snr(cube(np.full((3, 3), 30.0)), 20), np.arange(9))
    np.testing.assert_array_equal(bin_to_snr(cube(np.full((3, 3), 0.1)), 20), 0)
    np.testing.assert_array_equal(bin_to_snr(cube(np.full((1, 3), 10.0)), 15), 0)  # too few to tile


def test_bins_reach_the_target_and_correlated_noise_needs_larger_ones():
    pytest.importorskip("powerbin")
    y, x = np.indices((16, 16)) - 7.5
    spectra = cube(20 * np.exp(-np.hypot(y, x) / 5))
    number = bin_to_snr(spectra, 20)
    assert number.min() == 0
    binned = bin_spectra(spectra, number)
    assert 5 < len(binned.spectra) < 256
    assert np.median(np.abs(binned.spectra.snr / 20 - 1)) < 0.2
    assert bin_to_snr(spectra, 20, NoiseCorrelation(excess=0.5)).max() < number.max()


def test_spaxels_without_light_are_in_no_bin():
    spectra = masked(cube([[5, -5], [5, 5], [5, 5]]), 3, slice(None))
    number = bin_to_snr(spectra, 50)
    np.testing.assert_array_equal(number, [0, -1, 0, -1, 0, 0])
    with pytest.raises(SpectraError, match="positive median flux"):
        bin_to_snr(cube([[-1.0, -2.0]]), 5)


def test_spectra_without_an_image_have_no_neighbours():
    with pytest.raises(SpectraError, match="form no image"):
        bin_to_snr(cube([[1.0]])[[0]], 5)


def test_populations_of_bins_go_back_to_their_spaxels():
    values = {"mh_mw": np.array([0.1, -0.4])}
    populations = Populations(
        method="x", values=values, low=values, high=values, flags=np.array([0, 4]), reasons=("", "limit"),
        chi2=np.array([1.0, 2.0]), seconds=np.array([3.0, 5.0]),
    )  # fmt: skip
    spaxels = on_spaxels(populations, np.array([1, -1, 0, 0]))
    np.testing.assert_array_equal(spaxels.values["mh_mw"], [-0.4, np.nan, 0.1, 0.1])
    np.testing.assert_array_equal(spaxels.flags, [4, int(PopulationFlag.NO_DATA), 0, 0])
    assert spaxels.reasons.tolist() == ["limit", "in no bin", "", ""]
    np.testing.assert_allclose(np.nansum(spaxels.seconds), 8)
