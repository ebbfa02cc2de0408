"""Velocity, dispersion, populations and flux by the posterior.

    python benchmarks/kinematics.py simulated [--instrument MUSE] [-n 200]
    python benchmarks/kinematics.py real --data FOLDER
    python benchmarks/kinematics.py repeats --data FOLDER

`simulated`: recipe `survey`. `real`: both epochs of SDSS 0412 as they are, bins of SAMI 572402, 230776 and 56140 as
they are and with noise added. `repeats`: bins of SAMI 56140 B against the same sky in D (one plate) and in C (another
plate), exposures of NGC 3522 and NGC 3073.
"""

from rich.console import Console
from script import add_data, add_library, library_of, log, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.kinematics import (
    REDSHIFTS,
    SimulatedSettings,
    real_tables,
    repeats_table,
    simulated_tables,
)
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra


def main() -> None:
    made = parser(__doc__)
    made.add_argument("what", choices=("simulated", "real", "repeats"))
    made.add_argument("--prior", default="survey", help="prior of populations at rest: a shipped one, or an .npz")
    add_data(made)
    add_library(made)
    made.add_argument("--instrument", default="MUSE", choices=REDSHIFTS)
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0, 50.0])
    made.add_argument("-n", type=int, default=200)
    made.add_argument("--seed", type=int, default=2)
    options = made.parse_args()
    prior, real, console = load_prior(options.prior), RealSpectra(options.data, log), Console(width=260)
    if options.what == "simulated":
        settings = SimulatedSettings(options.instrument, options.snr, options.n, options.seed)
        for table in simulated_tables(prior, library_of(options), settings):
            console.print(table)
    elif options.what == "real":
        epochs = sorted((options.data / "sdss").glob("spec-0412-*.fits"))
        for table in real_tables(prior, real, epochs, options.seed):
            console.print(table)
    else:
        console.print(repeats_table(prior, real))


if __name__ == "__main__":
    main()
