"""Smoothers: what must not matter does not, what must be kept is kept, and the errors are those of Monte Carlo."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, savgol_filter, sosfiltfilt

from quietspec.denoised import Flag
from quietspec.denoisers import Butterworth, Gaussian, SavitzkyGolay, Wavelet
from quietspec.errors import ModelError
from quietspec.spectra import Spectra

LINEAR = (Gaussian(4), SavitzkyGolay(15, 2), SavitzkyGolay(21, 3), Butterworth(15, 1), Butterworth(20, 2))
ALL = (*LINEAR, Wavelet(16))
WAVELENGTH = 5000 + 1.25 * np.arange(240)

each_linear = pytest.mark.parametrize("smoother", LINEAR, ids=repr)
each = pytest.mark.parametrize("smoother", ALL, ids=repr)


def noisy(n: int = 5, seed: int = 0, wavelength: np.ndarray = WAVELENGTH, masked: float = 0.1) -> Spectra:
    """Smooth spectra with lines, errors that differ from pixel to pixel, and masked pixels."""
    rng = np.random.default_rng(seed)
    truth = 3 + np.sin(wavelength / 60) - np.exp(-(((wavelength - 5100) / 4) ** 2))
    sigma = rng.uniform(0.1, 0.6, (n, len(wavelength)))
    ivar = np.where(rng.random(sigma.shape) < masked, 0, 1 / sigma**2)
    return Spectra(
        wavelength=wavelength, flux=truth + sigma * rng.standard_normal(sigma.shape), ivar=ivar, medium="air"
    )


def flat_noise(flux: np.ndarray, sigma: float = 0.1) -> Spectra:
    flux = np.atleast_2d(flux)
    return Spectra(
        wavelength=5000 + np.arange(flux.shape[1]), flux=flux, ivar=np.full(flux.shape, sigma**-2), medium="air"
    )


@settings(max_examples=20, deadline=None)
@given(power=st.integers(-20, 20), seed=st.integers(0, 99))
def test_scaling_the_flux_scales_the_result(power: int, seed: int) -> None:
    spectra, scale = noisy(2, seed), 10.0**power
    scaled = replace(spectra, flux=scale * spectra.flux, ivar=spectra.ivar / scale**2)
    for smoother in ALL:
        one, other = smoother.denoise(spectra), smoother.denoise(scaled)
        # PyWavelets transforms single precision here
        rtol = 1e-4 if isinstance(smoother, Wavelet) else 1e-9
        assert_allclose(other.flux / scale, one.flux, rtol=rtol)
        assert_allclose(other.sigma / scale, one.sigma, rtol=rtol)
        assert_allclose(other.chi2, one.chi2, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(value=st.floats(allow_nan=True, allow_infinity=True), seed=st.integers(0, 99))
def test_value_of_a_masked_pixel_never_matters(value: float, seed: int) -> None:
    spectra = noisy(2, seed)
    spoiled = replace(spectra, flux=np.where(spectra.good, spectra.flux, value))
    for smoother in ALL:
        one, other = smoother.denoise(spectra), smoother.denoise(spoiled)
        assert_array_equal(one.flux, other.flux)
        assert_array_equal(one.sigma, other.sigma)
        assert_array_equal(one.chi2, other.chi2)


@each
def test_shuffling_spectra_shuffles_results(smoother) -> None:
    spectra, order = noisy(6), np.array([3, 0, 5, 1, 4, 2])
    one, other = smoother.denoise(spectra), smoother.denoise(spectra[order])
    assert_allclose(other.flux, one.flux[order], rtol=1e-12)
    assert_allclose(other.sigma, one.sigma[order], rtol=1e-12)


@each
def test_batches_do_not_matter(smoother, monkeypatch) -> None:
    spectra = noisy(7)
    one = smoother.denoise(spectra)
    monkeypatch.setattr("quietspec.denoisers.smoothers.BATCH_VALUES", 2 * spectra.n_pixels)
    assert_allclose(smoother.denoise(spectra).flux, one.flux, rtol=1e-12)


@each
def test_float32_stays_float32(smoother) -> None:
    spectra = noisy(2)
    denoised = smoother.denoise(replace(spectra, flux=spectra.flux.astype("f4"), ivar=spectra.ivar.astype("f4")))
    assert denoised.flux.dtype == denoised.sigma.dtype == np.float32
    assert_allclose(denoised.flux, smoother.denoise(spectra).flux, rtol=1e-5)


@each
def test_constant_is_kept_whatever_weights_and_mask(smoother) -> None:
    spectra = noisy(4)
    denoised = smoother.denoise(replace(spectra, flux=np.full(spectra.flux.shape, 2.5)))
    assert np.isfinite(denoised.flux).all()
    assert_allclose(denoised.flux, 2.5, rtol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4, 5])
def test_savgol_keeps_polynomials_whatever_weights_and_mask(order: int) -> None:
    spectra, x = noisy(4), np.linspace(-1, 1, len(WAVELENGTH))
    polynomial = np.polynomial.Polynomial(np.arange(1, order + 2))(x)
    denoised = SavitzkyGolay(25, order).denoise(replace(spectra, flux=np.tile(polynomial, (4, 1))))
    assert np.isfinite(denoised.flux).all()
    assert_allclose(denoised.flux, np.tile(polynomial, (4, 1)), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_savgol_is_scipys_for_equal_weights(order: int) -> None:
    flux = np.random.default_rng(1).standard_normal((3, 200))
    denoised = SavitzkyGolay(21, order).denoise(flat_noise(flux))
    # scipy's 'interp' fits the edges with one polynomial of the whole last window; only the inside is the same.
    assert_allclose(denoised.flux[:, 10:-10], savgol_filter(flux, 21, order)[:, 10:-10], rtol=1e-9, atol=1e-10)


def test_gaussian_is_scipys_for_equal_weights() -> None:
    flux = np.random.default_rng(2).standard_normal((3, 200))
    expected = gaussian_filter1d(flux, 3, axis=-1, truncate=4)
    assert_allclose(Gaussian(3).denoise(flat_noise(flux)).flux[:, 12:-12], expected[:, 12:-12], rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_butterworth_is_scipys_for_equal_weights(order: int) -> None:
    flux = np.random.default_rng(3).standard_normal((3, 600))
    expected = sosfiltfilt(butter(order, 1 / 12, fs=1, output="sos"), flux)
    denoised = Butterworth(12, order).denoise(flat_noise(flux))
    assert_allclose(denoised.flux[:, 150:-150], expected[:, 150:-150], atol=2e-4)


def test_butterworth_halves_amplitude_at_cutoff() -> None:
    x = np.arange(600)
    wave = 5 + np.cos(2 * np.pi * x / 25)
    denoised = Butterworth(25, 2).denoise(flat_noise(wave))
    assert np.ptp(denoised.flux[0, 200:400]) / 2 == pytest.approx(0.5, abs=0.005)


def test_butterworth_finer_than_the_sampling_changes_nothing() -> None:
    flux = np.random.default_rng(4).standard_normal((2, 50))
    assert_allclose(Butterworth(1.5, 2).denoise(flat_noise(flux)).flux, flux, rtol=1e-12)


@each_linear
def test_sigma_and_covariance_are_those_of_monte_carlo(smoother) -> None:
    template, n = noisy(1, seed=5)[0], 20_000
    rng = np.random.default_rng(6)
    sigma = np.where(template.good, 1 / np.sqrt(np.where(template.good, template.ivar, 1)), 0)
    draws = Spectra(
        wavelength=template.wavelength,
        flux=sigma * rng.standard_normal((n, template.n_pixels)),
        ivar=np.tile(template.ivar, (n, 1)),
        medium="air",
    )
    result, covariance = smoother.denoise(draws).flux, smoother.denoise(template).covariance(0)
    assert_allclose(smoother.denoise(template).sigma[0], result.std(axis=0), rtol=6 / np.sqrt(2 * n))
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert_allclose(covariance / scale, np.cov(result.T) / scale, atol=6 / np.sqrt(n))


@each_linear
def test_covariance_factor_agrees_with_sigma_across_a_gap(smoother) -> None:
    wavelength = np.concatenate((WAVELENGTH[:80], 7000 + 0.5 * np.arange(60), [9000]))
    spectra = noisy(3, wavelength=wavelength)
    denoised = smoother.denoise(spectra)
    factor = denoised.covariance_factor(1)
    sigma = np.sqrt(np.sum(factor**2, axis=1))
    assert_allclose(sigma, denoised.sigma[1], rtol=1e-9)
    covariance = denoised.covariance(1)
    assert np.all(covariance[:80, 80:140] == 0)
    assert_allclose(denoised[1:].covariance(0), covariance)


@each_linear
def test_expected_chi2_is_dof(smoother) -> None:
    spectra = noisy(400, seed=7)
    rng = np.random.default_rng(8)
    flux = 1 + rng.standard_normal(spectra.flux.shape) / np.sqrt(np.where(spectra.good, spectra.ivar, 1))
    denoised = smoother.denoise(replace(spectra, flux=flux))
    excess = (denoised.chi2 - denoised.dof) / np.sqrt(2 * denoised.dof)
    assert abs(excess.mean()) < 5 / np.sqrt(400)
    assert np.mean(denoised.flags != 0) < 0.02


def test_erased_lines_are_flagged() -> None:
    flux = 1 - 0.9 * np.exp(-(((np.arange(300) - 150) / 3) ** 2))
    denoised = Gaussian(30).denoise(flat_noise(flux, sigma=0.02))
    assert denoised.flags[0] == Flag.POOR_FIT


@each
def test_stretches_across_a_gap_do_not_touch(smoother) -> None:
    wavelength = np.concatenate((WAVELENGTH[:100], WAVELENGTH[:100] + 900))
    spectra = noisy(2, wavelength=wavelength)
    changed = replace(spectra, flux=np.where(np.arange(200) < 100, spectra.flux, 50 + spectra.flux))
    assert_array_equal(smoother.denoise(spectra).flux[:, :100], smoother.denoise(changed).flux[:, :100])


@each
def test_narrow_gap_is_filled_wide_gap_is_not(smoother) -> None:
    spectra = noisy(1, masked=0)
    ivar = spectra.ivar.copy()
    ivar[0, 50:53] = 0
    ivar[0, 120:200] = 0
    denoised = smoother.denoise(replace(spectra, ivar=ivar))
    assert np.isfinite(denoised.flux[0, 40:60]).all()
    assert np.isnan(denoised.flux[0, 155:165]).all()
    assert_array_equal(np.isnan(denoised.flux), np.isnan(denoised.sigma))
    assert np.isfinite(denoised.flux[0, spectra.good[0] & (ivar[0] > 0)]).all()


@each
def test_noisy_pixel_counts_for_little(smoother) -> None:
    spectra = noisy(1, masked=0)
    ivar, flux = spectra.ivar.copy(), spectra.flux.copy()
    ivar[0, 100] *= 1e-4
    flux[0, 100] += 20
    spoiled = replace(spectra, flux=flux, ivar=ivar)
    change = smoother.denoise(spoiled).flux - smoother.denoise(replace(spectra, ivar=ivar)).flux
    equal = smoother.denoise(replace(spectra, flux=flux)).flux - smoother.denoise(spectra).flux
    assert abs(change).max() < 0.25 * abs(equal).max()


@each
def test_empty_spectrum_is_flagged_and_the_others_are_done(smoother) -> None:
    spectra = noisy(3)
    ivar = spectra.ivar.copy()
    ivar[1] = 0
    denoised = smoother.denoise(replace(spectra, ivar=ivar))
    assert_array_equal(denoised.flags, [0, Flag.EMPTY, 0])
    assert np.isnan(denoised.flux[1]).all()
    assert np.isnan(denoised.chi2[1])
    assert np.isfinite(denoised.flux[[0, 2]]).all()


@each
def test_widths_are_in_angstrom(smoother) -> None:
    # The same spectrum sampled twice as finely: the smoothed one is the same curve.
    coarse, fine = 5000 + np.arange(200), 5000 + 0.5 * np.arange(400)

    def curve(wavelength: np.ndarray) -> np.ndarray:
        return smoother.denoise(
            Spectra(
                wavelength=wavelength,
                flux=(3 - np.exp(-(((wavelength - 5100) / 6) ** 2)))[None],
                ivar=np.full((1, len(wavelength)), 1e8),
                medium="air",
            )
        ).flux[0]

    assert_allclose(curve(fine)[40:-40:2], curve(coarse)[20:-20], atol=0.03)


def test_wavelet_removes_noise_and_keeps_lines() -> None:
    truth = 3 - np.exp(-(((np.arange(1000) - 500) / 8) ** 2))
    noise = 0.1 * np.random.default_rng(9).standard_normal((20, 1000))
    denoised = Wavelet(60).denoise(flat_noise(truth + noise))
    residual = denoised.flux - truth
    assert residual.std() < 0.4 * noise.std()
    assert denoised.flux[:, 500].mean() == pytest.approx(2, abs=0.15)
    assert 0.6 < np.mean(abs(residual) < denoised.sigma) < 0.95


def test_spike_does_not_leave_the_rest_of_a_spectrum_noisy() -> None:
    flux = 3 + 0.1 * np.random.default_rng(10).standard_normal((1, 1000))
    spiked = flux.copy()
    spiked[0, 500] += 100
    far = abs(np.arange(1000) - 500) > 300
    quiet, beside = (Wavelet(60).denoise(flat_noise(values)).flux[0, far] for values in (flux, spiked))
    assert beside.std() < 2 * quiet.std() < 0.05


def test_wavelet_has_no_covariance_and_no_chi2() -> None:
    denoised = Wavelet(16).denoise(noisy(1))
    assert np.isnan(denoised.chi2).all()
    with pytest.raises(ValueError, match="no covariance"):
        denoised.covariance(0)


@each
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_mask_length_and_range_of_errors(smoother, data) -> None:
    n_pixels = data.draw(st.integers(2, 60))
    seed = data.draw(st.integers(0, 2**32 - 1))
    dynamic = data.draw(st.floats(0, 12))
    rng = np.random.default_rng(seed)
    ivar = np.where(rng.random((3, n_pixels)) < data.draw(st.floats(0, 1)), 0, 10 ** rng.uniform(-dynamic, 0, n_pixels))
    flux = rng.uniform(1, 2, ivar.shape)
    denoised = smoother.denoise(Spectra(wavelength=5000 + np.arange(n_pixels), flux=flux, ivar=ivar, medium="air"))
    assert_array_equal(np.isfinite(denoised.flux), np.isfinite(denoised.sigma))
    assert np.all(denoised.sigma[denoised.valid] > 0)
    if isinstance(smoother, Gaussian):
        assert np.all((denoised.flux[denoised.valid] >= 1) & (denoised.flux[denoised.valid] <= 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(0), "width 0"),
        (lambda: Gaussian(float("nan")), "width nan"),
        (lambda: SavitzkyGolay(-1), "window -1"),
        (lambda: SavitzkyGolay(10, 6), "order 6"),
        (lambda: Butterworth(0), "cutoff 0"),
        (lambda: Butterworth(10, 0), "order 0"),
        (lambda: Wavelet(-3), "scale -3"),
        (lambda: Wavelet(10, "nosuch"), "nosuch"),
    ],
)
def test_bad_parameters_are_named(make, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()
