"""Whether a spectrum is of the kind that the prior describes: a p-value, and the most likely flag where it is small.

Explanations of a spectrum's features are compared: galaxies at the given redshift; galaxies at any other, or stars at
redshift 0; a smooth continuum, without features (`features`). The residuals of these and of the denoised spectrum, and
the noise between channels, are further symptoms. The distribution of each symptom among galaxies is tabulated
(`SymptomLaws`) against the information that the features hold, not assumed: real galaxies follow the prior only in
part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.posterior.features import CONTINUUM_REACH, Explanations, FeatureScan
from quietspec.denoisers.posterior.sky import SkyPixels
from quietspec.denoisers.posterior.sky_size import NoiseLevels, is_told_apart
from quietspec.errors import ModelError
from quietspec.statistics import masked_median, robust_scatter
from quietspec.wavelengths import SPEED_OF_LIGHT, rest_air

__all__ = ["SYMPTOMS", "Diagnosis", "SymptomLaws", "Symptoms", "diagnose", "measure"]

#: What is measured; each is larger the less a spectrum looks like a galaxy at its redshift.
SYMPTOMS = ("elsewhere", "featureless", "unexplained", "misfit", "noisier", "quieter")

_BATCH = 256
_BLOCK = 64  # spectra whose arrays fit into the processor's cache
_FAINTEST = 8.0  # σ, significance of the flux of the faintest spectrum that still counts as a signal
_FOUND, _FOUND_OF_EXPECTED = 5.0, 0.25  # log evidence, and share of the expected one, of a galaxy found elsewhere
_NOISE = slice(SYMPTOMS.index("noisier"), SYMPTOMS.index("quieter") + 1)
_SURE_MISFIT = 0.05  # 1σ of the log of χ² per degree of freedom where pixels abound
_APART = 4  # channels whose difference shows the noise: farther apart than resampling correlates them
_ERRORS_OF_ERRORS = 0.1  # log of a factor: how well quoted errors are known, and how sharply their law ends
#: 1σ that noise alone gives symptoms whose scale is known, of galaxies with few pixels.
_SIGMA = {"unexplained": 1.0, "misfit": _SURE_MISFIT, "noisier": _ERRORS_OF_ERRORS, "quieter": _ERRORS_OF_ERRORS}
_FEWEST = 40  # spectra of a world from which a tail can be read off


@dataclass(frozen=True, eq=False)
class Symptoms(BySpectrum):
    """Symptoms measured on each spectrum.

    Parameters
    ----------
    values : (n_spectra, 6)
        In the order of `SYMPTOMS`: log evidence of the best other redshift over the given one; of a smooth continuum
        over the given redshift; χ² that the features at the given redshift leave beyond that expected, in σ; log χ² per
        degree of freedom of the denoised spectrum relative to the noise between channels; log of that noise, and minus
        log of the scatter of the residuals, both over the quoted error. The last three are shrunk where pixels are few.
        NaN where there is no estimate.
    information : (n_spectra,)
        Log evidence over a smooth continuum that the features of an average galaxy would have had.
    signal : (n_spectra,)
        Significance of the flux, σ.
    velocity : (n_spectra,)
        Best other redshift, as a velocity relative to the given one, km/s.
    support : (n_spectra,)
        Log evidence of the best other redshift over a smooth continuum.
    starlike : (n_spectra,) of bool
        Whether the best other redshift is 0.
    short : (n_spectra,) of bool
        Whether the spectrum is shorter than what the running continuum of its features reaches over, 30,000 km/s.
    confirmed : (n_spectra,) of bool
        Whether strong gas lines confirm the given redshift: these are galaxies there, if unlike those of the laws.
    """

    values: FloatArray
    information: FloatArray
    signal: FloatArray
    velocity: FloatArray
    support: FloatArray
    starlike: BoolArray
    short: BoolArray
    confirmed: BoolArray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Whether spectra are galaxies at their redshifts.

    Parameters
    ----------
    p_value : (n_spectra,)
        Probability that a galaxy at its redshift shows a symptom as strong as the strongest; NaN without an estimate.
    flags : (n_spectra,) of int
        The most likely `Flag` where `p_value` is below the given level, else `Flag.OK`.
    velocity : (n_spectra,)
        Best other redshift, as a velocity relative to the given one, km/s.
    """

    p_value: FloatArray
    flags: npt.NDArray[np.int64]
    velocity: FloatArray


