"""Ways to measure emission-line fluxes beside the posterior: pPXF with stars and gas, and subtract-then-Gaussian.

All give fluxes of the same lines with 1σ errors, observed flux unit times observed Å.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers.posterior.contamination import measure_gas
from quietspec.denoisers.posterior.gas import GAS_MOTIONS, GasState, LineModel
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["LINES", "LineFluxes", "by_posterior", "by_subtraction", "rest_pixels", "summed"]

#: Lines that are scored, and the fitted ones that they are sums of.
LINES: dict[str, tuple[str, ...]] = {
    "[OII]3727": ("[OII]3726", "[OII]3729"), "Hbeta": ("Hbeta",), "[OIII]5007": ("[OIII]5007",),
    "Halpha": ("Halpha",), "[NII]6583": ("[NII]6583",), "[SII]6716+6731": ("[SII]6716", "[SII]6731"),
}  # fmt: skip
_USUAL = 90.0  # km/s, dispersion of lines that are not seen


@dataclass(frozen=True, eq=False)
class LineFluxes(BySpectrum):
    """Fluxes of `LINES` and their 1σ errors, (n_spectra, n_lines); NaN where a line is not covered."""

    flux: FloatArray
    error: FloatArray

    def __len__(self) -> int:
        return len(self.flux)

    @classmethod
    def unknown(cls, n: int) -> LineFluxes:
        """Nothing known of n spectra."""
        return cls(np.full((n, len(LINES)), np.nan), np.full((n, len(LINES)), np.nan))


def summed(names: tuple[str, ...], flux: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum fitted fluxes to those of `LINES`.

    Parameters
    ----------
    names : tuple of str
        Fitted lines.
    flux : (..., n_names)
        Their fluxes.
    covariance : (..., n_names, n_names)
        Covariance of these.

    Returns
    -------
    flux, error : (..., n_lines)
        NaN where a part is not fitted, or NaN.
    """
    total, variance = np.full((2, *flux.shape[:-1], len(LINES)), np.nan)
    for number, parts in enumerate(LINES.values()):
        if not set(parts) <= set(names):
            continue
        place = [names.index(part) for part in parts]
        total[..., number] = flux[..., place].sum(axis=-1)
        variance[..., number] = covariance[..., place, :][..., place].sum(axis=(-1, -2))
    return total, np.sqrt(variance)


def by_posterior(denoised: Denoised) -> LineFluxes:
    """Read lines off a posterior with lines.

    Parameters
    ----------
    denoised : Denoised
        By a denoiser with ``emission="fit"``.

    Returns
    -------
    LineFluxes
        Fluxes and errors.
    """
    if denoised.lines is None:
        raise SpectraError('no lines are fitted: make the denoiser with emission="fit".')
    lines = denoised.lines
    return LineFluxes(*summed(lines.names, lines.flux, lines.covariance))


def rest_pixels(spectra: Spectra) -> tuple[float, FloatArray, FloatArray]:
    """Redshift of spectra that share it, and their pixels at rest.

    Parameters
    ----------
    spectra : Spectra
        Spectra of one redshift and resolution.

    Returns
    -------
    redshift : float
        The redshift.
    wavelength, fwhm : (n_pixels,)
        Rest-frame air wavelengths and resolution, Å.
    """
    if spectra.fwhm is None:
        raise SpectraError("lines: the resolution of the spectra is not known; give `fwhm`.")
    z = float(spectra.redshift[0])
    rest = rest_air(spectra.wavelength, z, spectra.medium)
    return z, rest, np.ravel(spectra.fwhm)[-len(rest) :] / (1 + z)


def by_subtraction(spectra: Spectra, continuum: Denoised) -> LineFluxes:
    """Subtract a continuum, and fit Gaussians to what is left, with errors by the noise of the pixels alone.

    Parameters
    ----------
    spectra : Spectra
        Spectra of one redshift.
    continuum : Denoised
        Estimate of the stars, made behind a mask of the lines, with the noise as it was measured there.

    Returns
    -------
    LineFluxes
        Fluxes and errors; one velocity and width for all lines, which are fitted where lines stand out (5σ).
    """
    z, rest, fwhm = rest_pixels(spectra)
    used = spectra.good & continuum.valid
    weight = np.where(used, spectra.ivar, 0.0) / continuum.noise_scale[:, None] ** 2
    stars = np.where(used, continuum.flux, 0.0)
    residual = np.where(used, spectra.flux - stars, 0.0)
    gas = measure_gas(residual, weight, stars, rest, fwhm)
    velocity = np.where(gas.detected, gas.velocity, continuum.parameters["velocity"][0])
    sigma = np.where(gas.detected, gas.sigma, _USUAL)
    scale = np.median(np.abs(stars), axis=1)
    model = LineModel(rest, fwhm)
    found = LineFluxes.unknown(len(spectra))
    for row in range(len(spectra)):
        start = model.start(float(velocity[row]), float(sigma[row]), moves=bool(gas.detected[row]))
        flux, covariance = _fitted(model, start, residual[row], weight[row], float(scale[row]))
        names = tuple(group.name for group in model.groups)
        found.flux[row], found.error[row] = summed(names, flux * (1 + z), covariance * (1 + z) ** 2)
    return found


def _fitted(
    model: LineModel, start: GasState, residual: FloatArray, weight: FloatArray, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Fluxes of Gaussians and their covariance, that of motions included, rest-frame Å."""
    state = model.fitted(start, residual, weight, scale)
    lines = model.design(state, scale)
    weighted = lines.columns.T * weight[lines.rows]
    information = (weighted @ lines.columns).astype(np.float64) + np.eye(lines.size)
    covariance = np.linalg.inv(information)[GAS_MOTIONS:, GAS_MOTIONS:]
    return state.flux, covariance * model.flux_size(scale) ** 2
