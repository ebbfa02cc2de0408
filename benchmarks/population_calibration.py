"""Are the stated posteriors of ages, metallicities, M/L, dust and kinematics right?

    python benchmarks/population_calibration.py [-n 2000]

Test spectra of both recipes are denoised at each S/N, and the posteriors of their parameters are compared with the
truth (`quietspec.lab.evaluation.studies.population_calibration`). Figures show histograms that should be flat.
"""

from script import add_library, console, finish, library_of, parser

from quietspec.lab.evaluation.studies.population_calibration import parameter_errors, parameters_table
from quietspec.lab.plots import histograms_figure
from quietspec.lab.simulate import get_recipe

PAPER_BATCH = 100  # spectra of recipe `paper` that are observed together


def main() -> None:
    made = parser(__doc__, results="population_calibration", figures=True)
    add_library(made)
    made.add_argument("-n", type=int, default=2000, help="test spectra of each recipe and S/N")
    made.add_argument("--batch", type=int, default=20, help="spectra per galaxy of recipe `survey`")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    options = made.parse_args()
    library = library_of(options)
    recipes: dict[str, dict[str, dict[str, dict[str, float]]]] = {"paper": {}, "survey": {}}
    figures = {}
    for name, by_snr in recipes.items():
        recipe, batch = get_recipe(name, library), options.batch if name == "survey" else PAPER_BATCH
        histograms: dict[str, dict[str, list[int]]] = {}
        for snr in options.snr:
            found = parameter_errors(recipe, snr, options.n, options.seed, batch)
            by_snr[f"{snr:g}"] = {key: errors.scores() for key, errors in found.items()}
            for key, errors in found.items():
                histograms.setdefault(key, {})[f"S/N {snr:g}"] = errors.histogram()
            console.print(parameters_table(f"{name}, S/N {snr:g}", by_snr[f"{snr:g}"]))
        figures[f"_{name}"] = histograms_figure(histograms, "Posterior probability below the truth")
    finish(options, {"seed": options.seed, "n": options.n, "recipes": recipes}, figures)


if __name__ == "__main__":
    main()
