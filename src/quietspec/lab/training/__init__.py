"""Simulated spectra in, model files out."""

from quietspec.lab.training.mixture import Mixture, MixtureSettings, fit_mixture
from quietspec.lab.training.prior import PriorSettings, fit_prior
from quietspec.lab.training.worlds import relabelled_prior, train_prior, training_spectra

__all__ = [
    "Mixture", "MixtureSettings", "PriorSettings", "fit_mixture", "fit_prior", "relabelled_prior", "train_prior",
    "training_spectra",
]  # fmt: skip
