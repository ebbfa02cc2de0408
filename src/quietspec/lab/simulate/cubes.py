"""Simulated MUSE cubes of any size, written to disk a few image lines at a time and never held in memory whole."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import WriteError
from quietspec.io.writing.atomic import os_errors_named, whole_file
from quietspec.io.writing.mapped import MappedImages
from quietspec.lab.simulate.instruments import INSTRUMENTS, Instrument
from quietspec.lab.simulate.noise import correlated_noise
from quietspec.lab.simulate.survey import SurveyRecipe
from quietspec.progress import Progress

if TYPE_CHECKING:
    from astropy.io import fits

    from quietspec.templates import SspLibrary

__all__ = ["SimulatedCube"]

_UNIT = "10**(-20)*erg/s/cm**2/Angstrom"
_SKY = 20.0  # 1σ of the noise where its law is 1, in that unit; typical of an hour of exposure
_VALUES_AT_ONCE = 2**21  # spaxels times pixels held in memory
_NO_NOISE = 1e9  # S/N


@dataclass(frozen=True, eq=False)
class SimulatedCube:
    """A galaxy of a few hundred stellar populations that fades outwards, observed under the noise of the sky.

    Parameters
    ----------
    shape : (ny, nx)
        Spaxels of the field.
    redshift : float
        Redshift of the galaxy.
    spectra : (n_populations, n_pixels)
        Noise-free spectra, gas included; the stellar part has mean 1 over the pixels that the templates cover.
    population : (n_spaxels,) of int
        Row of `spectra` that each spaxel shows.
    brightness : (n_spaxels,)
        Flux of each spaxel in the cube's unit, by which that row is multiplied.
    seed : int
        Seed of the noise; each image line has a random stream of its own.
    """

    shape: tuple[int, int]
    redshift: float
    spectra: FloatArray
    population: npt.NDArray[np.integer]
    brightness: FloatArray
    seed: int

    @classmethod
    def draw(
        cls,
        library: SspLibrary,
        shape: tuple[int, int],
        *,
        seed: int = 0,
        redshift: float = 0.03,
        snr: tuple[float, float] = (1.5, 40.0),
        n_populations: int = 200,
    ) -> SimulatedCube:
        """Draw the populations and assign them to spaxels.

        Parameters
        ----------
        library : SspLibrary
            Templates, in air wavelengths.
        shape : (ny, nx)
            Spaxels of the field.
        seed : int, optional
            Seed of all draws.
        redshift : float, optional
            Redshift of the galaxy.
        snr : (lowest, highest), optional
            S/N per pixel in the corners and at the centre; it falls exponentially in between.
        n_populations : int, optional
            Number of different spectra, drawn by the recipe `survey`.

        Returns
        -------
        SimulatedCube
            Ready to write.
        """
        rng = np.random.default_rng(seed)
        recipe = SurveyRecipe(
            library, instruments=["MUSE"], masks=False, spikes=False, noise_correlation=False, sky=False
        )
        rest = recipe.rest(n_populations, rng)
        seen = recipe.observe(rest, rng, _NO_NOISE, instrument="MUSE", redshift=redshift)
        muse = INSTRUMENTS["MUSE"]
        covered = np.searchsorted(seen.observed.wavelength, muse.wavelength)
        covered = np.clip(covered, 0, seen.observed.n_pixels - 1)  # beyond the templates, their last value is repeated
        level = seen.truth.mean(axis=1, keepdims=True)
        y, x = np.indices(shape)
        radius = np.hypot(y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2).ravel()
        fading = (snr[0] / snr[1]) ** (radius / max(radius.max(), 1e-9))
        return cls(
            shape=shape,
            redshift=redshift,
            spectra=(seen.observed.flux / level)[:, covered],
            population=rng.integers(n_populations, size=radius.size),
            brightness=snr[1] * fading * float(np.median(_sigma(muse))),
            seed=seed,
        )

    def write(
        self,
        path: str | PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Write a FITS file in MUSE's layout: flux in DATA, variance in STAT.

        Parameters
        ----------
        path : path
            The file; it appears whole or not at all.
        overwrite : bool, optional
            Replace the file if it exists.
        progress : callable, optional
            Called with the number of image lines written and their total.

        Raises
        ------
        WriteError
            If the file exists, cannot be written, or the disk is full.
        """
        target, (ny, nx), n_pixels = Path(path), self.shape, self.spectra.shape[1]
        if min(self.shape) < 1:
            raise WriteError(
                f"{target}: a cube of shape {self.shape} has no spaxels. Give at least one line and one column."
            )
        lines = max(1, _VALUES_AT_ONCE // (nx * n_pixels))
        sigma = _sigma(INSTRUMENTS["MUSE"])
        headers = {name: _header(name, self.shape) for name in ("DATA", "STAT")}
        with whole_file(target, overwrite=overwrite) as partial, os_errors_named(target):
            images = MappedImages(partial, _primary(), headers, target)
            for first in range(0, ny, lines):
                block = slice(first, min(first + lines, ny))
                rows = slice(block.start * nx, block.stop * nx)
                shape = (n_pixels, block.stop - block.start, nx)
                images.arrays["DATA"][:, block] = self._observed(rows, sigma).T.reshape(shape)
                images.arrays["STAT"][:, block] = (sigma**2)[:, None, None]
                images.release()
                if progress is not None:
                    progress(block.stop, ny)
            images.complete()
            images.close()

    def _observed(self, rows: slice, sigma: FloatArray) -> FloatArray:
        nx = self.shape[1]
        noise = [
            correlated_noise((nx, len(sigma)), np.random.default_rng([self.seed, line]), _CORRELATION)
            for line in range(rows.start // nx, rows.stop // nx)
        ]
        brightness = self.brightness[rows, None].astype(np.float32)
        return np.asarray(self.spectra[self.population[rows]] * brightness + sigma * np.concatenate(noise))


_CORRELATION = float(np.mean(INSTRUMENTS["MUSE"].noise.correlation))


def _sigma(muse: Instrument) -> FloatArray:
    """1σ noise of the sky, (n_pixels,)."""
    return np.asarray(_SKY * muse.noise.relative_sigma(muse.wavelength)[0])


def _primary() -> fits.Header:
    from astropy.io import fits

    header = fits.PrimaryHDU().header
    header["EXTEND"] = True
    header["INSTRUME"] = ("MUSE", "simulated by quietspec")
    header["OBJECT"] = "simulated galaxy"
    return header


def _header(name: str, shape: tuple[int, int]) -> fits.Header:
    from astropy.io import fits

    wavelength = INSTRUMENTS["MUSE"].wavelength
    whole = np.broadcast_to(np.zeros((), np.float32), (len(wavelength), *shape))
    header = fits.ImageHDU(whole, name=name).header
    header["BUNIT"] = _UNIT if name == "DATA" else f"({_UNIT})**2"
    axes = (("RA---TAN", 150.0, -0.2 / 3600), ("DEC--TAN", 2.2, 0.2 / 3600))
    for axis, (kind, value, step) in enumerate(axes, start=1):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = kind, "deg"
        header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = value, (shape[2 - axis] + 1) / 2
        header[f"CD{axis}_{axis}"] = step
    header["CTYPE3"], header["CUNIT3"] = "AWAV", "Angstrom"
    header["CRVAL3"], header["CRPIX3"] = float(wavelength[0]), 1.0
    header["CD3_3"] = float(wavelength[1] - wavelength[0])
    header["INSTRUME"] = "MUSE"
    header["DATASUM"] = "0"
    return header
