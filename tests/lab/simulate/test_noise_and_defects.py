"""Noise laws, correlated noise, and defects of spectra."""

import numpy as np
import pytest

from quietspec.lab.simulate import INSTRUMENTS, SAMI_NOISE
from quietspec.lab.simulate.defects import masked_runs, spikes
from quietspec.lab.simulate.noise import correlated_images, correlated_noise, scale_to_snr, window_snr


def test_the_median_law_passes_through_its_nodes():
    law = SAMI_NOISE.relative_sigma(SAMI_NOISE.wavelength)[0]
    np.testing.assert_allclose(law, SAMI_NOISE.median, rtol=1e-6)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_percentiles_of_drawn_laws_are_those_of_the_table(name):
    law = INSTRUMENTS[name].noise
    drawn = law.relative_sigma(law.wavelength, law.draw(20_000, np.random.default_rng(0)))
    np.testing.assert_allclose(np.percentile(drawn, [16, 50, 84], axis=0), [law.low, law.median, law.high], rtol=0.05)


def test_sections_deviate_with_the_measured_correlation_and_neighbours_together():
    law = SAMI_NOISE
    wavelength = np.array([3800.0, 3900.0, 5200.0, 6700.0])
    drawn = np.log(law.relative_sigma(wavelength, law.draw(20_000, np.random.default_rng(1))))
    correlation = np.corrcoef(drawn.T)
    assert correlation[0, 1] > 0.98
    np.testing.assert_allclose(correlation[np.ix_([0, 2, 3], [0, 2, 3])], law.section_correlation, atol=0.05)


def test_sections_are_independent_unless_a_correlation_is_given():
    drawn = INSTRUMENTS["MUSE"].noise.draw(20_000, np.random.default_rng(1))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.03


@pytest.mark.parametrize("correlation", [0.0, 0.2, 0.35, 0.5])
def test_noise_has_unit_variance_and_the_given_correlation(correlation):
    noise = correlated_noise((400, 3000), np.random.default_rng(2), correlation)
    assert noise.std() == pytest.approx(1, abs=3e-3)
    assert noise[:, [0, -1]].std() == pytest.approx(1, abs=0.06)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(correlation, abs=4e-3)
    assert np.mean(noise[:, 3:] * noise[:, :-3]) == pytest.approx(0, abs=4e-3)


def test_each_spectrum_has_its_own_correlation():
    wanted = np.repeat([0.0, 0.5], 200)
    noise = correlated_noise((400, 3000), np.random.default_rng(3), wanted)
    lag = (noise[:, 1:] * noise[:, :-1]).mean(axis=1)
    assert abs(lag[:200].mean()) < 0.01
    assert abs(lag[200:].mean() - 0.5) < 0.01


def test_a_correlation_that_cannot_be_reached_is_refused():
    with pytest.raises(ValueError, match=r"reaches only 0 to 0\.66"):
        correlated_noise((2, 10), np.random.default_rng(4), 0.9)


def test_scaled_noise_has_the_given_snr():
    rng = np.random.default_rng(5)
    flux, relative, wanted = rng.uniform(1, 2, (50, 100)), rng.uniform(0.5, 2, (50, 100)), rng.uniform(2, 50, 50)
    inside = np.arange(100) < 30
    np.testing.assert_allclose(window_snr(flux, scale_to_snr(flux, relative, inside, wanted), inside), wanted)


def test_masked_runs_have_the_given_mean_number_and_length():
    bad = masked_runs((3000, 2000), np.random.default_rng(8), mean_runs=2.0, mean_length=10.0)
    starts = (np.diff(bad.astype(np.int8), axis=1, prepend=0) == 1).sum()
    assert starts / 3000 == pytest.approx(2.0, rel=0.05)
    assert bad.sum() / starts == pytest.approx(10.0, rel=0.05)


def test_spikes_are_high_and_few():
    flux, sigma = np.zeros((2000, 500), dtype=np.float32), np.full((2000, 500), 2.0, dtype=np.float32)
    spikes(flux, sigma, np.random.default_rng(9), mean_number=1.0)
    assert np.mean((flux >= 10).any(axis=1)) == pytest.approx(1 - np.exp(-1), abs=0.04)
    assert np.mean(flux > 0) < 2 / 500
    assert flux.min() == 0
    assert flux.max() <= 2 * 2 * 100


@pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=INSTRUMENTS)
def test_instruments_are_well_formed(instrument):
    wavelength = instrument.wavelength
    assert np.all(np.diff(wavelength) > 0)
    assert wavelength.shape == instrument.fwhm.shape
    assert np.all((instrument.fwhm > 0.7) & (instrument.fwhm < 8))
    assert 0 < instrument.redshift[0] < instrument.redshift[1] <= 0.3
    assert np.all(np.diff(instrument.noise.wavelength) > 0)
    assert np.all((instrument.noise.low < instrument.noise.median) & (instrument.noise.median < instrument.noise.high))


def test_sami_has_two_arms_with_a_gap():
    sami = INSTRUMENTS["SAMI"]
    assert np.max(np.diff(sami.wavelength)) > 400
    assert len(sami.arms) == 2


@pytest.mark.parametrize(("spatial", "spectral"), [(0.0, 0.0), (0.3, 0.2), (0.6, 0.0)])
def test_noise_of_cubes_is_correlated_in_space_and_wavelength(spatial, spectral):
    noise = correlated_images((40, 50, 400), np.random.default_rng(11), spatial, spectral)
    assert noise.shape == (40, 50, 400)
    assert noise.std() == pytest.approx(1, abs=5e-3)
    assert np.mean(noise[1:] * noise[:-1]) == pytest.approx(spatial, abs=6e-3)
    assert np.mean(noise[:, 1:] * noise[:, :-1]) == pytest.approx(spatial, abs=6e-3)
    assert np.mean(noise[1:, 1:] * noise[:-1, :-1]) == pytest.approx(spatial**2, abs=6e-3)
    assert np.mean(noise[..., 1:] * noise[..., :-1]) == pytest.approx(spectral, abs=6e-3)
    assert np.mean(noise[3:] * noise[:-3]) == pytest.approx(0, abs=6e-3)
