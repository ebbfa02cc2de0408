"""What the posterior must do for a spectrum at least, and how long the machine would need for that alone."""

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

_FITS = 3  # two to find gas and spikes, one of the rest
_KEPT = 0.4  # of the mixture's components have weight, typically, at S/N 3
_NUMBERS = 0.5  # of the directions taken, typically, are left as numbers of unit noise
_KNOT_PRODUCTS = 4  # with the basis, a pixel, to carry errors through the discrepancy
_BYTES_A_PIXEL = 2 * (4 + 4) + 2 * (4 + 4 + 1)  # flux and variance read and turned, three images turned and written


@dataclass(frozen=True)
class Cost:
    """Of one spectrum.

    Parameters
    ----------
    bytes_moved : float
        From the input to the output, each once read and once written in memory.
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
    """Count what a posterior must do.

    Parameters
    ----------
    denoiser : Posterior
        The denoiser.
    spectra : Spectra
        A sample, of one redshift and resolution.

    Returns
    -------
    Cost
        By arithmetic, from the sample's numbers of pixels and directions; passes over the pixels are not counted but
        for reading and writing.
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
        bytes_moved=float(_BYTES_A_PIXEL * spectra.n_pixels),
        operations={name: float(np.mean(value)) for name, value in operations.items()},
        rank=float(np.mean(ranks)),
    )


def _ranks(denoiser: Posterior, spectra: Spectra) -> tuple[int, FloatArray, int]:
    """Pixels the model covers, directions each spectrum needs, and all there are."""
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
