"""Emission-line fluxes by the posterior, by pPXF with stars and gas, and by Gaussians on a subtracted continuum.

    python benchmarks/line_contenders.py [-n 48] [--snr 5 10 20] [--bootstrapped 4]

The same simulated spectra for all (recipe `survey` with everything on, as in `line_fluxes.py`). pPXF has the very
templates that the spectra are made of, and is run as nGIST does: motions of the stars behind a mask, then stars and gas
together; its errors are the formal ones, or those of 30 refits with residuals of random signs. Needs ppxf. With
``--store FOLDER`` the same command goes on where an earlier one was ended, as long as the code is the same.
"""

from pathlib import Path

from script import add_library, console, finish, library_of, parser, store_of

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.line_contenders import ContenderSettings, contender_study, contender_tables
from quietspec.lab.evaluation.studies.line_fluxes import LineSettings
from quietspec.lab.simulate import SurveyRecipe


def main() -> None:
    made = parser(__doc__, results="line_contenders")
    add_library(made)
    made.add_argument("--prior", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    made.add_argument("-n", type=int, default=48, help="spectra per S/N")
    made.add_argument("--bootstrapped", type=int, default=4, help="spectra per S/N with pPXF's errors by bootstrap")
    made.add_argument("--draws", type=int, default=30, help="refits of each of these")
    made.add_argument("--seed", type=int, default=6)
    made.add_argument("--store", type=Path, metavar="FOLDER", help="where finished batches are kept")
    options = made.parse_args()
    library = library_of(options)
    lines = LineSettings(snrs=options.snr, n=options.n, seed=options.seed)
    settings = ContenderSettings(lines, options.bootstrapped, options.draws)
    content = contender_study(library, load_prior(options.prior), SurveyRecipe(library), settings, store_of(options))
    for table in contender_tables(content):
        console.print(table)
    finish(options, content)


if __name__ == "__main__":
    main()
