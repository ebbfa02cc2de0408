"""What the posterior's approximations cost: its results against those without any, on the same spectra.

    python benchmarks/approximations.py [-n 96]

Spectra of recipe `survey` (S/N 2 to 60; MUSE, MaNGA, SAMI) and, after ``quietspec fetch muse-a478``, spaxels of Abell
478. Linear algebra runs in one thread.
"""

import numpy as np
from script import add_library, console, library_of, log, parser
from threadpoolctl import threadpool_limits

from quietspec import Spectra
from quietspec.lab.bench.approximations import compare_with_exact
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.simulate import SurveyRecipe
from quietspec.lab.streams import stream
from quietspec.templates import SspLibrary


def samples(library: SspLibrary, n: int) -> dict[str, Spectra]:
    recipe, rng = SurveyRecipe(library), stream("approximations", 11)
    found = {
        name: recipe.observe(recipe.rest(n, rng), rng, np.geomspace(2, 60, n), instrument=name).observed
        for name in ("MUSE", "MaNGA", "SAMI")
    }
    cube = RealSpectra(log=log).fetched("muse-a478")
    return found if cube is None else found | {"Abell 478": cube[np.linspace(0, len(cube) - 1, n).astype(int)]}


def main() -> None:
    made = parser(__doc__)
    add_library(made)
    made.add_argument("-n", type=int, default=96, help="spectra of each kind")
    options = made.parse_args()
    log("per cent of the stated error: rms of the flux (median, 95 %), of the error (median, 95 %), of labels; flags")
    for name, spectra in samples(library_of(options), options.n).items():
        with threadpool_limits(limits=1):
            found = compare_with_exact(spectra)
        numbers = "".join(f"{100 * value:9.3f}" for value in (*found.flux, *found.error, found.labels))
        cost = f"{found.milliseconds:.1f} ms per spectrum of processor time, exactly {found.exact_milliseconds:.1f}"
        console.print(f"{name:12}{numbers}{found.flags:7d}   {cost}", highlight=False)


if __name__ == "__main__":
    main()
