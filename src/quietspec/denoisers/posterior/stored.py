"""Covariances of estimates whose compact posteriors were stored, from the same prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray, groups
from quietspec.compact import CompactPosterior
from quietspec.denoisers.posterior.calibration import CalibrationLaw, SharedCalibration
from quietspec.denoisers.posterior.covariances import CompactCovariances
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import SpectrumFactor
from quietspec.errors import ModelError
from quietspec.extinction import transmission
from quietspec.spectra import Spectra

__all__ = ["StoredCovariances"]


@dataclass(frozen=True, eq=False)
class StoredCovariances:
    """Square roots of the pixel covariances of stored estimates.

    Parameters
    ----------
    denoiser : KinematicPosterior
        With the prior and the settings of the one that made them.
    spectra : Spectra
        Pixels, resolution and extinction of the spectra; their fluxes do not matter.
    redshift : (n_spectra,)
        Redshifts at which they were denoised.
    compact : CompactPosterior
        Of the spectra.
    """

    denoiser: KinematicPosterior
    spectra: Spectra
    redshift: FloatArray
    compact: CompactPosterior

    @classmethod
    def of(cls, prior: SpectralPrior, spectra: Spectra, redshift: FloatArray, compact: CompactPosterior) -> Self:
        """Make the denoiser anew from its prior and its stored settings; `ModelError` where these do not fit."""
        settings = compact.settings
        try:
            law = CalibrationLaw.from_dict(settings["calibration"])
            denoiser = KinematicPosterior(
                "posterior",
                prior,
                law,
                emission=settings["emission"],
                higher_moments=bool(settings["higher_moments"]),
                shared=SharedCalibration.from_dict(settings["shared"]) if "shared" in settings else None,
                sky=bool(settings.get("sky", True)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the settings of a stored posterior are damaged ({error!r}).") from error
        if compact.populations.shape[1] != denoiser.coordinates.populations.size:
            raise ModelError("a stored posterior has other dimensions than its model.")
        return cls(denoiser, spectra, redshift, compact)

    def remainder(self) -> FloatArray:
        """The part of the errors that is independent from pixel to pixel, (n_spectra, n_pixels)."""
        found = np.zeros(self.spectra.flux.shape)
        known = self.compact.known
        for redshift, group in groups(np.asarray(self.redshift)[known]):
            pixels = self.denoiser.covered(self.spectra, float(redshift))
            if pixels is None:
                continue
            rows = known[group]
            truncation = self.denoiser.truncation(self.spectra, float(redshift), pixels)
            size = self.compact.scale[rows].astype(np.float64)[:, None] * self._unit(rows, pixels)
            found[rows, pixels] = size * truncation
        return found

    def factor(self, row: int) -> FloatArray:
        """F of one spectrum, (n_pixels, n_factors), in the flux's unit; NaN without an estimate."""
        found = self._factor(row)
        return np.full((self.spectra.n_pixels, 1), np.nan) if found is None else found()

    def nucleus(self, row: int) -> tuple[FloatArray, FloatArray]:
        """Flux of the nucleus of one spectrum, (n_pixels,), and a root of its covariance in the columns of F."""
        found, n_pixels = self._factor(row), self.spectra.n_pixels
        return (np.full(n_pixels, np.nan), np.full((n_pixels, 1), np.nan)) if found is None else found.nucleus()

    def _factor(self, row: int) -> SpectrumFactor | None:
        if not self.compact.unit[row] > 0:
            return None
        grid = self.denoiser.grid(self.spectra, float(self.redshift[row]), row)
        if grid is None:
            return None
        unit = self._unit(np.array([row]), grid.pixels)[0]
        of_grid = CompactCovariances(grid.model, self.compact)
        return SpectrumFactor(of_grid, row, grid.pixels, unit, self.spectra.n_pixels)

    def _unit(self, rows: npt.NDArray[np.intp], pixels: slice) -> FloatArray:
        """Flux unit of some spectra, (n_rows, 1) or on the pixels: with the Milky Way's dust and shared calibration."""
        unit, ebv = self.compact.unit[rows][:, None], self.spectra.ebv[rows]
        wavelength, shared = self.spectra.wavelength[pixels], self.denoiser.shared
        if ebv.any():
            unit = unit * transmission(wavelength, ebv)
        return np.asarray(unit if shared is None else unit * shared.factor(wavelength))
