"""Denoisers: noisy `Spectra` in, `Denoised` out, behind one protocol."""

from quietspec.denoisers.base import Denoiser, Emission
from quietspec.denoisers.choice import ByCoverage, Chosen
from quietspec.denoisers.network import NETWORK_FORMAT, NetworkDenoiser
from quietspec.denoisers.posterior import (
    KinematicPosterior,
    Posterior,
    PrincipalComponents,
    SpectralPrior,
    StoredCovariances,
)
from quietspec.denoisers.registry import AUTO, DENOISERS, DenoiserName, load_denoiser, load_prior, posterior_of
from quietspec.denoisers.shipped import PRIORS, ShippedModel, ShippedNetwork, add_model, model_cards, network_file
from quietspec.denoisers.smoothers import Butterworth, Gaussian, SavitzkyGolay
from quietspec.denoisers.spatial import SpatialPosterior
from quietspec.denoisers.wavelet import Wavelet

__all__ = [
    "AUTO",
    "DENOISERS",
    "NETWORK_FORMAT",
    "PRIORS",
    "Butterworth",
    "ByCoverage",
    "Chosen",
    "Denoiser",
    "DenoiserName",
    "Emission",
    "Gaussian",
    "KinematicPosterior",
    "NetworkDenoiser",
    "Posterior",
    "PrincipalComponents",
    "SavitzkyGolay",
    "ShippedModel",
    "ShippedNetwork",
    "SpatialPosterior",
    "SpectralPrior",
    "StoredCovariances",
    "Wavelet",
    "add_model",
    "load_denoiser",
    "load_prior",
    "model_cards",
    "network_file",
    "posterior_of",
]
