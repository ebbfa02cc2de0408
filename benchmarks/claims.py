"""Check the main claims on the example cube, whose truth is known: each with what was measured, PASS or FAIL.

python benchmarks/claims.py [-n SPAXELS]

Needs no data but those of the package; half a minute of processor time. Ends with status 1 if a claim fails.
Measurements on larger samples, real spectra and the setting of the paper are in `benchmarks/results/`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from script import finish, log, parser

import quietspec
from quietspec.arrays import FloatArray
from quietspec.cli.demo import Truth
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import Denoiser
from quietspec.lab.evaluation import coverage, rms
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra

ONE_SIGMA = 0.6827


@dataclass(frozen=True, eq=False)
class Bench:
    """Spaxels of the example cube with their truth, and what the default denoiser makes of them."""

    spectra: Spectra
    truth: Truth
    posterior: Denoiser
    denoised: Denoised

    @classmethod
    def made(cls, n: int) -> Bench:
        """Take `n` spaxels, evenly over the cube, and denoise them."""
        spectra, truth = quietspec.read(quietspec.demo_cube()), Truth.read(quietspec.demo_cube())
        rows = np.unique(np.linspace(0, len(spectra) - 1, n).astype(int))
        chosen = Truth(truth.flux[rows], {name: values[rows] for name, values in truth.parameters.items()})
        posterior = quietspec.load_denoiser("posterior")
        return cls(spectra[rows], chosen, posterior, posterior.denoise(spectra[rows]))

    def removed(self, denoised: Denoised) -> float:
        """Mean fraction of the RMS error that an estimate removes."""
        counted = self.denoised.counted
        left = rms(denoised.flux - self.truth.flux, counted) / rms(self.spectra.flux - self.truth.flux, counted)
        return float(1 - left.mean())


@dataclass(frozen=True)
class Measured:
    """One measured number, between which limits the claim puts it, and how to write it."""

    value: float
    least: float
    most: float
    form: str = "{:.1%}"

    @property
    def passed(self) -> bool:
        """Whether it lies within the limits."""
        return self.least <= self.value <= self.most


# --- the claims: each docstring is the sentence ---


def noise_removed(bench: Bench) -> Measured:
    """At least 85 % of the RMS error is removed."""
    return Measured(bench.removed(bench.denoised), 0.85, 1)


def better_than_smoothing(bench: Bench) -> Measured:
    """At most a third of what Savitzky–Golay smoothing leaves is left."""
    smoothed = quietspec.load_denoiser("savgol").denoise(bench.spectra)
    return Measured((1 - bench.removed(bench.denoised)) / (1 - bench.removed(smoothed)), 0, 1 / 3)


def pixels_within_one_sigma(bench: Bench) -> Measured:
    """The truth lies within ±1σ about as often as it should: in 60–85 % of the pixels (nominal 68 %)."""
    denoised = bench.denoised
    inside = coverage(bench.truth.flux, denoised.flux, denoised.sigma, ONE_SIGMA, denoised.valid)
    return Measured(float(np.mean(inside)), 0.60, 0.85)


def _bands_inside(bench: Bench, variance: Callable[[int, FloatArray], float]) -> float:
    """Share of mean fluxes of 100 Å whose truth lies within 1σ, given the variance of a row's weighted sum."""
    wavelength, inside = bench.spectra.wavelength, []
    for low in np.arange(4200.0, 6800.0, 400.0):
        band = (wavelength > low) & (wavelength < low + 100)
        weights = band / band.sum()
        for row in range(len(bench.denoised)):
            error = weights @ (bench.denoised.flux[row] - bench.truth.flux[row])
            inside.append(error**2 < variance(row, weights))
    return float(np.mean(inside))


def bands_by_the_covariance(bench: Bench) -> Measured:
    """By the covariance, true mean fluxes of 100 Å lie within 1σ in 55–90 %."""
    factors = [bench.denoised.covariance_factor(row) for row in range(len(bench.denoised))]
    return Measured(_bands_inside(bench, lambda row, weights: float(np.sum((weights @ factors[row]) ** 2))), 0.55, 0.90)


def bands_by_var_alone(bench: Bench) -> Measured:
    """By VAR alone they do in fewer than 35 %: it must not be summed."""
    sigma = bench.denoised.sigma
    return Measured(_bands_inside(bench, lambda row, weights: float(weights**2 @ sigma[row] ** 2)), 0, 0.35)


def ages_within_one_sigma(bench: Bench) -> Measured:
    """The true light-weighted age lies within the stated 1σ in at least 60 % of the spaxels."""
    mean, sigma = bench.denoised.parameters["log_age_lw"]
    return Measured(float(np.mean(np.abs(mean - bench.truth.parameters["log_age_lw"]) < sigma)), 0.60, 1)


