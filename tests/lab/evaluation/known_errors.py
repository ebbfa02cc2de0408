"""Spectra whose estimate errs by draws from a known covariance."""

import numpy as np

from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.lab.simulate import RestSpectra, Simulated
from quietspec.spectra import Spectra

WAVELENGTH = np.arange(3900.0, 6700.0, 4.0)
FACTOR = 0.05 * np.stack([np.cos(k * np.pi * (WAVELENGTH - 3900) / 2800) / (k + 1) for k in range(4)], axis=1)
REMAINDER = 0.004 + 2e-6 * (WAVELENGTH - 3900)


class World:
    """Flat spectra whose estimate, 1 everywhere, errs by draws from FACTOR and REMAINDER times `scale`."""

    name = "world"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def rest(self, n, rng):
        broad = rng.standard_normal((n, FACTOR.shape[1])) @ FACTOR.T
        error = self.scale * (broad + REMAINDER * rng.standard_normal(broad.shape))
        age = rng.uniform(8, 10, n)
        return RestSpectra(wavelength=WAVELENGTH, flux=1 + error, parameters={"log_age_lw": age})

    def observe(self, rest, rng, snr=None):
        observed = Spectra(
            wavelength=WAVELENGTH, flux=rest.flux + rng.standard_normal(rest.flux.shape) / snr,
            ivar=np.where(rng.random(rest.flux.shape) < 0.05, 0, snr**2), redshift=np.zeros(len(rest)), medium="air",
        )  # fmt: skip
        return Simulated(observed=observed, truth=rest.flux, parameters=rest.parameters)


class Knows:
    """Estimates 1, with the covariance that `World` of scale 1 has, and the age to 0.1 dex."""

    name = "knows"

    def __init__(self, covariance: bool = True) -> None:
        self.covariance = covariance

    def denoise(self, spectra):
        sigma = np.sqrt((FACTOR**2).sum(axis=1) + REMAINDER**2)
        flux = np.ones(spectra.flux.shape)
        known = {"factor_of": lambda row: FACTOR, "remainder": np.broadcast_to(REMAINDER, flux.shape)}
        return finish(
            spectra,
            flux,
            np.broadcast_to(sigma, flux.shape),
            model=ModelId(self.name),
            **(known if self.covariance else {}),
        )


def run(n: int, scale: float = 1.0, seed: int = 0, snr: float = 10.0):
    world, rng = World(scale), np.random.default_rng(seed)
    simulated = world.observe(world.rest(n, rng), rng, snr)
    return simulated, Knows().denoise(simulated.observed), rng
