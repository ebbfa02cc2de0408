"""Parameters, operations and GPU-hours of the training runs that come with the package, by arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quietspec.lab.networks import make_network
from quietspec.lab.training.networks import RUNS, Run, inference_flops, training_flops

__all__ = ["GPUS", "NetworkCost", "network_costs"]

#: Dense bfloat16 operations per second of GPUs, as NVIDIA states them.
GPUS: dict[str, float] = {"A100": 312e12, "H100": 989e12}
_EFFICIENCY = 0.4  # assumed share of those that training reaches, good for a network of this size


@dataclass(frozen=True)
class NetworkCost:
    """Cost of one training run.

    Parameters
    ----------
    parameters : int
        Weights of the network.
    inference_flops, training_flops : float
        Floating-point operations per spectrum, and of the whole training.
    spectra : int
        Training spectra, repeats included.
    """

    parameters: int
    inference_flops: float
    spectra: int
    training_flops: float

    def hours(self, gpu: str) -> float:
        """Hours of training on one of `GPUS`, if training reaches 40 % of its rate."""
        return self.training_flops / (_EFFICIENCY * GPUS[gpu]) / 3600


def network_costs(n_pixels: int, names: Iterable[str] = RUNS) -> dict[str, NetworkCost]:
    """Count the cost of runs that come with the package.

    Parameters
    ----------
    n_pixels : int
        Pixels per spectrum.
    names : iterable of str
        Names of the runs; all by default.

    Returns
    -------
    dict of str to NetworkCost
        Costs by run.
    """
    costs = {}
    for name in names:
        run = Run.load(name)
        network = make_network(run.network)
        costs[name] = NetworkCost(
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            inference_flops=inference_flops(network, n_pixels),
            spectra=run.batch * run.steps,
            training_flops=training_flops(run, n_pixels, run.steps),
        )
    return costs
