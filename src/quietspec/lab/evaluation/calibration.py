"""Whether a denoiser's errors are right: coverage of pixels and lines, principal directions, χ².

Every test compares spectra whose truth is known with one statement: the truth follows the stated Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.arrays import BySpectrum
from quietspec.lab.evaluation.ranks import Summaries, covariance_of, known_pixels, summarise
from quietspec.wavelengths import LINE_WINDOWS, rest_air

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.lab.simulate import Simulated

    Array = npt.NDArray[Any]

__all__ = [
    "BINS",
    "LEVELS",
    "Calibration",
    "measure_calibration",
]

#: Nominal probabilities of the central intervals, by their names in results.
LEVELS: dict[str, float] = {"50": 0.5, "68": 0.6827, "90": 0.9, "95": 0.95}
#: Edges of the bins: log10 of the light-weighted age in yr, rest-frame Å, masked fraction of the pixels.
BINS: dict[str, tuple[float, ...]] = {
    "age": (7.0, 8.5, 9.0, 9.3, 9.6, 9.9, 10.3),
    "wavelength": (3500, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 7500),
    "mask_fraction": (0, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8),
}

_DIRECTIONS = 32  # principal directions kept per spectrum …
_LEADING = 8  # … and reported one by one
_RANK = 1e-12  # of the largest variance: directions with less are rounding errors
_QUANTILES = (5, 25, 50, 75, 95)
_HISTOGRAM = 20  # bins of a histogram that should be flat


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration(BySpectrum):
    """What calibration is computed from, spectrum by spectrum.

    Parameters
    ----------
    values : mapping of str to (n_spectra,)
        ``age`` and ``mask_fraction``, which `BINS` divides.
    pixels : (n_spectra, n_bins + 1)
        Pixels counted in each bin of wavelength; in the last column those outside all bins.
    inside : (n_spectra, n_bins + 1, n_levels)
        How many of them have their truth within the intervals of `LEVELS`.
    probabilities : mapping of str to (n_spectra,)
        `Summaries.probabilities`; empty without a covariance.
    directions : (n_spectra, 32)
        Error along the principal directions of the stated covariance, in units of the stated error, the most uncertain
        direction first; NaN where there are fewer.
    chi2, dof : (n_spectra,)
        eᵀC⁻¹e of the error e over all pixels with the full covariance C, and their number; NaN where C is singular.
    """

    values: Mapping[str, FloatArray]
    pixels: FloatArray
    inside: FloatArray
    probabilities: Mapping[str, FloatArray]
    directions: FloatArray
    chi2: FloatArray
    dof: FloatArray

    def __len__(self) -> int:
        return len(self.pixels)

    def to_json(self) -> dict[str, Any]:
        """Summarise as plain numbers.

        Returns
        -------
        dict
            Coverage by level: over all pixels (``"levels"``), by bin, line and direction; the law of χ². None for what
            is undefined. Each ``"errors"`` holds the standard errors of the fractions beside it. They count spectra,
            not pixels: a fraction is a ratio of sums over ``"n"`` independent spectra (Cochran 1977, Sampling
            Techniques, Section 6.3). A bootstrap over spectra tends to the same errors.
        """
        edges, covariance = BINS["wavelength"], bool(self.probabilities)
        overall = _fractions(self.inside.sum(axis=1), self.pixels.sum(axis=1)) or {"errors": None}
        by_wavelength = [_fractions(self.inside[:, place], self.pixels[:, place]) for place in range(len(edges) - 1)]
        return {
            "levels": {name: overall[name] for name in LEVELS} if overall["errors"] else None,
            "errors": overall["errors"],
            "bins": {
                "age": self._by_value("age"),
                "wavelength": _bins(edges, by_wavelength),
                "mask_fraction": self._by_value("mask_fraction"),
            },
            "lines": {line: _central(self.probabilities[line]) for line in LINE_WINDOWS} if covariance else None,
            "latent": self._latent() if covariance else None,
            "chi2": _law(self.chi2, self.dof) if covariance else None,
        }

    def _by_value(self, name: str) -> list[dict[str, Any]]:
        values, counts, hits = self.values[name], self.pixels.sum(axis=1), self.inside.sum(axis=1)
        rows = [(values >= low) & (values < high) for low, high in pairwise(BINS[name])]
        return _bins(BINS[name], [_fractions(hits[some], counts[some]) for some in rows])

    def _latent(self) -> dict[str, Any]:
        within, counted = np.abs(self.directions)[:, :, None] <= _half_widths(), np.isfinite(self.directions)
        each = [_fractions(within[:, place], counted[:, place]) for place in range(_LEADING)]
        leading = [{"direction": place + 1, **found} for place, found in enumerate(each) if found is not None]
        return {
            "levels": _fractions(within.sum(axis=1), counted.sum(axis=1)),
            "leading": leading,
            "worst": max(leading, key=_deviation, default=None),
            "chi2": _law(np.nansum(self.directions**2, axis=1), counted.sum(axis=1)),
        }


def measure_calibration(
    simulated: Simulated, denoised: Denoised, rng: np.random.Generator, summaries: Summaries | None = None
) -> Calibration:
    """Compare the stated errors of an estimate with its true errors.

    Parameters
    ----------
    simulated : Simulated
        Spectra with their truth.
    denoised : Denoised
        Their estimates. Without a covariance only pixels are compared.
    rng : numpy.random.Generator
        Source of draws from the posterior.
    summaries : Summaries, optional
        Summaries of the same spectra, where they have been computed already.

    Returns
    -------
    Calibration
        Coverage counts good pixels that have a truth and an estimate, as `evaluate` does; summaries, directions and χ²
        include masked pixels that have an estimate.
    """
    known, good = denoised.valid & np.isfinite(simulated.truth), simulated.observed.good
    pixels, inside = _pixel_counts(simulated, denoised, known & good)
    unset = np.full(len(denoised), np.nan)
    with np.errstate(invalid="ignore"):
        masked = (known & ~good).sum(axis=1) / known.sum(axis=1)
    probabilities: dict[str, FloatArray] = {}
    directions, chi2, dof = unset[:, None], unset, unset
    if denoised.factor_of is not None:
        summaries = summarise(simulated, denoised, rng) if summaries is None else summaries
        probabilities = summaries.probabilities(rng)
        directions, chi2, dof = _along_covariance(simulated, denoised)
    return Calibration(
        values={"age": simulated.parameters.get("log_age_lw", unset), "mask_fraction": masked},
        pixels=pixels,
        inside=inside,
        probabilities=probabilities,
        directions=directions,
        chi2=chi2,
        dof=dof,
    )


def _pixel_counts(simulated: Simulated, denoised: Denoised, counted: BoolArray) -> tuple[FloatArray, FloatArray]:
    """`Calibration.pixels` and `Calibration.inside`."""
    n_bins = len(BINS["wavelength"]) - 1
    pixels, inside = np.zeros((len(denoised), n_bins + 1)), np.zeros((len(denoised), n_bins + 1, len(LEVELS)))
    error = np.abs(np.where(counted, denoised.flux - simulated.truth, np.inf))
    observed = simulated.observed
    for redshift, rows in observed.by_redshift():
        rest = rest_air(observed.wavelength, redshift, observed.medium)
        place = np.searchsorted(BINS["wavelength"], rest, side="right") - 1
        place[(place < 0) | (place >= n_bins)] = n_bins
        member = np.equal.outer(place, np.arange(n_bins + 1)).astype(np.float64)
        pixels[rows] = counted[rows] @ member
        for level, width in enumerate(_half_widths()):
            inside[rows, :, level] = (error[rows] <= width * np.where(counted, denoised.sigma, 0)[rows]) @ member
    return pixels, inside


def _along_covariance(simulated: Simulated, denoised: Denoised) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`Calibration.directions`, `Calibration.chi2` and `Calibration.dof`."""
    directions = np.full((len(denoised), _DIRECTIONS), np.nan)
    chi2, dof = np.full((2, len(denoised)), np.nan)
    for row, pixels, _ in known_pixels(simulated, denoised):
        error = (simulated.truth[row, pixels] - denoised.flux[row, pixels]).astype(np.float64)
        factor, remainder = covariance_of(denoised, row, pixels)
        errors = _principal_errors(factor, remainder, error)[:_DIRECTIONS]
        directions[row, : len(errors)] = errors
        if np.all(remainder > 0):
            chi2[row], dof[row] = _chi_square(factor, remainder, error), len(error)
    return directions, chi2, dof


