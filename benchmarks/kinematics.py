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
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from rich.table import Table
from script import add_data, add_library, finish_tables, library_of, log, parser

from quietspec.denoisers import SpectralPrior, load_prior
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
    made = parser(__doc__, tables=True)
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
    prior = load_prior(options.prior)
    if options.laws:
        laws = json.loads(options.laws.read_text(encoding="utf-8"))
        prior = replace(prior, card={**prior.card, "calibration": laws})
    finish_tables(options, tables(options, prior))


def tables(options: Namespace, prior: SpectralPrior) -> Iterable[Table]:
    real = RealSpectra(options.data, log)
    simulated = SimulatedSettings(options.instrument, options.snr, options.n, options.seed)
    match options.what:
        case "simulated":
            return simulated_tables(prior, library_of(options), simulated)
        case "bins":
            return [bins_table(prior, library_of(options), simulated)]
        case "real":
            epochs = sorted((options.data / "sdss").glob("spec-0412-*.fits"))
            return real_tables(prior, real, epochs, options.seed)
        case "repeats":
            return [repeats_table(prior, real)]
        case "blocks":
            return [blocks_table(prior, real, RepeatSettings(options.realisations, seed=options.seed))]
        case "ppxf":
            return [ppxf_table(prior, real, library_of(options)), ppxf_truth_table(prior, library_of(options))]
        case "telluric":
            return [telluric_table(prior, real)]
        case _:
            return [wrong_redshift_table(prior, real)]


if __name__ == "__main__":
    main()
