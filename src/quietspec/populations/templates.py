"""SSP templates in the form pPXF takes: on the logarithmic grid of the data, at the data's resolution."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import TemplateError
from quietspec.populations.grid import LogGrid, Rebinning
from quietspec.wavelengths import SPEED_OF_LIGHT

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.populations.options import PpxfOptions
    from quietspec.templates import SspLibrary

__all__ = ["FittingTemplates", "fitted_range"]

_FREE_REACH = 1500.0  # km/s that templates extend beyond the data where kinematics are free
_FEWEST = 100  # pixels


@dataclass(frozen=True, eq=False)
class FittingTemplates:
    """Templates for one set of wavelengths and one resolution.

    Parameters
    ----------
    library : SspLibrary
        Library they were made from.
    grid : LogGrid
        Grid of the templates; it includes that of the data.
    stars : (n_grid, n_ages, n_metallicities)
        Flux density of 1/`scale` solar masses formed; the median is 1.
    scale : float
        Factor by which the library was divided.
    gas : (n_grid, n_lines), optional
        Emission lines, with Balmer lines tied.
    """

    library: SspLibrary
    grid: LogGrid
    stars: FloatArray
    scale: float
    gas: FloatArray | None = None

    @classmethod
    def make(
        cls, library: SspLibrary, data: LogGrid, wavelength: FloatArray, fwhm: FloatArray, options: PpxfOptions
    ) -> FittingTemplates:
        """Match a library to data.

        Parameters
        ----------
        library : SspLibrary
            Library in air.
        data : LogGrid
            Grid of the data, rest frame.
        wavelength, fwhm : (n_pixels,)
            Rest-frame wavelengths and resolution of the data, Å.
        options : PpxfOptions
            How to fit.

        Returns
        -------
        FittingTemplates
            The library, smoothed where the data are of lower resolution.
        """
        grid = LogGrid.within(library.wavelength[0], library.wavelength[-1], data.velocity_scale)
        reach = int(np.ceil(_reach(options) / data.velocity_scale))
        grid = LogGrid(max(grid.first, data.first - reach), min(grid.last, data.last + reach), data.velocity_scale)
        target = np.maximum(np.interp(library.wavelength, wavelength, fwhm), library.fwhm)
        matched = library if np.allclose(target, library.fwhm, rtol=1e-3) else library.to_fwhm(target)
        everywhere = np.ones(matched.spectra.shape, dtype=bool)
        stars, _, _ = Rebinning(library.wavelength, grid)(matched.spectra, everywhere)
        scale = float(np.median(stars))
        shape = (len(grid), *library.grid_shape)
        gas = _gas_templates(grid, data, wavelength, fwhm) if options.gas == "fit" else None
        return cls(library, grid, (stars / scale).T.reshape(shape), scale, gas)

    @property
    def n_gas(self) -> int:
        """Number of emission-line templates."""
        return 0 if self.gas is None else self.gas.shape[1]


def fitted_range(library: SspLibrary, wavelength: FloatArray, options: PpxfOptions) -> tuple[float, float]:
    """Find the rest-frame wavelengths (Å) that data, templates and options share.

    Parameters
    ----------
    library : SspLibrary
        Templates.
    wavelength : (n_pixels,)
        Rest-frame wavelengths of the usable data, Å.
    options : PpxfOptions
        How to fit.

    Returns
    -------
    low, high : float
        Range that the templates cover at all velocities that are tried.

    Raises
    ------
    TemplateError
        If fewer than 100 pixels are shared.
    """
    stretch = np.exp(_reach(options) / SPEED_OF_LIGHT)
    edges = [(wavelength[0], wavelength[-1]), (library.wavelength[0] * stretch, library.wavelength[-1] / stretch)]
    if options.limits is not None:
        edges.append(options.limits)
    low, high = max(edge[0] for edge in edges), min(edge[1] for edge in edges)
    if np.count_nonzero((wavelength >= low) & (wavelength <= high)) < _FEWEST:
        raise TemplateError(
            f"{library.name}: covers {library.wavelength[0]:.0f}–{library.wavelength[-1]:.0f} Å and shares fewer than "
            f"{_FEWEST} pixels with data at rest-frame {wavelength[0]:.0f}–{wavelength[-1]:.0f} Å"
            + (f" within {options.limits[0]:.0f}–{options.limits[1]:.0f} Å" if options.limits else "")
            + ". Is the redshift right? If it is, use a library that reaches further."
        )
    return float(low), float(high)


def _reach(options: PpxfOptions) -> float:
    """Return how far templates must extend beyond the data, km/s."""
    if options.kinematics == "free":
        return abs(options.velocity) + _FREE_REACH
    return abs(options.velocity) + 4 * options.dispersion + 100.0


def _gas_templates(grid: LogGrid, data: LogGrid, wavelength: FloatArray, fwhm: FloatArray) -> FloatArray:
    """Make pPXF's emission-line templates within the data's range."""
    from ppxf.ppxf_util import emission_lines

    limits = data.borders[[0, -1]]
    resolution = {"lam": wavelength, "fwhm": fwhm}
    with contextlib.redirect_stdout(io.StringIO()):
        lines, _, _ = emission_lines(np.log(grid.wavelength), limits, resolution, tie_balmer=True)
    return np.asarray(lines)
