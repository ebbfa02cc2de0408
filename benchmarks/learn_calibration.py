"""Learn the flux-calibration law of each instrument from bright real spectra, and put it into a model's card.

    python benchmarks/learn_calibration.py --data FOLDER [--model FILE.npz] [--out FOLDER] [--json FILE]
    python benchmarks/learn_calibration.py --model ultraviolet --like survey

The law of largest evidence, masks and noise held fixed (`quietspec.lab.evaluation.calibration_laws`), under a prior by
which sizes are typical to a factor of two. Teachers: SAMI 230776, SDSS 0332 and 7340, CALIFA NGC 2691 (from the folder
`--data`), MaNGA and LEGA-C (by ``quietspec fetch``). SAMI 56140 and 572402, SDSS 0412, NGC 3522 and NGC 3073 are never
read: they validate. Some ten minutes on one core. With --json, the entry goes into that file and no model is changed.
With --like, nothing is learnt: the laws, which belong to the instruments, are those of another model.
"""

import json
from pathlib import Path

from script import ROOT, add_data, console, log, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.calibration_laws import TEACHERS, calibration_table, learned_calibration
from quietspec.lab.evaluation.studies.model_card import put_into_card
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra


def main() -> None:
    made = parser(__doc__)
    add_data(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--like", metavar="MODEL", help="take the laws of this model instead of learning them")
    made.add_argument("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS), help="sets that teach")
    made.add_argument("--cycles", type=int, default=5, help="most rounds of each search")
    made.add_argument("--out", type=Path, default=ROOT / "src" / "quietspec" / "models", help="folder of the model")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the entry here instead of into the model")
    options = made.parse_args()
    if options.like:
        entry = dict(load_prior(options.like).card["calibration"])
    else:
        entry = learned_calibration(
            load_prior(options.model), RealSpectra(options.data, log), options.teachers, options.cycles
        )
        entry["command"] = f"python benchmarks/learn_calibration.py --cycles {options.cycles}"
    console.print(calibration_table(entry))
    if options.json:
        options.json.write_text(json.dumps(entry, indent=1) + "\n", encoding="utf-8")
    else:
        put_into_card(options.model, options.out, {"calibration": entry})


if __name__ == "__main__":
    main()
