"""Measure how far the model is from bright real spectra (`quietspec.denoisers.posterior.discrepancy`)."""

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
_OUTLIER = 4.0  # σ at which the difference of a block is clipped: lines, artefacts
_NEAREST = 50  # blocks that measure the size at each node, at least


@dataclass(frozen=True)
class DiscrepancySettings:
    """How a discrepancy is measured.

    Parameters
    ----------
    length : float
        Spacing of the knots and length of the blocks compared, rest-frame Å.
    nodes : float
        Spacing of the wavelengths at which the size is measured, rest-frame Å.
    snr : float
        S/N to which the spectra are degraded.
    realisations : int
        Draws of the added noise.
    most : float
        Largest size considered.
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
    """Measure the size of the discrepancy: degrade spectra to low S/N, denoise them, and compare with the originals.

    Parameters
    ----------
    prior : SpectralPrior
        The prior whose discrepancy is measured.
    spectra : sequence of Spectra
        Bright real spectra, each above the S/N of `settings`.
    rng : numpy.random.Generator
        Source of the added noise.
    settings : DiscrepancySettings, optional
        Scales and sizes.

    Returns
    -------
    Discrepancy
        At each node the size of largest likelihood, given the errors of the denoised and of the original block.
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
    """Which blocks are near each node; at least the fifty nearest."""
    for node in nodes:
        distance = np.abs(centre - node)
        reach = max(settings.nodes, float(np.sort(distance)[min(_NEAREST, len(distance) - 1)]))
        yield distance <= reach


def _blocks(
    original: Spectra, fitted: Denoised, denoised: Denoised, row: int, settings: DiscrepancySettings
) -> Iterator[tuple[float, float, float]]:
    """Rest wavelength, mean relative difference and its variance of each block of one spectrum."""
    rest = rest_air(original.wavelength, float(original.redshift[row]), original.medium)
    used = original.good[row] & denoised.counted[row] & ~fitted.ignored[row]
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
    """σ for which differences drawn from N(0, variance + σ²) are likeliest; outliers count as no more than 4σ."""

    def loss(size: float) -> float:
        total = variance + size**2
        return float(np.sum(np.log(total) + np.minimum(difference**2 / total, _OUTLIER**2)))

    return float(minimize_scalar(loss, bounds=(0.0, most), method="bounded").x)
