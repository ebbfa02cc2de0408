"""Spectra made of the shipped prior and the model of motions itself: dispersions and h4 are as likely as they claim."""

import numpy as np
import pytest

from quietspec.denoisers import KinematicPosterior, load_prior
from quietspec.denoisers.posterior.losvd import LosvdBasis, log_width
from quietspec.lab.simulate.kinematics import log_wavelengths
from quietspec.spectra import Spectra

_N, _REDSHIFT = 240, 0.03
_REST = log_wavelengths(3750.0, 7200.0, 69.0)


@pytest.fixture(scope="module")
def tool():
    return KinematicPosterior("posterior", load_prior("survey"), emission="none", noise="quoted")


def made_of(tool, snr, rng):
    """Spectra of even S/N per pixel, with their σ (km/s) and h4."""
    prior = tool.prior
    member = rng.choice(prior.n_mixture, _N, p=prior.weights / prior.weights.sum())
    half = np.linalg.cholesky(prior.covariances)[member]
    shape = prior.means[member] + np.einsum("nij,nj->ni", half, rng.standard_normal(half.shape[:2]))
    shape = np.linalg.solve(tool.coordinates.populations.transform, np.column_stack([np.ones(_N), shape]).T).T
    basis = LosvdBasis(tool.coordinates.table, _REST)
    sigma = np.exp(rng.uniform(np.log(20), np.log(500), _N))
    moments = 0.05 * rng.standard_normal((_N, 2))
    flux = np.empty((_N, len(_REST)))
    for one, x, width, h in zip(flux, shape, log_width(sigma), moments, strict=True):
        local = basis.linearise(float(rng.normal(0, 110)), float(width), x)
        one[:] = local.spectrum + local.with_shape @ h
    noise = np.abs(flux.mean(axis=1, keepdims=True)) / snr
    seen = flux + noise * rng.standard_normal(flux.shape)
    spectra = Spectra(
        wavelength=_REST * (1 + _REDSHIFT),
        flux=seen,
        ivar=np.broadcast_to(noise**-2, flux.shape).copy(),
        redshift=np.full(_N, _REDSHIFT),
        medium="air",
    )
    return spectra, sigma, moments[:, 1]


@pytest.mark.parametrize("snr", [25.0, 100.0])
def test_dispersion_and_h4_are_off_by_what_they_state(tool, snr):
    spectra, sigma, h4 = made_of(tool, snr, np.random.default_rng(int(snr)))
    found = tool.denoise(spectra).parameters
    for name, truth in (("sigma", sigma), ("h4", h4)):
        pull = (found[name][0] - truth) / found[name][1]
        usual = pull[np.abs(pull) < 5]
        assert len(usual) > 0.97 * _N
        assert abs(usual.mean()) < 0.2
        assert abs(np.mean(np.abs(pull) < 1) - 0.68) < 0.1
