"""What ratios of lines say of dust, ionisation and star formation, by draws from the joint posterior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.lines.results import LinePosterior
from quietspec.wavelengths import EMISSION_LINES

__all__ = [
    "BPT_CLASSES",
    "WHAN_CLASSES",
    "balmer_attenuation",
    "bpt_classes",
    "log_ratio",
    "sfr_density",
    "whan_classes",
]

BPT_CLASSES = ("star-forming", "composite", "Seyfert", "LINER")
WHAN_CLASSES = ("star-forming", "strong AGN", "weak AGN", "retired", "passive")
_DRAWS = 400
_CASE_B = 2.86  # Hα/Hβ at 10⁴ K and 100 cm⁻³ (Osterbrock & Ferland 2006, Table 4.4)
_ARCSEC2 = (np.pi / 180 / 3600) ** 2  # sr
_KPC2 = 3.0857e21**2  # cm²
_LOG_SFR = -41.27  # log10 of M☉/yr per erg/s of Hα: Kennicutt & Evans 2012, ARA&A 50, 531, Table 1 (Kroupa IMF)


def log_ratio(
    lines: LinePosterior, numerator: str, denominator: str, rng: np.random.Generator, n: int = _DRAWS
) -> FloatArray:
    """log10 of the ratio of two lines.

    Parameters
    ----------
    lines : LinePosterior
        The lines.
    numerator, denominator : str
        Names of lines.
    rng : numpy.random.Generator
        Source of the draws.
    n : int
        Number of draws.

    Returns
    -------
    (n_spectra, 3)
        16th, 50th and 84th percentile of the posterior; −inf or inf where a flux may be 0, NaN where a line is not
        covered.
    """
    return _percentiles(_log_ratios(lines.draw((numerator, denominator), n, rng)))


def _log_ratios(drawn: FloatArray) -> FloatArray:
    """log10 of draws of (numerator, denominator), fluxes below 0 counted as 0, (n_spectra, n)."""
    positive = np.where(np.isnan(drawn), np.nan, np.maximum(drawn, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(positive)
        return np.asarray(np.where(np.isneginf(logs).all(axis=2), 0.0, logs[..., 0] - logs[..., 1]))


def _percentiles(values: FloatArray) -> FloatArray:
    ordered = np.sort(values, axis=1)  # NaN last
    found = ordered[:, [round(share * (values.shape[1] - 1)) for share in (0.16, 0.5, 0.84)]]
    found[np.isnan(ordered[:, -1])] = np.nan
    return np.asarray(found)


def balmer_attenuation(lines: LinePosterior, rng: np.random.Generator, n: int = _DRAWS) -> FloatArray:
    """Attenuation A_V of the gas by the Balmer decrement.

    Parameters
    ----------
    lines : LinePosterior
        The lines.
    rng : numpy.random.Generator
        Source of the draws.
    n : int
        Number of draws.

    Returns
    -------
    (n_spectra, 3)
        16th, 50th and 84th percentile, mag, for Hα/Hβ of 2.86 and the curve of Gordon et al. 2023 with R_V = 3.1.
    """
    return _percentiles(_attenuation(lines.draw(("Halpha", "Hbeta"), n, rng)))


def _attenuation(drawn: FloatArray) -> FloatArray:
    """A_V of draws of (Hα, Hβ), (n_spectra, n)."""
    red, blue = (_curve(EMISSION_LINES[name]) for name in ("Halpha", "Hbeta"))
    return np.asarray(2.5 * (_log_ratios(drawn) - np.log10(_CASE_B)) / (blue - red))


def _curve(wavelength: float) -> float:
    """A(λ)/A_V of Gordon et al. 2023, ApJ 950, 86, R_V = 3.1."""
    from astropy import units as u
    from dust_extinction.parameter_averages import G23

    return float(G23(Rv=3.1)(wavelength * u.AA))


def bpt_classes(lines: LinePosterior, rng: np.random.Generator, n: int = _DRAWS) -> Mapping[str, FloatArray]:
    """Probability of each class of the diagram [NII]/Hα against [OIII]/Hβ.

    Parameters
    ----------
    lines : LinePosterior
        The lines.
    rng : numpy.random.Generator
        Source of the draws.
    n : int
        Number of draws.

    Returns
    -------
    mapping of str to (n_spectra,)
        By the names in `BPT_CLASSES`; they add up to 1, and are NaN where a line is not covered.

    References
    ----------
    Baldwin, Phillips & Terlevich 1981, PASP 93, 5; Kauffmann et al. 2003, MNRAS 346, 1055 (star-forming); Kewley et al.
    2001, ApJ 556, 121 (composite); Schawinski et al. 2007, MNRAS 382, 1415 (Seyfert against LINER).
    """
    drawn = lines.draw(("[NII]6583", "Halpha", "[OIII]5007", "Hbeta"), n, rng)
    x, y = _log_ratios(drawn[..., :2]), _log_ratios(drawn[..., 2:])
    unknown = np.isnan(x + np.where(np.isinf(y), 0, y)).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pure = (x < 0.05) & (y < 0.61 / (x - 0.05) + 1.3)
        mixed = ~pure & (x < 0.47) & (y < 0.61 / (x - 0.47) + 1.19)
        seyfert = ~pure & ~mixed & (y > 1.05 * x + 0.45)
    kinds = np.stack([pure, mixed, seyfert, ~(pure | mixed | seyfert)], axis=0).mean(axis=2)
    kinds[:, unknown] = np.nan
    return dict(zip(BPT_CLASSES, kinds, strict=True))


def whan_classes(lines: LinePosterior, rng: np.random.Generator, n: int = _DRAWS) -> Mapping[str, FloatArray]:
    """Probability of each class of the diagram [NII]/Hα against the equivalent width of Hα.

    Parameters
    ----------
    lines : LinePosterior
        The lines.
    rng : numpy.random.Generator
        Source of the draws.
    n : int
        Number of draws.

    Returns
    -------
    mapping of str to (n_spectra,)
        By the names in `WHAN_CLASSES`; they add up to 1, and are NaN where a line is not covered.

    References
    ----------
    Cid Fernandes et al. 2011, MNRAS 413, 1687.
    """
    drawn = lines.draw(("[NII]6583", "Halpha"), n, rng)
    halpha = lines.line("Halpha")
    with np.errstate(divide="ignore", invalid="ignore"):
        width = drawn[..., 1] * (halpha.ew / halpha.flux)[:, None]
    x = _log_ratios(drawn)
    passive, retired = width < 0.5, (width >= 0.5) & (width < 3)
    forming = (width >= 3) & (x < -0.4)
    strong = (width >= 6) & (x >= -0.4)
    kinds = np.stack([forming, strong, ~(forming | strong | passive | retired), retired, passive]).mean(axis=2)
    kinds[:, np.isnan(width).any(axis=1)] = np.nan
    return dict(zip(WHAN_CLASSES, kinds, strict=True))


def sfr_density(lines: LinePosterior, area: float, cgs: float, rng: np.random.Generator, n: int = _DRAWS) -> FloatArray:
    """log10 of the surface density of star formation, by Hα corrected for dust by the Balmer decrement.

    Parameters
    ----------
    lines : LinePosterior
        The lines.
    area : float
        Area on the sky of a spectrum, arcsec².
    cgs : float
        Flux unit of the lines in erg s⁻¹ cm⁻².
    rng : numpy.random.Generator
        Source of the draws.
    n : int
        Number of draws.

    Returns
    -------
    (n_spectra, 3)
        16th, 50th and 84th percentile of log10 of M☉ yr⁻¹ kpc⁻², not corrected for inclination; the calibration is that
        of Kennicutt & Evans 2012 for a Kroupa IMF. Attenuation is taken as at least 0.
    """
    drawn = lines.draw(("Halpha", "Hbeta"), n, rng)
    dust = np.maximum(_attenuation(drawn), 0.0) * _curve(EMISSION_LINES["Halpha"])
    with np.errstate(divide="ignore", invalid="ignore"):
        flux = np.log10(np.maximum(drawn[..., 0], 0.0) * cgs) + 0.4 * np.where(np.isinf(dust), 0.0, dust)
    per_kpc2 = np.log10(4 * np.pi * _KPC2 / (area * _ARCSEC2)) + 4 * np.log10(1 + lines.redshift)
    return _percentiles(flux + per_kpc2[:, None] + _LOG_SFR)
