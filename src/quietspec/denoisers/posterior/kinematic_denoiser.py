"""Denoise by a posterior whose velocity, dispersion and flux calibration are parameters of their own."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.calibration import CalibrationLaw, SharedCalibration
from quietspec.denoisers.posterior.diagnosed import DiagnosingDenoiser
from quietspec.denoisers.posterior.gas import LineModel
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.kinematics import SHAPE_SIZE, KinematicCoordinates
from quietspec.denoisers.posterior.losvd import LosvdBasis
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.posterior.sky import NO_SKY, SkyPixels
from quietspec.denoisers.posterior.velocity_scan import VelocityScan, prior_sigma_of_motions
from quietspec.denoisers.posterior.walk import Noise
from quietspec.errors import ModelError
from quietspec.instruments import instrument_of
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["KinematicPosterior"]

_LITTLE = 0.9  # of the prior's standard deviation: a label with a larger error is little more than the prior
_NUCLEUS = 12.0  # χ² per coordinate of no nucleus, beyond which there is one
_STRONG = 300.0  # Å, equivalent width of all gas lines beyond which a spectrum is flagged
_MARGIN = 0.008  # of the wavelength, at the ends of the prior, that broadening and shifts use up


class KinematicPosterior(DiagnosingDenoiser[KinematicGrid]):
    """Posterior mean under a prior of populations at rest, with velocity, dispersion and calibration as parameters.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        Of unbroadened spectra at rest (`SpectralPrior.at_rest`).
    calibration : CalibrationLaw, optional
        How far the flux calibration wanders; by default as the model's card says for the instrument that made the
        spectra, and a wide law for instruments that the card does not know.
    emission, noise : str, optional
        As for `Posterior`.
    higher_moments : bool
        Whether h3 and h4 are parameters; without them LOSVDs are Gaussian.
    shared : SharedCalibration, optional
        Calibration error that all spectra have, known already; `calibration` is the law of the rest.
    sky : bool
        Whether noise is measured apart in the bands where the air absorbs and glows, and what it leaves there is a
        process of its own.
    two_components : bool
        Whether fitted gas may have a second component, or forbidden lines a motion of their own, where the evidence
        asks for it.

    Raises
    ------
    ModelError
        If the prior is not at rest.

    Examples
    --------
    >>> import quietspec
    >>> from quietspec.denoisers import KinematicPosterior, load_prior
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> denoised = KinematicPosterior("posterior", load_prior("survey")).denoise(cube[9:11, 9:11])
    >>> velocity, error = denoised.parameters["velocity"]
    >>> bool((error < 40).all())
    True
    """

    _together = 64

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        calibration: CalibrationLaw | None = None,
        emission: Emission | None = None,
        noise: Noise | None = None,
        *,
        higher_moments: bool = True,
        shared: SharedCalibration | None = None,
        sky: bool = True,
        two_components: bool = True,
    ) -> None:
        super().__init__(name, prior, emission, noise)
        if not prior.at_rest:
            raise ModelError(f"{name}: this prior has motions in its basis; `Posterior` takes it.")
        self.calibration = calibration
        self.higher_moments = higher_moments
        self.shared, self.sky = shared, sky
        self.two_components = two_components
        self._calibration_laws = CalibrationLaw.of_card(prior.card)
        self.coordinates = KinematicCoordinates(prior)
        self._label_names = (*prior.label_names, "velocity", "sigma", "h3", "h4")

    @cached_property
    def _prior_sigma(self) -> dict[str, float]:
        """Standard deviation of each label before any data."""
        return self.prior.label_sigma | prior_sigma_of_motions()

    def law_of(self, spectra: Spectra) -> CalibrationLaw:
        """Calibration law under which spectra are denoised."""
        laws = self._calibration_laws
        return self.calibration or laws.get(instrument_of(spectra.meta) or "", laws["default"])

    def _settings(self, spectra: Spectra) -> dict[str, Any]:
        """What a denoiser on the same prior needs to know to make the same model again."""
        law = self.law_of(spectra).to_dict()
        settings = {
            "emission": self.emission, "higher_moments": self.higher_moments, "calibration": law, "sky": self.sky,
        }  # fmt: skip
        return settings if self.shared is None else settings | {"shared": self.shared.to_dict()}

    def covers(self, rest: FloatArray) -> BoolArray:
        """Return which rest-frame air wavelengths (n_pixels,), Å, have an estimate."""
        low, high = self.prior.wavelength[0] * (1 + _MARGIN), self.prior.wavelength[-1] * (1 - _MARGIN)
        return np.asarray((rest > low) & (rest < high))

    def _denoise(self, spectra: Spectra) -> Denoised:
        # Its matrices are small: threads of linear algebra would spend their time waiting for each other.
        with threadpool_limits(limits=1):
            return super()._denoise(spectra)

    def covered(self, spectra: Spectra, redshift: float) -> slice | None:
        """Pixels that the model covers at a redshift; None if there are none."""
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        pixels = np.flatnonzero(self.covers(rest))
        return slice(int(pixels[0]), int(pixels[-1]) + 1) if pixels.size else None  # wavelengths increase

    def truncation(self, spectra: Spectra, redshift: float, pixels: slice) -> FloatArray:
        """1σ of what the basis leaves out of a shape, on some pixels at a redshift."""
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)[pixels]
        return np.asarray(np.interp(rest, self.prior.wavelength, self.prior.truncation))

    def _new_grid(self, spectra: Spectra, redshift: float, fwhm: FloatArray | None) -> KinematicGrid | None:
        prior, pixels = self.prior, self.covered(spectra, redshift)
        if pixels is None:
            return None
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)[pixels]
        observed = spectra.wavelength[pixels]
        own = np.interp(rest, prior.wavelength, prior.fwhm)
        fwhm = None if fwhm is None else fwhm[pixels]
        basis = LosvdBasis(self.coordinates.table, rest, fwhm)
        sharp = own if fwhm is None else np.where(fwhm > 0, fwhm, own)
        return KinematicGrid(
            pixels,
            rest,
            fwhm=own if fwhm is None else np.maximum(own, np.nan_to_num(fwhm)),
            truncation=self.truncation(spectra, redshift, pixels),
            wavelength=observed,
            model=PixelModel(
                self.coordinates,
                basis,
                self.law_of(spectra).knots(observed),
                SHAPE_SIZE if self.higher_moments else 0.0,
                LineModel(rest, sharp) if self.emission == "fit" else None,
                SkyPixels.of(rest_air(observed, 0.0, spectra.medium)) if self.sky else NO_SKY,
            ),
            scan=VelocityScan(basis, self.coordinates.populations.centre),
            settings=self._settings(spectra),
        )

    def batch(self, spectra: Spectra, rows: npt.NDArray[np.intp], grid: KinematicGrid) -> Batch[KinematicGrid]:
        """Take some of the spectra, without the calibration error that all share."""
        return Batch.of(spectra, rows, grid, None if self.shared is None else self.shared.factor(grid.wavelength))

    def _denoise_batch(self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], result: Accumulator) -> None:
        self.store(rows, batch, BatchFit(batch, self.emission, self.noise, two_components=self.two_components), result)

    def store(
        self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], fit: BatchFit, result: Accumulator
    ) -> None:
        """Put what a fit found into the result."""
        solution = fit.solution()
        result.store(rows, batch, solution)
        for row, lines, unit in zip(rows.tolist(), fit.lines, batch.scale.tolist(), strict=False):
            result.store_lines(row, batch.grid.model.groups, lines, unit)
        estimates = result.estimates
        estimates.noise_scale[rows], estimates.evidence[rows] = fit.noise_scale * batch.inflation, fit.evidence
        weak = [solution.labels.sigma(name) > _LITTLE * sigma for name, sigma in self._prior_sigma.items()]
        estimates.flags[rows] |= fit.flags | np.where(np.any(weak, axis=0), int(Flag.PRIOR_LABELS), 0)
        strong = fit.line_width(solution) > _STRONG
        estimates.flags[rows[strong]] |= int(Flag.STRONG_LINES)
        # The wings of strong lines look like a nucleus.
        estimates.flags[rows[~strong & (fit.nucleus_chi2 > _NUCLEUS)]] |= int(Flag.NUCLEUS)
