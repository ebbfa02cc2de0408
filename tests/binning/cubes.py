"""Small cubes of flat spectra, and a result that estimates nothing, so that all data are residuals."""

from __future__ import annotations

import numpy as np

from quietspec.denoised import Denoised, ModelId
from quietspec.spectra import Spectra

N_PIXELS = 6


def cube(signal, sigma=1.0, **fields) -> Spectra:
    """Flat spectra of given levels, (ny, nx)."""
    signal = np.asarray(signal, dtype=float)
    flux = signal.reshape(-1, 1) * np.ones(N_PIXELS)
    wavelength = 5000.0 + np.arange(N_PIXELS)
    ivar = np.broadcast_to(np.asarray(sigma, dtype=float).reshape(-1, 1) ** -2.0, flux.shape)
    settings = {"medium": "air", "spatial_shape": signal.shape, "redshift": 0.01} | fields
    return Spectra(wavelength=wavelength, flux=flux, ivar=ivar, **settings)


def masked(spectra: Spectra, row: int, pixels) -> Spectra:
    """The same with some pixels of a spectrum masked."""
    flux, ivar = spectra.flux.copy(), spectra.ivar.copy()
    flux[row, pixels], ivar[row, pixels] = np.nan, 0
    return Spectra(
        wavelength=spectra.wavelength, flux=flux, ivar=ivar, spatial_shape=spectra.spatial_shape, redshift=0.01,
        medium="air",
    )  # fmt: skip


def noise_alone(noise: np.ndarray, sigma: float = 1.0) -> Denoised:
    """Noise (ny, nx, n_pixels) whose estimate is 0."""
    flux = sigma * noise.reshape(-1, noise.shape[-1])
    spectra = Spectra(
        wavelength=5000.0 + np.arange(flux.shape[1]), flux=flux, ivar=np.full(flux.shape, sigma**-2.0), redshift=0.01,
        spatial_shape=noise.shape[:2], medium="air",
    )  # fmt: skip
    unknown = np.full(len(flux), np.nan)
    return Denoised(
        spectra=spectra, flux=np.zeros(flux.shape), sigma=np.ones(flux.shape), flags=np.zeros(len(flux), dtype=int),
        ignored=np.zeros(flux.shape, dtype=bool), model=ModelId("nothing"), chi2=unknown, dof=unknown, evidence=unknown,
    )  # fmt: skip
