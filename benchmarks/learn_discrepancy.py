"""Learn the shipped model's discrepancy from bright real spectra, and put it into the model's card.

    python benchmarks/learn_discrepancy.py --data FOLDER [--model survey] [--out FOLDER]

The spectra are those of median S/N above `--least` of MaNGA and LEGA-C (by ``quietspec fetch``), SAMI 230776 and CALIFA
NGC 2691 (from the folder `--data`). SAMI 56140, the SDSS spectra and MUSE are kept for tests.
"""

from pathlib import Path

from script import ROOT, add_data, console, log, parser

from quietspec.lab.evaluation.studies.discrepancy import discrepancy_table, learned_discrepancy
from quietspec.lab.evaluation.studies.model_card import put_into_card
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra


def main() -> None:
    made = parser(__doc__)
    add_data(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--least", type=float, default=20.0, help="least S/N")
    made.add_argument("--seed", type=int, default=2)
    made.add_argument("--out", type=Path, default=ROOT / "src" / "quietspec" / "models", help="folder of the model")
    options = made.parse_args()
    entry = learned_discrepancy(RealSpectra(options.data, log), options.model, options.least, options.seed)
    console.print(discrepancy_table(entry))
    put_into_card(options.model, options.out, {"discrepancy": entry})


if __name__ == "__main__":
    main()
