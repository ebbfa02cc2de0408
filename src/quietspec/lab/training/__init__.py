"""Training: simulated spectra in, model files out."""

from quietspec.lab.training.mixture import Mixture, fit_mixture
from quietspec.lab.training.prior import fit_prior
from quietspec.lab.training.settings import PRESETS, MixtureSettings, PriorRun, PriorSettings
from quietspec.lab.training.worlds import relabelled_prior, train_from, train_prior, training_spectra

__all__ = [
    "PRESETS", "Mixture", "MixtureSettings", "PriorRun", "PriorSettings", "fit_mixture", "fit_prior",
    "relabelled_prior", "train_from", "train_prior", "training_spectra",
]  # fmt: skip
