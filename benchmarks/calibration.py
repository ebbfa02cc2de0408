"""Are the stated errors right? Coverage by level and bin, principal directions, χ², ranks (SBC) and TARP.

    python benchmarks/calibration.py [-n 1000]

Needs the extra `validation`; see `quietspec.lab.evaluation.studies.calibration`. Figures of coverage, TARP, ranks and
χ² show the first model.
"""

from script import add_library, console, finish, library_of, log, parser

from quietspec import load_denoiser
from quietspec.lab.evaluation.studies.calibration import (
    CREDIBILITY,
    CalibrationSettings,
    calibration_panels,
    calibration_study,
    calibration_table,
)
from quietspec.lab.plots import calibration_figure, histograms_figure, tarp_figure
from quietspec.lab.simulate import get_recipe


def main() -> None:
    made = parser(__doc__, results="calibration", figures=True)
    add_library(made)
    made.add_argument("--recipes", nargs="+", default=["paper", "survey"])
    made.add_argument("--models", nargs="+", default=["posterior", "wiener"])
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    made.add_argument("-n", type=int, default=1000, help="test spectra at each S/N")
    made.add_argument("--batch", type=int, default=10, help="spectra per galaxy of recipe `survey`")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    library = library_of(options)
    models, snrs = tuple(options.models), tuple(options.snr)
    settings = CalibrationSettings(models, snrs, options.n, options.batch, options.seed)
    results = {name: calibration_study(get_recipe(name, library), settings, log) for name in options.recipes}
    console.print(calibration_table(results))
    content = {
        **{name: getattr(options, name) for name in ("n", "batch", "seed")},
        "models": {r: {m: str(load_denoiser(m, r).model) for m in options.models} for r in options.recipes},
        "credibility": CREDIBILITY.tolist(),
        "results": results,
    }
    panels = calibration_panels(results)
    figures = {
        "": calibration_figure(panels.coverage),
        "_tarp": tarp_figure(panels.tarp, CREDIBILITY, options.n),
        **{f"_ranks_{recipe}": histograms_figure(ranks) for recipe, ranks in panels.ranks.items()},
        "_chi2": histograms_figure(panels.chi2, "Cumulative probability of χ²"),
    }
    finish(options, content, figures)


if __name__ == "__main__":
    main()
