"""Noisy spectra and their repeats: calibration and noise of the repeat measured, and the pixels that count.

The noise of the target is measured from the differences of the halves, or of opposite halves of a ring of spaxels,
locally over 301 pixels; for blocks of 30 pixels also their own scatter. Not counted are windows about strong emission
lines, what the posterior leaves out of the noisy half (gas, spikes), pixels of sky lines, and artefacts (where the
halves differ by more than 5σ).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from quietspec.arrays import BoolArray, FloatArray, select_rows
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.posterior.contamination import line_mask
from quietspec.lab.evaluation.degrade import degrade
from quietspec.lab.evaluation.repeats import block_pulls, calibrated, noise_factor, pull_scatter, repeat_pulls
from quietspec.spectra import Spectra
from quietspec.wavelengths import STRONG_LINES, rest_air, stretches

__all__ = ["CLIP", "Halves", "as_denoised", "make_halves", "rescaled", "ring_halves", "with_noise"]

CLIP = 5.0  #: σ of difference between the halves, beyond which a pixel is an artefact
_LINES = (*STRONG_LINES, "[OI]6300", "[OI]6364", "[NI]5198", "[NI]5200")
_GAS_SIGMA = 300.0  # km/s, of the windows (±3σ) about emission lines that never count
_SKY = 1.5  # quoted variance over its running median, above which a pixel belongs to a sky line


@dataclass(frozen=True, eq=False)
class Halves:
    """Noisy spectra and their repeats on the same pixels and calibration, with measured noise.

    Parameters
    ----------
    name : str
        Data set.
    noisy, target : Spectra
        The halves.
    counted : (n_spectra, n_pixels) of bool
        Pixels that count.
    correlation : (n_spectra,)
        Factor on the errors of the target in blocks.
    fitted : int
        Number of terms of the calibration.
    facts : mapping of str to (n_spectra,)
        Measurements of the pair to report.
    known : Spectra, optional
        The noisy half with its noise measured, where it is.
    binned : mapping of str to Denoised
        Estimates by averaging neighbours.
    """

    name: str
    noisy: Spectra
    target: Spectra
    counted: BoolArray
    correlation: FloatArray
    fitted: int
    facts: Mapping[str, FloatArray]
    known: Spectra | None = None
    binned: Mapping[str, Denoised] = field(default_factory=dict)


def as_denoised(spectra: Spectra, flux: FloatArray | None = None) -> Denoised:
    """Present spectra as estimates of themselves, or another flux as an estimate with their errors."""
    sigma = np.where(spectra.good, spectra.sigma, 1e30)
    return finish(spectra, spectra.flux if flux is None else flux, sigma, model=ModelId("none"))


def rescaled(spectra: Spectra, factor: FloatArray) -> Spectra:
    """Multiply all errors by a factor."""
    return replace(spectra, ivar=(spectra.ivar / factor**2).astype(spectra.ivar.dtype))


def ring_halves(noisy: Spectra, first: Spectra, second: Spectra, fitted: Denoised) -> Halves:
    """Take the mean of two opposite halves of a ring as target, and measure its noise from their difference.

    Parameters
    ----------
    noisy : Spectra
        Spaxels within the rings.
    first, second : Spectra
        Means over the two halves of each ring.
    fitted : Denoised
        Estimates made from `noisy`, to find gas and spikes.

    Returns
    -------
    Halves
        The spaxels and their rings.
    """
    both = _may_count(noisy, first, fitted) & second.good
    second = calibrated(first, second, both)
    factor = noise_factor(first, second, both)
    first, second = rescaled(first, factor), rescaled(second, factor)
    correlation = _block_scatter(first, second, both)
    ivar = np.where(both, 4 / (1 / np.where(both, first.ivar, 1) + 1 / np.where(both, second.ivar, 1)), 0)
    target = replace(first, flux=(first.flux + second.flux) / 2, ivar=ivar)
    counted = _agreeing(noisy, calibrated(noisy, target, both), both)
    facts = {"noise_factor": np.sqrt(np.mean(factor**2, axis=1, where=both))}
    known = rescaled(noisy, factor)
    return Halves("MUSE", noisy, calibrated(noisy, target, counted), counted, correlation, 1, facts, known)


def make_halves(name: str, noisy: Spectra, raw: Spectra, fitted: Denoised, terms: int) -> Halves:
    """Calibrate a repeat, and measure its noise from the differences of the halves.

    Parameters
    ----------
    name : str
        Data set.
    noisy, raw : Spectra
        The noisy half, and its repeat on the same pixels as observed.
    fitted : Denoised
        Estimates made from `noisy`, to find gas and spikes.
    terms : int
        Legendre terms of the calibration, per stretch of the spectrum.

    Returns
    -------
    Halves
        The pair.
    """
    counted = _may_count(noisy, raw, fitted)
    counted = _agreeing(noisy, calibrated(noisy, raw, counted, terms), counted)
    target = calibrated(noisy, raw, counted, terms)
    factor = noise_factor(noisy, target, counted)
    target = rescaled(target, factor)
    known = rescaled(noisy, factor)
    correlation = _block_scatter(known, target, counted)
    n_fitted = terms * len(list(stretches(noisy.wavelength)))
    facts = {
        "noise_factor": np.sqrt(np.mean(factor**2, axis=1, where=counted)),
        "calibration_spread": _calibration_spread(raw, target, counted),
    }
    return Halves(name, noisy, target, counted, correlation, n_fitted, facts, known)


def _may_count(noisy: Spectra, target: Spectra, fitted: Denoised) -> BoolArray:
    """Pixels that are good in both halves, inside the model, and free of emission, spikes and sky lines."""
    rest = rest_air(noisy.wavelength, float(noisy.redshift[0]), noisy.medium)
    fwhm = np.full(rest.shape, 3.0) if noisy.fwhm is None else np.atleast_2d(noisy.fwhm)[0]
    free = ~line_mask(rest, fwhm, 0.0, _GAS_SIGMA, _LINES)
    variance = np.where(noisy.good, 1 / np.where(noisy.good, noisy.ivar, 1), np.inf)
    typical = np.median(variance / np.median(variance, axis=1, keepdims=True), axis=0)
    for arm in stretches(noisy.wavelength):
        free[arm] &= typical[arm] <= _SKY * median_filter(typical[arm], 101)
    return np.asarray(target.good & fitted.counted & free)


def _agreeing(noisy: Spectra, target: Spectra, counted: BoolArray) -> BoolArray:
    """The pixels that count, without artefacts."""
    factor = noise_factor(noisy, target, counted)
    pulls = repeat_pulls(as_denoised(rescaled(noisy, factor)), rescaled(target, factor), counted)
    return counted & ~(np.abs(pulls) > CLIP)


def _block_scatter(first: Spectra, second: Spectra, counted: BoolArray) -> FloatArray:
    """Scatter of the differences of two halves in blocks, over that of independent pixels of the given errors."""
    return pull_scatter(block_pulls(as_denoised(first), second, counted)[1])[0]


def _calibration_spread(raw: Spectra, target: Spectra, counted: BoolArray) -> FloatArray:
    """Relative standard deviation over wavelength of the smooth ratio between two halves, (n_spectra,)."""
    usable = counted & (raw.flux > 0)
    ratio = np.where(usable, target.flux / np.where(usable, raw.flux, 1), 0)
    return np.asarray(np.std(ratio, axis=1, where=usable) / np.mean(ratio, axis=1, where=usable))


def with_noise(halves: Halves, rows: npt.NDArray[np.intp], name: str, snr: float, rng: np.random.Generator) -> Halves:
    """Degrade some of the noisy halves to a lower S/N; calibration and noise of the target stay as measured.

    Parameters
    ----------
    halves : Halves
        Pairs as observed.
    rows : (n,) of int
        Spectra to degrade.
    name : str
        Data set that the result belongs to.
    snr : float
        S/N wanted.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    Halves
        The pairs `rows`.
    """
    return Halves(
        name,
        degrade(halves.noisy[rows], snr, rng),
        halves.target[rows],
        halves.counted[rows],
        halves.correlation[rows],
        fitted=0,
        facts=select_rows(halves.facts, rows),
    )
