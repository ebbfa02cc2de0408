"""Sums of denoised spectra are denoised sums of their data; sums of estimates bound the errors of any correlation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quietspec
from quietspec.binning import INDEPENDENT, NoiseCorrelation, find_spikes, sum_estimates, sum_spectra
from quietspec.denoised import Denoised, ModelId
from quietspec.errors import ModelError, SpectraError

from .cubes import noise_alone


@pytest.fixture(scope="module")
def denoiser():
    return quietspec.load_denoiser("posterior")


@pytest.fixture(scope="module")
def denoised(denoiser) -> Denoised:
    return denoiser.denoise(quietspec.read(quietspec.demo_cube())[8:11, 8:12])


def test_a_sum_is_the_posterior_of_the_summed_data(denoiser, denoised):
    correlation = NoiseCorrelation.of_kernel(1.2)
    mask = np.arange(12).reshape(3, 4) % 3 == 0
    found = denoised.sum(mask, correlation=correlation)
    spectra = find_spikes(denoised.spectra).masked(denoised.spectra)
    wanted = denoiser.denoise(sum_spectra(spectra, mask.ravel().astype(float), correlation))
    np.testing.assert_array_equal(found.flux, wanted.flux)
    np.testing.assert_array_equal(found.sigma, wanted.sigma)


def test_a_cosmic_ray_of_one_spaxel_is_left_out(denoiser, denoised):
    flux = denoised.spectra.flux.copy()
    flux[5, 1500] += 50 * denoised.spectra.sigma[5, 1500]
    struck = replace(denoised, spectra=replace(denoised.spectra, flux=flux))
    kept, clean = (struck.sum(correlation=INDEPENDENT, clean=clean).spectra for clean in (False, True))
    wanted = denoised.sum(correlation=INDEPENDENT).spectra
    assert clean.meta["n_spikes"] - wanted.meta["n_spikes"] == 3
    assert kept.meta["n_spikes"] == 0
    np.testing.assert_allclose(clean.flux[0, 1499:1502], wanted.flux[0, 1499:1502], atol=4 * wanted.sigma[0, 1500])
    assert kept.flux[0, 1500] > wanted.flux[0, 1500] + 10 * wanted.sigma[0, 1500]
    assert (clean.sigma[0, 1499:1502] > wanted.sigma[0, 1499:1502]).all()


def test_masks_numbers_and_fractions_name_the_same_spectra(denoised):
    mask = np.zeros(12, dtype=bool)
    mask[[1, 5]] = True
    ways = [mask, mask.reshape(3, 4), [1, 5], mask.astype(float), np.array([5, 1])]
    sums = [denoised.sum(way, of="estimates").flux for way in ways]
    for other in sums[1:]:
        np.testing.assert_array_equal(other, sums[0])
    np.testing.assert_allclose(denoised.sum(of="estimates").flux[0], denoised.flux.sum(axis=0), rtol=1e-6)


def test_a_region_is_a_mask(denoised):
    regions = pytest.importorskip("regions")
    box = regions.RectanglePixelRegion(regions.PixCoord(0.5, 1), 2, 3)
    inside = np.zeros((3, 4), dtype=bool)
    inside[:, :2] = True
    wanted = denoised.sum(inside, of="estimates").flux
    np.testing.assert_allclose(denoised.sum(box, of="estimates").flux, wanted)
    assert denoised.sum([box, box], of="estimates").flux.shape == (2, wanted.shape[1])


def test_bins_are_sums(denoised):
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [-1, -1, -1, -1]])
    found = denoised.bin(labels, correlation=INDEPENDENT)
    wanted = denoised.sum(labels == 1, correlation=INDEPENDENT)
    assert len(found) == 2
    np.testing.assert_allclose(found.flux[1], wanted.flux[0], rtol=2e-5)
    np.testing.assert_allclose(found.sigma[1], wanted.sigma[0], rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_correlation_gives_a_sum_of_estimates_larger_errors(seed):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(4, 8, 3))
    sigma = np.sqrt((factors**2).sum(axis=2))
    plain = noise_alone(np.zeros((2, 2, 8)))
    known = replace(plain, sigma=sigma, factor_of=lambda row: factors[row])
    weights = rng.uniform(0.1, 1, 4)
    found = sum_estimates(known, weights)
    mixing = np.linalg.qr(rng.normal(size=(12, 12)))[0][:, : rng.integers(3, 12)].reshape(4, 3, -1)
    root = np.linalg.cholesky(np.einsum("ika,ila->ikl", mixing, mixing) + 1e-9 * np.eye(3))
    drawn = np.einsum("ipk,ikl,ila->ipa", factors, np.linalg.inv(root), mixing)  # each of unit covariance, but mixed
    total = np.einsum("i,ipa->pa", weights, drawn)
    slack = np.linalg.eigvalsh(found.covariance(0) - total @ total.T)
    assert slack.min() > -1e-6 * np.trace(found.covariance(0))
    np.testing.assert_allclose(np.diag(found.covariance(0)), found.sigma[0] ** 2, rtol=1e-6)


def spatial(n_spaxels, shape=(3, 4), n_pixels=8):
    """Estimates of a cube denoised as a whole, of unit errors and S/N 50."""
    factor = np.sqrt(np.full((n_pixels, 1), 1.0))
    return replace(
        noise_alone(np.zeros((*shape, n_pixels))),
        flux=np.full((math.prod(shape), n_pixels), 50.0),
        sigma=np.ones((math.prod(shape), n_pixels)),
        factor_of=lambda row: factor,
        n_spaxels=np.full(math.prod(shape), float(n_spaxels)),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1, 33))
def test_spaxels_denoised_together_share_what_their_distance_says(seed, n_spaxels):
    weights = np.random.default_rng(seed).uniform(0.1, 1, 12)
    places = np.stack(np.divmod(np.arange(12), 4), axis=1)
    distance = np.linalg.norm(places[:, None] - places, axis=2)
    correlation = 0.12 + 0.88 * np.exp(-np.pi * distance**2 / (1.5 * n_spaxels))
    found = sum_estimates(spatial(n_spaxels), weights)
    np.testing.assert_allclose(found.sigma[0] ** 2, weights @ correlation @ weights, rtol=3e-3)
    np.testing.assert_allclose(np.diag(found.covariance(0)), found.sigma[0] ** 2, rtol=1e-6)
    assert (found.sigma[0] < weights.sum()).all()  # what equal errors would give


def test_several_sums_of_such_spaxels_are_each_as_if_alone():
    denoised = spatial(4)
    weights = np.array([[1.0] * 5 + [0] * 7, [0] * 3 + [0.5] * 9])
    alone = [sum_estimates(denoised, one).sigma[0] for one in weights]
    np.testing.assert_allclose(sum_estimates(denoised, weights).sigma, alone)


def test_without_places_the_worst_is_assumed():
    denoised = spatial(4)
    flat = replace(denoised, spectra=replace(denoised.spectra, spatial_shape=None, wcs=None))
    np.testing.assert_allclose(sum_estimates(flat, np.ones(12)).sigma, 12.0)


def test_equal_errors_reach_that_bound():
    factor = np.random.default_rng(0).normal(size=(8, 3))
    known = replace(
        noise_alone(np.zeros((2, 2, 8))), sigma=np.tile(np.sqrt((factor**2).sum(axis=1)), (4, 1)),
        factor_of=lambda row: factor,
    )  # fmt: skip
    np.testing.assert_allclose(sum_estimates(known, np.ones(4)).covariance(0), 16 * factor @ factor.T)


def test_long_factors_are_narrowed_without_loss(monkeypatch, denoised):
    monkeypatch.setattr("quietspec.binning.estimates._MOST_COLUMNS", 10**6)
    whole = denoised.sum([0, 1, 2, 6], of="estimates").covariance(0)
    monkeypatch.setattr("quietspec.binning.estimates._MOST_COLUMNS", 300)
    again = denoised.sum([0, 1, 2, 6], of="estimates").covariance(0)
    np.testing.assert_allclose(np.diag(again), np.diag(whole), rtol=1e-4)
    np.testing.assert_allclose(again, whole, atol=1e-5 * whole.max())


def test_results_from_files_give_the_same_sums_of_estimates(denoised, tmp_path):
    quietspec.write(denoised, tmp_path / "out.fits")
    restored = Denoised.read(tmp_path / "out.fits")
    one, other = (each.sum([0, 1, 2], of="estimates") for each in (denoised, restored))
    np.testing.assert_allclose(other.flux, one.flux, rtol=1e-5)
    np.testing.assert_allclose(other.sigma, one.sigma, rtol=1e-5)
    np.testing.assert_allclose(other.covariance(0), one.covariance(0), rtol=1e-4, atol=1e-5 * one.sigma.max() ** 2)
    index, same = (each.index("Mg_b") for each in (one, other))
    np.testing.assert_allclose(same.errors, index.errors, rtol=1e-4)
    with pytest.raises(SpectraError, match="does not hold the data"):
        restored.sum(correlation=INDEPENDENT)


def test_what_cannot_be_summed_is_refused(denoised):
    with pytest.raises(SpectraError, match="0 to 11"):
        denoised.sum([12])
    with pytest.raises(SpectraError, match="0 to 11"):
        denoised.sum([-1])
    with pytest.raises(SpectraError, match="give a mask"):
        denoised.sum(np.ones((2, 2), dtype=bool))
    with pytest.raises(SpectraError, match="weights"):
        denoised.sum(np.zeros(12, dtype=bool))
    with pytest.raises(SpectraError, match="give a mask"):
        denoised.sum([])
    with pytest.raises(SpectraError, match="without gaps"):
        denoised.bin(np.full(12, 3))
    with pytest.raises(SpectraError, match="too few spaxels"):
        denoised.sum()
    with pytest.raises(SpectraError, match="form no image"):
        denoised[[0, 1]].sum()
    with pytest.raises(ModelError, match="denoiser="):
        replace(denoised, model=ModelId("posterior", "0" * 64)).sum(correlation=INDEPENDENT)


def test_spectra_without_an_estimate_are_refused(denoised):
    flux = denoised.flux.copy()
    flux[0] = np.nan
    partly = replace(denoised, flux=flux)
    with pytest.raises(SpectraError, match="no estimate"):
        partly.sum(of="estimates")
    assert np.isfinite(partly.sum(np.arange(1, 12), of="estimates").flux).any()
