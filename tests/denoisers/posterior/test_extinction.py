"""Dust of the Milky Way is a screen before the galaxy: if known, it changes nothing that is the galaxy's own."""

import numpy as np
import pytest

from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.extinction import transmission
from quietspec.spectra import Spectra

from .rest_frame import rest_prior
from .test_kinematic_denoiser import moving

LAW = CalibrationLaw(0.01, 0.0, ((200.0, 0.01),))


@pytest.fixture(scope="module")
def denoiser():
    return KinematicPosterior("kinematic", rest_prior(), calibration=LAW)


def reddened(spectra, ebv):
    """The same stars and the same S/N in each pixel behind dust of the Milky Way."""
    passed = transmission(spectra.wavelength, np.broadcast_to(ebv, len(spectra)))
    return Spectra(
        wavelength=spectra.wavelength, flux=spectra.flux * passed, ivar=spectra.ivar / passed**2,
        redshift=spectra.redshift, ebv=ebv, medium=spectra.medium,
    )  # fmt: skip


@pytest.mark.parametrize("ebv", [0.05, 0.4, np.array([0.0, 0.1, 0.8, 0.2])], ids=["little", "much", "each its own"])
def test_known_dust_leaves_labels_as_they_are_and_flux_as_observed(denoiser, ebv):
    spectra, *_ = moving(4, 25, np.random.default_rng(11))
    plain, behind = denoiser.denoise(spectra), denoiser.denoise(reddened(spectra, ebv))
    for name, (mean, error) in plain.parameters.items():
        other, other_error = behind.parameters[name]
        np.testing.assert_allclose((other - mean) / error, 0, atol=0.05, err_msg=name)
        np.testing.assert_allclose(other_error, error, rtol=0.05, err_msg=name)
    passed = transmission(spectra.wavelength, np.broadcast_to(ebv, len(spectra)))
    difference = behind.flux - plain.flux * passed
    assert np.nanmax(np.abs(difference) / (plain.sigma * passed)) < 0.1
    np.testing.assert_allclose(behind.sigma, plain.sigma * passed, rtol=0.05)
    factor, other = plain.covariance_factor(2), behind.covariance_factor(2)
    np.testing.assert_allclose((other**2).sum(axis=1), (factor**2).sum(axis=1) * passed[2] ** 2, rtol=0.1)
    assert behind.spectra.ebv.tolist() == np.broadcast_to(ebv, 4).tolist()


def test_dust_that_nobody_told_of_makes_a_difference(denoiser):
    spectra, *_ = moving(4, 25, np.random.default_rng(12))
    seen = reddened(spectra, 0.4)
    known = denoiser.denoise(seen)
    unknown = denoiser.denoise(Spectra(**{**vars(seen), "ebv": 0.0}))
    assert (unknown.evidence < known.evidence - 5).all()
