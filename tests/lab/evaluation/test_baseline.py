"""The uninformed baseline: one mean spectrum times a cubic."""

import numpy as np

from quietspec.denoised import Flag
from quietspec.lab.evaluation import MeanTimesCubic
from quietspec.spectra import Spectra

from ...denoisers.conftest import small_prior
from ...denoisers.posterior.rest_frame import rest_prior


def tilted(prior, noise, seed=0):
    """The prior's mean spectrum times cubics, with noise; and its truth."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, len(prior.wavelength))
    shape = prior.mean + (prior.weights @ prior.means) @ prior.components
    truth = shape * (1 + np.polynomial.legendre.legval(x, 0.2 * rng.normal(size=(4, 30))))
    flux = truth + noise * rng.normal(size=truth.shape)
    return Spectra.from_arrays(prior.wavelength, flux, noise, redshift=0.0, medium="air"), truth


def test_it_is_right_where_it_may_be_and_says_how_far():
    prior = small_prior()
    spectra, truth = tilted(prior, 0.05)
    found = MeanTimesCubic(prior).denoise(spectra)
    pulls = (found.flux - truth) / found.sigma
    assert 0.8 < np.sqrt(np.mean(pulls**2)) < 1.2
    assert np.median(found.sigma) < 0.1 * 0.05


def test_a_prior_at_rest_is_broadened_and_masked_pixels_do_not_matter():
    prior = rest_prior()
    spectra, _ = tilted(prior, 0.05)
    ivar, flux = spectra.ivar.copy(), spectra.flux.copy()
    ivar[:, 100:140], flux[:, 100:140] = 0, 1e9
    one, other = (MeanTimesCubic(prior).denoise(spectra.with_redshift(z)) for z in (0.0, 5.0))
    masked = MeanTimesCubic(prior).denoise(Spectra(**{**vars(spectra), "ivar": ivar, "flux": flux}))
    assert np.nanmax(np.abs(masked.flux - one.flux)) < 0.02
    assert (other.flags == Flag.OUT_OF_RANGE).all()
