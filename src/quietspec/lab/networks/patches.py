"""A network for one wavelength grid: every patch of the spectrum has weights of its own."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from quietspec.lab.networks.network import Network, NetworkSettings

__all__ = ["PatchNetwork", "PatchNetworkSettings"]


class PatchNetworkSettings(NetworkSettings):
    """Sizes of a `PatchNetwork`.

    Parameters
    ----------
    kind : 'patches'
        Kind of network.
    n_pixels : int
        Number of pixels of its wavelength grid.
    n_patches, n_features : int
        Number of patches that the grid is cut into, and of features per patch.
    rank : int
        Number of basis spectra of the output.
    width, hidden, n_blocks : int
        Width of the residual layers, width of the hidden layer in each, and number of residual layers.
    """

    kind: Literal["patches"] = "patches"
    n_pixels: PositiveInt = 4111
    n_patches: PositiveInt = 16
    n_features: PositiveInt = 32
    rank: PositiveInt = 32
    width: PositiveInt = 512
    hidden: PositiveInt = 1024
    n_blocks: PositiveInt = 3


class PatchNetwork(Network):
    """A linear projection onto basis spectra, corrected by residual layers that see all patches of the spectrum.

    On one rest-frame grid, denoising is a projection of the whole spectrum with weights that differ at every
    wavelength, which convolutions with shared weights learn slowly. Here each patch has an embedding of its own, the
    layers see all patches at once, and the output is a mean spectrum plus basis spectra times coefficients. All of it
    is learned, starting from the values that `start_from` sets.

    Parameters
    ----------
    settings : PatchNetworkSettings, optional
        Sizes; the defaults if not given.
    """

    def __init__(self, settings: PatchNetworkSettings | None = None) -> None:
        settings = settings or PatchNetworkSettings()
        super().__init__(settings)
        n_pixels, n_patches, rank, width = settings.n_pixels, settings.n_patches, settings.rank, settings.width
        self.n_patches, self.patch = n_patches, -(-n_pixels // n_patches)
        self.mean = nn.Parameter(torch.ones(n_pixels))
        self.basis = nn.Parameter(torch.randn(rank, n_pixels) / math.sqrt(rank))
        self.projection = nn.Parameter(torch.randn(rank, n_pixels) / n_pixels)
        self.embedding = nn.Parameter(4 * torch.randn(n_patches, self.patch, settings.n_features) / self.patch**0.5)
        noise = n_patches * (len(settings.channels) - 1)
        self.entrance = nn.Linear(n_patches * settings.n_features + noise + rank, width)
        self.layers = nn.Sequential(*(_Residual(width, settings.hidden) for _ in range(settings.n_blocks)))
        self.exit = _silent(nn.Linear(width, rank))
        if settings.log_variance:
            self.log_variance = nn.Parameter(torch.full((n_pixels,), -8.0))
            self.patch_log_variance = _silent(nn.Linear(width, n_patches))

    @torch.no_grad()
    def start_from(self, mean: Tensor, basis: Tensor, sigma: Tensor) -> None:
        """Set the weights so that the network is the Wiener filter for one noise.

        Parameters
        ----------
        mean : (n_pixels,)
            Mean of spectra whose mean |flux| is 1.
        basis : (rank, n_pixels)
            Principal components of these spectra, each times its standard deviation.
        sigma : (n_pixels,)
            1σ noise that the filter assumes, in the same unit.
        """
        weighted = (basis / sigma**2).double()
        information = weighted @ basis.double().T + torch.eye(len(basis), dtype=torch.float64)
        self.mean.copy_(mean)
        self.basis.copy_(basis)
        self.projection.copy_(torch.linalg.solve(information, weighted))

    def estimate(self, features: Tensor) -> Tensor:
        """Map scaled channels to scaled outputs; see `Network.estimate`."""
        n_pixels = len(self.mean)
        if features.shape[-1] != n_pixels:
            raise ValueError(f"spectra of {features.shape[-1]} pixels; this network's grid has {n_pixels}.")
        difference = features[:, 0] - self.mean
        linear = difference @ self.projection.T
        embedded = torch.bmm(self._patches(difference).transpose(0, 1), self.embedding).transpose(0, 1)
        noise = self._patches(features[:, 1:]).mean(-1)
        state = self.layers(self.entrance(torch.cat([embedded.flatten(1), noise.flatten(1), 2 * linear], dim=1)))
        flux: Tensor = self.mean + (linear + self.exit(state)) @ self.basis
        if not hasattr(self, "log_variance"):
            return flux[:, None]
        local = self.patch_log_variance(state).repeat_interleave(self.patch, dim=1)[:, :n_pixels]
        return torch.stack([flux, self.log_variance + local], dim=1)

    def _patches(self, values: Tensor) -> Tensor:
        """Cut the last axis into patches, the last of which is padded with zeros."""
        missing = self.n_patches * self.patch - values.shape[-1]
        return torch.unflatten(functional.pad(values, (0, missing)), -1, (self.n_patches, self.patch))


class _Residual(nn.Module):
    """x plus two layers applied to the normalised x, whose contribution is zero at first."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU())
        self.outer = _silent(nn.Linear(hidden, width))

    def forward(self, values: Tensor) -> Tensor:
        change: Tensor = self.outer(self.inner(values))
        return values + change


def _silent(layer: nn.Linear) -> nn.Linear:
    """Set the weights to zero, so that the layer contributes nothing until it learns."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
