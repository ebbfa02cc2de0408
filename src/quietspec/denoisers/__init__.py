"""Denoisers: noisy `Spectra` in, `Denoised` out, behind one protocol."""

from quietspec.denoisers.base import Denoiser
from quietspec.denoisers.network import NETWORK_FORMAT, NetworkDenoiser
from quietspec.denoisers.posterior.denoiser import Posterior, PrincipalComponents
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.registry import DENOISERS, load_denoiser, load_prior, model_cards
from quietspec.denoisers.smoothers import Butterworth, Gaussian, SavitzkyGolay, Wavelet

__all__ = [
    "DENOISERS",
    "NETWORK_FORMAT",
    "Butterworth",
    "Denoiser",
    "Gaussian",
    "NetworkDenoiser",
    "Posterior",
    "PrincipalComponents",
    "SavitzkyGolay",
    "SpectralPrior",
    "Wavelet",
    "load_denoiser",
    "load_prior",
    "model_cards",
]
