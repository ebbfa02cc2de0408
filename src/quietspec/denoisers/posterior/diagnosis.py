"""Whether a spectrum is what the prior is about: a p-value, and the most likely reason where it is small.

Explanations of a spectrum's features are compared: galaxies at the redshift given; galaxies at any other, or stars at
redshift 0; none, a smooth continuum (`features`). What these and the denoised spectrum leave, and the noise between
channels, are further symptoms. The law of each among galaxies is tabulated (`SymptomLaws`) against the information the
features hold, not assumed: real galaxies follow the prior only so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers.posterior.features import Explanations, FeatureScan
from quietspec.statistics import masked_median, robust_scatter
from quietspec.wavelengths import rest_air

__all__ = ["SYMPTOMS", "Diagnosis", "Reason", "SymptomLaws", "Symptoms", "diagnose", "measure"]

#: What is measured, each the larger the less a spectrum looks like a galaxy at its redshift.
SYMPTOMS = ("elsewhere", "featureless", "unexplained", "misfit", "noisier", "quieter")

_BATCH = 256
_BLOCK = 64  # spectra of which arrays fit into the processor's cache
_FAINTEST = 8.0  # σ, the significance of the flux of the faintest spectrum that counts as one
_FOUND, _FOUND_OF_EXPECTED = 5.0, 0.25  # log evidence, and share of the expected, that finds a galaxy elsewhere
_NOISE = slice(SYMPTOMS.index("noisier"), SYMPTOMS.index("quieter") + 1)
_ERRORS_OF_ERRORS = 0.1  # log of a factor: quoted errors are not right to better, nor does their law end sharper
_FEWEST = 40  # spectra of a world, of which a tail can be read off


class Reason(IntEnum):
    """Why a spectrum is not what the prior is about."""

    NONE = 0  #: nothing stands out
    NO_SIGNAL = 1  #: no flux: empty sky, a dead fibre
    WRONG_REDSHIFT = 2  #: galaxies at another redshift explain its features better
    STAR = 3  #: stars of redshift 0 explain them better
    NOT_GALAXY = 4  #: a smooth continuum explains it better than any galaxy does: quasar, artefact
    UNLIKE_PRIOR = 5  #: at the redshift given, but with features or colours that the prior does not know
    ERRORS = 6  #: the scatter of its channels is not what the quoted errors say


@dataclass(frozen=True, eq=False)
class Symptoms:
    """What was measured on each spectrum.

    Parameters
    ----------
    values : (n_spectra, 6)
        Those of `SYMPTOMS`: log evidence of the best other redshift over the one given; of a smooth continuum over
        the redshift given; χ² a bin of the features that the redshift given leaves; log χ² per degree of freedom of
        the denoised spectrum against the noise between channels; log of that noise, and minus log of the scatter of
        the residuals, both over the quoted error. NaN where there is no estimate.
    information : (n_spectra,)
        Log evidence that the features of an average galaxy would have had over a smooth continuum.
    signal : (n_spectra,)
        Significance of the flux, σ.
    velocity : (n_spectra,)
        Best other redshift, km/s against the one given.
    support : (n_spectra,)
        Log evidence of the best other redshift over a smooth continuum.
    starlike : (n_spectra,) of bool
        Whether the best other redshift is 0.
    """

    values: FloatArray
    information: FloatArray
    signal: FloatArray
    velocity: FloatArray
    support: FloatArray
    starlike: BoolArray

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def stack(cls, parts: Sequence[Symptoms]) -> Self:
        """Join several."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Whether spectra are galaxies at their redshifts.

    Parameters
    ----------
    p_value : (n_spectra,)
        Probability that a galaxy at its redshift shows a symptom as strong as the strongest; NaN without an estimate.
    reason : (n_spectra,) of int
        The `Reason` where `p_value` is below the level asked for, else `Reason.NONE`.
    velocity : (n_spectra,)
        Best other redshift, km/s against the one given.
    """

    p_value: FloatArray
    reason: npt.NDArray[np.int64]
    velocity: FloatArray


def measure(denoised: Denoised, scan: FeatureScan) -> Symptoms:
    """Measure the symptoms of denoised spectra.

    Parameters
    ----------
    denoised : Denoised
        By a denoiser that gives χ² and `noise_scale`.
    scan : FeatureScan
        Of the same prior.

    Returns
    -------
    Symptoms
        NaN where there is no estimate.
    """
    spectra = denoised.spectra
    used = denoised.valid & spectra.good & ~denoised.ignored
    found = _scanned(denoised, np.asarray(used.any(axis=1)), scan)
    blocks = [slice(start, start + _BLOCK) for start in range(0, max(len(used), 1), _BLOCK)]
    between, scatter, signal = np.concatenate([_scatters(denoised, used, rows) for rows in blocks], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        misfit = np.log(denoised.chi2 / denoised.dof) - 2 * np.log(between)
        noise = np.log(between), -np.log(scatter)
    values = (found["other"] - found["given"], -found["given"], found["unexplained"], misfit, *noise)
    signal = signal * np.sqrt(2 / np.pi * used.sum(axis=1))  # a median's error is √(π/2) a mean's
    return Symptoms(
        values=np.stack(values, axis=1),
        information=found["information"],
        signal=signal / denoised.noise_scale,
        velocity=found["velocity"],
        support=found["other"],
        starlike=found["starlike"] == 1,
    )


def _scanned(denoised: Denoised, seen: BoolArray, scan: FeatureScan) -> dict[str, FloatArray]:
    """Fields of `Explanations` of all spectra, NaN where there is nothing to see."""
    spectra = denoised.spectra
    found = {field.name: np.full(len(denoised), np.nan) for field in fields(Explanations)}
    for redshift in np.unique(spectra.redshift[seen]):
        rows = np.flatnonzero(seen & (spectra.redshift == redshift))
        rest = rest_air(spectra.wavelength, float(redshift), spectra.medium)
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            weight = np.where(denoised.ignored[batch], 0, spectra.ivar[batch]) / denoised.noise_scale[batch, None] ** 2
            explanations = scan(rest, spectra.flux[batch], weight, float(redshift))
            for name, values in found.items():
                values[batch] = getattr(explanations, name)
    return found


def _scatters(denoised: Denoised, used: BoolArray, rows: slice) -> FloatArray:
    """Noise between a channel and its neighbours, scatter of the residuals and median flux, over the errors; (3, n)."""
    used, ivar = used[rows], denoised.spectra.ivar[rows]
    flux = np.where(used, denoised.spectra.flux[rows], 0).astype(np.float64)
    residual = flux - np.where(used, denoised.flux[rows], 0)
    root = np.sqrt(np.where(used, ivar, 0))
    variance = np.divide(1, ivar, out=np.zeros(used.shape), where=used)
    both = used[:, 1:-1] & used[:, :-2] & used[:, 2:]
    difference = residual[:, 1:-1] - 0.5 * (residual[:, :-2] + residual[:, 2:])
    expected = np.sqrt(variance[:, 1:-1] + 0.25 * (variance[:, :-2] + variance[:, 2:]))
    ratio = np.divide(difference, expected, out=np.zeros(both.shape), where=both)
    return np.stack(
        [robust_scatter(ratio, both), robust_scatter(residual * root, used), masked_median(flux * root, used)]
    )


@dataclass(frozen=True, eq=False)
class SymptomLaws:
    """Law of each symptom among galaxies, against the information in their features.

    Parameters
    ----------
    information : (n_knots,)
        Log10 of 1 + `Symptoms.information`, increasing.
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
        """Tabulate galaxies of several worlds; at each knot the world of the heavier tail counts.

        Parameters
        ----------
        *worlds : Symptoms
            Of simulated galaxies, of real ones.
        n_knots : int
            Bins of equal numbers of the first world.
        levels : sequence of float
            Tail probabilities. A tenth of the last is added, by exponential tails.

        Returns
        -------
        SymptomLaws
            Worlds with fewer than 40 spectra about a knot are left out there. The two symptoms of noise have one law
            at all knots, since how wrong errors are has nothing to do with features; their last tenth lies 0.1 beyond.
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
        quantiles[_NOISE, :, -1] = np.maximum(quantiles[_NOISE, :, -1], _ERRORS_OF_ERRORS)
        beyond = quantiles[..., -1] - quantiles[..., -2]
        beyond[_NOISE] = _ERRORS_OF_ERRORS
        quantiles = np.concatenate([quantiles, (quantiles[..., -1] + beyond)[..., None]], axis=2)
        return cls(knots, np.append(levels, levels[-1] / 10), quantiles)

    def tails(self, symptoms: Symptoms) -> FloatArray:
        """Chance that a galaxy shows more of each symptom, (n_spectra, n_symptoms); beyond the table exponential."""
        place = np.log10(1 + symptoms.information)
        probabilities = np.empty(symptoms.values.shape)
        for column, table in enumerate(self.quantiles):
            knots = np.stack([np.interp(place, self.information, values) for values in table.T], axis=1)
            knots = np.maximum.accumulate(knots + 1e-6 * np.arange(knots.shape[1]), axis=1)
            probabilities[:, column] = _tail(symptoms.values[:, column], knots, np.log(self.levels))
        return probabilities

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, as model cards hold them."""
        return {name: np.round(getattr(self, name), 4).tolist() for name in ("information", "levels", "quantiles")}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make one of what `to_dict` returned."""
        return cls(*(np.asarray(content[name], dtype=float) for name in ("information", "levels", "quantiles")))


def _tail(values: FloatArray, knots: FloatArray, log_levels: FloatArray) -> FloatArray:
    """Tail probability of each value by straight lines in its logarithm, continued at both ends."""
    cell = np.clip((values[:, None] > knots).sum(axis=1) - 1, 0, knots.shape[1] - 2)
    row = np.arange(len(values))
    low, high = knots[row, cell], knots[row, cell + 1]
    log = log_levels[cell] + (values - low) / (high - low) * (log_levels[cell + 1] - log_levels[cell])
    return np.asarray(np.exp(np.minimum(log, 0.0)))


def diagnose(symptoms: Symptoms, laws: SymptomLaws, level: float = 0.01) -> Diagnosis:
    """Give each spectrum a p-value and, where it is small, the most likely reason.

    Parameters
    ----------
    symptoms : Symptoms
        Of the spectra.
    laws : SymptomLaws
        Of galaxies denoised by the same model.
    level : float
        p-value below which a reason is given: the fraction of galaxies that are.

    Returns
    -------
    Diagnosis
        The p-value is the smallest tail probability of any symptom, corrected for their number (Šidák 1967); that of
        the missing signal is the chance that noise hides so much of a flux of 8σ, in which hardly a feature shows.
    """
    tails = np.concatenate([laws.tails(symptoms), norm.cdf(symptoms.signal - _FAINTEST)[:, None]], axis=1)
    number = tails.shape[1]
    p_value = -np.expm1(number * np.log1p(-np.minimum(np.fmin.reduce(tails, axis=1), 1 - 1e-12)))
    reason = np.where(p_value < level, _reasons(symptoms, tails, -np.expm1(np.log1p(-level) / number)), Reason.NONE)
    return Diagnosis(p_value, reason.astype(np.int64), symptoms.velocity)


def _reasons(symptoms: Symptoms, tails: FloatArray, level: float) -> npt.NDArray[np.int64]:
    """The reason of each spectrum: a cause before what follows from it, else that of the strongest symptom."""
    strong = dict(zip((*SYMPTOMS, "empty"), (tails < level).T, strict=True))
    found = symptoms.support > np.maximum(_FOUND, _FOUND_OF_EXPECTED * symptoms.information)
    causes = [
        (strong["empty"], Reason.NO_SIGNAL),
        (strong["elsewhere"] & found & symptoms.starlike, Reason.STAR),
        (strong["elsewhere"] & found, Reason.WRONG_REDSHIFT),
        (strong["noisier"] | strong["quieter"], Reason.ERRORS),
        (strong["elsewhere"] | strong["featureless"], Reason.NOT_GALAXY),
        (strong["unexplained"] | strong["misfit"], Reason.UNLIKE_PRIOR),
    ]
    return np.select([np.asarray(cause) for cause, _ in causes], [int(reason) for _, reason in causes])
