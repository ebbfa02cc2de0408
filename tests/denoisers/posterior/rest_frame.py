"""A small prior of unbroadened spectra at rest, full of narrow lines, and draws from it in motion."""

import numpy as np

from quietspec.denoisers import SpectralPrior
from quietspec.lab.simulate.kinematics import log_wavelengths

WAVELENGTH = log_wavelengths(3900.0, 6800.0, 50.0)


def rest_prior(n_mixture=3, n_components=5, seed=0):
    """Continua and line spectra as basis, a random mixture, two labels; resolution of MILES."""
    rng = np.random.default_rng(seed)
    lines = np.zeros((n_components, len(WAVELENGTH)))
    for row in lines:
        for centre in rng.uniform(3950, 6750, 60):
            row += rng.uniform(0.2, 1.0) * np.exp(-0.5 * ((WAVELENGTH - centre) / 1.6) ** 2)
    x = np.linspace(-1, 1, len(WAVELENGTH))
    mean = 1 + 0.2 * x - 0.25 * lines[0]
    components = np.stack([x, x**2 - 1 / 3, *(-0.3 * lines[2:])])
    roots = rng.normal(size=(n_mixture, n_components, n_components)) * 0.05
    return SpectralPrior(
        wavelength=WAVELENGTH,
        fwhm=np.full(len(WAVELENGTH), 2.51),
        mean=mean,
        components=components,
        truncation=np.zeros(len(WAVELENGTH)),
        weights=np.full(n_mixture, 1 / n_mixture),
        means=rng.normal(size=(n_mixture, n_components)) * 0.1,
        covariances=roots @ np.swapaxes(roots, 1, 2) + 1e-3 * np.eye(n_components),
        label_names=("log_age_mw", "mh_mw"),
        labels=rng.normal(size=(n_mixture, 2)),
        slopes=rng.normal(size=(n_mixture, 2, n_components)),
        label_covariances=np.broadcast_to(0.01 * np.eye(2), (n_mixture, 2, 2)).copy(),
        card={"emission": "none", "noise": "quoted", "kinematics": "explicit"},
    )
