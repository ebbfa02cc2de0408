"""What the air leaves in its bands: a process that fits allow for, and sizes of it that spectra tell."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematics import KinematicCoordinates, State
from quietspec.denoisers.posterior.losvd import LosvdBasis, log_width
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.sky import NO_SKY, SKY_WINDOWS, SkyPixels
from quietspec.denoisers.posterior.sky_size import NoiseLevels, with_likeliest_sky
from quietspec.spectra import Spectra

from .rest_frame import rest_prior

REST = np.arange(4300.0, 6300.0, 2.0)
AIR = 1.5 * REST  # 6450 to 9450 Å


@pytest.fixture(scope="module")
def pixels():
    coordinates = KinematicCoordinates(rest_prior())
    law = CalibrationLaw(0.02, 0.0, ((200.0, 0.02),))
    return PixelModel(coordinates, LosvdBasis(coordinates.table, REST), law.knots(REST), sky=SkyPixels.of(AIR))


def linearised(pixels, sky=0.0, scale=30.0):
    populations = scale * pixels.coordinates.populations.centre
    knots = np.zeros(pixels.knots.n_knots)
    return pixels.linearise(State(0.0, float(log_width(150.0)), populations, np.zeros(2), knots, scale, sky=sky))


def weights(seed=0, masked=0.1):
    rng = np.random.default_rng(seed)
    return ((rng.random(len(REST)) > masked) * (0.5 + rng.random(len(REST)))).astype(np.float32)


def drawn(pixels, weight, size, rng):
    """Residuals of noise and a process of this size."""
    white = rng.normal(size=len(REST)) + size * pixels.sky.columns @ rng.normal(size=pixels.sky.size)
    return (white / np.sqrt(np.where(weight > 0, weight, 1))).astype(np.float32)


def test_the_process_is_as_large_as_the_noise_in_the_bands_and_nothing_outside() -> None:
    sky = SkyPixels.of(AIR)
    size = np.sqrt((sky.columns**2).sum(axis=1))
    np.testing.assert_allclose(size[sky.inside], 1, atol=0.25)
    for low, high in SKY_WINDOWS:
        band = (low < AIR) & (high > AIR)
        assert np.sqrt((size[band] ** 2).mean()) == pytest.approx(1, rel=1e-3)
    np.testing.assert_array_equal(size[~sky.inside], 0)
    assert sky.inside[np.searchsorted(AIR, 7650.0)]
    assert not sky.inside[np.searchsorted(AIR, 8600.0)]


def test_an_offset_of_a_whole_wide_band_is_left_to_calibration_and_stars() -> None:
    sky = SkyPixels.of(AIR)
    for low, high in SKY_WINDOWS:
        offset = np.float32((low < AIR) & (high > AIR))
        share = np.square(sky.columns.T @ offset).sum() / offset.sum()
        assert share < 1e-6 if high - low > 500 else share > 1


def test_spectra_without_such_bands_have_no_process() -> None:
    assert SkyPixels.of(np.arange(3600.0, 6800.0)) is NO_SKY


def test_normal_equations_are_those_of_noise_with_the_covariance_of_the_process(pixels) -> None:
    weight, size = weights(masked=0.0), 0.7
    found = linearised(pixels, size)
    residual = drawn(pixels, weight, size, np.random.default_rng(1))
    design = np.concatenate([found.design, found.stars[:, None] * pixels.knots.hats.toarray()], axis=1).astype(float)
    error = 1 / np.sqrt(weight.astype(float))
    process = size * error[:, None] * pixels.sky.columns
    covariance = np.diag(error**2) + process @ process.T
    inverse = np.linalg.inv(covariance)
    information, gradient, chi2, log_determinant = found.normal_equations(residual, weight)
    expected = design.T @ inverse @ design
    np.testing.assert_allclose(information, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    slope = design.T @ inverse @ residual
    np.testing.assert_allclose(gradient, slope, rtol=1e-2, atol=1e-3 * np.abs(slope).max())
    assert chi2 == pytest.approx(float(residual @ inverse @ residual), rel=1e-4)
    determinants = np.linalg.slogdet(covariance)[1] - 2 * np.log(error).sum()
    assert log_determinant == pytest.approx(determinants, rel=1e-4)


def test_the_likelihood_of_a_width_knows_the_process(pixels) -> None:
    state = linearised(pixels, 0.7).state
    weight = weights(masked=0.0)
    flux = linearised(pixels).model + drawn(pixels, weight, 0.7, np.random.default_rng(2))
    with_process, without = (
        pixels.log_likelihood(replace(state, sky=size), state.width, flux, weight) for size in (0.7, 0.0)
    )
    cost = linearised(pixels, 0.7).normal_equations(flux, weight).log_determinant
    assert with_process - without > 0.5 * cost  # evidence of the process, beyond what it costs


def likeliest(pixels, residual, weight):
    one = linearised(pixels)
    equations = one.normal_equations(residual, weight)
    return with_likeliest_sky(one.solved(equations), equations, residual, weight)


@pytest.mark.parametrize("size", [0.0, 0.4, 1.6])
def test_the_size_is_told_by_the_spectrum(pixels, size) -> None:
    found = []
    for seed in range(12):
        weight = weights(seed)
        data = likeliest(pixels, drawn(pixels, weight, size, np.random.default_rng((5, seed))), weight)
        found.append(data.linearised.state.sky)
    assert np.median(found) == size if size else np.mean(np.array(found) <= 0.1) > 0.6


def test_what_the_data_say_allows_for_the_process(pixels) -> None:
    weight = weights(3)
    residual = drawn(pixels, weight, 1.6, np.random.default_rng(6))
    found = likeliest(pixels, residual, weight)
    expected = linearised(pixels, found.linearised.state.sky).marginalise(residual, weight)
    np.testing.assert_allclose(found.gram, expected.gram, rtol=1e-6, atol=1e-8 * np.abs(expected.gram).max())
    assert found.chi2 == pytest.approx(expected.chi2)
    assert found.log_determinant == pytest.approx(expected.log_determinant)


def test_a_masked_pixel_has_no_part_in_the_size(pixels) -> None:
    weight = weights(3)
    residual = drawn(pixels, weight, 0.4, np.random.default_rng(6))
    spoilt = np.where(weight > 0, residual, 1e3).astype(np.float32)
    one, other = (likeliest(pixels, some, weight).linearised.state.sky for some in (residual, spoilt))
    assert one == other > 0


def test_noise_is_measured_apart_in_the_bands() -> None:
    sky, rng = SkyPixels.of(AIR), np.random.default_rng(7)
    residual = rng.normal(size=(40, len(AIR))) * np.where(sky.inside, 2.0, 1.0)
    noise = NoiseLevels.measured(residual, np.ones_like(residual), np.zeros(40), sky)
    np.testing.assert_allclose(np.median(noise.scale[:, None] * noise.factors, axis=0), [1.0, 2.0], rtol=0.1)
    few = NoiseLevels.measured(
        residual, np.where(np.cumsum(~sky.inside) < 150, 1.0, 0.0) + 0 * residual, np.zeros(40), sky
    )
    np.testing.assert_array_equal(few.factors, 1)


def observed(size, seed=0, n=6):
    """Galaxies of the prior, with noise and a process of this size in the bands."""
    rng = np.random.default_rng(seed)
    coordinates = KinematicCoordinates(rest_prior())
    basis = LosvdBasis(coordinates.table, REST)
    shape = coordinates.populations.centre
    truth = np.tile(basis.linearise(0.0, float(log_width(150.0)), 30.0 * shape).spectrum, (n, 1))
    sky = SkyPixels.of(AIR)
    sigma = np.mean(truth) / 20
    noise = rng.normal(size=truth.shape) + size * (sky.columns @ rng.normal(size=(sky.size, n))).T
    ivar = np.full(truth.shape, sigma**-2)
    return truth, Spectra(wavelength=AIR, flux=truth + sigma * noise, ivar=ivar, redshift=np.full(n, 0.5), medium="air")


def test_estimates_do_not_follow_the_air() -> None:
    truth, spectra = observed(1.6)
    inside = SkyPixels.of(AIR).inside
    with_process, without = (
        KinematicPosterior("x", rest_prior(), noise="measured", sky=sky).denoise(spectra) for sky in (True, False)
    )
    counted = with_process.counted & inside
    errors = [np.sqrt(np.mean((one.flux - truth)[counted] ** 2)) for one in (with_process, without)]
    assert errors[0] < 0.8 * errors[1]
    np.testing.assert_array_less(without.sigma[counted].mean(), with_process.sigma[counted].mean())


def test_chi_square_is_without_what_the_air_leaves() -> None:
    _, spectra = observed(1.6)
    with_process, without = (
        KinematicPosterior("x", rest_prior(), noise="measured", sky=sky).denoise(spectra) for sky in (True, False)
    )
    assert np.median(with_process.chi2 / with_process.dof) < 1.3
    np.testing.assert_array_less(with_process.chi2, without.chi2)


def test_covariances_of_files_know_the_process() -> None:
    _, spectra = observed(0.8)
    found = KinematicPosterior("x", rest_prior(), noise="measured").denoise(spectra)
    assert found.compact is not None
    assert (found.compact.sky > 0).all()
    variance = (found.covariance_factor(0) ** 2).sum(axis=1)
    used = found.valid[0]
    np.testing.assert_allclose(np.sqrt(variance[used]), found.sigma[0, used], rtol=0.2)
