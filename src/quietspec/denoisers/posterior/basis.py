"""What all denoisers that project onto a prior's basis share: the walk over grids and batches, and the noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Lock
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers.base import Emission, flag_few_pixels, initial_flags
from quietspec.denoisers.outliers import without_gross_outliers
from quietspec.denoisers.posterior.contamination import noise_scale
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.discrepancy import Discrepancy, DiscrepancyFit
from quietspec.denoisers.posterior.grid import Batch, Grid
from quietspec.denoisers.posterior.inference import CoefficientPosterior
from quietspec.denoisers.posterior.linear import LinearFit
from quietspec.denoisers.posterior.masking import find_contamination
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.errors import ModelError
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["BasisDenoiser", "Noise"]

Noise = Literal["measured", "quoted"]

_GRIDS = 2  # pixel grids kept prepared, of some 50 MB each
_BATCH = 256  # spectra that are held in float64 at once
_HIGHEST_SNR = 1e12  # per pixel, above which single precision overflows


class BasisDenoiser(ABC):
    """A denoiser that projects spectra onto a prior's basis, on their own pixels.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission : {'auto', 'strong', 'none'}, optional
        How gas emission lines are treated; as the model's card says by default, else 'auto'.
    noise : {'measured', 'quoted'}, optional
        Whether errors are rescaled by what a first fit leaves; as the model's card says by default, else 'measured'.
    discrepancy : bool, optional
        Whether the `Discrepancy` of the model's card is used.
    """

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        emission: Emission | None = None,
        noise: Noise | None = None,
        *,
        discrepancy: bool = True,
    ) -> None:
        self.name = name
        self.prior = prior
        self.emission: Emission = emission or prior.card.get("emission", "auto")
        self.noise: Noise = noise or prior.card.get("noise", "measured")
        for option, value, known in (("emission", self.emission, Emission), ("noise", self.noise, Noise)):
            if value not in get_args(known):
                raise ModelError(f"{name}: {option} {value!r}; give {', '.join(get_args(known))}.")
        self.discrepancy = Discrepancy.from_card(prior.card) if discrepancy else None
        self.prepared = PreparedPrior(prior)
        self._grids: dict[tuple[object, ...], Grid | None] = {}
        self._making_grid = Lock()

    def __getstate__(self) -> dict[str, object]:
        """State that is sent to other processes, where grids are prepared again."""
        return {name: value for name, value in self.__dict__.items() if name != "_making_grid"} | {"_grids": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._making_grid = Lock()

    @property
    def model(self) -> ModelId:
        """The name, with the hash of the prior."""
        return ModelId(self.name, self.prior.hash)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`.

        Parameters
        ----------
        spectra : Spectra
            With redshifts.

        Returns
        -------
        Denoised
            NaN outside the model's wavelengths. Emission lines and spikes are left out of the fit (`ignored`) and
            appear in `Denoised.residual`.
        """
        return without_gross_outliers(spectra, self._denoise)

    def _denoise(self, spectra: Spectra) -> Denoised:
        result = Accumulator(spectra, self.prior.label_names)
        result.estimates.flags[:] = initial_flags(spectra, rest_frame=True)
        self._denoise_rows(np.flatnonzero(result.estimates.flags == 0), result)
        return self._finish(result)

    def _finish(self, result: Accumulator) -> Denoised:
        """Make the result; a denoiser that can tell what is not a galaxy does so here."""
        return result.finish(self.model)

    def _denoise_rows(self, rows: npt.NDArray[np.intp], result: Accumulator) -> None:
        """Denoise some of the spectra, each at its redshift."""
        for redshift, group in result.spectra.by_redshift(rows):
            for alike in result.spectra.by_resolution(group):
                self._denoise_alike(alike, redshift, result)

    def _denoise_alike(self, rows: npt.NDArray[np.intp], redshift: float, result: Accumulator) -> None:
        """Denoise spectra of one redshift and one resolution."""
        spectra, flags = result.spectra, result.estimates.flags
        grid = self._grid(spectra, redshift, int(rows[0]))
        if grid is None:
            flags[rows] |= int(Flag.OUT_OF_RANGE)
            return
        rows = rows[flag_few_pixels(flags, rows, spectra.good[rows, grid.pixels].sum(axis=1))]
        too_bright = _highest_snr(spectra, rows, grid) > _HIGHEST_SNR
        flags[rows[too_bright]] |= int(Flag.UNDETERMINED)
        rows = rows[~too_bright]
        for start in range(0, len(rows), _BATCH):
            self._denoise_batches(rows[start : start + _BATCH], grid, result)

    def _denoise_batches(self, rows: npt.NDArray[np.intp], grid: Grid, result: Accumulator) -> None:
        """Denoise spectra together; where the algebra breaks down on one of them, find and flag it."""
        try:
            self._denoise_batch(rows, Batch.of(result.spectra, rows, grid), result)
        except np.linalg.LinAlgError:
            if len(rows) == 1:
                result.estimates.flags[rows] |= int(Flag.UNDETERMINED)
                return
            for half in np.array_split(rows, 2):
                self._denoise_batches(half, grid, result)

    def _grid(self, spectra: Spectra, redshift: float, row: int) -> Grid | None:
        """Pixels of a spectrum that the model covers, None if there are none; kept for the next tile."""
        fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0 if spectra.fwhm.ndim == 1 else row]
        key = (spectra.wavelength.tobytes(), spectra.medium, redshift, None if fwhm is None else fwhm.tobytes())
        with self._making_grid:
            if key not in self._grids:
                rest = rest_air(spectra.wavelength, redshift, spectra.medium)
                while len(self._grids) >= _GRIDS:
                    self._grids.pop(next(iter(self._grids)))
                self._grids[key] = self._new_grid(rest, None if fwhm is None else fwhm / (1 + redshift))
            return self._grids[key]

    def _new_grid(self, rest: FloatArray, fwhm: FloatArray | None) -> Grid | None:
        basis = self.prior.on_pixels(rest, fwhm)
        sharp = np.interp(rest, self.prior.wavelength, self.prior.fwhm)
        width = np.maximum(sharp, np.nan_to_num(fwhm)) if fwhm is not None else sharp
        covered = np.flatnonzero(basis.covered)
        if not covered.size:
            return None
        pixels = slice(int(covered[0]), int(covered[-1]) + 1)  # wavelengths increase
        vectors = basis.vectors[pixels]
        coordinates = Coordinates(self.prepared, vectors)
        origin = float(rest[0])
        return Grid(pixels, rest[pixels], origin, width[pixels], vectors, basis.truncation[pixels], coordinates)

    def _denoise_batch(self, rows: npt.NDArray[np.intp], batch: Batch, result: Accumulator) -> None:
        estimates = result.estimates
        ignored, fit, residual = find_contamination(batch, self.emission)
        weight = np.where(ignored, 0, batch.weight)
        # Noise: rescaled if it is to be measured, and with what the basis leaves out.
        if self.noise == "measured":
            estimates.noise_scale[rows] = noise_scale(residual, weight, fit.dof)
            weight /= _column(estimates.noise_scale[rows]) ** 2
        weight /= 1 + weight * (_column(fit.scale) * batch.grid.truncation.astype(np.float32)) ** 2
        for_coefficients = self._weight_of_coefficients(weight, batch, fit.scale)
        posterior, fit = self._solve(batch, residual, for_coefficients, fit)
        discrepancy = self._fit_discrepancy(batch, weight, posterior)
        result.store(rows, batch, posterior, fit.scale, ignored, discrepancy)
        estimates.evidence[rows] = posterior.log_evidence + _noise_constant(for_coefficients, batch.unit)
        estimates.flags[rows[fit.scale < 2 * fit.error]] |= int(Flag.NO_SIGNAL)

    def _weight_of_coefficients(self, weight: FloatArray, batch: Batch, scale: FloatArray) -> FloatArray:
        """Inverse variances for the coefficients, to which the discrepancy is noise."""
        if self.discrepancy is None:
            return weight
        spread = self.discrepancy.as_noise(batch.grid.rest, batch.grid.vectors[:, 0])
        return np.asarray(weight / (1 + weight * (_column(scale) * spread.astype(np.float32)) ** 2))

    def _fit_discrepancy(
        self, batch: Batch, weight: FloatArray, posterior: CoefficientPosterior
    ) -> DiscrepancyFit | None:
        if self.discrepancy is None:
            return None
        grid = batch.grid
        model = posterior.mean.astype(np.float32) @ grid.coordinates.vectors.T
        return self.discrepancy.fit(batch.flux - model, weight, model, grid.rest, grid.origin)

    @abstractmethod
    def _solve(
        self, batch: Batch, residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        """Posterior of the coordinates of the spectra, and the last fit of their scale, from a first fit."""


def _highest_snr(spectra: Spectra, rows: npt.NDArray[np.intp], grid: Grid) -> FloatArray:
    """Largest |flux| / σ of any good pixel on the grid, (n_rows,)."""
    ivar = spectra.ivar[rows, grid.pixels]
    size = np.abs(np.where(ivar > 0, spectra.flux[rows, grid.pixels], 0))
    return np.asarray((size * np.sqrt(ivar)).max(axis=1, initial=0))


def _column(values: FloatArray) -> FloatArray:
    return values.astype(np.float32)[:, None]


def _noise_constant(weight: FloatArray, unit: FloatArray) -> FloatArray:
    """−½ Σ ln(2πσ²) over the pixels used, (n_spectra,), for inverse variances in units of each spectrum."""
    used = weight > 0
    terms = np.log(np.where(used, weight, 1))
    constant = np.log(2 * np.pi) + 2 * np.log(unit)
    return np.asarray(0.5 * (terms.sum(axis=1, dtype=np.float64) - used.sum(axis=1) * constant))
