"""The example cube that ships with the package, as FITS: rounded below the noise, compressed, its truth beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec import __version__
from quietspec.io.writing import hdus
from quietspec.lab.simulate.galaxy import simulate_galaxy
from quietspec.lab.simulate.simulated import Simulated
from quietspec.templates import SspLibrary

__all__ = ["demo_cube"]

_SHAPE = (20, 20)
_LIMITS = (3700.0, 7000.0)  # observed Å: from the Balmer break to Hα and [SII]
_FLUX_STEP, _TRUTH_STEP = 0.1, 0.02  # of the lowest noise; rounding adds 0.03 and 0.006 of it
_VARIANCE_STEP = 0.01  # of the lowest variance


def demo_cube(library: SspLibrary, seed: int) -> fits.HDUList:
    """Simulate the example cube.

    Parameters
    ----------
    library : SspLibrary
        Templates.
    seed : int
        Seed of all draws.

    Returns
    -------
    astropy.io.fits.HDUList
        A cube that any reader of generic FITS cubes understands, and the truth beside it. Fluxes are rounded to a
        fraction of the noise, with dither, and compressed by Rice's method, which FITS readers undo by themselves.
    """
    simulated = simulate_galaxy(library, np.random.default_rng(seed), shape=_SHAPE)
    observed = simulated.observed.between(*_LIMITS)
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "simulated galaxy"
    primary.header["REDSHIFT"] = float(observed.redshift[0])
    primary.header["LIBRARY"] = simulated.observed.meta["library"]
    primary.header["HISTORY"] = f"Simulated by quietspec {__version__}: benchmarks/make_demo_cube.py --seed {seed}"
    mask = _compressed(_cube(~observed.good, np.uint8), hdus.bulk_header("MASK", np.uint8, observed), "MASK")
    fwhm = fits.ImageHDU(np.asarray(observed.fwhm, dtype=np.float32), name="FWHM")
    fwhm.header["BUNIT"] = "Angstrom"
    parameters = hdus.spectra_table(dict(simulated.parameters))
    parameters.header.remove("COMMENT", ignore_missing=True, remove_all=True)  # explains flags, and there are none
    return fits.HDUList([primary, *_images(simulated), mask, fwhm, hdus.wave_table(observed), parameters])


def _images(simulated: Simulated) -> list[fits.CompImageHDU]:
    """Flux, variance and truth within the limits."""
    observed = simulated.observed.between(*_LIMITS)
    kept = np.isin(simulated.observed.wavelength, observed.wavelength)
    noise = float(observed.sigma.min())
    with np.errstate(divide="ignore"):
        variance = np.where(observed.good, 1 / observed.ivar, np.nan)
    cubes = {
        "FLUX": (observed.flux, _FLUX_STEP * noise),
        "VAR": (variance, _VARIANCE_STEP * noise**2),
        "TRUTH": (simulated.truth[:, kept], _TRUTH_STEP * noise),
    }
    images = []
    for name, (spectra, step) in cubes.items():
        header = hdus.bulk_header("VAR" if name == "VAR" else "FLUX", np.float32, observed)
        images.append(_compressed(_cube(spectra, np.float32), header, name, step))
    return images


def _cube(spectra: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
    """(n_spectra, n_pixels) as (n_pixels, ny, nx)."""
    return np.ascontiguousarray(spectra.astype(dtype).T).reshape(-1, *_SHAPE)


def _compressed(data: npt.NDArray[Any], header: fits.Header, name: str, step: float = 0.0) -> fits.CompImageHDU:
    """Compress along the wavelength, spaxel by spaxel; floats are rounded to multiples of `step`."""
    del header["DATASUM"]
    lossy: dict[str, Any] = {"quantize_level": -step, "quantize_method": 1, "dither_seed": 1} if step else {}
    return fits.CompImageHDU(data, header, name=name, compression_type="RICE_1", tile_shape=(len(data), 1, 1), **lossy)
