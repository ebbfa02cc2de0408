"""A denoiser on a prior that flags what is not a galaxy at its redshift, and mends redshifts that are nearly right."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.diagnosis import SYMPTOMS, SymptomLaws, diagnose, measure
from quietspec.denoisers.posterior.features import FeatureScan
from quietspec.denoisers.posterior.grid import GridT
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.posterior.walk import Noise, PriorDenoiser
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["DiagnosingDenoiser"]

_FARTHEST = 2000.0  # km/s: a better redshift nearer than this is taken for an error of the given one
_BETTER = 5.0  # ln evidence by which it must explain the features better


class DiagnosingDenoiser(PriorDenoiser[GridT]):
    """A denoiser on a prior that diagnoses its results, where the model's card holds the laws of symptoms.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission, noise : str, optional
        As for `PriorDenoiser`.
    """

    def __init__(
        self, name: str, prior: SpectralPrior, emission: Emission | None = None, noise: Noise | None = None
    ) -> None:
        super().__init__(name, prior, emission, noise)
        laws = prior.card.get("symptom_laws")
        self._laws = None if laws is None else SymptomLaws.from_dict(laws)

    @cached_property
    def _scan(self) -> FeatureScan:
        return FeatureScan(self.prior)

    def _finish(self, result: Accumulator) -> Denoised:
        """Flag what is not a galaxy at its redshift; where a nearby redshift explains it, denoise it again there."""
        denoised = super()._finish(result)
        if self._laws is None:
            return denoised
        symptoms = measure(denoised, self._scan)
        found = diagnose(symptoms, self._laws)
        nearby = np.abs(np.nan_to_num(found.velocity, nan=np.inf)) <= _FARTHEST
        better = symptoms.values[:, SYMPTOMS.index("elsewhere")] > _BETTER
        again = np.flatnonzero((found.flags != 0) & nearby & better)
        moved = self._move(again, found.velocity[again], denoised, result)
        if moved.size:
            denoised = super()._finish(result)
        flags = denoised.flags | found.flags
        flags[moved] |= int(Flag.WRONG_REDSHIFT)
        return replace(denoised, flags=flags, p_value=found.p_value)

    def _move(
        self, rows: npt.NDArray[np.intp], velocity: FloatArray, denoised: Denoised, result: Accumulator
    ) -> npt.NDArray[np.intp]:
        """Denoise some spectra at redshifts moved by velocities; keep and return those that fit better there."""
        spectra = result.spectra
        redshift = spectra.redshift[rows] + (1 + spectra.redshift[rows]) * velocity / SPEED_OF_LIGHT
        trial = Accumulator(spectra[rows].with_redshift(redshift), self._label_names)
        self._denoise_rows(np.arange(len(rows)), trial)
        moved = super()._finish(trial)
        better = _per_pixel(moved) > _per_pixel(denoised[rows])
        result.replace(rows, trial, np.flatnonzero(better))
        return rows[better]


def _per_pixel(denoised: Denoised) -> FloatArray:
    """Log evidence per pixel used, (n_spectra,): the model covers other pixels at other redshifts."""
    return np.asarray(denoised.evidence / np.maximum(denoised.counted.sum(axis=1), 1))
