"""Are the SSP libraries in the medium and at the resolution said? pPXF fits with M11-ELODIE (0.55 Å) as templates.

Solar SSPs near 1, 5 and 10 Gyr of each library are fitted in three ranges with the SSPs of `m11-elodie`, free in
mixture, velocity, dispersion and a continuum of degree 10. The velocity tells air from vacuum (83 km/s apart; the
loader has brought all to air), the dispersion with ELODIE's own width the FWHM, to set beside the one stated.

    python benchmarks/library_resolution.py

Needs ppxf and ``quietspec fetch`` of the libraries.
"""

from __future__ import annotations

import numpy as np
from ppxf.ppxf import ppxf
from rich.console import Console
from rich.table import Table

from quietspec.io.fetching import fetch
from quietspec.lab.simulate.kinematics import log_wavelengths
from quietspec.templates import SspLibrary, load_library
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

LIBRARIES = ("miles", "emiles", "miuscat", "bc03", "bpass", "m11-miles", "m11-stelib", "m11-marcs", "mastar")
RANGES = ((4050.0, 5000.0), (5000.0, 6000.0), (6000.0, 6650.0))
LOG_AGES = (9.0, 9.7, 10.0)
VELOCITY_STEP = 20.0  # km/s a pixel


def main() -> None:
    grid = log_wavelengths(3910.0, 6780.0, VELOCITY_STEP)
    templates = load_library(fetch("m11-elodie")).at(grid).normalised()
    table = Table("library", "Å", "velocity, km/s", "FWHM, Å", "stated", "residual, %", box=None)
    for name in LIBRARIES:
        library = load_library(fetch(name))
        for low, high in RANGES:
            seen = np.array([fit(library, templates, log_age, low, high) for log_age in LOG_AGES])
            stated = np.interp(np.sqrt(low * high), library.wavelength, library.fwhm)
            velocity, fwhm, residual = (
                " ".join(f"{value:.{digits}f}" for value in column)
                for column, digits in zip(seen.T, (0, 2, 1), strict=True)
            )
            table.add_row(name, f"{low:.0f}–{high:.0f}", velocity, fwhm, f"{stated:.2f}", residual)
    Console(width=120).print(table)


def fit(library: SspLibrary, templates: SspLibrary, log_age: float, low: float, high: float) -> tuple[float, ...]:
    """Velocity (km/s), FWHM (Å) and relative residual (%) of the solar SSP next in age."""
    nearest = library.log_ages[np.argmin(np.abs(library.log_ages - log_age))]
    grid = log_wavelengths(low, high, VELOCITY_STEP)
    flux = library.within(log_age=(nearest, nearest), metallicity=(-0.01, 0.01)).at(grid).spectra[0]
    flux = flux / np.median(flux)
    result = ppxf(
        templates.spectra.T, flux, np.full_like(flux, 0.01), VELOCITY_STEP, [0.0, 120.0], moments=2, degree=-1,
        mdegree=10, lam=grid, lam_temp=templates.wavelength, quiet=True,
    )  # fmt: skip
    velocity, sigma = result.sol
    broadening = FWHM_PER_SIGMA * sigma / SPEED_OF_LIGHT * np.sqrt(low * high)
    return velocity, float(np.hypot(broadening, templates.fwhm[0])), 100 * float(np.std(flux - result.bestfit))


if __name__ == "__main__":
    main()
