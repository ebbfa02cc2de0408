"""Observed truth: one half of repeated observations is denoised and must predict the other half.

    python benchmarks/observed_truth.py [--data FOLDER]

Three data sets, none of which needs a truth: bins of SAMI galaxy 56140 in cubes of disjoint exposures, single SDSS
exposures of NGC 3522 and NGC 3073, and spaxels of Abell 478 (MUSE) against the rings about them
(`quietspec.lab.evaluation.studies.repeats`). SDSS exposures, and SAMI bins of S/N above 20, are also degraded to S/N 5
and 10; their calibration is then known far better than the noise.

MUSE and SDSS come by ``quietspec fetch`` (muse-a478, ngc3522, ngc3073), SAMI from the folder `--data`; what is missing
is reported and left out.
"""

from script import add_data, console, finish, log, parser

from quietspec.lab.evaluation.studies.observed_truth import observed_truth_study, observed_truth_tables
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.evaluation.studies.repeats import RepeatSettings
from quietspec.lab.plots import observed_pulls_figure, prediction_figure


def main() -> None:
    made = parser(__doc__, results="observed_truth", figures=True)
    add_data(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--realisations", type=int, default=2, help="draws of the added noise")
    made.add_argument("--step", type=int, default=2, help="step of the lattice of MUSE spaxels")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    settings = RepeatSettings(options.realisations, options.step, options.seed)
    content = observed_truth_study(RealSpectra(options.data, log), options.model, settings)
    for table in observed_truth_tables(content):
        console.print(table)
    console.print({key: content[key] for key in ("measured", "muse_spatial_correlation")})
    finish(options, content, {"": prediction_figure(content), "_pulls": observed_pulls_figure(content)})


if __name__ == "__main__":
    main()
