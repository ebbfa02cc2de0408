"""The least that the posterior must do for a spectrum, and how long the machine would need for that alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers import Posterior
from quietspec.denoisers.posterior.coordinates import Coordinates
from quietspec.denoisers.posterior.denoiser import NEGLECTED
from quietspec.lab.bench.machine import Rates
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["Cost", "cost_of"]

_FITS = 3  # two to find gas and spikes, one after that
_KEPT = 0.4  # typical share of the mixture's components that have weight, at S/N 3
_NUMBERS = 0.5  # typical number of values that the data are compressed to, per direction used
_KNOT_PRODUCTS = 4  # products with the basis per pixel that carry errors through the discrepancy
_BYTES_PER_PIXEL = 2 * (4 + 4) + 2 * (4 + 4 + 1)  # flux and variance read and turned, three images turned and written


@dataclass(frozen=True)
class Cost:
    """The work for one spectrum.

    Parameters
    ----------
    bytes_moved : float
        Bytes moved from input to output, each read once and written once in memory.
    operations : dict of str to float
        Floating-point operations by step, in single precision.
    rank : float
        Mean number of directions of the basis used.
    """

    bytes_moved: float
    operations: dict[str, float]
    rank: float

    def floor(self, rates: Rates) -> float:
        """Seconds one core needs at its best rates."""
        return self.bytes_moved / rates.copied + sum(self.operations.values()) / rates.single

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)


def cost_of(denoiser: Posterior, spectra: Spectra) -> Cost:
    """Count the least work of a posterior.

    Parameters
    ----------
    denoiser : Posterior
        The denoiser.
    spectra : Spectra
        A sample of one redshift and resolution.

    Returns
    -------
    Cost
        Work by arithmetic, from the numbers of pixels and directions of the sample; of passes over the pixels only
        reading and writing are counted.
    """
    pixels, ranks, size = _ranks(denoiser, spectra)
    n_mixture, n_labels = denoiser.prior.n_mixture, len(denoiser.prior.label_names)
    pairs, every, numbers = ranks * (ranks + 1) / 2, size * (size + 1) / 2, _NUMBERS * ranks
    kept = _KEPT * n_mixture
    operations: dict[str, FloatArray] = {
        "normal matrices": _FITS * 2 * pixels * pairs,
        "projections and models": _FITS * 2 * 2 * pixels * np.full_like(ranks, size),
        "errors of pixels": np.full_like(ranks, 2 * pixels * (every + _KNOT_PRODUCTS * size)),
        "weights of the mixture": n_mixture * (2 * size * numbers * (size + numbers) + numbers**3 / 3),
        "moments of the mixture": kept
        * (2 * numbers**3 + 2 * numbers * (size - numbers) * size + 2 * n_labels * numbers * (size + numbers)),
    }
    return Cost(
        bytes_moved=float(_BYTES_PER_PIXEL * spectra.n_pixels),
        operations={name: float(np.mean(value)) for name, value in operations.items()},
        rank=float(np.mean(ranks)),
    )


def _ranks(denoiser: Posterior, spectra: Spectra) -> tuple[int, FloatArray, int]:
    """Pixels that the model covers, directions that each spectrum needs, and the number of all directions."""
    redshift = float(spectra.redshift[0])
    rest = rest_air(spectra.wavelength, redshift, spectra.medium)
    fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0] / (1 + redshift)
    basis = denoiser.prior.on_pixels(rest, fwhm)
    covered = basis.covered
    coordinates = Coordinates(denoiser.prepared, basis.vectors[covered])
    weight, flux = spectra.ivar[:, covered].astype(np.float32), spectra.flux[:, covered]
    shape = coordinates.mean_shape
    scale = ((np.where(weight > 0, flux, 0) * weight) @ shape) / (weight @ shape**2)
    if denoiser.discrepancy is not None:
        spread = denoiser.discrepancy.as_noise(rest[covered], basis.vectors[covered, 0])
        weight = weight / (1 + weight * (np.abs(scale)[:, None] * spread) ** 2)
    ranks = coordinates.ranks(coordinates.information(weight), np.abs(scale), NEGLECTED)
    return int(covered.sum()), ranks.astype(np.float64), coordinates.size
