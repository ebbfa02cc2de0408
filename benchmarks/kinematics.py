"""Velocity, dispersion, populations and flux by the posterior.

    python benchmarks/kinematics.py simulated|bins [--instrument MUSE] [-n 200]
    python benchmarks/kinematics.py real --data FOLDER
    python benchmarks/kinematics.py repeats --data FOLDER
    python benchmarks/kinematics.py blocks|ppxf|wrong-redshift|telluric --data FOLDER [--laws FILE.json]

`simulated`: recipe `survey`; `bins`: the same by bins of velocity and dispersion. `real`: both epochs of SDSS 0412 as
they are, bins of SAMI 572402, 230776 and 56140 as they are and with noise added. `repeats`: bins of SAMI 56140 B
against the same sky in D (one plate) and in C (another plate), exposures of NGC 3522 and NGC 3073.

`blocks`: pixels and blocks of 30 pixels of SAMI 56140 B and D against each other and against C, and of SDSS exposures,
with the wide calibration law and with that of the instrument. `ppxf`: velocities and dispersions beside pPXF's, on real
spectra and on simulated ones, whose truth is known. `wrong-redshift`: velocities where the redshift is wrong by up to
600 km/s. `telluric`: residuals where the air absorbs. Laws are those of the prior's card, or of a
file that ``learn_calibration.py --json`` wrote.
"""

import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from script import add_data, add_library, library_of, log, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.kinematic_checks import (
    blocks_table,
    ppxf_table,
    ppxf_truth_table,
    telluric_table,
    wrong_redshift_table,
)
from quietspec.lab.evaluation.studies.kinematics import (
    REDSHIFTS,
    SimulatedSettings,
    bins_table,
    real_tables,
    repeats_table,
    simulated_tables,
)
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.evaluation.studies.repeats import RepeatSettings


def main() -> None:
    made = parser(__doc__)
    made.add_argument(
        "what", choices=("simulated", "bins", "real", "repeats", "blocks", "ppxf", "wrong-redshift", "telluric")
    )
    made.add_argument("--prior", default="survey", help="prior of populations at rest: a shipped one, or an .npz")
    add_data(made)
    add_library(made)
    made.add_argument("--instrument", default="MUSE", choices=REDSHIFTS)
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0, 50.0])
    made.add_argument("-n", type=int, default=200)
    made.add_argument("--seed", type=int, default=2)
    made.add_argument("--laws", type=Path, metavar="FILE", help="calibration laws in place of those of the card")
    made.add_argument("--realisations", type=int, default=2, help="draws of the noise added to repeats")
    options = made.parse_args()
    prior, real, console = load_prior(options.prior), RealSpectra(options.data, log), Console(width=260)
    if options.laws:
        laws = json.loads(options.laws.read_text(encoding="utf-8"))
        prior = replace(prior, card={**prior.card, "calibration": laws})
    if options.what == "simulated":
        settings = SimulatedSettings(options.instrument, options.snr, options.n, options.seed)
        for table in simulated_tables(prior, library_of(options), settings):
            console.print(table)
    elif options.what == "bins":
        settings = SimulatedSettings(options.instrument, options.snr, options.n, options.seed)
        console.print(bins_table(prior, library_of(options), settings))
    elif options.what == "real":
        epochs = sorted((options.data / "sdss").glob("spec-0412-*.fits"))
        for table in real_tables(prior, real, epochs, options.seed):
            console.print(table)
    elif options.what == "repeats":
        console.print(repeats_table(prior, real))
    elif options.what == "blocks":
        console.print(blocks_table(prior, real, RepeatSettings(options.realisations, seed=options.seed)))
    elif options.what == "ppxf":
        console.print(ppxf_table(prior, real, library_of(options)))
        console.print(ppxf_truth_table(prior, library_of(options)))
    elif options.what == "telluric":
        console.print(telluric_table(prior, real))
    else:
        console.print(wrong_redshift_table(prior, real))


if __name__ == "__main__":
    main()