def _principal_errors(factor: FloatArray, remainder: FloatArray, error: FloatArray) -> FloatArray:
    """Error over stated error along the principal directions of the covariance, within the span of its factor."""
    power, right = np.linalg.eigh(factor.T @ factor)  # much faster than the SVD of the long factor
    kept = power > _RANK * power[-1]
    left = factor @ right[:, kept] / np.sqrt(power[kept])
    variance, turn = np.linalg.eigh(np.diag(power[kept]) + (left.T * remainder**2) @ left)
    return np.asarray(((error @ left) @ turn / np.sqrt(variance))[::-1])


def _chi_square(factor: FloatArray, remainder: FloatArray, error: FloatArray) -> float:
    """eᵀ(F Fᵀ + diag(r²))⁻¹e by the Woodbury identity."""
    weighted, pull = factor / remainder[:, None], error / remainder
    projected = pull @ weighted
    inner = np.eye(factor.shape[1]) + weighted.T @ weighted
    return float(pull @ pull) - float(np.vdot(projected, np.linalg.solve(inner, projected)))


def _half_widths() -> FloatArray:
    """Half widths of the intervals of `LEVELS`, in σ."""
    from scipy.special import ndtri

    return np.asarray(ndtri((1 + np.array(list(LEVELS.values()))) / 2))


