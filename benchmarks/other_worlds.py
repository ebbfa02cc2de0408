"""The posterior beyond what it was trained on: stars of a library left out, ordinary galaxies seen unusually.

    python benchmarks/other_worlds.py libraries [bc03 m11-stelib mastar] [--train 80000] [-n 200]
    python benchmarks/other_worlds.py false-alarms [-n 400]
    python benchmarks/other_worlds.py nuclei [-n 60] [--snr 10 20]

`libraries`: galaxies with the stars of each library named, denoised by the shipped prior, which knows it, and by one
trained on all others (with ``--train``, the number of its training spectra; some five minutes each), with galaxies of
mixed libraries among those that train it and without. `false-alarms`:
how many galaxies are flagged in spectra of all instruments, pieces of 300 Å, 4 Å per pixel, and noise correlated
by 0.6. `nuclei`: galaxies with a power law or broad Balmer lines (Hα of 100 Å) added.
"""

from argparse import Namespace
from collections.abc import Iterable

from rich.table import Table
from script import add_library, finish_tables, library_of, log, parser

from quietspec.denoisers import SpectralPrior, load_prior, posterior_of
from quietspec.io import fetch
from quietspec.lab.evaluation.studies.other_worlds import WorldSettings, false_alarms_table, library_table, nuclei_table
from quietspec.lab.simulate import SurveyRecipe, WideRecipe
from quietspec.lab.simulate.wide import fetched_libraries
from quietspec.lab.training import PriorRun, train_prior
from quietspec.templates import SspLibrary, load_library

NUCLEI_SEEN_BY = ("SAMI", "MaNGA", "CALIFA V500")
LIMITS = (3660.0, 7350.0)  # Å at rest, which all libraries cover


def stars_of(name: str) -> SspLibrary:
    """A library as it is; MaStar, which has no masses, with those of E-MILES."""
    return fetched_libraries(("emiles", name))[name] if name == "mastar" else load_library(fetch(name))


def without(name: str, n: int, mixed: float | None = None) -> SpectralPrior:
    """A prior trained on all libraries but one, smaller than the shipped one."""
    run = PriorRun.load("survey").changed([f"n={n}", "settings.mixture.n_mixture=140", "settings.mixture.max_iter=30"])
    return train_prior(WideRecipe.fetched((name,), mixed=mixed), run.n, run.seed, run.settings, progress=log)


def main() -> None:
    made = parser(__doc__, tables=True)
    made.add_argument("what", choices=("libraries", "false-alarms", "nuclei"))
    made.add_argument("names", nargs="*", default=["bc03", "m11-stelib", "mastar"], help="libraries")
    add_library(made)
    made.add_argument("--prior", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--train", type=int, help="training spectra of the priors that lack each library")
    made.add_argument("--snr", type=float, nargs="+", default=[10.0, 20.0, 40.0])
    made.add_argument("-n", type=int, default=200)
    made.add_argument("--seed", type=int, default=5)
    options = made.parse_args()
    finish_tables(options, tables(options, load_prior(options.prior)))


def tables(options: Namespace, prior: SpectralPrior) -> Iterable[Table]:
    if options.what == "false-alarms":
        recipe = SurveyRecipe(library_of(options))
        yield false_alarms_table(posterior_of("posterior", prior), recipe, options.n, options.seed)
    elif options.what == "nuclei":
        tool, recipe = posterior_of("posterior", prior), SurveyRecipe(library_of(options), instruments=NUCLEI_SEEN_BY)
        yield nuclei_table(tool, recipe, options.snr, options.n, options.seed)
    else:
        settings = WorldSettings(snrs=options.snr, n=options.n, seed=options.seed)
        for name in options.names:
            priors = {"all": prior}
            if options.train:
                priors["without it"] = without(name, options.train)
                priors["without it or mixtures"] = without(name, options.train, mixed=0.0)
            yield library_table(priors, SurveyRecipe(stars_of(name), limits=LIMITS), settings)


if __name__ == "__main__":
    main()
