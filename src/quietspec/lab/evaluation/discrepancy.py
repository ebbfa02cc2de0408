"""Measure on bright real spectra how far the model is from them (`quietspec.denoisers.posterior.discrepancy`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import Posterior, SpectralPrior
from quietspec.denoisers.posterior.discrepancy import Discrepancy
from quietspec.lab.evaluation.degrade import degrade
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["DiscrepancySettings", "measure_discrepancy"]

_FEWEST_PIXELS = 8
_OUTLIER = 4.0  # σ at which a block's difference is cut: lines, artefacts


@dataclass(frozen=True)
class DiscrepancySettings:
    """How a discrepancy is measured.

    Parameters
    ----------
    length : float
        Distance of the knots and length of the blocks compared, rest-frame Å.
    nodes : float
        Distance of the wavelengths at which its size is measured, rest-frame Å.
    snr : float
        S/N to which the spectra are brought.
    realisations : int
        Draws of the added noise.
    most : float
        Largest size looked for.
    """

    length: float = 30.0
    nodes: float = 250.0
    snr: float = 10.0
    realisations: int = 4
    most: float = 0.2


def measure_discrepancy(
    prior: SpectralPrior,
    spectra: Sequence[Spectra],
    rng: np.random.Generator,
    settings: DiscrepancySettings | None = None,
) -> Discrepancy:
    """Measure the size of the discrepancy from spectra brought to low S/N, denoised, and compared with themselves.

    Parameters
    ----------
    prior : SpectralPrior
        Whose discrepancy it is.
    spectra : sequence of Spectra
        Bright real spectra, each above the S/N of `settings`.
    rng : numpy.random.Generator
        Of the added noise.
    settings : DiscrepancySettings, optional
        Scales and sizes.

    Returns
    -------
    Discrepancy
        At each node the size of largest likelihood, given the errors that the denoised block and the original one have
        by themselves.
    """
    settings = settings or DiscrepancySettings()
    posterior = Posterior("posterior", prior, discrepancy=False)
    blocks: list[FloatArray] = []
    for original in spectra:
        fitted = posterior.denoise(original)
        for _ in range(settings.realisations):
            denoised = posterior.denoise(degrade(original, settings.snr, rng))
            blocks += [
                np.array(list(_blocks(original, fitted, denoised, row, settings))) for row in range(len(original))
            ]
    centre, difference, variance = np.concatenate([found for found in blocks if len(found)]).T
    nodes = np.arange(centre.min(), centre.max() + settings.nodes, settings.nodes)
    sizes = [_likeliest(difference[near], variance[near], settings.most) for near in _near(centre, nodes, settings)]
    return Discrepancy(nodes, np.array(sizes), settings.length)


def _near(centre: FloatArray, nodes: FloatArray, settings: DiscrepancySettings) -> Iterator[FloatArray]:
    """Blocks about each node; the nearest fifty at least."""
    for node in nodes:
        distance = np.abs(centre - node)
        reach = max(settings.nodes, float(np.sort(distance)[min(50, len(distance) - 1)]))
        yield distance <= reach


def _blocks(
    original: Spectra, fitted: Denoised, denoised: Denoised, row: int, settings: DiscrepancySettings
) -> Iterator[tuple[float, float, float]]:
    """Rest wavelength, mean relative difference and its variance, block by block."""
    rest = rest_air(original.wavelength, float(original.redshift[row]), original.medium)
    used = original.good[row] & denoised.valid[row] & ~denoised.ignored[row] & ~fitted.ignored[row]
    model = np.where(used, denoised.flux[row], 1.0)
    factor = denoised.covariance_factor(row)
    noise = fitted.noise_scale[row] ** 2 / np.where(used, original.ivar[row], 1.0)
    number = np.floor(np.nan_to_num(rest) / settings.length).astype(int)
    for block in np.unique(number[used]):
        inside = used & (number == block)
        level = float(model[inside].mean())
        if inside.sum() < _FEWEST_PIXELS or level <= 0:
            continue
        difference = float((original.flux[row, inside] - model[inside]).mean()) / level
        own = float(noise[inside].sum()) / inside.sum() ** 2
        known = float((factor[inside].mean(axis=0) ** 2).sum())
        yield (block + 0.5) * settings.length, difference, (own + known) / level**2


def _likeliest(difference: FloatArray, variance: FloatArray, most: float) -> float:
    """σ of N(0, variance + σ²) that makes the differences likeliest; far outliers count as if they were nearer."""

    def loss(size: float) -> float:
        total = variance + size**2
        return float(np.sum(np.log(total) + np.minimum(difference**2 / total, _OUTLIER**2)))

    return float(minimize_scalar(loss, bounds=(0.0, most), method="bounded").x)
