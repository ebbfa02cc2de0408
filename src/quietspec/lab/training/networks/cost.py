"""Floating-point operations of networks, counted by torch."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from quietspec.lab.networks import Network, make_network
from quietspec.lab.training.networks.run import Run

__all__ = ["inference_flops", "training_flops"]


def inference_flops(network: Network, n_pixels: int) -> int:
    """Operations to denoise one spectrum: those of matrix products, convolutions and attention."""
    spectra = torch.ones(1, len(network.channels), n_pixels)
    # With gradients: the fused attention that torch uses without them is not counted.
    with FlopCounterMode(display=False) as counter:
        network(spectra)
    return int(counter.get_total_flops())


def training_flops(run: Run, n_pixels: int, steps: int) -> int:
    """Operations of a number of training steps: three times those of inference, the usual count for gradients."""
    return 3 * inference_flops(make_network(run.network), n_pixels) * run.batch * steps
