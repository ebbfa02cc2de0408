"""The posterior of the noise-free spectrum: its prior, its algebra, and the denoiser made of them."""

from quietspec.denoisers.posterior.denoiser import Posterior, PrincipalComponents
from quietspec.denoisers.posterior.prior import SpectralPrior

__all__ = ["Posterior", "PrincipalComponents", "SpectralPrior"]
