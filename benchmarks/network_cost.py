"""Parameters, operations and GPU-hours of the runs that come with the package, by arithmetic."""

from __future__ import annotations

from quietspec.lab.networks import make_network
from quietspec.lab.training.networks import RUNS, Run, inference_flops, training_flops

N_PIXELS = 4111  # recipe `paper`
GPUS = {"A100": 312e12, "H100": 989e12}  # dense bfloat16 operations per second, as NVIDIA states them
EFFICIENCY = 0.4  # of those; an assumption, and a good one for a network of this size


def main() -> None:
    print(f"{'run':14}{'parameters':>12}{'GFLOP/spectrum':>16}{'spectra':>12}{'training FLOP':>15}", *GPUS)
    for name in RUNS:
        run = Run.load(name)
        network = make_network(run.network)
        size = sum(parameter.numel() for parameter in network.parameters())
        total = training_flops(run, N_PIXELS, run.steps)
        hours = " ".join(f"{total / (EFFICIENCY * speed) / 3600:.2g} h" for speed in GPUS.values())
        forward = inference_flops(network, N_PIXELS) / 1e9
        print(f"{name:14}{size:>12,}{forward:>16.3f}{run.batch * run.steps:>12,}{total:>15.2e} {hours}")


if __name__ == "__main__":
    main()