def masked_pixels_do_not_matter(bench: Bench) -> Measured:
    """The values of masked pixels change nothing (largest change, in σ)."""
    spectra, shown = bench.spectra, slice(0, 8)
    spoilt = replace(spectra, flux=np.where(spectra.good, spectra.flux, 1e6))
    again = bench.posterior.denoise(spoilt[shown])
    first = bench.denoised[shown]
    return Measured(float(np.nanmax(np.abs(again.flux - first.flux) / first.sigma)), 0, 1e-3, "{:.1e}")


def the_unit_does_not_matter(bench: Bench) -> Measured:
    """A thousand times the flux gives a thousand times the estimate (largest deviation, in σ)."""
    shown = bench.spectra[:8]
    scaled = bench.posterior.denoise(replace(shown, flux=1e3 * shown.flux, ivar=1e-6 * shown.ivar))
    first = bench.denoised[:8]
    return Measured(float(np.nanmax(np.abs(scaled.flux / 1e3 - first.flux) / first.sigma)), 0, 0.02, "{:.1e}")


def files_hold_the_covariance(bench: Bench) -> Measured:
    """A file gives the covariance that the run gave (largest deviation over σ²)."""
    few = bench.posterior.denoise(bench.spectra[:4])
    with tempfile.TemporaryDirectory() as folder:
        quietspec.write(few, Path(folder) / "out.fits")
        again = quietspec.Denoised.read(Path(folder) / "out.fits")
    difference = np.abs(again.covariance(1) - few.covariance(1)) / np.outer(few.sigma[1], few.sigma[1])
    return Measured(float(np.nanmax(difference)), 0, 1e-3, "{:.1e}")


def galaxies_are_not_flagged(bench: Bench) -> Measured:
    """At most 5 % of the galaxy's spaxels are taken for strangers (1 % expected)."""
    return Measured(_suspected(bench.denoised), 0, 0.05)


def wrong_redshifts_are_flagged(bench: Bench) -> Measured:
    """With a redshift wrong by 0.05, at least 90 % of the spaxels are flagged."""
    elsewhere = bench.posterior.denoise(replace(bench.spectra, redshift=bench.spectra.redshift + 0.05))
    return Measured(_suspected(elsewhere), 0.90, 1)


def noise_is_flagged(bench: Bench) -> Measured:
    """Pure noise is flagged in at least 95 %."""
    noise = stream("claims", 0).normal(size=bench.spectra.flux.shape) * bench.spectra.sigma
    empty = bench.posterior.denoise(replace(bench.spectra, flux=np.where(bench.spectra.good, noise, np.nan)))
    return Measured(_suspected(empty), 0.95, 1)


def _suspected(denoised: Denoised) -> float:
    harmless = Flag.PRIOR_LABELS | Flag.NUCLEUS | Flag.STRONG_LINES
    return float(np.mean((denoised.flags & ~int(harmless)) != 0))


CLAIMS = (
    noise_removed, better_than_smoothing, pixels_within_one_sigma, bands_by_the_covariance, bands_by_var_alone,
    ages_within_one_sigma, masked_pixels_do_not_matter, the_unit_does_not_matter, files_hold_the_covariance,
    galaxies_are_not_flagged, wrong_redshifts_are_flagged, noise_is_flagged,
)  # fmt: skip


def check(bench: Bench) -> Iterator[dict[str, object]]:
    """Measure every claim, print it, and yield it as JSON types."""
    for claim in CLAIMS:
        found, sentence = claim(bench), (claim.__doc__ or "").strip()
        log(f"{'PASS' if found.passed else 'FAIL'}  {found.form.format(found.value):>8s}  {sentence}")
        yield {"claim": sentence, "value": found.value, "limits": [found.least, found.most], "passed": found.passed}


def main() -> None:
    made = parser(__doc__ or "", results="claims")
    made.add_argument("-n", type=int, default=100, metavar="SPAXELS", help="spaxels of the example cube")
    options = made.parse_args()
    start = time.perf_counter()
    bench = Bench.made(options.n)
    found = list(check(bench))
    passed = sum(bool(one["passed"]) for one in found)
    log(f"{passed} of {len(found)} claims hold; {time.perf_counter() - start:.0f} s")
    finish(options, {"model": str(bench.denoised.model), "n": len(bench.spectra), "claims": found})
    sys.exit(0 if passed == len(found) else 1)


if __name__ == "__main__":
    main()
