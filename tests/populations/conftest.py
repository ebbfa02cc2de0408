"""Spectra whose populations and kinematics are known."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.resampling import Resampler
from quietspec.spectra import Spectra
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT, rest_air

pytest.importorskip("ppxf")
WAVELENGTH = np.arange(4000.0, 6900.0, 1.2)


def observe(
    library, weights, velocity=0.0, sigma=150.0, *, wavelength=WAVELENGTH, redshift=0.0, medium="air", fwhm=None,
    snr=300, rng=None,
):  # fmt: skip
    """Populations (n, n_ssp) of one velocity and dispersion each, through an instrument of one FWHM (Å), with noise."""
    weights = np.atleast_2d(weights)
    velocities, dispersions = (np.broadcast_to(values, len(weights)) for values in (velocity, sigma))
    rest = rest_air(wavelength, redshift, medium)
    own = np.interp(rest, library.wavelength, library.fwhm)
    added = 0.0 if fwhm is None else np.clip((fwhm / (1 + redshift)) ** 2 - own**2, 0, None) ** 0.5 / FWHM_PER_SIGMA
    flux = np.empty((len(weights), len(wavelength)))
    for v, s in {*zip(velocities.tolist(), dispersions.tolist(), strict=True)}:
        same = (velocities == v) & (dispersions == s)
        width = np.hypot(rest * s / SPEED_OF_LIGHT, added)
        resample = Resampler(library.wavelength, rest * np.exp(-v / SPEED_OF_LIGHT), width)
        flux[same] = weights[same] @ resample(library.spectra)
    error = np.median(flux, axis=1, keepdims=True) / snr * np.ones_like(flux)
    if rng is not None:
        flux = flux + error * rng.normal(size=flux.shape)
    return Spectra(
        wavelength=wavelength, flux=flux, ivar=error**-2, redshift=redshift, medium=medium,
        fwhm=np.full(len(wavelength), np.nan if fwhm is None else fwhm),
    )  # fmt: skip


def only(library, *numbers):
    """Weights of single SSPs of the library."""
    return np.eye(library.n_ssp)[list(numbers)]


@pytest.fixture(scope="session")
def four(tiny_library):
    """Four noisy mixtures of different kinematics."""
    rng = np.random.default_rng(11)
    weights = rng.dirichlet(np.full(tiny_library.n_ssp, 0.3), 4)
    return observe(tiny_library, weights, [-80, 0, 60, 200], [90, 140, 180, 220], snr=40, rng=rng)
