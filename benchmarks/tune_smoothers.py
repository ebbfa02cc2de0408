"""Choose the widths of the smoothers: least mean RMS residual on simulated training spectra.

    python benchmarks/tune_smoothers.py [--library PATH] [--recipe paper] [--snr 10] [-n 400] [--seed 0]

The defaults in `quietspec.denoisers.smoothers` come from the recipe `paper` at S/N 10, by these defaults.
"""

from script import add_library, library_of, log, parser

from quietspec.lab.evaluation.studies.smoother_widths import SMOOTHERS, mean_residuals, training_observations
from quietspec.lab.simulate import get_recipe


def main() -> None:
    made = parser(__doc__)
    add_library(made)
    made.add_argument("--recipe", default="paper")
    made.add_argument("--snr", type=float, default=10)
    made.add_argument("-n", type=int, default=400)
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    recipe = get_recipe(options.recipe, library_of(options))
    residuals = mean_residuals(SMOOTHERS, training_observations(recipe, options.snr, options.n, options.seed))
    found = list(zip(SMOOTHERS, residuals, strict=True))
    best = {name: min(r for d, r in found if d.name == name) for name in {d.name for d in SMOOTHERS}}
    for denoiser, residual in found:
        log(f"{denoiser!s:50s} {residual:.4f}{'  <- best' if residual == best[denoiser.name] else ''}")


if __name__ == "__main__":
    main()
