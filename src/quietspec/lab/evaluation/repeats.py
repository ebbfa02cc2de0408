"""Scores against independent repeats: one half of the data is denoised and must predict the other, noisy half.

No truth is needed. With truth t, halves n = t + e_n and y = t + e_y of independent noise, and an estimate d made from n
alone, the mean square of n − y is ⟨e_n²⟩ + ⟨e_y²⟩ and that of d − y is ⟨(d − t)²⟩ + ⟨e_y²⟩. The known noise of the
target half y can be subtracted from both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import BySpectrum
from quietspec.lab.evaluation.scores import rms
from quietspec.statistics import masked_median, robust_scatter
from quietspec.wavelengths import stretches

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.spectra import Spectra

__all__ = [
    "PooledRepeats", "RepeatScores", "block_pulls", "calibrated", "noise_factor", "pool_repeats", "pull_scatter",
    "repeat_pulls", "score_repeat",
]  # fmt: skip

_CLIP = 5.0  # robust standard deviations at which a difference of the halves is clipped
_FEWEST = 0.2  # least fraction of a window that must count for its scatter to be used


def calibrated(noisy: Spectra, target: Spectra, counted: BoolArray, terms: int = 1) -> Spectra:
    """Bring the target half to the flux calibration of the noisy half, by a smooth ratio per spectrum.

    Parameters
    ----------
    noisy, target : Spectra
        The halves, on the same pixels.
    counted : (n_spectra, n_pixels) of bool
        Pixels that are good in both.
    terms : int
        Number of Legendre polynomials per stretch of the spectrum; 1 is a constant factor.

    Returns
    -------
    Spectra
        The target times the ratio, with its inverse variances divided by the square of the ratio.

    Notes
    -----
    The ratio Σ a_k L_k solves Σ w L_j (n − Σ a_k L_k y) = 0, summed over the pixels. Unlike least squares this is
    linear in both halves, so that noise in y does not make the ratio too small.
    """
    functions = _legendre(target.wavelength, terms)
    weight = np.where(counted, 1 / (_variance(noisy, counted) + _variance(target, counted)), 0.0)
    pairs = np.einsum("np,pj,pk->njk", weight * _filled(target, counted), functions, functions, optimize=True)
    right = (weight * _filled(noisy, counted)) @ functions
    coefficients = np.linalg.pinv(pairs) @ right[:, :, None]
    ratio = coefficients[:, :, 0] @ functions.T
    positive = ratio > 0
    ratio = np.where(positive, ratio, 1.0)
    dtype = target.flux.dtype
    return replace(
        target,
        flux=(target.flux * ratio).astype(dtype),
        ivar=np.where(positive, target.ivar / ratio**2, 0).astype(target.ivar.dtype),
    )


def noise_factor(first: Spectra, second: Spectra, counted: BoolArray, window: int = 301) -> FloatArray:
    """How much larger the noise is than quoted, from the difference of two independent spectra of one truth.

    Parameters
    ----------
    first, second : Spectra
        The halves, on the same pixels and flux calibration.
    counted : (n_spectra, n_pixels) of bool
        Pixels that are good in both.
    window : int
        Number of pixels over which the scatter is measured. Broader differences do not count as noise.

    Returns
    -------
    (n_spectra, n_pixels)
        RMS of the differences, clipped at 5 robust standard deviations, over their quoted error. It applies to each
        half if the errors of both are wrong by the same factor.
    """
    from scipy.ndimage import uniform_filter1d

    variance = _variance(first, counted) + _variance(second, counted)
    pulls = np.where(counted, (_filled(first, counted) - _filled(second, counted)) / np.sqrt(variance), 0.0)
    limit = _CLIP * np.nan_to_num(robust_scatter(pulls, counted), nan=np.inf)[:, None]
    pulls = np.clip(pulls, -limit, limit)
    factor = np.ones(pulls.shape)
    for part in stretches(first.wavelength):
        size = min(window, part.stop - part.start)
        share, mean, square = (
            uniform_filter1d(values[:, part].astype(np.float64), size, axis=1) for values in (counted, pulls, pulls**2)
        )
        enough = share > max(_FEWEST, 2 / size)
        share = np.where(enough, share, 1.0)
        unbiased = size * share / (size * share - 1)
        scatter = np.maximum(square / share - (mean / share) ** 2, 0)
        factor[:, part] = np.where(enough, np.sqrt(unbiased * scatter), np.nan)
    overall = masked_median(factor, np.isfinite(factor))
    return np.where(np.isfinite(factor), factor, overall[:, None])


@dataclass(frozen=True, kw_only=True, eq=False)
class RepeatScores(BySpectrum):
    """How well estimates predict the target half, each (n_spectra,).

    Mean squares over the pixels that count are weighted by the inverse variance of the difference of the halves, and
    are in units of its mean.

    Parameters
    ----------
    before, after : (n_spectra,)
        Mean square of noisy half minus target, and of denoised half minus target.
    noise : (n_spectra,)
        Mean variance of the target.
    spent : (n_spectra,)
        The most that fitting the calibration of the target to the noisy half can have removed from `after`, since the
        ratio follows the broad noise of both halves: `before` times the number of fitted terms per pixel.
    """

    before: FloatArray
    after: FloatArray
    noise: FloatArray
    spent: FloatArray

    @property
    def ratio(self) -> FloatArray:
        """Prediction ratio as measured, rms(noisy − target) / rms(denoised − target), (n_spectra,)."""
        return np.sqrt(self.before / self.after)

    @property
    def reduction(self) -> FloatArray:
        """RMS residual removed, after subtracting the noise of the target, (n_spectra,); 1 where nothing is left."""
        left = np.maximum(self.after - self.noise + self.spent, 0)
        return np.asarray(1 - np.sqrt(left / (self.before - self.noise)))


def score_repeat(denoised: Denoised, target: Spectra, counted: BoolArray, fitted: int = 0) -> RepeatScores:
    """Score denoised spectra by how well they predict an independent repeat.

    Parameters
    ----------
    denoised : Denoised
        Estimates made from the noisy half, which is `Denoised.spectra`.
    target : Spectra
        The other half, on the same pixels and calibration, with the true variances of its noise.
    counted : (n_spectra, n_pixels) of bool
        Pixels that count if they are good in both halves and denoised.
    fitted : int
        Number of terms fitted to bring the target to the calibration of the noisy half.

    Returns
    -------
    RepeatScores
        NaN for spectra without pixels that count.
    """
    noisy = denoised.spectra
    counted = counted & noisy.good & target.good & denoised.valid
    joint = _variance(noisy, counted) + _variance(target, counted)
    weight = np.where(counted, 1 / joint, 0.0)

    def mean(values: FloatArray) -> FloatArray:
        total = np.sum(np.where(counted, values, 0) * weight, axis=1)
        return np.asarray(np.divide(total, weight.sum(axis=1), out=np.full(len(total), np.nan), where=counted.any(1)))

    reference = _filled(target, counted)
    before, after = (mean((flux - reference) ** 2) for flux in (noisy.flux, denoised.flux))
    noise = mean(_variance(target, counted))
    spent = fitted / np.maximum(counted.sum(axis=1), 1) * before
    unit = mean(joint)  # so that spectra of any flux can be averaged
    return RepeatScores(before=before / unit, after=after / unit, noise=noise / unit, spent=spent / unit)


@dataclass(frozen=True, kw_only=True)
class PooledRepeats:
    """Scores of a set of spectra together, with 1σ errors by a bootstrap over the spectra.

    Parameters
    ----------
    count : int
        Number of spectra.
    ratio, ratio_error : float
        `RepeatScores.ratio` of the averaged mean squares.
    reduction, reduction_error : float
        `RepeatScores.reduction` of the same.
    """

    count: int
    ratio: float
    ratio_error: float
    reduction: float
    reduction_error: float


def pool_repeats(scores: RepeatScores, rng: np.random.Generator, draws: int = 200) -> PooledRepeats:
    """Average the mean squares of spectra, then score: what a single spectrum leaves is lost in the noise.

    Parameters
    ----------
    scores : RepeatScores
        Scores of spectra that belong together; those without a score are left out.
    rng : numpy.random.Generator
        Source of the bootstrap samples.
    draws : int
        Bootstrap samples.

    Returns
    -------
    PooledRepeats
        Pooled scores; NaN without spectra, errors NaN for a single one.
    """
    table = np.stack([scores.before, scores.after, scores.noise, scores.spent], axis=1)
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        return PooledRepeats(count=0, ratio=np.nan, ratio_error=np.nan, reduction=np.nan, reduction_error=np.nan)
    drawn = table[rng.integers(len(table), size=(draws, len(table)))].mean(axis=1)
    before, after, noise, spent = np.vstack([table.mean(axis=0), drawn]).T
    sums = RepeatScores(before=before, after=after, noise=noise, spent=spent)
    spread = 1.0 if len(table) > 1 else np.nan
    return PooledRepeats(
        count=len(table),
        ratio=float(sums.ratio[0]),
        ratio_error=float(spread * np.std(sums.ratio[1:])),
        reduction=float(sums.reduction[0]),
        reduction_error=float(spread * np.std(sums.reduction[1:])),
    )


def repeat_pulls(denoised: Denoised, target: Spectra, counted: BoolArray) -> FloatArray:
    """Differences of denoised and target half over their joint error, pixel by pixel.

    Parameters
    ----------
    denoised : Denoised
        Estimates made from the noisy half.
    target : Spectra
        The other half, as for `score_repeat`.
    counted : (n_spectra, n_pixels) of bool
        Pixels that count.

    Returns
    -------
    (n_spectra, n_pixels)
        (d − y) / √(σ_d² + σ_y²); NaN where a pixel does not count.
    """
    counted = counted & target.good & denoised.valid
    variance = denoised.sigma.astype(np.float64) ** 2 + _variance(target, counted)
    return np.where(counted, (denoised.flux - _filled(target, counted)) / np.sqrt(variance), np.nan)


def block_pulls(
    denoised: Denoised, target: Spectra, counted: BoolArray, size: int = 30, correlation: float | FloatArray = 1.0
) -> tuple[FloatArray, FloatArray]:
    """Pulls of means over blocks of pixels, which show the broad errors that the pixel noise of the target hides.

    Parameters
    ----------
    denoised : Denoised
        Estimates made from the noisy half. Without a covariance their errors are taken to be independent.
    target : Spectra
        The other half, as for `score_repeat`.
    counted : (n_spectra, n_pixels) of bool
        Pixels that count.
    size : int
        Pixels per block; blocks with fewer than half of their pixels counted are left out.
    correlation : float or (n_spectra,)
        Factor on the error of the target in a block for the correlation between its pixels, such as the `pull_scatter`
        of the block pulls of the noisy half against the target.

    Returns
    -------
    wavelength : (n_blocks,)
        Mean observed wavelengths, Å.
    pulls : (n_spectra, n_blocks)
        Pulls, with the full covariance of the estimate; NaN where a block does not count.
    """
    member = _blocks(target.wavelength, size)
    counted = counted & target.good & denoised.valid
    residual = np.where(counted, denoised.flux - _filled(target, counted), 0.0)
    correlation = np.broadcast_to(np.asarray(correlation, dtype=np.float64), len(target))
    noise = correlation[:, None] ** 2 * np.where(counted, _variance(target, counted), 0.0)
    pulls = np.full((len(target), len(member)), np.nan)
    for row in range(len(target)):
        used = member * counted[row]
        number = used.sum(axis=1)
        mean = used / np.maximum(number, 1)[:, None]
        variance = mean**2 @ noise[row] + _mean_variance(denoised, row, mean)
        kept = number >= size / 2
        pulls[row, kept] = (mean @ residual[row])[kept] / np.sqrt(variance[kept])
    return member @ target.wavelength / member.sum(axis=1), pulls


def pull_scatter(pulls: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scatter of pulls about zero, per spectrum: 1 if estimate and errors are right.

    Parameters
    ----------
    pulls : (n_spectra, n)
        Pulls; NaN where there is none.

    Returns
    -------
    robust, rms : (n_spectra,)
        1.4826 times the median of the absolute values, and the root mean square; NaN where there are no pulls.
    """
    counted = np.isfinite(pulls)
    return robust_scatter(np.where(counted, pulls, 0.0), counted), rms(pulls)


