"""Results of a recipe: noise-free `RestSpectra`, and `Simulated` observations with their truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from quietspec.arrays import SHARED, BoolArray, BySpectrum, FloatArray
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

    from quietspec.templates import SspLibrary

__all__ = ["Recipe", "RestSpectra", "Simulated"]

Parameters = Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class RestSpectra(BySpectrum):
    """Noise-free galaxy spectra in the rest frame, at the resolution of the templates.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air Å.
    flux : (n_spectra, n_pixels) of float32
        Flux density, mean 1 in the S/N window.
    parameters : mapping of str to (n_spectra,)
        True parameters: always those of `population_labels`; also ``a_v`` (mag), ``velocity``, ``sigma``
        (km/s), ``h3`` and ``h4`` if the recipe draws them.
    nucleus : (n_spectra, n_pixels) of float32, optional
        Flux of active nuclei, if the recipe draws them; it is part of `flux`.
    """

    wavelength: FloatArray = field(metadata=SHARED)
    flux: FloatArray
    parameters: Parameters
    nucleus: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.flux)


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated(BySpectrum):
    """Simulated observations with their truth.

    Parameters
    ----------
    observed : Spectra
        Spectra as a telescope would deliver them, with the inverse variance it would quote.
    truth : (n_spectra, n_pixels) of float32
        What the same instrument would record without noise, gas emission and spikes, on the pixels and in the unit of
        ``observed.flux``. It includes the flux-calibration error and is NaN outside the templates.
    parameters : mapping of str to (n_spectra,)
        Parameters of `RestSpectra`; ``snr``, the S/N requested; and, if the recipe correlates the noise of neighbouring
        pixels, ``noise_correlation``.
    contaminated : (n_spectra, n_pixels) of bool, optional
        Pixels to which gas or a spike was added that is not negligible beside the noise; none if not given.
    """

    observed: Spectra
    truth: FloatArray
    parameters: Parameters
    contaminated: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.observed)

    def to_hdulist(self) -> HDUList:
        """Arrange as FITS: images FLUX, VAR, MASK, TRUTH (n_spectra × n_pixels), tables WAVE and SPECTRA.

        Returns
        -------
        astropy.io.fits.HDUList
            VAR is NaN and MASK is 1 in masked pixels. WAVE has a column ``wavelength`` and, if all spectra share their
            resolution, ``fwhm``; SPECTRA has the redshift and every parameter. The keyword MEDIUM in the header of
            FLUX states whether wavelengths are measured in air or vacuum.
        """
        import astropy.units as u
        from astropy.io import fits
        from astropy.table import Table

        spectra = self.observed
        with np.errstate(divide="ignore"):
            variance = np.where(spectra.good, 1 / spectra.ivar, np.nan)
        images = {
            "FLUX": spectra.flux.astype(np.float32),
            "VAR": variance.astype(np.float32),
            "MASK": (~spectra.good).astype(np.uint8),
            "TRUTH": self.truth.astype(np.float32),
        }
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(data, name=name) for name, data in images.items())]
        for hdu, power in zip(hdus[1:], (1, 2, 0, 1), strict=True):
            hdu.header["BUNIT"] = (spectra.unit**power).to_string("fits") if power else ""
        hdus[1].header["MEDIUM"] = (spectra.medium, "wavelengths are measured in air or vacuum")
        wave = Table({"wavelength": u.Quantity(spectra.wavelength, u.AA)})
        if spectra.fwhm is not None and spectra.fwhm.ndim == 1:
            wave["fwhm"] = u.Quantity(spectra.fwhm, u.AA)
        table = Table({"redshift": spectra.redshift, **self.parameters})
        for name, data in (("WAVE", wave), ("SPECTRA", table)):
            hdus.append(fits.BinTableHDU(data, name=name))
        return fits.HDUList(hdus)


class Recipe(Protocol):
    """A simulated world that makes spectra. All draws come from the `rng` passed in."""

    @property
    def name(self) -> str:
        """Name of the recipe, ``'paper'``, ``'survey'`` or ``'wide'``."""

    @property
    def library(self) -> SspLibrary:
        """Templates that are mixed."""

    @property
    def libraries(self) -> str:
        """Names of the libraries whose stars are mixed."""

    def rest(self, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw `n` noise-free rest-frame spectra."""

    def observe(self, rest: RestSpectra, rng: np.random.Generator, snr: float | FloatArray | None = None) -> Simulated:
        """Observe spectra at a given S/N, or at S/N drawn from the recipe's range."""

    def noise_free(self, observed: Spectra) -> Callable[[int, np.random.Generator], FloatArray]:
        """Return a function (n, rng) -> (n, n_pixels) that draws noise-free flux on the pixels of an observation."""

    def simulate(self, n: int, rng: np.random.Generator, snr: float | FloatArray | None = None) -> Simulated:
        """Draw `n` spectra and observe them."""
