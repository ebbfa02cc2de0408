"""Spikes of single spaxels are found, whatever lies beside them; compact and moving lines of a galaxy never are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from quietspec.binning import find_spikes
from quietspec.binning.spikes import SpikeSearch
from quietspec.binning.weights import checked_weights
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra
from quietspec.wavelengths import FWHM_PER_SIGMA

SHAPE = NY, NX = 9, 8
N_PIXELS = 60
CENTRE = 4 * NX + 4  # the spaxel in the middle


def cube(flux, seed=0) -> Spectra:
    """Flux (ny, nx, n_pixels) with noise of unit variance."""
    noisy = flux + np.random.default_rng(seed).standard_normal((*SHAPE, N_PIXELS))
    return Spectra(
        wavelength=5000.0 + np.arange(N_PIXELS), flux=noisy.reshape(-1, N_PIXELS), ivar=np.ones((NY * NX, N_PIXELS)),
        medium="air", redshift=0.0, spatial_shape=SHAPE,
    )  # fmt: skip


def caught(n, centre, fwhm):
    """Share of a Gaussian that each of n cells catches."""
    edges = (np.arange(n + 1) - 0.5 - np.asarray(centre)[..., None]) * FWHM_PER_SIGMA / fwhm
    return np.diff(ndtr(edges), axis=-1)


def with_spike(spectra, row, pixel, height):
    flux = spectra.flux.copy()
    flux[row, pixel] += height
    return replace(spectra, flux=flux)


@pytest.mark.parametrize("height", [12, 40, 300, -12, -300])
@pytest.mark.parametrize("row", [0, NX - 1, 3, CENTRE, NY * NX - 1])
def test_a_spike_is_found_with_the_pixels_beside_it(row, height):
    found = find_spikes(with_spike(cube(10 * np.ones((*SHAPE, N_PIXELS))), row, 30, height))
    np.testing.assert_array_equal(found.row, [row] * 3)
    np.testing.assert_array_equal(found.pixel, [29, 30, 31])


@pytest.mark.parametrize("second", [0.2, 0.6, 1.0])
def test_a_spike_of_two_pixels_is_found(second):
    spectra = with_spike(cube(np.zeros((*SHAPE, N_PIXELS))), CENTRE, [30, 31], 50 * np.array([1, second]))
    found = find_spikes(spectra)
    assert {30, 31} <= set(found.pixel)
    assert set(found.row) == {CENTRE}


def test_a_spike_on_a_line_is_found():
    line = 100 * caught(N_PIXELS, 30.0, 4.0) * np.ones((*SHAPE, 1))
    assert 30 in find_spikes(with_spike(cube(line), CENTRE, 30, 400)).pixel


@settings(max_examples=300, deadline=None)
@given(
    st.floats(4.0, 5.0), st.floats(3.0, 4.0), st.floats(30.0, 31.0), st.floats(1.3, 4.0), st.floats(2.0, 6.0),
    st.floats(0.0, 5.0), st.integers(0, 1000),
)  # fmt: skip
def test_a_compact_clump_of_gas_is_no_spike(y, x, pixel, seeing, resolution, log_flux, seed):
    spread = caught(NY, y, seeing)[:, None] * caught(NX, x, seeing)
    clump = 10**log_flux * spread[..., None] * caught(N_PIXELS, pixel, resolution)
    assert len(find_spikes(cube(5 + clump, seed))) == 0


@settings(max_examples=100, deadline=None)
# Noise may sharpen a line of the very limit, 2 pixels; it makes 3 in 1000 a spike where lines move by 2 pixels or more.
@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(2.3, 6.0), st.floats(0.0, 5.0), st.integers(0, 1000))
def test_a_line_that_moves_is_no_spike(along_y, along_x, resolution, log_flux, seed):
    y, x = np.indices(SHAPE)
    centre = 30 + along_y * (y - 4) + along_x * (x - 4)  # pixels: some 70 km/s each
    assert len(find_spikes(cube(10**log_flux * caught(N_PIXELS, centre, resolution), seed))) == 0


@pytest.mark.parametrize("what", ["step", "absorption", "edge of the galaxy"])
def test_features_of_a_galaxy_are_no_spikes(what):
    flux = 100 * np.ones((*SHAPE, N_PIXELS))
    if what == "step":
        flux[..., 30:] = 50
    elif what == "absorption":
        flux *= 1 - 2 * caught(N_PIXELS, 30.3, 2.5)
    else:
        flux[4, :4] = 1000
    assert len(find_spikes(cube(flux))) == 0


def test_noise_larger_than_quoted_holds_no_spikes():
    spectra = cube(np.zeros((*SHAPE, N_PIXELS)))
    assert len(find_spikes(replace(spectra, ivar=100 * spectra.ivar))) == 0


def test_masked_values_never_matter():
    spectra = with_spike(cube(np.zeros((*SHAPE, N_PIXELS))), CENTRE, 30, 50)
    ivar = spectra.ivar.copy()
    ivar[CENTRE, 32:36] = ivar[CENTRE + 1, 28:33] = ivar[3] = 0
    flux = np.where(ivar > 0, spectra.flux, np.nan)
    for filled in (flux, np.nan_to_num(flux), np.nan_to_num(flux, nan=1e9)):
        found = find_spikes(replace(spectra, flux=filled, ivar=ivar))
        np.testing.assert_array_equal(found.pixel, [29, 30, 31])


def test_where_too_few_spaxels_are_around_none_is_judged():
    spectra = with_spike(cube(np.zeros((*SHAPE, N_PIXELS))), CENTRE, 30, 50)
    ivar = np.zeros_like(spectra.ivar)
    ivar[[CENTRE, CENTRE + 1, CENTRE + NX]] = 1
    assert len(find_spikes(replace(spectra, ivar=ivar))) == 0
    ivar[CENTRE - 1] = 1
    assert len(find_spikes(replace(spectra, ivar=ivar))) == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, NY * NX - 1), unique=True), st.integers(0, 1000))
def test_parts_of_any_size_give_the_same(cuts, seed):
    rng = np.random.default_rng(seed)
    spectra = cube(np.zeros((*SHAPE, N_PIXELS)), seed)
    for row in rng.choice(NY * NX, 8, replace=False):
        spectra = with_spike(spectra, row, rng.integers(1, N_PIXELS - 1), 40)
    whole, search = find_spikes(spectra), SpikeSearch(SHAPE)
    for rows in np.split(np.arange(NY * NX), sorted(cuts)):
        search.add(spectra[rows])
    parts = search.result()
    assert len(whole) >= 16
    np.testing.assert_array_equal(parts.row, whole.row)
    np.testing.assert_array_equal(parts.pixel, whole.pixel)


def test_spectra_that_form_no_image_are_refused():
    with pytest.raises(SpectraError, match="form no image"):
        find_spikes(cube(np.zeros((*SHAPE, N_PIXELS)))[[0, 1]])


def test_counts_are_by_sum_and_masks_by_spectrum():
    spikes = find_spikes(with_spike(cube(np.zeros((*SHAPE, N_PIXELS))), CENTRE, 30, 50))
    weights = np.zeros((2, NY * NX))
    weights[0, :CENTRE], weights[1, CENTRE:] = 1, 0.5
    np.testing.assert_array_equal(spikes.counts(checked_weights(weights, NY * NX)), [0, 3])
    some = spikes.within(np.array([2, CENTRE, CENTRE + 1]))
    np.testing.assert_array_equal(some.row, [1, 1, 1])
    assert len(spikes.within(np.array([0, 5]))) == 0
