"""A small cube with flat noise, and estimates of it that err in a known way."""

import numpy as np

from quietspec.denoised import Denoised, ModelId
from quietspec.lab.simulate import GalaxyCube, Simulated
from quietspec.spectra import Spectra

SHAPE, N_PIXELS = (6, 8), 300
WAVELENGTH = 5000.0 + np.arange(N_PIXELS)
LABELS = {"log_age_lw": 0.2, "mh_lw": 0.1, "velocity": 20.0}  # 1σ errors of the estimates


def made_cube(*, companion: int | None = None, rng=None) -> GalaxyCube:
    """Spectra of S/N 1 to 48, one more per spaxel; labels vary along y; spaxel 0 is empty."""
    rng = rng or np.random.default_rng(0)
    n = SHAPE[0] * SHAPE[1]
    snr = np.arange(n) + 1.0
    truth = snr[:, None] * (1 + 0.2 * np.sin(WAVELENGTH / 30))
    ivar = np.ones(truth.shape)
    ivar[0] = 0
    ivar[1, :5] = 0
    observed = Spectra(
        wavelength=WAVELENGTH, flux=np.where(ivar > 0, truth + rng.standard_normal(truth.shape), np.nan), ivar=ivar,
        redshift=np.full(n, 0.02), spatial_shape=SHAPE, medium="air",
    )  # fmt: skip
    line = np.repeat(np.arange(SHAPE[0]), SHAPE[1])
    labels = {"log_age_lw": 9 + 0.1 * line, "mh_lw": -0.1 * line, "velocity": 20.0 * line}
    share = np.zeros(n)
    if companion is not None:
        share[companion] = 1.0
    simulated = Simulated(observed=observed, truth=truth, parameters=labels | {"snr": snr})
    regions = {"clump": line < 2, "border": line == 5}
    return GalaxyCube(simulated, regions, {} if companion is None else {"companion": share}, 2.0)


def estimate(cube: GalaxyCube, error=0.0, sigma=0.1, label_pull=0.0, **changes) -> Denoised:
    """Truth plus errors (n_spaxels, n_pixels); labels off by `label_pull` (n_spaxels,) of their stated errors."""
    truth, n = cube.simulated.truth, len(cube.simulated)
    parameters = {
        name: (cube.simulated.parameters[name] + label_pull * one, np.full(n, one)) for name, one in LABELS.items()
    }
    flux = np.where(cube.observed_spaxels[:, None], truth + error, np.nan)
    unknown = np.full(n, np.nan)
    fields = {
        "spectra": cube.simulated.observed, "flux": flux, "sigma": np.full(flux.shape, sigma), "chi2": unknown,
        "flags": np.zeros(n, dtype=int), "ignored": np.zeros(flux.shape, dtype=bool), "model": ModelId("made"),
        "dof": unknown, "evidence": unknown, "parameters": parameters,
    }  # fmt: skip
    return Denoised(**fields | changes)
