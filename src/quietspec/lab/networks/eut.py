"""The Enhanced U-Net Transformer of Kim, Lee & Rey 2026 (AJ 171, arXiv 2605.04434)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from quietspec.lab.networks.network import Network, NetworkSettings

__all__ = ["EUT", "EUTSettings", "sinusoidal_positions"]


class EUTSettings(NetworkSettings):
    """Sizes of an `EUT`; the defaults are those of the paper.

    Parameters
    ----------
    kind : 'eut'
        Kind of network.
    encoder : tuple of int
        Number of channels after each encoder stage; each stage ends in pooling by 2.
    last : int
        Number of channels of the last decoder stage.
    kernel : int
        Number of pixels of each convolution, odd.
    n_blocks, n_heads : int
        Number of transformer blocks, and of attention heads in each.
    feed_forward : int
        Width of the feed-forward layers over that of the blocks. The paper does not state it; 4 gives its 16.2 million
        parameters.
    fold : int
        Number of neighbouring pixels that enter and leave the network as channels of one pixel: fewer pixels, the same
        information. The paper's network has 1.
    n_pixels : int, optional
        Number of pixels of the one wavelength grid on which the network is used. If given, the network knows where it
        is on that grid: the first and the last convolution each have a companion with weights of its own at every
        (folded) pixel, the positions of the tokens are learned, and a summary of the whole spectrum is added to every
        token. The paper's network has none of this.
    summary : int
        Number of values in that summary.
    """

    kind: Literal["eut"] = "eut"
    encoder: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (96, 192, 384)
    last: PositiveInt = 64
    kernel: PositiveInt = 7
    n_blocks: PositiveInt = 8
    n_heads: PositiveInt = 12
    feed_forward: PositiveInt = 4
    fold: PositiveInt = 1
    n_pixels: PositiveInt | None = None
    summary: PositiveInt = 64

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel}: must be odd")
        if self.encoder[-1] % self.n_heads or self.encoder[-1] % 2:
            raise ValueError(
                f"encoder {self.encoder}: the last number must be even and a multiple of n_heads ({self.n_heads})"
            )
        return self


class EUT(Network):
    """A convolutional encoder and decoder with skip connections, and transformer blocks between them.

    Each encoder stage is a convolution, instance normalisation, ReLU and max-pooling by 2. Fixed sinusoidal positions
    are added to the result, and transformer blocks follow. Each decoder stage interpolates linearly to twice the number
    of pixels, appends the encoder's map of that resolution and convolves; a convolution of one pixel gives the output.

    Parameters
    ----------
    settings : EUTSettings, optional
        Sizes; those of the paper by default.

    Notes
    -----
    Choices that the paper does not state: normalisation has learned scales; blocks normalise before attention
    (pre-norm); the decoder's convolutions end in ReLU without normalisation, which would remove the strength of the
    features; there is no dropout; the last pixel is repeated until the number of pixels can be halved at every stage.

    On one grid, denoising is a projection whose weights differ at every wavelength, which convolutions with shared
    weights cannot be; ``n_pixels`` gives the layout its place on the grid.

    References
    ----------
    Kim, Lee & Rey 2026, AJ 171, Figure 1; Vaswani et al. 2017 (arXiv 1706.03762), Section 3.5, for the positions.
    """

    def __init__(self, settings: EUTSettings | None = None) -> None:
        settings = settings or EUTSettings()
        super().__init__(settings)
        self.fold, self.stride = settings.fold, settings.fold * 2 ** len(settings.encoder)
        widths = (len(settings.channels) * settings.fold, *settings.encoder)
        self.encoder = nn.ModuleList(
            nn.Sequential(_convolution(a, b, settings.kernel), nn.InstanceNorm1d(b, affine=True), nn.ReLU())
            for a, b in pairwise(widths)
        )
        width = widths[-1]
        block = nn.TransformerEncoderLayer(
            width, settings.n_heads, settings.feed_forward * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, settings.n_blocks, nn.LayerNorm(width), enable_nested_tensor=False)
        outputs = (*reversed(settings.encoder[:-1]), settings.last)
        inputs = (width, *outputs[:-1])
        self.decoder = nn.ModuleList(
            nn.Sequential(_convolution(a + skip, b, settings.kernel), nn.ReLU())
            for a, skip, b in zip(inputs, reversed(settings.encoder), outputs, strict=True)
        )
        n_outputs = settings.n_outputs * settings.fold
        self.projection = nn.Conv1d(settings.last, n_outputs, 1)
        self.n_pixels = settings.n_pixels
        if settings.n_pixels is not None:
            n_places = -(-settings.n_pixels // self.stride) * self.stride // settings.fold
            self.entrance = _Local(n_places, widths[0], widths[1])
            self.exit = _Local(n_places, settings.last, n_outputs, silent=True)
            self.positions = nn.Parameter(torch.zeros(n_places // 2 ** len(settings.encoder), width))
            self.summary = nn.Sequential(
                nn.Flatten(), nn.Linear(n_places * widths[0], settings.summary), nn.GELU(),
                nn.Linear(settings.summary, width),
            )  # fmt: skip

    def estimate(self, features: Tensor) -> Tensor:
        """Map scaled channels to scaled outputs; see `Network.estimate`."""
        n_pixels = features.shape[-1]
        if self.n_pixels not in (None, n_pixels):
            raise ValueError(f"spectra of {n_pixels} pixels; this network's grid has {self.n_pixels}.")
        features = functional.pad(features, (0, -n_pixels % self.stride), mode="replicate")
        features = torch.unflatten(features, -1, (-1, self.fold)).transpose(-1, -2).flatten(1, 2)
        folded = features
        skips: list[Tensor] = []
        for stage in self.encoder:
            features = self._first(stage, features) if not skips else stage(features)
            skips.append(features)
            features = functional.max_pool1d(features, 2)
        features = self.blocks(self._placed(features.transpose(1, 2), folded)).transpose(1, 2)
        for stage in self.decoder:
            features = functional.interpolate(features, scale_factor=2.0, mode="linear", align_corners=False)
            features = stage(torch.cat([features, skips.pop()], dim=1))
        found = self.projection(features)
        if self.n_pixels is not None:
            found = found + self.exit(features)
        output: Tensor = torch.unflatten(found, 1, (-1, self.fold)).transpose(-1, -2).flatten(-2)
        return output[..., :n_pixels]

    def _first(self, stage: nn.Module, features: Tensor) -> Tensor:
        """First stage, with the companion of its convolution."""
        if self.n_pixels is None:
            first: Tensor = stage(features)
            return first
        convolution, *rest = stage.children()
        values: Tensor = convolution(features) + self.entrance(features)
        for layer in rest:
            values = layer(values)
        return values

    def _placed(self, tokens: Tensor, folded: Tensor) -> Tensor:
        """Add positions, and the summary of the whole spectrum, to the tokens, (n_spectra, n_tokens, width)."""
        tokens = tokens + sinusoidal_positions(tokens.shape[1], tokens.shape[2]).to(tokens)
        return tokens if self.n_pixels is None else tokens + self.positions + self.summary(folded)[:, None]


class _Local(nn.Module):
    """Linear map from channels to channels whose weights differ at every pixel; silent ones start from zero."""

    def __init__(self, n_places: int, inputs: int, outputs: int, *, silent: bool = False) -> None:
        super().__init__()
        weight = torch.zeros(n_places, inputs, outputs) if silent else torch.randn(n_places, inputs, outputs)
        self.weight = nn.Parameter(weight / math.sqrt(inputs))

    def forward(self, values: Tensor) -> Tensor:
        """Map (n_spectra, inputs, n_places) to (n_spectra, outputs, n_places)."""
        return torch.bmm(values.permute(2, 0, 1), self.weight).permute(1, 2, 0)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)


def sinusoidal_positions(n_tokens: int, width: int) -> Tensor:
    """Fixed encodings of positions.

    Parameters
    ----------
    n_tokens, width : int
        Number of positions, and of values per position; the latter is even.

    Returns
    -------
    (n_tokens, width)
        Sines in even columns and cosines in odd ones, with wavelengths from 2π to 10000·2π positions.

    References
    ----------
    Vaswani et al. 2017 (arXiv 1706.03762), Section 3.5.
    """
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(n_tokens)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
