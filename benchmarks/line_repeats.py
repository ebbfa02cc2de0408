"""Emission lines of real galaxies: two independent observations of SAMI 56140, and sources of the MUSE UDF.

    python benchmarks/line_repeats.py --data FOLDER

SAMI: bins of cube B and the same spaxels of cube D (disjoint exposures), as they are and with noise added to S/N 5;
pulls of line ratios where all lines are above 3σ, and beside them those of the published maps of LZIFU
(FOLDER/sami/lzifu), in the same bins. Bins of D reach beyond those of B: bins alike are those whose repeat has half of
its light from within the bin. UDF: line fluxes against those published by platefit (FOLDER/udf). What is missing is
reported and left out.
"""

from script import add_data, console, finish, log, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.line_repeats import line_repeats_study, line_repeats_tables
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra


def main() -> None:
    made = parser(__doc__, results="line_repeats")
    add_data(made)
    made.add_argument("--prior", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--realisations", type=int, default=4, help="draws of the added noise")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    real = RealSpectra(options.data, log)
    content = line_repeats_study(load_prior(options.prior), real, options.realisations, options.seed)
    for table in line_repeats_tables(content):
        console.print(table)
    finish(options, content)


if __name__ == "__main__":
    main()
