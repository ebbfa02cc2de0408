"""Ranks of the truth among draws from the stated posterior, and joint coverage by TARP, of summaries of spectra."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import SHARED, BySpectrum
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.scores import equivalent_width
from quietspec.wavelengths import LINE_WINDOWS, in_window, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised
    from quietspec.lab.simulate import Simulated

__all__ = [
    "FLUX_WINDOWS",
    "Summaries",
    "covariance_of",
    "known_pixels",
    "summarise",
    "tarp_coverage",
]

#: Windows (rest-frame Å) whose mean fluxes are summaries.
FLUX_WINDOWS: dict[str, tuple[float, float]] = {"blue": (3900, 4300), "middle": (5000, 5400), "red": (6200, 6600)}

_N_DRAWS = 99


@dataclass(frozen=True, kw_only=True, eq=False)
class Summaries(BySpectrum):
    """Scalar summaries of spectra: of the truth, of draws from the posterior, and of the noisy data.

    Parameters
    ----------
    names : (n_summaries,)
        Equivalent widths by line, mean fluxes by window, then labels such as ``log_age_lw``.
    truth : (n_spectra, n_summaries)
        Summaries of the truth; NaN where undefined.
    draws : (n_spectra, n_draws, n_summaries)
        Summaries of independent draws from the posterior: Gaussian for the flux, the whole mixture for labels.
    reference : (n_spectra, n_summaries)
        Summaries of the noisy data, with the estimate in masked pixels; NaN for labels.
    """

    names: tuple[str, ...] = field(metadata=SHARED)
    truth: FloatArray
    draws: FloatArray
    reference: FloatArray

    @property
    def defined(self) -> BoolArray:
        """Where the truth and all draws have a summary, (n_spectra, n_summaries)."""
        return np.isfinite(self.truth) & np.isfinite(self.draws).all(axis=1)

    @property
    def ranks(self) -> FloatArray:
        """Number of draws below the truth, (n_spectra, n_summaries); NaN where a summary is undefined.

        Uniform on 0 … n_draws where the posterior is right (Talts et al. 2018, arXiv:1804.06788, Theorem 1).
        """
        return np.where(self.defined, (self.draws < self.truth[:, None]).sum(axis=1), np.nan)

    def probabilities(self, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Ranks spread evenly over 0–1, (n_spectra,) by name: exactly uniform where the posterior is right."""
        ranks = self.ranks
        values = (ranks + rng.random(ranks.shape)) / (self.draws.shape[1] + 1)
        return {name: values[:, column] for column, name in enumerate(self.names)}


def summarise(simulated: Simulated, denoised: Denoised, rng: np.random.Generator, n_draws: int = _N_DRAWS) -> Summaries:
    """Draw spectra from the stated posterior, and summarise them in the same way as the truth.

    Parameters
    ----------
    simulated : Simulated
        Spectra with their truth.
    denoised : Denoised
        Their estimates, by a denoiser that gives a covariance.
    rng : numpy.random.Generator
        Source of the draws.
    n_draws : int, optional
        Draws per spectrum.

    Returns
    -------
    Summaries
        The draws of a label are independent of those of the flux.

    Raises
    ------
    SpectraError
        If the denoiser gives no covariance.
    """
    spectral = (*LINE_WINDOWS, *FLUX_WINDOWS)
    labels = tuple(name for name in denoised.parameters if name in simulated.parameters)
    values = np.full((len(denoised), n_draws + 2, len(spectral) + len(labels)), np.nan, dtype=np.float32)
    for row, pixels, rest in known_pixels(simulated, denoised):
        estimate = denoised.flux[row, pixels].astype(np.float64)
        noisy = np.where(simulated.observed.good[row, pixels], simulated.observed.flux[row, pixels], estimate)
        factor, remainder = covariance_of(denoised, row, pixels)
        drawn = estimate + rng.standard_normal((n_draws, factor.shape[1])) @ factor.T
        drawn += remainder * rng.standard_normal(drawn.shape, dtype=np.float32)
        stack = np.vstack([simulated.truth[row, pixels], noisy, drawn])
        values[row, :, : len(spectral)] = _spectral_summaries(rest[pixels], stack)
    posterior = denoised.parameter_posterior
    if labels and posterior is not None:
        drawn_labels = posterior.draw(n_draws, rng)
        for column, name in enumerate(labels, start=len(spectral)):
            values[:, 0, column] = simulated.parameters[name]
            values[:, 2:, column] = drawn_labels[:, :, posterior.names.index(name)]
    names = (*spectral, *labels)
    return Summaries(names=names, truth=values[:, 0], reference=values[:, 1], draws=values[:, 2:])


