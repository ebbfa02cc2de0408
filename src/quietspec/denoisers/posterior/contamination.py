"""What a spectrum holds beside its stars: gas emission lines, spikes, and noise unlike the quoted errors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.gas import is_near
from quietspec.statistics import MAD_TO_SIGMA, robust_scatter
from quietspec.wavelengths import (
    EMISSION_LINES,
    FWHM_PER_SIGMA,
    INTERSTELLAR_BANDS,
    SPEED_OF_LIGHT,
    STRONG_LINES,
)

__all__ = [
    "TRACERS", "ChannelNoise", "Gas", "channel_noise", "interstellar_mask", "line_mask", "measure_gas", "noise_scale",
    "spike_mask", "tracers_seen",
]  # fmt: skip

#: km/s about the given redshift; coarse at both ends, where wrong redshifts put the lines.
_TRIAL_VELOCITY = np.concatenate(
    [np.arange(-900.0, -450.0, 100.0), np.arange(-450.0, 451.0, 50.0), np.arange(500.0, 901.0, 100.0)]
)
_TRIAL_SIGMA = np.array([50.0, 90.0, 150.0, 250.0])  # km/s, intrinsic; wider trials fit the misfits of bright spectra
#: Lines that reveal gas.
TRACERS = ("[OII]3726", "[OII]3729", "Hbeta", "[OIII]4959", "[OIII]5007", "[NII]6548", "Halpha", "[NII]6583")
_WEAK_TRACERS = (
    "[NeIII]3869", "Hdelta", "Hgamma", "[NI]5200", "HeI5876", "[OI]6300", "[SII]6716", "[SII]6731", "HeI7065",
    "[ArIII]7136", "[SIII]9069", "[SIII]9531",
)  # fmt: skip
_BROAD_SIGMA = np.array([500.0, 900.0, 1500.0])  # km/s: active nuclei
_BROAD_GAIN = 1.2  # in Δχ² over that of narrow lines …
_BROAD_PEAK = 0.08  # … and height over the continuum, above any misfit of stars, that reveal broad lines
_BROAD_ADDS = 16.0, 0.01  # least Δχ², and least share of the joint fit's Δχ², that broad Balmer lines must add
_DETECTION = 36.0  # Δχ² of the best trial: 5σ after allowing for some 100 trials and 8 lines
_WIDTH_TRUSTED = 150.0  # Δχ² above which a measured width is trusted even where it is less than …
_USUAL_SIGMA = 100.0  # … this, km/s
_TOUCHED = 6.0  # σ, beyond which a line is nothing
_REACH = 3.0  # half width of a mask in σ of the line
_CLIP = 4.0  # σ, beyond which a residual is not taken for noise
_ISOLATED = 5.0  # ratio to the median about it that reveals a spike within a long run of misfits
_FEWEST_PIXELS = 200
_LAGS = 3  # channels over which resampling correlates noise
_LEAST_GAIN = 0.25
_FAR_LAGS = (6, 7, 8)  # channels, where resampling no longer correlates noise


@dataclass(frozen=True)
class Gas:
    """Emission-line gas of each spectrum.

    Parameters
    ----------
    detected : (n_spectra,) of bool
        Whether any emission stands out.
    velocity, sigma : (n_spectra,)
        Velocity relative to the redshift and intrinsic velocity dispersion, km/s; 0 and 100 km/s where nothing was
        detected.
    broad : (n_spectra,)
        Velocity dispersion of broad lines, km/s; 0 where there are none.
    """

    detected: BoolArray
    velocity: FloatArray
    sigma: FloatArray
    broad: FloatArray


def tracers_seen(rest: FloatArray) -> tuple[str, ...]:
    """Name the lines that reveal gas on some pixels.

    Parameters
    ----------
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.

    Returns
    -------
    tuple of str
        `TRACERS` where any of these is covered; weaker lines on short pieces in which none of them is.
    """
    covered = any(rest[0] <= EMISSION_LINES[name] <= rest[-1] for name in TRACERS)
    return TRACERS if covered else _WEAK_TRACERS


def measure_gas(
    residual: FloatArray,
    weight: FloatArray,
    continuum: FloatArray,
    rest: FloatArray,
    fwhm: FloatArray,
    stars: FloatArray | None = None,
    tracers: Sequence[str] = TRACERS,
) -> Gas:
    """Find emission lines in the residuals of a stellar fit, by matched filters over velocity and width.

    Parameters
    ----------
    residual, weight : (n_spectra, n_pixels)
        Data minus continuum, and inverse variances (0 = masked).
    continuum : (n_spectra, n_pixels)
        The continuum.
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Instrumental resolution in the rest frame, FWHM in Å.
    stars : (n_spectra,), optional
        Velocity of the stars, km/s; if given, only gas is looked for that can belong to them.
    tracers : sequence of str
        Lines of `EMISSION_LINES` that reveal gas. Broad lines are looked for in `TRACERS` alone.

    Returns
    -------
    Gas
        One velocity and width for all lines of a spectrum. Widths below 100 km/s are trusted only where the lines are
        bright. A best velocity at the end of the range of trials is no detection: misfits of bright spectra lie there.
    """
    trials = np.array([(velocity, sigma) for sigma in _TRIAL_SIGMA for velocity in _TRIAL_VELOCITY])
    broad_trials = np.array([(0.0, sigma) for sigma in _BROAD_SIGMA])
    weighted = np.where(weight > 0, residual, 0.0) * weight
    gain, _ = _improvement(weighted, weight, _levels(tracers, continuum, rest), rest, fwhm, trials)
    if stars is not None:
        gain = np.where(is_near(trials[:, 0], stars[:, None]), gain, 0.0)
    best = gain.argmax(axis=1)
    top = gain[np.arange(len(best)), best] / _scatter(_pull(residual, weight), weight) ** 2
    velocity, sigma = trials[best].T
    top = np.where(np.abs(velocity) < _TRIAL_VELOCITY[-1], top, 0.0)
    detected, sure = top > _DETECTION, top > _WIDTH_TRUSTED
    wide_gain, height = _improvement(weighted, weight, _levels(TRACERS, continuum, rest), rest, fwhm, broad_trials)
    chosen, rows = wide_gain.argmax(axis=1), np.arange(len(best))
    is_broad = (
        detected & (wide_gain[rows, chosen] > _BROAD_GAIN * gain.max(axis=1)) & (height[rows, chosen] > _BROAD_PEAK)
    )
    for row in np.flatnonzero(is_broad):
        found = float(velocity[row]), float(sigma[row]), float(_BROAD_SIGMA[chosen[row]])
        is_broad[row] = _broad_lines_add(residual[row], weight[row], rest, fwhm, *found)
    return Gas(
        detected,
        np.where(detected, velocity, 0.0),
        np.where(detected, np.maximum(sigma, np.where(sure, 0.0, _USUAL_SIGMA)), _USUAL_SIGMA),
        np.where(is_broad, _BROAD_SIGMA[chosen], 0.0),
    )


def _broad_lines_add(
    residual: FloatArray,
    weight: FloatArray,
    rest: FloatArray,
    fwhm: FloatArray,
    velocity: float,
    sigma: float,
    broad: float,
) -> bool:
    """Whether broad Balmer lines explain more of one spectrum than its narrow lines alone, all fitted together."""
    from scipy.optimize import nnls  # takes a tenth of a second to import

    # Line by line, a broad filter takes Hα and [NII] for one line, and counts that blend three times.
    narrow = _lines(np.array([EMISSION_LINES[name] for name in TRACERS]), rest, fwhm, velocity, sigma)
    wide = _lines(np.array([EMISSION_LINES[name] for name in ("Hbeta", "Halpha")]), rest, fwhm, 0.0, broad)
    centre, width = np.concatenate([narrow, wide], axis=1)
    # Pixels that no line touches add the same to both sums of squares.
    used = (weight > 0) & (np.abs(rest[:, None] - centre) < _TOUCHED * width).any(axis=1)
    root = np.sqrt(weight[used].astype(np.float64))
    design = root[:, None] * np.exp(-0.5 * ((rest[used, None] - centre) / width) ** 2)
    data = root * residual[used]
    left_by_narrow, left = (nnls(design[:, :n], data, maxiter=1000)[1] ** 2 for n in (len(TRACERS), None))
    least, share = _BROAD_ADDS
    return bool(left_by_narrow - left > max(least, share * (data @ data - left)))


def _levels(names: Sequence[str], continuum: FloatArray, rest: FloatArray) -> dict[str, FloatArray]:
    """Continuum at each of some lines, (n_spectra,)."""
    return {name: continuum[:, np.abs(rest - EMISSION_LINES[name]).argmin()] for name in names}


def _improvement(
    weighted: FloatArray,
    weight: FloatArray,
    level: Mapping[str, FloatArray],
    rest: FloatArray,
    fwhm: FloatArray,
    trials: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Δχ² with each line at its best amplitude ≥ 0, and highest line over the continuum, (n_spectra, n_trials)."""
    total, highest = np.zeros((2, len(weighted), len(trials)))
    for name, continuum in level.items():
        centre, width = _lines(np.array([EMISSION_LINES[name]]), rest, fwhm, *trials.T)
        near = slice(*np.searchsorted(rest, [(centre - 4 * width).min(), (centre + 4 * width).max()]))
        distance = (rest[near, None] - centre) / width
        profile = np.where(np.abs(distance) < 4, np.exp(-0.5 * distance**2), 0.0).astype(weighted.dtype)
        signal, power = weighted[:, near] @ profile, weight[:, near] @ profile**2
        power = np.where(power > 0, power, np.inf)
        total += np.where(signal > 0, signal**2 / power, 0.0)
        above = continuum[:, None] > 0
        highest = np.fmax(
            highest, np.divide(signal / power, continuum[:, None], out=np.zeros_like(signal), where=above)
        )
    return total, highest


