"""What spoils spectra and what it costs: loss against amount for masks, gaps, wrong inputs, defects, gas and stars.

    python benchmarks/robustness.py [-n 60] [--only "masks" "arm gap" …]

Spectra of the recipe `survey` are denoised as they are, and again spoilt by growing amounts of one thing
(`quietspec.lab.evaluation.STRESSES`), with the same noise. The loss is in points of the RMS noise: how much more of it
is left, on the same pixels, than without the stress.

Stars younger than those of the templates come from ``quietspec fetch m11-miles`` (Maraston & Strömbäck 2011, MNRAS 418,
2785): other models of the same stars, so that 100 Myr, which both libraries have, shows what the change of models
costs. Without that library they are left out.
"""

from rich.progress import Progress
from script import add_library, console, finish, library_of, log, parser

from quietspec import load_denoiser
from quietspec.io.fetching import cached
from quietspec.lab.evaluation import stress_test
from quietspec.lab.evaluation.studies.robustness import LIMITS, all_stresses, stress_table
from quietspec.lab.plots import robustness_figure
from quietspec.lab.simulate import SurveyRecipe

INSTRUMENTS = ("SAMI", "MaNGA", "CALIFA V500")  # two arms with correlated noise; even in log λ; of low resolution
MODELS = ("posterior", "wiener", "gaussian")


def main() -> None:
    made = parser(__doc__, results="robustness", figures=True)
    add_library(made)
    made.add_argument("-n", type=int, default=60, help="spectra at each amount")
    made.add_argument("--instruments", nargs="+", default=list(INSTRUMENTS), help="each sees an equal share of them")
    made.add_argument("--snr", type=float, nargs="+", default=[10.0, 20.0])
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--only", nargs="+", help="names of the stresses to try; all by default")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    stresses = [each for each in all_stresses(cached("m11-miles"), log) if each.name in (options.only or [each.name])]
    recipe = SurveyRecipe(library_of(options), limits=LIMITS, instruments=options.instruments)
    denoisers = {name: load_denoiser(name, options.model) for name in MODELS}
    tests = []
    with Progress(console=console, transient=True) as bar:
        for snr in options.snr:
            task = bar.add_task(f"S/N {snr:g}")

            def progress(done: float, total: float, task=task) -> None:
                bar.update(task, completed=done, total=total)

            test = stress_test(recipe, denoisers, stresses, snr, options.n, seed=options.seed, progress=progress)
            tests.append(test)
    for stress in stresses:
        for test in tests:
            console.print(stress_table(test, stress))
    about = {"model": str(denoisers["posterior"].model), "instruments": options.instruments}
    finish(options, {**about, "tests": [test.to_json() for test in tests]}, {"": robustness_figure(tests)})


if __name__ == "__main__":
    main()
