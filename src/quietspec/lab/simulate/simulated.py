"""What a recipe makes: noise-free `RestSpectra`, and `Simulated` observations with their truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

    from quietspec.templates import SspLibrary

__all__ = ["Recipe", "RestSpectra", "Simulated"]

Parameters = Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class RestSpectra:
    """Noise-free galaxy spectra in the rest frame, at the resolution of the templates.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air Å.
    flux : (n_spectra, n_pixels) of float32
        Flux density, mean 1 in the S/N window.
    parameters : mapping of str to (n_spectra,)
        True parameters: always ``log_age_mw``, ``log_age_lw`` (log10 yr), ``mh_mw``, ``mh_lw`` (dex); where the recipe
        has them ``a_v`` (mag), ``velocity``, ``sigma`` (km/s), ``h3``, ``h4``.
    """

    wavelength: FloatArray
    flux: FloatArray
    parameters: Parameters

    def __len__(self) -> int:
        return len(self.flux)

    def __getitem__(self, rows: Any) -> RestSpectra:
        """Select spectra by slice, list or mask."""
        return RestSpectra(
            wavelength=self.wavelength,
            flux=self.flux[rows],
            parameters={name: values[rows] for name, values in self.parameters.items()},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """Simulated observations beside the truth.

    Parameters
    ----------
    observed : Spectra
        What a telescope would deliver, with the ivar it would quote.
    truth : (n_spectra, n_pixels) of float32
        What the same instrument would record without noise, gas emission and spikes, in the unit of
        ``observed.flux``, on its pixels: a flux-calibration error is part of it. NaN outside the templates.
    parameters : mapping of str to (n_spectra,)
        Those of `RestSpectra`, ``snr``, the S/N asked for, and ``noise_correlation``, that of neighbouring channels,
        where they are correlated.
    contaminated : (n_spectra, n_pixels) of bool, optional
        Where gas or a spike was added that counts beside the noise; none if not given.
    """

    observed: Spectra
    truth: FloatArray
    parameters: Parameters
    contaminated: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.observed)

    def __getitem__(self, rows: slice) -> Simulated:
        """Select spectra by slice."""
        return Simulated(
            observed=self.observed[rows],
            truth=self.truth[rows],
            parameters={name: values[rows] for name, values in self.parameters.items()},
            contaminated=None if self.contaminated is None else self.contaminated[rows],
        )

    def to_hdulist(self) -> HDUList:
        """Arrange as FITS: FLUX, VAR, MASK, TRUTH (n_spectra × n_pixels), tables WAVE and SPECTRA.

        Returns
        -------
        astropy.io.fits.HDUList
            VAR is NaN and MASK 1 where masked; WAVE has one column ``wavelength``; SPECTRA has the redshift and
            every parameter. FLUX's header says what the wavelengths are measured in (keyword MEDIUM).
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
    """How a simulated world makes spectra. All draws come from the `rng` given."""

    @property
    def name(self) -> str:
        """Name of the recipe, ``'paper'`` or ``'survey'``."""

    @property
    def library(self) -> SspLibrary:
        """Templates it mixes."""

    def rest(self, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw `n` noise-free rest-frame spectra."""

    def observe(self, rest: RestSpectra, rng: np.random.Generator, snr: float | FloatArray | None = None) -> Simulated:
        """Observe spectra at the S/N given, or at S/N drawn from the recipe's range."""

    def noise_free(self, observed: Spectra) -> Callable[[int, np.random.Generator], FloatArray]:
        """What is recorded without noise on the pixels of an observation, as a function of random draws."""

    def simulate(self, n: int, rng: np.random.Generator, snr: float | FloatArray | None = None) -> Simulated:
        """Draw `n` spectra and observe them."""