def measure(denoised: Denoised, scan: FeatureScan) -> Symptoms:
    """Measure the symptoms of denoised spectra.

    Parameters
    ----------
    denoised : Denoised
        Result of a denoiser that gives χ² and `noise_scale`.
    scan : FeatureScan
        Scan of the same prior.

    Returns
    -------
    Symptoms
        NaN where there is no estimate.
    """
    used = denoised.counted
    sky = SkyPixels.of(rest_air(denoised.spectra.wavelength, 0.0, denoised.spectra.medium))
    short = _short(used, denoised.spectra.wavelength)
    unknown = _unknown_air(used, short, sky)
    found = _scanned(denoised, unknown, sky, scan)
    blocks = [slice(start, start + _BLOCK) for start in range(0, max(len(used), 1), _BLOCK)]
    between, scatter, signal = np.concatenate([_scatters(denoised, used, rows) for rows in blocks], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        misfit = _shrunk(np.log(denoised.chi2 / denoised.dof) - 2 * np.log(between), used & ~unknown, _SURE_MISFIT, 8.0)
        noise = (_shrunk(value, used, _ERRORS_OF_ERRORS, 3.0) for value in (np.log(between), -np.log(scatter)))
    values = (found["other"] - found["given"], -found["given"], found["unexplained"], misfit, *noise)
    signal = signal * np.sqrt(2 / np.pi * used.sum(axis=1))  # the error of a median is √(π/2) that of a mean
    return Symptoms(
        values=np.stack(values, axis=1),
        information=found["information"],
        signal=signal / denoised.noise_scale,
        velocity=found["velocity"],
        support=found["other"],
        starlike=found["starlike"] == 1,
        short=short,
        confirmed=denoised.flags & Flag.STRONG_LINES != 0,
    )


def _shrunk(value: FloatArray, used: BoolArray, least: float, variance: float) -> FloatArray:
    """Shrink what few pixels tell badly: by its 1σ where pixels abound, over that of this many."""
    n = np.maximum(used.sum(axis=1), 1)
    return np.asarray(value * least / np.sqrt(least**2 + variance / n))


def _short(used: BoolArray, wavelength: FloatArray) -> BoolArray:
    """Find spectra shorter than what the running continuum of their features reaches over."""
    first, last = wavelength[used.argmax(axis=1)], wavelength[::-1][used[:, ::-1].argmax(axis=1)]
    return np.asarray(used.any(axis=1) & (np.log(last / first) * SPEED_OF_LIGHT < CONTINUUM_REACH))


def _unknown_air(used: BoolArray, short: BoolArray, sky: SkyPixels) -> BoolArray:
    """Pixels of short spectra in the bands of the air, where too few pixels tell how large what it leaves is."""
    if not sky.size:
        return np.zeros_like(used)
    return np.asarray(sky.inside & (short & ~is_told_apart(used, sky))[:, None])


def _scanned(denoised: Denoised, unknown: BoolArray, sky: SkyPixels, scan: FeatureScan) -> dict[str, FloatArray]:
    """Fields of `Explanations` for all spectra without `unknown` pixels, NaN where no pixel counts."""
    spectra = denoised.spectra
    found = {field.name: np.full(len(denoised), np.nan) for field in fields(Explanations)}
    for redshift, rows in spectra.by_redshift(np.asarray(denoised.counted.any(axis=1))):
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            weight = np.where(unknown[batch], 0, _weights(denoised, batch, sky))
            explanations = scan(rest, spectra.flux[batch], weight, redshift)
            for name, values in found.items():
                values[batch] = getattr(explanations, name)
    return found


def _weights(denoised: Denoised, rows: npt.NDArray[np.intp], sky: SkyPixels) -> FloatArray:
    """Inverse variances of some spectra, lower where the air absorbs and glows, if noise is larger there."""
    weight = np.where(denoised.ignored[rows], 0, denoised.spectra.ivar[rows]) / denoised.noise_scale[rows, None] ** 2
    if not sky.size:
        return np.asarray(weight)
    # What the air leaves stays where it is when the redshift moves, as the lines of a star do.
    residual = denoised.spectra.flux[rows] - np.nan_to_num(denoised.flux[rows])
    used = np.where(denoised.counted[rows], weight, 0)
    inside = NoiseLevels.measured(residual, used, np.zeros(len(rows)), sky).factors[:, 1:]
    return np.asarray(weight / np.where(sky.inside, np.maximum(inside, 1.0), 1.0) ** 2)


def _scatters(denoised: Denoised, used: BoolArray, rows: slice) -> FloatArray:
    """Noise between nearby channels, scatter of the residuals and median flux, all over the errors, (3, n)."""
    used, ivar = used[rows], denoised.spectra.ivar[rows]
    flux = np.where(used, denoised.spectra.flux[rows], 0).astype(np.float64)
    residual = flux - np.where(used, denoised.flux[rows], 0)
    root = np.sqrt(np.where(used, ivar, 0))
    variance = np.divide(1, ivar, out=np.zeros(used.shape), where=used)
    middle, left, right = slice(_APART, -_APART), slice(None, -2 * _APART), slice(2 * _APART, None)
    both = used[:, middle] & used[:, left] & used[:, right]
    difference = residual[:, middle] - 0.5 * (residual[:, left] + residual[:, right])
    expected = np.sqrt(variance[:, middle] + 0.25 * (variance[:, left] + variance[:, right]))
    ratio = np.divide(difference, expected, out=np.zeros(both.shape), where=both)
    return np.stack(
        [robust_scatter(ratio, both), robust_scatter(residual * root, used), masked_median(flux * root, used)]
    )


@dataclass(frozen=True, eq=False)
class SymptomLaws:
    """Distribution of each symptom among galaxies, as a function of the information in their features.

    Parameters
    ----------
    information : (n_knots,)
        log10 of 1 + `Symptoms.information`, increasing.
    levels : (n_levels,)
        Tail probabilities, decreasing.
    quantiles : (n_symptoms, n_knots, n_levels)
        Values of the symptoms that this fraction of galaxies exceeds.
    """

    information: FloatArray
    levels: FloatArray
    quantiles: FloatArray

    @classmethod
    def fit(cls, *worlds: Symptoms, n_knots: int = 6, levels: Sequence[float] = (0.5, 0.1, 0.01)) -> Self:
        """Tabulate the galaxies of several worlds; at each knot the world with the heavier tail counts.

        Parameters
        ----------
        *worlds : Symptoms
            Symptoms of simulated galaxies, and of real ones.
        n_knots : int
            Number of knots, in bins that hold equally many spectra of the first world.
        levels : sequence of float
            Tail probabilities. A tenth of the last is added, by extrapolating the tails exponentially.

        Returns
        -------
        SymptomLaws
            At each knot, worlds with fewer than 40 spectra about it are left out. The two symptoms of noise have one
            law for all knots, since how wrong errors are does not depend on features; their added quantile lies 0.1
            beyond. No quantile of a symptom whose scale is known lies below that of noise alone.
        """
        places = [np.log10(1 + world.information) for world in worlds]
        knots = np.nanquantile(places[0], (np.arange(n_knots) + 0.5) / n_knots)
        edges = np.concatenate([[-np.inf], 0.5 * (knots[1:] + knots[:-1]), [np.inf]])
        table = np.full((len(worlds), len(SYMPTOMS), n_knots, len(levels)), -np.inf)
        tails = 1 - np.asarray(levels)
        for number, (world, place) in enumerate(zip(worlds, places, strict=True)):
            whole = np.isfinite(world.values).all(axis=1)
            for knot in range(n_knots):
                values = world.values[whole & (place > edges[knot]) & (place <= edges[knot + 1])]
                if len(values) >= _FEWEST or number == 0:
                    table[number, :, knot] = np.quantile(values, tails, axis=0).T
            if whole.sum() >= _FEWEST or number == 0:
                table[number, _NOISE] = np.quantile(world.values[whole, _NOISE], tails, axis=0).T[:, None]
        quantiles = table.max(axis=0)
        beyond = quantiles[..., -1] - quantiles[..., -2]
        beyond[_NOISE] = _ERRORS_OF_ERRORS
        quantiles = np.concatenate([quantiles, (quantiles[..., -1] + beyond)[..., None]], axis=2)
        every = np.append(levels, levels[-1] / 10)
        # Whole spectra of many pixels scatter less than the few pixels of a piece may.
        for name, sigma in _SIGMA.items():
            row = SYMPTOMS.index(name)
            quantiles[row] = np.maximum(quantiles[row], -sigma * ndtri(every))
        return cls(knots, every, quantiles)

    def tails(self, symptoms: Symptoms) -> FloatArray:
        """Probability that a galaxy shows more of each symptom, (n_spectra, n_symptoms), by exponential tails."""
        place = np.log10(1 + symptoms.information)
        probabilities = np.empty(symptoms.values.shape)
        for column, table in enumerate(self.quantiles):
            knots = np.stack([np.interp(place, self.information, values) for values in table.T], axis=1)
            knots = np.maximum.accumulate(knots + 1e-6 * np.arange(knots.shape[1]), axis=1)
            probabilities[:, column] = _tail(symptoms.values[:, column], knots, np.log(self.levels))
        # The laws are those of longer spectra. The odds of no features exceed 1/p for at most p of galaxies (Markov).
        column = SYMPTOMS.index("featureless")
        least = np.where(symptoms.short, np.exp(-np.maximum(symptoms.values[:, column], 0)), 0.0)
        probabilities[:, column] = np.maximum(probabilities[:, column], least)
        return probabilities

    def to_dict(self) -> dict[str, Any]:
        """Return the laws as JSON types, as model cards hold them."""
        return {name: np.round(getattr(self, name), 4).tolist() for name in ("information", "levels", "quantiles")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make laws from what `to_dict` returned; `ModelError` if these are no laws."""
        try:
            fields = [np.array(content[name], dtype=float) for name in ("information", "levels", "quantiles")]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the card's symptom laws are malformed ({error!r}). Tabulate them again.") from error
        information, levels, quantiles = fields
        shape = (len(SYMPTOMS), information.size, levels.size)
        if quantiles.shape != shape or levels.size < 2 or not all(np.isfinite(field).all() for field in fields):
            raise ModelError(f"the card's symptom laws have shape {quantiles.shape}, not {shape}. Tabulate them again.")
        return cls(information, levels, quantiles)


def _tail(values: FloatArray, knots: FloatArray, log_levels: FloatArray) -> FloatArray:
    """Tail probability of each value: its logarithm is linear between knots, and continued at both ends."""
    cell = np.clip((values[:, None] > knots).sum(axis=1) - 1, 0, knots.shape[1] - 2)
    row = np.arange(len(values))
    low, high = knots[row, cell], knots[row, cell + 1]
    log = log_levels[cell] + (values - low) / (high - low) * (log_levels[cell + 1] - log_levels[cell])
    return np.asarray(np.exp(np.minimum(log, 0.0)))


def diagnose(symptoms: Symptoms, laws: SymptomLaws, level: float = 0.01) -> Diagnosis:
    """Give each spectrum a p-value and, where it is small, the most likely flag.

    Parameters
    ----------
    symptoms : Symptoms
        Symptoms of the spectra.
    laws : SymptomLaws
        Laws of galaxies denoised by the same model.
    level : float
        p-value below which a spectrum is flagged: the fraction of galaxies that are flagged by chance.

    Returns
    -------
    Diagnosis
        The p-value is the smallest tail probability of any symptom, corrected for their number (Šidák 1967). That of a
        missing signal is the probability that noise lowers a flux of 8σ, which hardly shows a feature, so far.
    """
    tails = np.concatenate([laws.tails(symptoms), ndtr(symptoms.signal - _FAINTEST)[:, None]], axis=1)
    number = tails.shape[1]
    p_value = -np.expm1(number * np.log1p(-np.minimum(np.fmin.reduce(tails, axis=1), 1 - 1e-12)))
    flags = np.where(p_value < level, _likely_flags(symptoms, tails, -np.expm1(np.log1p(-level) / number)), 0)
    flags = np.where(symptoms.confirmed & (flags == Flag.NOT_GALAXY), int(Flag.UNLIKE_PRIOR), flags)
    return Diagnosis(p_value, flags.astype(np.int64), symptoms.velocity)


def _likely_flags(symptoms: Symptoms, tails: FloatArray, level: float) -> npt.NDArray[np.int64]:
    """The flag of each spectrum: a cause comes before its consequences."""
    strong = dict(zip((*SYMPTOMS, "empty"), (tails < level).T, strict=True))
    found = symptoms.support > np.maximum(_FOUND, _FOUND_OF_EXPECTED * symptoms.information)
    causes = [
        (strong["empty"], Flag.NO_SIGNAL),
        (strong["elsewhere"] & found & symptoms.starlike, Flag.STAR),
        (strong["elsewhere"] & found, Flag.WRONG_REDSHIFT),
        (strong["noisier"] | strong["quieter"], Flag.MISSCALED),
        (strong["elsewhere"] | strong["featureless"], Flag.NOT_GALAXY),
        (strong["unexplained"] | strong["misfit"], Flag.UNLIKE_PRIOR),
    ]
    return np.select([np.asarray(cause) for cause, _ in causes], [int(flag) for _, flag in causes])
