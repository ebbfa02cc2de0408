"""A network together with the errors of its estimates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quietspec.lab.networks.network import Network

__all__ = ["WithErrors"]


class WithErrors(nn.Module):
    """Gives flux and 1σ error, the latter from the network's own variance or from residuals of validation spectra.

    Parameters
    ----------
    network : Network
        Network that gives the flux.
    levels : (n_levels,), optional
        Ratios of mean |flux| to mean 1σ noise, increasing, at which residuals were measured; needed for a network that
        does not predict its variance.
    residual : (n_levels, n_pixels), optional
        RMS residual at each level, in units of the spectrum's mean |flux|.
    """

    logs: Tensor
    residual: Tensor

    def __init__(self, network: Network, levels: Tensor | None = None, residual: Tensor | None = None) -> None:
        super().__init__()
        self.network = network
        if (levels is None or residual is None) and not network.settings.log_variance:
            raise ValueError(
                "a network without variance needs the residuals of validation spectra (levels=, residual=)."
            )
        self.register_buffer("logs", torch.zeros(2) if levels is None else levels.log())
        self.register_buffer("residual", torch.zeros(2, 1) if residual is None else residual)

    def forward(self, spectra: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise.

        Parameters
        ----------
        spectra : (n_spectra, n_channels, n_pixels)
            Input of the network.
        sigma : (n_spectra, n_pixels)
            1σ noise.

        Returns
        -------
        flux, sigma : (n_spectra, n_pixels)
            Denoised flux and its 1σ error.
        """
        output = self.network(spectra)
        if self.network.settings.log_variance:
            return output[:, 0], (output[:, 1] / 2).exp()
        scale = spectra[:, 0].abs().mean(-1, keepdim=True)
        log_snr = (scale / sigma.mean(-1, keepdim=True)).log()
        # Linear interpolation between levels: the fraction of each interval that was passed, times its rise.
        passed = ((log_snr - self.logs[:-1]) / self.logs.diff()).clamp(0, 1)
        return output[:, 0], scale * (self.residual[0] + passed @ self.residual.diff(dim=0))
