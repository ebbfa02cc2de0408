"""Second components of gas and broad Balmer lines on simulated spectra: how often found, and what becomes of fluxes.

    python benchmarks/line_components.py [-n 64] [--snr 5 10 20 40]
    python benchmarks/line_components.py --apart 0 50 100 200 --json benchmarks/results/motions_apart.json

Recipe `survey` with everything on, EW(Hα) 3–100 Å, in MaNGA, MUSE, SDSS and CALIFA spectra: with one component, with a
second one (100–400 km/s away, 20–50 % of the flux, σ 50–300 km/s), and with broad Balmer lines (FWHM 1500–6000 km/s, EW
of Hα 10–100 Å); fitted with one component, and with what the evidence asks for. With `--apart`, spectra of one
component whose forbidden lines have these velocities (km/s) about the others, to either side, and σ 20 % off theirs.
"""

from script import add_library, console, finish, library_of, log, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.line_components import component_study, component_tables
from quietspec.lab.evaluation.studies.line_fluxes import LineSettings
from quietspec.lab.evaluation.studies.motions_apart import motions_study, motions_table
from quietspec.lab.simulate import SurveyRecipe


def main() -> None:
    made = parser(__doc__, results="line_components")
    add_library(made)
    made.add_argument("--prior", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0, 40.0])
    made.add_argument("-n", type=int, default=64)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--apart", type=float, nargs="+", metavar="KM_S", help="motions apart by so much instead")
    options = made.parse_args()
    settings = LineSettings(snrs=options.snr, n=options.n, seed=options.seed)
    prior, recipe = load_prior(options.prior), SurveyRecipe(library_of(options))
    if options.apart:
        content = motions_study(prior, recipe, settings, options.apart, log)
        console.print(motions_table(content))
    else:
        content = component_study(prior, recipe, settings, log)
        for table in component_tables(content):
            console.print(table)
    finish(options, {"scores": content})


if __name__ == "__main__":
    main()
