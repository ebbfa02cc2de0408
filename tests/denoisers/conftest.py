"""A small world with a known prior: closed forms to hold the denoisers against."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers import SpectralPrior
from quietspec.spectra import Spectra

WAVELENGTH = np.arange(3700.0, 7400.0, 4.0)


def small_prior(n_mixture=3, n_components=4, seed=0, truncation=0.0):
    """A prior of smooth basis vectors with a random mixture and two labels."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, len(WAVELENGTH))
    mean = 1 + 0.3 * np.sin(3 * x)
    components = np.stack([np.cos((k + 1) * np.pi * x) for k in range(n_components)])
    roots = rng.normal(size=(n_mixture, n_components, n_components)) * 0.03
    return SpectralPrior(
        wavelength=WAVELENGTH,
        fwhm=np.full(len(WAVELENGTH), 5.0),
        mean=mean,
        components=components,
        truncation=np.full(len(WAVELENGTH), truncation),
        weights=np.full(n_mixture, 1 / n_mixture),
        means=rng.normal(size=(n_mixture, n_components)) * 0.08,
        covariances=roots @ np.swapaxes(roots, 1, 2) + 1e-5 * np.eye(n_components),
        label_names=("log_age_mw", "mh_mw"),
        labels=rng.normal(size=(n_mixture, 2)),
        slopes=rng.normal(size=(n_mixture, 2, n_components)),
        label_covariances=np.broadcast_to(0.01 * np.eye(2), (n_mixture, 2, 2)).copy(),
        card={"emission": "none", "noise": "quoted"},
    )


def with_parts(prior, offset=0.3):
    """The same prior, with a tail to what is left of the labels: parts of mean 0 and of other shapes."""
    n, size = prior.labels.shape
    offsets = np.zeros((n, 2, size))
    offsets[:, 0, 0], offsets[:, 1, 0] = -0.2 * offset, 0.8 * offset
    spreads = np.stack([np.diag([1e-3, 4e-3]), [[0.05, 0.02], [0.02, 0.03]]])
    weights = np.tile([0.8, 0.2], (n, 1))
    whole = np.einsum("kp,kpi,kpj->kij", weights, offsets, offsets) + 0.8 * spreads[0] + 0.2 * spreads[1]
    return replace(
        prior, part_weights=weights, part_offsets=offsets, part_covariances=np.tile(spreads, (n, 1, 1, 1)),
        label_covariances=whole,
    )  # fmt: skip


def left_of_labels(prior, member, rng):
    """Draw what is left of the labels of spectra of given Gaussians."""
    if prior.part_weights is None:
        return 0.1 * rng.normal(size=(len(member), 2))
    part = (rng.random((len(member), 1)) > np.cumsum(prior.part_weights[member], axis=1)[:, :-1]).sum(axis=1)
    half = np.linalg.cholesky(prior.part_covariances)[member, part]
    return prior.part_offsets[member, part] + np.einsum("nij,nj->ni", half, rng.normal(size=(len(member), 2)))


def draw(prior, n, snr, rng, scale=1.0):
    """Truth from the prior, observed with white noise; returns Spectra, truth, coefficients, labels."""
    member = rng.choice(prior.n_mixture, n, p=prior.weights)
    half = np.linalg.cholesky(prior.covariances)
    offset = np.einsum("nij,nj->ni", half[member], rng.normal(size=(n, prior.n_components)))
    coefficients = prior.means[member] + offset
    labels = prior.labels[member] + np.einsum("npi,ni->np", prior.slopes[member], offset)
    labels += left_of_labels(prior, member, rng)
    truth = scale * (prior.mean + coefficients @ prior.components)
    sigma = np.full(truth.shape, scale / snr)
    spectra = Spectra(
        wavelength=prior.wavelength,
        flux=truth + sigma * rng.normal(size=truth.shape),
        ivar=sigma**-2,
        redshift=0.0,
        fwhm=prior.fwhm,
        medium="air",
    )
    return spectra, truth, coefficients, labels


@pytest.fixture
def prior():
    return small_prior()
