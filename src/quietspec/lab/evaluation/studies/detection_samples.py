"""Test spectra for the study of detection: real and simulated galaxies, stars, quasars, sky residuals, noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.degrade import degrade
from quietspec.lab.evaluation.outsiders import (
    moved,
    observed_at_rest,
    quasar_spectra,
    rescaled_errors,
    sky_residuals,
    without_signal,
)
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright
from quietspec.lab.simulate import INSTRUMENTS, Draws, SurveyRecipe
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.wavelengths import in_window

__all__ = ["SimulatedTests", "degraded", "load_stars", "real_galaxies"]

_LEAST = 4.0  # S/N of real galaxies
_LEAST_COVERED = 0.1  # of the wavelengths by a stellar library
_PARTS: tuple[tuple[str, ...], tuple[str, ...]] = (  # data sets for the laws, and for the tests
    ("ngc3522", "SAMI 230776_A", "CALIFA NGC2691"),
    ("ngc3073", "SAMI 56140_B", "SAMI 56140_D", "muse-a478"),
)
_REDSHIFTS_PER_INSTRUMENT = 4  # of test galaxies, each misplaced by another velocity


def real_galaxies(real: RealSpectra) -> tuple[dict[str, Spectra], dict[str, Spectra]]:
    """Read real galaxies, one part for the laws and the other for the tests; no galaxy is in both.

    Parameters
    ----------
    real : RealSpectra
        Where they are.

    Returns
    -------
    to_calibrate, to_test : dict of str to Spectra
        Distinct spectra of S/N above 4 by data set.
    """
    sets = {name: real.fetched(name) for name in ("manga", "ngc3522", "ngc3073", "muse-a478")}
    sets |= {f"SAMI {cube}": real.sami(cube) for cube in ("230776_A", "56140_B", "56140_D")}
    sets |= {"CALIFA NGC2691": real.califa()}
    found = {name: distinct_bright(spectra, _LEAST) for name, spectra in sets.items() if spectra is not None}
    first, second = ({name: found[name] for name in names if name in found} for names in _PARTS)
    if "manga" in found:
        first["manga"], second["manga"] = found["manga"][0::2], found["manga"][1::2]
    return first, second


def degraded(spectra: Spectra, snr: float, rng: np.random.Generator) -> Iterator[Spectra]:
    """Degrade the spectra of higher S/N.

    Parameters
    ----------
    spectra : Spectra
        Any spectra.
    snr : float
        S/N wanted.
    rng : numpy.random.Generator
        Source of the noise.

    Yields
    ------
    Spectra
        The degraded spectra, if any has a higher S/N.
    """
    bright = spectra[np.flatnonzero(spectra.snr > 1.05 * snr)]
    if len(bright):
        yield degrade(bright, snr, rng)


class SimulatedTests:
    """Simulated galaxies and outsiders, before every instrument of a recipe.

    Parameters
    ----------
    recipe : SurveyRecipe
        Recipe of the galaxies.
    n : int
        Galaxies at each S/N, and as many stars; half as many of the other outsiders.
    seed : int
        Seed of all draws.
    stars : Path, optional
        Folder of a stellar library; without it there are no stars.
    """

    def __init__(self, recipe: SurveyRecipe, n: int, seed: int, stars: Path | None = None) -> None:
        self.recipe, self._quiet = recipe, recipe.without_gas()
        self._size, self._seed = max(n // len(recipe.instruments), 1), seed
        self._stars = None if stars is None else load_stars(stars, self._quiet.wavelength)

    def at(self, snr: float) -> Iterator[tuple[str, Spectra]]:
        """Make the test spectra of one S/N.

        Parameters
        ----------
        snr : float
            The S/N.

        Yields
        ------
        kind : str
            ``galaxies``, or a kind of outsiders.
        spectra : Spectra
            A batch of this kind.
        """
        some = max(self._size // 2, 1)
        for number, name in enumerate(one.name for one in self.recipe.instruments):
            draws = Draws.of("detection: tests", snr, self._seed, number)
            rng = stream("detection: outsiders", self._seed, round(1e6 * snr), number)
            yield from _galaxies(self.recipe, snr, name, -(-self._size // _REDSHIFTS_PER_INSTRUMENT), draws)
            if self._stars is not None:
                wavelength, stars = self._stars
                flux = stars[rng.choice(len(stars), self._size)]
                yield "stars", observed_at_rest(self._quiet, flux, rng, snr, name, wavelength=wavelength)
            yield from _quasars(self._quiet, snr, name, some, rng)
            dark = self._quiet.simulate(some, rng, snr, instrument=name)
            yield "noise", without_signal(dark)
            yield "sky residuals", sky_residuals(dark, rng, snr)


def load_stars(folder: Path, wavelength: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Load the spectra of a stellar library on given pixels, in the frame of the stars.

    Parameters
    ----------
    folder : Path
        Folder of one-dimensional FITS spectra with a linear wavelength axis.
    wavelength : (n_pixels,)
        Air Å, increasing.

    Returns
    -------
    covered : (n_covered,)
        Those of the wavelengths that the first star covers.
    flux : (n_stars, n_covered)
        Fluxes of the stars that cover as much.

    Raises
    ------
    QuietspecError
        If there is no star that covers a tenth of the wavelengths.
    """
    from astropy.io import fits

    flux: list[FloatArray] = []
    covered = wavelength[:0]
    for file in sorted(folder.glob("*.fits*")):
        values, header = fits.getdata(file, header=True)
        own = header["CRVAL1"] + header["CDELT1"] * np.arange(len(values))
        if not flux:
            covered = wavelength[in_window(wavelength, (own[0], own[-1]))]
            if len(covered) < _LEAST_COVERED * len(wavelength):
                continue
        if np.isfinite(values).all() and own[0] <= covered[0] and own[-1] >= covered[-1]:
            flux.append(np.interp(covered, own, values))
    if not flux:
        raise QuietspecError(f"{folder}: no FITS spectrum of a star covers {wavelength[0]:.0f}–{wavelength[-1]:.0f} Å.")
    return covered, np.array(flux)


def _galaxies(recipe: SurveyRecipe, snr: float, instrument: str, n: int, draws: Draws) -> Iterator[tuple[str, Spectra]]:
    """Galaxies of several redshifts; all also with a wrong redshift, the first also with wrong errors."""
    for part in range(_REDSHIFTS_PER_INSTRUMENT):
        observed = draws.simulate(recipe, n, snr, instrument).observed
        yield "galaxies", observed
        velocity = draws.galaxies.choice([-1, 1]) * 10 ** draws.galaxies.uniform(3, np.log10(3e4))
        yield "wrong redshift", moved(observed, velocity)
        if part == 0:
            yield "errors halved", rescaled_errors(observed, 0.5)
            yield "errors doubled", rescaled_errors(observed, 2)


def _quasars(
    quiet: SurveyRecipe, snr: float, instrument: str, n: int, rng: np.random.Generator
) -> Iterator[tuple[str, Spectra]]:
    """Quasars of any redshift behind a galaxy, and quasars at its redshift."""
    behind = quasar_spectra(quiet.wavelength, rng.uniform(0.3, 3.0, n), rng)
    yield "quasars behind", observed_at_rest(quiet, behind, rng, snr, instrument)
    z = float(rng.uniform(*quiet.redshifts(INSTRUMENTS[instrument])))
    there = quasar_spectra(quiet.wavelength, np.full(n, z), rng)
    yield "quasars at z", observed_at_rest(quiet, there, rng, snr, instrument).with_redshift(z)