def _lines(
    laboratory: FloatArray, rest: FloatArray, fwhm: FloatArray, velocity: FloatArray | float, sigma: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Centre and total σ of lines of given laboratory wavelengths, Å."""
    centre = laboratory * (1 + np.asarray(velocity) / SPEED_OF_LIGHT)
    instrument = np.interp(centre, rest, fwhm) / FWHM_PER_SIGMA
    return centre, np.hypot(centre * sigma / SPEED_OF_LIGHT, instrument)


def line_mask(
    rest: FloatArray, fwhm: FloatArray, velocity: float, sigma: float, names: Collection[str] = STRONG_LINES
) -> BoolArray:
    """Find the pixels that emission lines affect.

    Parameters
    ----------
    rest : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Instrumental resolution in the rest frame, FWHM in Å.
    velocity, sigma : float
        Velocity and intrinsic velocity dispersion of the gas, km/s.
    names : collection of str
        Lines of `EMISSION_LINES`.

    Returns
    -------
    (n_pixels,) of bool
        True within 3σ of a line's centre.
    """
    mask = np.zeros(rest.shape, dtype=bool)
    centre, width = _lines(np.array([EMISSION_LINES[name] for name in names]), rest, fwhm, velocity, sigma)
    low = np.searchsorted(rest, centre - _REACH * width, side="right")
    high = np.searchsorted(rest, centre + _REACH * width)
    for first, last in zip(low, high, strict=True):
        mask[first:last] = True
    return mask


def interstellar_mask(rest: FloatArray, fwhm: FloatArray) -> BoolArray:
    """Find the pixels that gas and dust between the stars may darken, (n_pixels,), as `line_mask` does for lines."""
    low, high = np.array(INTERSTELLAR_BANDS).T[:, :, None]
    return np.asarray(((rest > low - fwhm) & (rest < high + fwhm)).any(axis=0))


def spike_mask(residual: FloatArray, weight: FloatArray, threshold: float = 6.0, longest: int = 5) -> BoolArray:
    """Find cosmic rays and dead pixels: short runs of pixels that stand out from a fit.

    Parameters
    ----------
    residual, weight : (n_spectra, n_pixels)
        Data minus continuum, and inverse variances (0 = masked).
    threshold : float
        In units of the error, or of the spectrum's own scatter where that is larger.
    longest : int
        Longest run of pixels that counts. Longer runs are real features that the fit lacks, except for pixels that
        stand out from the run itself: a spike so strong that it pulled the fit away from its neighbours.

    Returns
    -------
    (n_spectra, n_pixels) of bool
        True where spoilt.
    """
    pull = _pull(residual, weight)
    spoilt = np.abs(pull) > threshold * _scatter(pull, weight)[:, None]
    some = np.flatnonzero(spoilt.sum(axis=1) > longest)  # may hold a long run
    long_runs = ndimage.binary_opening(spoilt[some], np.ones((1, longest + 1), dtype=bool))
    have = long_runs.any(axis=1)
    some, long_runs, size = some[have], long_runs[have], np.abs(pull[some[have]])
    long_runs &= size < _ISOLATED * ndimage.median_filter(size, size=(1, 2 * longest + 1))
    spoilt[some] &= ~long_runs
    return np.asarray(spoilt)


def _pull(residual: FloatArray, weight: FloatArray) -> FloatArray:
    """Residuals in units of the quoted error, 0 where masked, (n_spectra, n_pixels)."""
    return np.asarray(np.where(weight > 0, residual, 0.0) * np.sqrt(weight))


def _scatter(pull: FloatArray, weight: FloatArray) -> FloatArray:
    """Robust scatter of the pulls, at least 1, (n_spectra,)."""
    return np.asarray(np.fmax(1.0, robust_scatter(pull, weight > 0)))


def noise_scale(residual: FloatArray, weight: FloatArray, dof: FloatArray) -> FloatArray:
    """Measure how much larger the error of a broad feature is than the quoted errors say.

    Resampling correlates neighbouring channels, and quoted variances are often mis-scaled; both show in the residuals
    of a fit. For features broader than the correlation the effective variance is the scatter's times 1 + 2 Σ ρ(lag).

    Parameters
    ----------
    residual, weight : (n_spectra, n_pixels)
        Data minus continuum, and inverse variances (0 = masked).
    dof : (n_spectra,)
        Number of parameters fitted to get the continuum; they absorbed that much broad noise.

    Returns
    -------
    (n_spectra,)
        Factor on the quoted 1σ; 1 for spectra of too few pixels to measure it. For n pixels its relative error is
        √(3.5 / n): half of √(2 (2·3 + 1) / n), that of a variance from the products of channels up to 3 apart.
    """
    used = weight > 0
    pull = np.clip(_pull(residual, weight), -_CLIP, _CLIP)
    count = used.sum(axis=1)
    enough = count >= _FEWEST_PIXELS
    scatter = np.divide((pull**2).sum(axis=1), count, out=np.ones(len(pull)), where=enough)
    correlation = np.zeros(len(pull))
    for lag in range(1, _LAGS + 1):
        pairs = (used[:, lag:] & used[:, :-lag]).sum(axis=1)
        product = (pull[:, lag:] * pull[:, :-lag]).sum(axis=1)
        correlation += np.divide(product, pairs * scatter, out=np.zeros(len(pull)), where=enough & (pairs > 0))
    absorbed = (2 * _LAGS + 1) * dof / np.maximum(count, _FEWEST_PIXELS)
    return np.asarray(np.sqrt(scatter * np.maximum(1 + 2 * correlation + absorbed, _LEAST_GAIN)))


@dataclass(frozen=True)
class ChannelNoise:
    """Noise of a set of spectra, measured from their channels.

    Parameters
    ----------
    scale : float
        Scatter of single channels over the quoted 1σ; NaN where no pixel can be used.
    correlation : tuple of float
        Correlation of channels that are 1, 2 and 3 apart.
    """

    scale: float
    correlation: tuple[float, ...]


def channel_noise(residual: FloatArray, weight: FloatArray) -> ChannelNoise:
    """Measure the noise of many spectra at once, by the median difference of channels at several distances.

    Slow variations, such as misfits, and outliers do not count.

    Parameters
    ----------
    residual, weight : (n_spectra, n_pixels)
        Data minus continuum, and quoted inverse variances (0 = masked).

    Returns
    -------
    ChannelNoise
        Noise of the whole set.
    """
    pull, used = _pull(residual, weight), weight > 0

    def variance(lag: int) -> float:
        pairs = used[:, lag:] & used[:, :-lag]
        differences = np.abs(pull[:, lag:] - pull[:, :-lag])[pairs]
        return float((MAD_TO_SIGMA * np.median(differences)) ** 2 / 2) if differences.size else np.nan

    far = float(np.mean([variance(lag) for lag in _FAR_LAGS]))
    return ChannelNoise(far**0.5, tuple(1 - variance(lag) / far if far > 0 else np.nan for lag in range(1, _LAGS + 1)))
