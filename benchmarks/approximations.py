"""What the posterior's approximations cost: its results against those without any, on the same spectra.

    python benchmarks/approximations.py [-n 96]

Spectra of recipe `survey` (S/N 2 to 60; MUSE, MaNGA, SAMI) and, after ``quietspec fetch muse-a478``, spaxels of Abell
478. Linear algebra runs in one thread.
"""

import numpy as np
from rich.table import Table
from script import add_library, finish_tables, library_of, log, parser
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


def compared(library: SspLibrary, n: int) -> Table:
    """Make a table of the differences, in per cent of the stated error."""
    table = Table(
        "spectra", "flux: median, 95 % of spectra", "error: median, 95 %", "labels, rms", "flags changed",
        "processor time, ms", "exactly, ms",
    )  # fmt: skip
    for name, spectra in samples(library, n).items():
        log(f"{name}: {len(spectra)} spectra")
        with threadpool_limits(limits=1):
            found = compare_with_exact(spectra)
        ends = (", ".join(f"{100 * value:.2f}" for value in pair) for pair in (found.flux, found.error))
        times = (f"{value:.1f}" for value in (found.milliseconds, found.exact_milliseconds))
        table.add_row(name, *ends, f"{100 * found.labels:.1f}", str(found.flags), *times)
    return table


def main() -> None:
    made = parser(__doc__, tables=True)
    add_library(made)
    made.add_argument("-n", type=int, default=96, help="spectra of each kind")
    options = made.parse_args()
    finish_tables(options, [compared(library_of(options), options.n)])


if __name__ == "__main__":
    main()
