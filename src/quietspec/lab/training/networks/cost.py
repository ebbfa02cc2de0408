"""What a network costs, counted by torch."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from quietspec.lab.networks import Network, make_network
from quietspec.lab.training.networks.run import Run

__all__ = ["inference_flops", "training_flops"]


def inference_flops(network: Network, n_pixels: int) -> int:
    """Floating-point operations of one spectrum forwards: matrix products, convolutions and attention."""
    spectra = torch.ones(1, len(network.channels), n_pixels)
    with FlopCounterMode(display=False) as counter:  # with gradients: the fused attention without is not counted
        network(spectra)
    return int(counter.get_total_flops())


def training_flops(run: Run, n_pixels: int, steps: int) -> int:
    """Floating-point operations of so many steps: three times those forwards, the usual count with the gradient's."""
    return 3 * inference_flops(make_network(run.network), n_pixels) * run.batch * steps