def _fractions(hits: Array, counts: Array) -> dict[str, Any] | None:
    """Σ hits / Σ counts by level with standard errors, from (n, n_levels) hits and (n,) counts; None for n < 2."""
    n, total = np.count_nonzero(counts), np.sum(counts)
    if n < 2:
        return None
    fraction = np.sum(hits, axis=0) / total
    spread = np.sum((hits - fraction * np.asarray(counts)[:, None]) ** 2, axis=0)
    errors = np.sqrt(spread * n / (n - 1)) / total
    named = dict(zip(LEVELS, fraction.tolist(), strict=True))
    return {"n": int(n), **named, "errors": dict(zip(LEVELS, errors.tolist(), strict=True))}


def _bins(edges: Sequence[float], fractions: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """The bins that hold at least two spectra, with their edges."""
    each = zip(pairwise(edges), fractions, strict=True)
    return [{"low": low, "high": high, **found} for (low, high), found in each if found is not None]


def _central(probabilities: FloatArray) -> dict[str, Any] | None:
    """Fractions of probabilities in the central intervals of `LEVELS`."""
    defined = np.isfinite(probabilities)
    return _fractions(np.abs(probabilities - 0.5)[:, None] <= np.array(list(LEVELS.values())) / 2, defined)


def _deviation(fractions: Mapping[str, Any]) -> float:
    """Largest deviation from nominal over the levels."""
    return max(abs(float(fractions[name]) - nominal) for name, nominal in LEVELS.items())


def _law(chi2: FloatArray, dof: FloatArray) -> dict[str, Any] | None:
    """How well χ² follows its law: its mean per degree of freedom, and how uniform its probability transform is."""
    from scipy.stats import chi2 as chi2_distribution
    from scipy.stats import kstest

    defined = np.isfinite(chi2) & (dof > 0)
    if not defined.any():
        return None
    probability = chi2_distribution.cdf(chi2[defined], dof[defined])
    quantiles = np.percentile(probability, _QUANTILES)
    return {
        "n": int(defined.sum()),
        "mean_over_dof": float(chi2[defined].sum() / dof[defined].sum()),
        "ks_p": float(kstest(probability, "uniform").pvalue),
        "pit_quantiles": dict(zip(map(str, _QUANTILES), quantiles.tolist(), strict=True)),
        "pit_histogram": np.histogram(probability, _HISTOGRAM, (0, 1))[0].tolist(),
    }
