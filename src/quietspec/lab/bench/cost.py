"""The least that the posterior must do for a spectrum, and how long the machine would need for that alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from quietspec.denoisers import KinematicPosterior
from quietspec.denoisers.posterior.velocity_scan import VelocityScan
from quietspec.lab.bench.machine import Rates
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["Cost", "cost_of"]

_FITS = 3  # typical number of linearisations, those that find gas and spikes included
_KEPT = 0.4  # typical share of the mixture's components that have weight, at S/N 3
_NUMBERS = 0.5  # typical number of values that the data are compressed to, per coordinate
_SPLINE = 4  # cubic splines, or entries of the table, that make one value
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
    """

    bytes_moved: float
    operations: dict[str, float]

    def floor(self, rates: Rates) -> float:
        """Seconds one core needs at its best rates."""
        return self.bytes_moved / rates.copied + sum(self.operations.values()) / rates.single

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)


def cost_of(denoiser: KinematicPosterior, spectra: Spectra) -> Cost:
    """Count the least work of a posterior with motions as parameters.

    Parameters
    ----------
    denoiser : KinematicPosterior
        The denoiser.
    spectra : Spectra
        A sample of one redshift and resolution.

    Returns
    -------
    Cost
        Work by arithmetic, from the numbers of pixels, coordinates and Gaussians; of passes over the pixels only
        reading and writing are counted.
    """
    prior, coordinates = denoiser.prior, denoiser.coordinates
    rest = rest_air(spectra.wavelength, float(spectra.redshift[0]), spectra.medium)
    pixels = int(((rest > prior.wavelength[0]) & (rest < prior.wavelength[-1])).sum())
    knots = denoiser.law_of(spectra).knots(spectra.wavelength).n_knots
    vectors, size = coordinates.populations.size, coordinates.size
    n_mixture, n_labels, numbers = prior.n_mixture, len(prior.label_names), _NUMBERS * size
    kept = _KEPT * n_mixture
    return Cost(
        bytes_moved=float(_BYTES_PER_PIXEL * spectra.n_pixels),
        operations={
            "scan of motions": float(2 * pixels * VelocityScan.products_per_pixel),
            "basis in motion": float(_FITS * 2 * _SPLINE * (pixels + len(prior.wavelength)) * vectors),
            "normal matrices": float(_FITS * 2 * pixels * (size + 2) * (size + 3) / 2),
            "calibration": float(_FITS * (2 * 2 * pixels * size + knots**3 + 2 * knots**2 * size)),
            "errors of pixels": float(2 * pixels * (size + 2) ** 2),
            "weights of the mixture": n_mixture * (2 * size * numbers * (size + numbers) + numbers**3 / 3),
            "moments of the mixture": kept
            * (2 * numbers**3 + 2 * numbers * (size - numbers) * size + 2 * n_labels * numbers * (size + numbers)),
        },
    )
