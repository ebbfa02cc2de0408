"""Medium and resolution of SSP libraries, measured by pPXF fits with M11-ELODIE (0.55 Å) as templates.

Solar SSPs near 1, 5 and 10 Gyr of each library are fitted in three ranges with the SSPs of `m11-elodie`; mixture,
velocity, dispersion and a continuum of degree 10 are free. The velocity tells air from vacuum (83 km/s apart; the
loader has brought all libraries to air); the dispersion and ELODIE's own width give the FWHM to compare with the one
stated.
"""

from __future__ import annotations

import numpy as np
from rich.table import Table

from quietspec.io.fetching import fetch
from quietspec.lab.simulate.kinematics import log_wavelengths
from quietspec.templates import SspLibrary, load_library
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["LIBRARIES", "library_resolution_table"]

#: Libraries that are measured, by their names in `fetch`.
LIBRARIES = ("miles", "emiles", "miuscat", "bc03", "bpass", "m11-miles", "m11-stelib", "m11-marcs", "mastar")
_RANGES = ((4050.0, 5000.0), (5000.0, 6000.0), (6000.0, 6650.0))  # Å
_LOG_AGES = (9.0, 9.7, 10.0)
_VELOCITY_STEP = 20.0  # km/s per pixel


def library_resolution_table(names: tuple[str, ...] = LIBRARIES) -> Table:
    """Measure libraries, and tabulate velocity and FWHM beside the FWHM stated.

    Parameters
    ----------
    names : tuple of str
        Libraries, by their names in `fetch`.

    Returns
    -------
    rich.table.Table
        One row per library and range; three numbers in a cell are those of the three ages.
    """
    templates = load_library(fetch("m11-elodie")).at(log_wavelengths(3910.0, 6780.0, _VELOCITY_STEP)).normalised()
    table = Table("library", "Å", "velocity, km/s", "FWHM, Å", "stated", "residual, %", box=None)
    for name in names:
        library = load_library(fetch(name))
        for low, high in _RANGES:
            seen = np.array([_fit(library, templates, log_age, low, high) for log_age in _LOG_AGES])
            stated = np.interp(np.sqrt(low * high), library.wavelength, library.fwhm)
            velocity, fwhm, residual = (
                " ".join(f"{value:.{digits}f}" for value in column)
                for column, digits in zip(seen.T, (0, 2, 1), strict=True)
            )
            table.add_row(name, f"{low:.0f}–{high:.0f}", velocity, fwhm, f"{stated:.2f}", residual)
    return table


def _fit(library: SspLibrary, templates: SspLibrary, log_age: float, low: float, high: float) -> tuple[float, ...]:
    """Velocity (km/s), FWHM (Å) and relative residual (%) of the solar SSP nearest in age."""
    from ppxf.ppxf import ppxf

    nearest = library.log_ages[np.argmin(np.abs(library.log_ages - log_age))]
    grid = log_wavelengths(low, high, _VELOCITY_STEP)
    flux = library.within(log_age=(nearest, nearest), metallicity=(-0.01, 0.01)).at(grid).spectra[0]
    flux = flux / np.median(flux)
    result = ppxf(
        templates.spectra.T, flux, np.full_like(flux, 0.01), _VELOCITY_STEP, [0.0, 120.0], moments=2, degree=-1,
        mdegree=10, lam=grid, lam_temp=templates.wavelength, quiet=True,
    )  # fmt: skip
    velocity, sigma = result.sol
    broadening = FWHM_PER_SIGMA * sigma / SPEED_OF_LIGHT * np.sqrt(low * high)
    return velocity, float(np.hypot(broadening, templates.fwhm[0])), 100 * float(np.std(flux - result.bestfit))
