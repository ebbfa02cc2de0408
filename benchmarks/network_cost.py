"""Parameters, operations and GPU-hours of the training runs that come with the package, by arithmetic.

    python benchmarks/network_cost.py [RUN …]

Needs the extra `train`.
"""

from script import console, parser

from quietspec.lab.bench.network import GPUS, network_costs
from quietspec.lab.training.networks import RUNS

N_PIXELS = 4111  # recipe `paper`


def main() -> None:
    made = parser(__doc__)
    made.add_argument("runs", nargs="*", default=list(RUNS), help="names of the runs; all by default")
    options = made.parse_args()
    head = f"{'run':14}{'parameters':>12}{'GFLOP/spectrum':>16}{'spectra':>12}{'training FLOP':>15}"
    console.print(head, *GPUS, highlight=False)
    for name, cost in network_costs(N_PIXELS, options.runs).items():
        hours = " ".join(f"{cost.hours(gpu):.2g} h" for gpu in GPUS)
        numbers = f"{cost.parameters:>12,}{cost.inference_flops / 1e9:>16.3f}{cost.spectra:>12,}"
        console.print(f"{name:14}{numbers}{cost.training_flops:>15.2e}", hours, highlight=False)


if __name__ == "__main__":
    main()