def _spectral_summaries(rest: FloatArray, flux: FloatArray) -> FloatArray:
    """Equivalent widths of `LINE_WINDOWS` and mean fluxes of `FLUX_WINDOWS`, (n, n_summaries)."""
    widths = [equivalent_width(rest, flux, window) for window in LINE_WINDOWS.values()]
    return np.stack([*widths, *(_mean_flux(rest, flux, window) for window in FLUX_WINDOWS.values())], axis=1)


def _mean_flux(rest: FloatArray, flux: FloatArray, window: tuple[float, float]) -> FloatArray:
    inside = in_window(rest, window)
    if not inside.any() or rest[0] > window[0] or rest[-1] < window[1]:
        return np.full(len(flux), np.nan)
    return np.asarray(flux[:, inside].mean(axis=1))


def known_pixels(simulated: Simulated, denoised: Denoised) -> list[tuple[int, BoolArray, FloatArray]]:
    """Find the pixels of each spectrum that have both a truth and an estimate, masked ones too.

    Parameters
    ----------
    simulated : Simulated
        Spectra with their truth.
    denoised : Denoised
        Their estimates.

    Returns
    -------
    list of (int, (n_pixels,) of bool, (n_pixels,))
        For each spectrum that has such pixels and a redshift: its row, these pixels, and the rest-frame air Å of all.
    """
    known, observed = denoised.valid & np.isfinite(simulated.truth), simulated.observed
    rest = {z: rest_air(observed.wavelength, z, observed.medium) for z, _ in observed.by_redshift()}
    return [
        (row, known[row], rest[float(z)])
        for row, z in enumerate(observed.redshift)
        if known[row].any() and float(z) in rest
    ]


def covariance_of(denoised: Denoised, row: int, pixels: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Covariance F Fᵀ + diag(remainder²) of one spectrum on some of its pixels, in double precision.

    Parameters
    ----------
    denoised : Denoised
        Spectra with a covariance.
    row : int
        The spectrum.
    pixels : (n_pixels,) of bool
        The m pixels wanted.

    Returns
    -------
    factor : (m, n_directions)
        The factor F.
    remainder : (m,)
        Error that is independent from pixel to pixel; zero if the denoiser states none.

    Raises
    ------
    SpectraError
        If the denoiser gives no covariance.
    """
    factor = np.asarray(denoised.covariance_factor(row)[pixels], dtype=np.float64)
    if denoised.remainder is None:
        return factor, np.zeros(len(factor))
    return factor, denoised.remainder[row, pixels].astype(np.float64)


def tarp_coverage(summaries: Summaries, references: FloatArray, levels: FloatArray) -> FloatArray:
    """Expected coverage of the joint posterior of the spectral summaries, by distances to reference points.

    Parameters
    ----------
    summaries : Summaries
        Truth and posterior draws. Each summary is divided by its typical posterior standard deviation.
    references : (n_spectra, n_summaries)
        Reference points. They must not depend on the truth; if they depend on the data, as ``summaries.reference``
        does, the test also detects posteriors that are wide where they should follow the data.
    levels : (n_levels,)
        Credibilities between 0 and 1.

    Returns
    -------
    (n_levels,)
        Fraction of spectra whose truth lies in the credible region of each level: the level itself, with binomial
        scatter, if the posterior is right. Summaries that a spectrum lacks do not count for it.

    Raises
    ------
    QuietspecError
        If the library `tarp` is missing.

    References
    ----------
    Lemos, Coogan, Hezaveh & Perreault-Levasseur 2023, ICML, arXiv:2302.03026.
    """
    try:
        from tarp import get_tarp_coverage
    except ImportError as error:
        raise QuietspecError(f"{error.name} is not installed: pip install 'quietspec[validation]'.") from error

    known = summaries.defined & np.isfinite(references)
    used = np.ix_(known.any(axis=1), known.any(axis=0))
    known, draws = known[used], np.array([each[used] for each in np.moveaxis(summaries.draws, 1, 0)], dtype=np.float64)
    unit = np.nanmedian(np.where(known, draws.std(axis=0), np.nan), axis=0)
    samples, truth, points = (
        np.where(known, each / unit, 0) for each in (draws, summaries.truth[used], references[used])
    )
    before = np.random.get_state()  # noqa: NPY002 - the library seeds numpy's global stream although it draws nothing
    try:
        coverage, alpha = get_tarp_coverage(samples, truth, references=points, norm=False, num_alpha_bins=100)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return np.asarray(np.interp(levels, alpha, coverage))
