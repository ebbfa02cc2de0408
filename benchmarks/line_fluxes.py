"""Emission-line fluxes on simulated spectra, fitted with the stars: coverage, slope, false detections, and the stars.

    python benchmarks/line_fluxes.py [-n 400] [--snr 2 5 10 20]

Recipe `survey` with everything on, EW(Hα) 0.3–100 Å in 70 % of the spectra, none in the others; MaNGA, MUSE, SDSS and
CALIFA in equal shares. The velocity of the gas is not given.
"""

from script import add_library, finish_tables, library_of, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.line_fluxes import LineSettings, line_tables
from quietspec.lab.simulate import SurveyRecipe


def main() -> None:
    made = parser(__doc__, tables=True)
    add_library(made)
    made.add_argument("--prior", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--snr", type=float, nargs="+", default=[2.0, 5.0, 10.0, 20.0])
    made.add_argument("-n", type=int, default=400)
    made.add_argument("--seed", type=int, default=6)
    options = made.parse_args()
    settings = LineSettings(snrs=options.snr, n=options.n, seed=options.seed)
    finish_tables(options, line_tables(load_prior(options.prior), SurveyRecipe(library_of(options)), settings))


if __name__ == "__main__":
    main()
