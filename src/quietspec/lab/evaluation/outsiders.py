"""Spectra that are not galaxies at their redshift, to test whether a denoiser notices: quasars, sky, wrong redshifts.

All are observed by the instruments and with the noise of a `SurveyRecipe`. A recipe made with ``emission=False`` keeps
the gas of galaxies out of stars and quasars.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import SpectraError
from quietspec.instruments import NIGHT_SKY_LINES
from quietspec.lab.simulate import INSTRUMENTS, RestSpectra
from quietspec.statistics import masked_median
from quietspec.wavelengths import SNR_WINDOW, SPEED_OF_LIGHT, in_window, rest_air, vacuum_to_air

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.lab.simulate import Simulated, SurveyRecipe
    from quietspec.spectra import Spectra

__all__ = [
    "QUASAR_LINES", "detection_rate", "moved", "observed_at_rest", "quasar_spectra", "rescaled_errors", "sky_residuals",
    "without_signal",
]  # fmt: skip

#: The stronger emission lines of the composite quasar: vacuum Å, and rounded equivalent width and σ in Å, all in the
#: rest frame (Vanden Berk et al. 2001, AJ 122, 549, Table 2).
QUASAR_LINES: dict[str, tuple[float, float, float]] = {
    "Lyalpha": (1215.67, 93, 19.5), "SiIV+OIV]": (1396.76, 8.1, 14.3), "CIV": (1549.06, 24, 14.3),
    "CIII]": (1908.73, 21, 23.6), "FeIII": (2076.62, 2.5, 19), "MgII": (2798.75, 32, 35), "[OII]": (3728.48, 1.6, 3.3),
    "[NeIII]": (3869.85, 1.4, 5.3), "Hdelta": (4102.89, 5.1, 18.6), "Hgamma": (4341.68, 12.6, 20.3),
    "Hbeta": (4862.68, 46, 40), "[OIII]4959": (4960.30, 3.5, 3.9), "[OIII]5007": (5008.24, 13, 6.0),
    "HeI": (5877.29, 4.9, 23.5), "Halpha": (6564.61, 195, 47),
}  # fmt: skip
_SLOPES, _BREAK = (-1.56, 0.45), 4861.0  # slopes of f_λ: α_ν = −0.44 and −2.45 (same paper, Section 4)
_SKY_LINES = np.array([line for line in NIGHT_SKY_LINES if line < 7400])  # Å; where the simulated spectra end


def quasar_spectra(
    wavelength: FloatArray, redshift: FloatArray, rng: np.random.Generator, scatter: float = 0.4
) -> FloatArray:
    """Make composite quasars: a broken power law with broad and narrow lines.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed air Å.
    redshift : (n_spectra,)
        Redshifts of the quasars.
    rng : numpy.random.Generator
        Source of the scatter.
    scatter : float
        Standard deviation of the slope of f_λ, and of the logarithm of every equivalent width.

    Returns
    -------
    (n_spectra, n_pixels)
        Flux density per Å, of mean 1, without Lyα forest, iron or host galaxy.
    """
    flux = np.empty((len(redshift), len(wavelength)))
    lines = {name: (vacuum_to_air(np.array([line[0]]))[0], *line[1:]) for name, line in QUASAR_LINES.items()}
    for row, z in enumerate(redshift):
        rest = wavelength / (1 + z)
        slopes = np.array(_SLOPES) + scatter * rng.standard_normal()
        shape = (rest / _BREAK) ** np.where(rest < _BREAK, *slopes)
        boost = np.exp(scatter * rng.standard_normal(len(lines)))
        peaks = [
            factor * width / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((rest - centre) / sigma) ** 2)
            for factor, (centre, width, sigma) in zip(boost, lines.values(), strict=True)
        ]
        flux[row] = shape * (1 + np.sum(peaks, axis=0))
    return np.asarray(flux / flux.mean(axis=1, keepdims=True))


def observed_at_rest(
    recipe: SurveyRecipe,
    flux: FloatArray,
    rng: np.random.Generator,
    snr: float,
    instrument: str | None = None,
    *,
    wavelength: FloatArray | None = None,
) -> Spectra:
    """Observe objects of any kind, and give them the redshift of a galaxy in the range of the instrument.

    Parameters
    ----------
    recipe : SurveyRecipe
        The recipe, made with ``emission=False``, whose instruments and noise are used.
    flux : (n_spectra, n_pixels)
        Flux in the observed frame.
    rng : numpy.random.Generator
        Source of all draws.
    snr : float
        S/N of the observation.
    instrument : str, optional
        Name in `INSTRUMENTS`; drawn if not given.
    wavelength : (n_pixels,), optional
        Air wavelengths of the flux, Å; ``recipe.wavelength`` if not given.

    Returns
    -------
    Spectra
        Observations that all have one false redshift.

    Raises
    ------
    SpectraError
        If the recipe adds gas emission.
    """
    if recipe.switches.emission:
        raise SpectraError("observed_at_rest: stars and quasars get no gas; make the recipe with emission=False.")
    name = instrument or recipe.instruments[rng.integers(len(recipe.instruments))].name
    wavelength = recipe.wavelength if wavelength is None else wavelength
    window = in_window(wavelength, SNR_WINDOW)
    scaled = (flux / flux[:, window].mean(axis=1, keepdims=True)).astype(np.float32)
    rest = RestSpectra(wavelength=wavelength, flux=scaled, parameters={})
    observed = recipe.observe(rest, rng, snr, instrument=name, redshift=0.0).observed
    return observed.with_redshift(float(rng.uniform(*recipe.redshifts(INSTRUMENTS[name]))))


def moved(spectra: Spectra, velocity: FloatArray | float) -> Spectra:
    """Give spectra a wrong redshift, off by a velocity in km/s, a number or (n_spectra,)."""
    return spectra.with_redshift((1 + spectra.redshift) * (1 + np.asarray(velocity) / SPEED_OF_LIGHT) - 1)


def rescaled_errors(spectra: Spectra, factor: float) -> Spectra:
    """Multiply the quoted errors by a factor."""
    return replace(spectra, ivar=spectra.ivar / factor**2)


def without_signal(simulated: Simulated) -> Spectra:
    """Noise alone: the observation minus the truth."""
    observed = simulated.observed
    known = observed.good & np.isfinite(simulated.truth)
    flux = np.where(known, observed.flux - simulated.truth, 0).astype(observed.flux.dtype)
    return replace(observed, flux=flux, ivar=np.where(known, observed.ivar, 0))


def sky_residuals(simulated: Simulated, rng: np.random.Generator, peak: float) -> Spectra:
    """Make residuals of bad sky subtraction: lines of the night sky of either sign, and noise.

    Parameters
    ----------
    simulated : Simulated
        Spectra whose pixels, resolution and noise are used.
    rng : numpy.random.Generator
        Source of the lines' strengths.
    peak : float
        Standard deviation of the lines' peaks over the median error of the pixels.

    Returns
    -------
    Spectra
        Spectra with the redshifts of `simulated`.
    """
    noise = without_signal(simulated)
    air = rest_air(noise.wavelength, 0.0, noise.medium)
    fwhm = np.full(len(air), 3.0) if noise.fwhm is None else np.broadcast_to(noise.fwhm, noise.flux.shape)[0]
    profiles = np.exp(-4 * np.log(2) * ((air - _SKY_LINES[:, None]) / fwhm) ** 2)
    error = masked_median(noise.sigma, noise.good)
    strength = peak * error[:, None] * rng.standard_normal((len(noise), len(_SKY_LINES)))
    return replace(noise, flux=(noise.flux + strength @ profiles).astype(noise.flux.dtype))


def detection_rate(galaxies: FloatArray, outsiders: FloatArray, false_alarm: FloatArray | float = 0.01) -> FloatArray:
    """Fraction of outsiders detected at a given rate of false alarms: the receiver operating characteristic.

    Parameters
    ----------
    galaxies, outsiders : (n,), (m,)
        Their p-values. A spectrum that cannot be denoised (NaN) counts as detected.
    false_alarm : float or array
        Fractions of galaxies flagged.

    Returns
    -------
    array of the shape of `false_alarm`
        Fractions of outsiders whose p-value lies below this quantile of the p-values of galaxies.
    """
    threshold = np.quantile(np.nan_to_num(galaxies, nan=0.0), false_alarm)
    ordered = np.sort(np.nan_to_num(outsiders, nan=0.0))
    return np.asarray(np.searchsorted(ordered, threshold, side="left") / max(len(ordered), 1))