def _blocks(wavelength: FloatArray, size: int) -> FloatArray:
    """Membership of pixels in blocks, (n_blocks, n_pixels) of 0 and 1; a remainder at the end of an arm has none."""
    starts = [start for arm in stretches(wavelength) for start in range(arm.start, arm.stop - size + 1, size)]
    member = np.zeros((len(starts), len(wavelength)))
    for block, start in enumerate(starts):
        member[block, start : start + size] = 1
    return member


def _mean_variance(denoised: Denoised, row: int, mean: FloatArray) -> FloatArray:
    """Variance of linear combinations `mean` (n_blocks, n_pixels) of one estimate, (n_blocks,)."""
    if denoised.factor_of is None:
        return np.asarray(mean**2 @ np.nan_to_num(denoised.sigma[row].astype(np.float64)) ** 2)
    variance = np.sum((mean @ np.nan_to_num(denoised.covariance_factor(row))) ** 2, axis=1)
    if denoised.remainder is not None:
        variance += mean**2 @ denoised.remainder[row].astype(np.float64) ** 2
    return np.asarray(variance)


def _legendre(wavelength: FloatArray, terms: int) -> FloatArray:
    """Legendre polynomials on each stretch of the spectrum, (n_pixels, n_stretches · terms)."""
    from numpy.polynomial.legendre import legvander

    parts = list(stretches(wavelength))
    functions = np.zeros((len(wavelength), len(parts) * terms))
    for number, part in enumerate(parts):
        place = np.linspace(-1, 1, part.stop - part.start)
        functions[part, number * terms : (number + 1) * terms] = legvander(place, terms - 1)
    return functions


def _filled(spectra: Spectra, counted: BoolArray) -> FloatArray:
    return np.where(counted, spectra.flux, 0.0).astype(np.float64)


def _variance(spectra: Spectra, counted: BoolArray) -> FloatArray:
    """Quoted variances; 1 where a pixel does not count."""
    return np.asarray(1 / np.where(counted, spectra.ivar, 1.0).astype(np.float64))
