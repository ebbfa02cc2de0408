"""Emission-line fluxes by pPXF with stars and gas together, in the two runs of nGIST.

First the stars' motions, gas masked; then, these held, stars and gas at once, the gas with one velocity and dispersion.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.contamination import line_mask
from quietspec.denoisers.posterior.gas import LineModel
from quietspec.lab.evaluation.line_contenders import LineFluxes, rest_pixels, summed
from quietspec.lab.streams import stream
from quietspec.populations import PpxfOptions
from quietspec.populations.grid import LogGrid, Rebinning
from quietspec.populations.ppxf_fit import quiet_ppxf
from quietspec.populations.templates import FittingTemplates, fitted_range
from quietspec.spectra import Spectra
from quietspec.templates import SspLibrary
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["PpxfLines"]

_GAS_MASK = 250.0  # km/s
_GAS_START = 90.0  # km/s
_FARTHEST, _WIDEST = 450.0, 500.0  # km/s, of gas from the stars, and its dispersion
_START = [0.0, 120.0]  # km/s, velocity and dispersion of the stars at which the first run starts …
_FASTEST, _BROADEST = 1000.0, 600.0  # … and their largest


@dataclass(frozen=True)
class PpxfLines:
    """Measures lines by pPXF.

    Parameters
    ----------
    library : SspLibrary
        Templates.
    multiplicative : int
        Degree of the multiplicative polynomial; 0 for none.
    bootstrap : int
        Number of refits with residuals of random signs, the polynomial held, whose scatter is the error; 0 for formal
        errors times the root of reduced χ².
    seed : int
        Seed of the bootstrap.
    """

    library: SspLibrary
    multiplicative: int = 8
    bootstrap: int = 0
    seed: int = 0

    def __call__(self, spectra: Spectra) -> LineFluxes:
        """Measure lines of spectra of one redshift and resolution; NaN where pPXF fails."""
        z, rest, fwhm = rest_pixels(spectra)
        run = _Run.of(self, rest, fwhm)
        hidden = line_mask(rest, fwhm, 0.0, _GAS_MASK, tuple(EMISSION_LINES))
        variance = np.divide(1.0, spectra.ivar, out=np.zeros(spectra.flux.shape), where=spectra.good)
        flux, cover, fine = run.rebinning(spectra.flux, spectra.good)
        noise = np.sqrt(run.rebinning.variance(variance, cover))
        bare = run.rebinning(spectra.flux, spectra.good & ~hidden)[2]
        found = LineFluxes.unknown(len(spectra))
        for row, one in enumerate(zip(flux, noise, fine, bare, strict=True)):
            # pPXF raises plain errors where a spectrum cannot be fitted.
            with contextlib.suppress(ArithmeticError, AssertionError, RuntimeError, ValueError, np.linalg.LinAlgError):
                measured = run.measure(*one, stream("pPXF: refits", self.seed, row))
                found.flux[row], found.error[row] = (values * (1 + z) for values in measured)
        return found


@dataclass(frozen=True)
class _Run:
    """Templates and grid of one redshift and resolution."""

    settings: PpxfLines
    templates: FittingTemplates
    grid: LogGrid
    rebinning: Rebinning
    gas: FloatArray
    names: tuple[str, ...]

    @classmethod
    def of(cls, settings: PpxfLines, rest: FloatArray, fwhm: FloatArray) -> _Run:
        options = PpxfOptions(multiplicative=settings.multiplicative, regularisation=0.0)
        low, high = fitted_range(settings.library, rest, options)
        step = float(np.median(np.diff(np.log(rest)))) * SPEED_OF_LIGHT
        grid = LogGrid.within(low, high, step)
        own = np.interp(rest, settings.library.wavelength, settings.library.fwhm)
        missing = np.sqrt(np.clip(own**2 - fwhm**2, 0, None))
        templates = FittingTemplates.make(settings.library, grid, rest, np.maximum(fwhm, own), options)
        lines = LineModel(rest, np.maximum(fwhm, own))
        gas = _integrated(lines, templates.grid, rest, np.maximum(fwhm, own))
        rebinning = Rebinning(rest, grid, np.where(missing > 0.05 * own, missing, 0.0))
        return cls(settings, templates, grid, rebinning, gas, tuple(group.name for group in lines.groups))

    def measure(
        self, flux: FloatArray, noise: FloatArray, good: BoolArray, bare: BoolArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Fluxes and errors of `LINES` of one spectrum, rest-frame Å."""
        level = float(np.median(flux[good]))
        galaxy = np.where(good, flux / level, 1.0)
        error = np.where(good, noise / level, np.median(noise[good]) / level)
        stars = self.templates.stars.reshape(len(self.templates.grid), -1)
        near = [[-_FASTEST, _FASTEST], [1.0, _BROADEST]]
        motions = quiet_ppxf(stars, galaxy, error, **self._shared(bare), start=_START, moments=2, bounds=near).sol
        both = np.hstack([stars, self.gas])
        keywords = self._shared(good) | self._of_gas(motions, near)
        fit = quiet_ppxf(both, galaxy, error, **keywords, start=[list(motions), [float(motions[0]), _GAS_START]])
        if not self.settings.bootstrap:
            covariance = self._formal(fit, error, good) * max(float(fit.chi2), 1.0)
            return summed(self.names, self._amplitudes(fit) * level, covariance * level**2)
        residual = np.where(good, galaxy - fit.bestfit, 0.0)
        both[:, : stars.shape[1]] *= np.interp(self.templates.grid.wavelength, self.grid.wavelength, fit.mpoly)[:, None]
        keywords |= {"mdegree": 0, "start": fit.sol}
        signs = rng.choice([-1.0, 1.0], (self.settings.bootstrap, len(residual)))
        drawn = [self._amplitudes(quiet_ppxf(both, fit.bestfit + residual * sign, error, **keywords)) for sign in signs]
        return summed(self.names, self._amplitudes(fit) * level, np.cov(np.array(drawn).T) * level**2)

    def _amplitudes(self, fit: Any) -> FloatArray:
        return np.asarray(fit.weights[-len(self.names) :])

    def _of_gas(self, motions: FloatArray, near: list[list[float]]) -> dict[str, Any]:
        """Options of the fit of stars, whose motions are held, and gas, which has one velocity and dispersion."""
        component = np.repeat([0, 1], [int(np.prod(self.templates.stars.shape[1:])), len(self.names)])
        gas_bounds = [[motions[0] - _FARTHEST, motions[0] + _FARTHEST], [1.0, _WIDEST]]
        return {
            "moments": [-2, 2], "component": component, "bounds": [near, gas_bounds], "gas_component": component > 0,
            "gas_names": np.array(self.names),
        }  # fmt: skip

    def _shared(self, good: BoolArray) -> dict[str, Any]:
        return {
            "velscale": self.grid.velocity_scale,
            "vsyst": (self.templates.grid.first - self.grid.first) * self.grid.velocity_scale,
            "degree": -1, "mdegree": self.settings.multiplicative, "quiet": True, "mask": good,
            "linear_method": "lsq_box",
        }  # fmt: skip

    def _formal(self, fit: Any, error: FloatArray, good: BoolArray) -> FloatArray:
        """Covariance of fluxes as pPXF states it: of the lines alone, stars and motions held."""
        columns = fit.matrix[:, -len(self.names) :] / error[:, None]
        return np.asarray(np.linalg.pinv(columns[good].T @ columns[good], hermitian=True))


def _integrated(lines: LineModel, grid: LogGrid, rest: FloatArray, fwhm: FloatArray) -> FloatArray:
    """Lines at rest at the instrument's resolution, of flux 1, as means over pixels: (n_grid, n_groups)."""
    from scipy.special import ndtr

    columns = np.zeros((len(grid), len(lines.groups)))
    for number, group in enumerate(lines.groups):
        for name, ratio in group.members:
            centre = EMISSION_LINES[name]
            sigma = float(np.interp(centre, rest, fwhm)) / FWHM_PER_SIGMA
            columns[:, number] += ratio * np.diff(ndtr((grid.borders - centre) / sigma)) / np.diff(grid.borders)
    return columns
