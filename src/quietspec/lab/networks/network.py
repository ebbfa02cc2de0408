"""Common base of the networks: named input channels, equivariance to the flux scale, optional variance."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, nn

__all__ = ["Channel", "Network", "NetworkSettings"]

Channel = Literal["flux", "sigma", "masked", "wiener"]


class NetworkSettings(BaseModel):
    """Channels and outputs of a network.

    Parameters
    ----------
    channels : tuple of {'flux', 'sigma', 'masked', 'wiener'}
        Input channels in order, starting with ``'flux'``: noisy flux, 1σ noise, 1 where a pixel is masked, and the
        Wiener filter's estimate. The paper has the flux alone.
    correction : bool
        Whether the output is added to the Wiener filter's estimate.
    log_variance : bool
        Whether a second output channel gives the natural logarithm of the variance of the estimate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[Channel, ...] = ("flux",)
    correction: bool = False
    log_variance: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.channels or self.channels[0] != "flux" or len(set(self.channels)) < len(self.channels):
            raise ValueError(f"channels {self.channels}: 'flux' comes first, and none comes twice")
        if self.correction and "wiener" not in self.channels:
            raise ValueError("correction: needs 'wiener' among the channels")
        return self

    @property
    def n_outputs(self) -> int:
        """Number of output channels: 1, or 2 with the variance."""
        return 1 + self.log_variance


class Network(nn.Module):
    """Maps noisy spectra in any flux unit to noise-free ones; subclasses do so for spectra of mean |flux| 1.

    Parameters
    ----------
    settings : NetworkSettings
        Channels and outputs.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.channels, self.settings = settings.channels, settings

    def estimate(self, features: Tensor) -> Tensor:
        """Map scaled channels, (n_spectra, n_channels, n_pixels), to (n_spectra, n_outputs, n_pixels)."""
        raise NotImplementedError

    def forward(self, spectra: Tensor) -> Tensor:
        """Denoise.

        Parameters
        ----------
        spectra : (n_spectra, n_channels, n_pixels)
            The channels of the settings, in their order.

        Returns
        -------
        (n_spectra, n_outputs, n_pixels)
            Noise-free flux in the unit of the input, and the logarithm of its variance if the settings include it.
        """
        flux = spectra[:, :1]
        good = 1 - self._channel(spectra, "masked") if "masked" in self.channels else torch.ones_like(flux)
        flux = flux * good
        tiny = torch.finfo(flux.dtype).tiny
        # Unlike the mean flux, the mean of |flux| is positive at any S/N.
        scale = (flux.abs().sum(-1, keepdim=True) / good.sum(-1, keepdim=True).clamp_min(1)).clamp_min(tiny)
        features = [self._feature(spectra, name, flux / scale, scale) for name in self.channels]
        output = self.estimate(torch.cat(features, dim=1))
        mean = output[:, :1] * scale
        if self.settings.correction:
            mean = mean + self._channel(spectra, "wiener")
        if not self.settings.log_variance:
            return mean
        return torch.cat([mean, output[:, 1:] + 2 * scale.log()], dim=1)

    def _channel(self, spectra: Tensor, name: Channel) -> Tensor:
        index = self.channels.index(name)
        return spectra[:, index : index + 1]

    def _feature(self, spectra: Tensor, name: Channel, flux: Tensor, scale: Tensor) -> Tensor:
        if name == "flux":
            return flux
        values = self._channel(spectra, name)
        if name == "sigma":  # logarithm, since noise varies by factors
            return (values / scale).clamp(1e-4, 1e4).log()
        return values / scale if name == "wiener" else values
