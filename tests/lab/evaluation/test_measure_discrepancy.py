"""The size of a model's discrepancy, recovered from spectra into which it was put."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import SpectralPrior
from quietspec.lab.evaluation.discrepancy import DiscrepancySettings, measure_discrepancy
from quietspec.spectra import Spectra

WAVELENGTH = np.arange(3700.0, 7400.0, 4.0)
SETTINGS = DiscrepancySettings(length=60.0, nodes=600.0, snr=20.0, realisations=1)


@pytest.fixture(scope="module")
def prior():
    """One Gaussian over two broad components."""
    x = np.linspace(0, 1, len(WAVELENGTH))
    return SpectralPrior(
        wavelength=WAVELENGTH,
        fwhm=np.full(len(x), 5.0),
        mean=1 + 0.3 * np.sin(3 * x),
        components=np.stack([np.cos(np.pi * x), np.cos(2 * np.pi * x)]),
        truncation=np.zeros(len(x)),
        weights=np.ones(1),
        means=np.zeros((1, 2)),
        covariances=0.01 * np.eye(2)[None],
        label_names=(),
        labels=np.zeros((1, 0)),
        slopes=np.zeros((1, 0, 2)),
        label_covariances=np.zeros((1, 0, 0)),
        card={"emission": "none", "noise": "quoted"},
    )


def bright(prior, size, n=16, snr=200.0, seed=0):
    """Spectra of the prior times 1 + a process of relative rms `size` (n_pixels,) over intervals of 60 Å."""
    rng = np.random.default_rng(seed)
    truth = prior.mean + 0.1 * rng.normal(size=(n, 2)) @ prior.components
    knots = np.arange(3700.0, 7460.0, 60.0)
    process = [np.interp(WAVELENGTH, knots, np.sqrt(1.5) * rng.normal(size=len(knots))) for _ in range(n)]
    truth = truth * (1 + size * np.array(process))
    flux = truth + truth.mean() / snr * rng.normal(size=truth.shape)
    return Spectra(
        wavelength=WAVELENGTH, flux=flux, ivar=np.full(flux.shape, (snr / truth.mean()) ** 2), redshift=0.0,
        fwhm=prior.fwhm, medium="air",
    )  # fmt: skip


@pytest.mark.parametrize("size", [0.015, 0.05])
def test_the_size_is_recovered(prior, size):
    spectra = bright(prior, size)
    found = measure_discrepancy(prior, [spectra[:8], spectra[8:]], np.random.default_rng(1), SETTINGS)
    np.testing.assert_allclose(found.fraction, size, rtol=0.3)
    assert found.length == SETTINGS.length
    assert found.wavelength[0] < 3800
    assert found.wavelength[-1] > 7300
    np.testing.assert_allclose(np.diff(found.wavelength), SETTINGS.nodes)


def test_without_a_discrepancy_there_is_none(prior):
    found = measure_discrepancy(prior, [bright(prior, 0.0)], np.random.default_rng(2), SETTINGS)
    assert found.fraction.max() < 0.003


def test_it_is_found_where_it_is(prior):
    size = np.where(WAVELENGTH > 5600, 0.04, 0.01)
    found = measure_discrepancy(prior, [bright(prior, size)], np.random.default_rng(3), SETTINGS)
    np.testing.assert_allclose(found.fraction[found.wavelength > 6300], 0.04, rtol=0.3)
    np.testing.assert_allclose(found.fraction[found.wavelength < 5000], 0.01, rtol=0.4)


def test_the_unit_of_flux_and_a_few_outliers_do_not_matter(prior):
    spectra = bright(prior, 0.03)
    flux = spectra.flux.copy()
    flux[::6, 300:318] *= 1.6  # an artefact as long as a block and a bit
    one, other, spoilt = (
        measure_discrepancy(prior, [values], np.random.default_rng(4), SETTINGS).fraction
        for values in (
            spectra,
            replace(spectra, flux=spectra.flux * 1e-17, ivar=spectra.ivar * 1e34),
            replace(spectra, flux=flux),
        )
    )
    np.testing.assert_allclose(other, one, rtol=1e-4)
    np.testing.assert_allclose(spoilt, one, rtol=0.6)
