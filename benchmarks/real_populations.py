"""Stellar populations of real galaxies: two exposures of one, one against pPXF's published fit, one as maps.

    python benchmarks/real_populations.py [--data FOLDER] [--bins N] [--jobs 2]

SAMI galaxy 56140 in two cubes, NGC 3522 (SDSS) and Abell 478 (MUSE), as `quietspec.lab.evaluation.studies
.real_populations` describes them. SAMI's cubes are in the folder `--data`, the others come by ``quietspec fetch``
(ngc3522, muse-a478); what is missing is reported and left out. Needs the extra `populations`.
"""

from pathlib import Path

from script import ROOT, add_data, add_library, console, finish, library_of, log, parser

from quietspec import load_denoiser
from quietspec.lab.evaluation.studies.real_populations import (
    PopulationsSettings,
    abell_478,
    ngc_3522,
    real_populations_tables,
    sami_repeats,
)
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.plots import sami_repeats_figure
from quietspec.plots import save


def main() -> None:
    made = parser(__doc__, results="real_populations", figures=True)
    add_library(made)
    add_data(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--bins", type=int, help="SAMI bins, evenly chosen; all by default")
    made.add_argument("--bootstrap", type=int, default=20, help="refits of NGC 3522")
    made.add_argument("--jobs", type=int, default=2, help="pPXF fits in parallel")
    made.add_argument("--maps", type=Path, default=ROOT / "docs" / "figures" / "a478_populations.png")
    options = made.parse_args()
    real, library = RealSpectra(options.data, log), library_of(options)
    settings = PopulationsSettings(options.model, options.bins, options.bootstrap, options.jobs)
    a478 = abell_478(real, settings)
    content = {
        "model": str(load_denoiser("posterior", options.model).model),
        "bootstrap": options.bootstrap,
        "a478": None if a478 is None else a478[0],
        "ngc3522": ngc_3522(real, library, settings),
        "sami": sami_repeats(real, library, settings),
    }
    for table in real_populations_tables(content):
        console.print(table)
    if a478 is not None:
        save(a478[1], options.maps)
    figures = {"_sami": sami_repeats_figure(content["sami"])} if content["sami"] else {}
    if content["sami"]:
        del content["sami"]["values"]
    finish(options, content, figures)


if __name__ == "__main__":
    main()
