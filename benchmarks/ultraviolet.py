"""The model of the near ultraviolet: on its own world, beside `survey`, and on real spectra.

    python benchmarks/ultraviolet.py --data FOLDER [-n 200] [--compared 40]

Simulated galaxies of the recipe `ultraviolet` (for which libraries are fetched), at redshifts of 0.45 to 1.2 before
DESI, MUSE, SDSS and WEAVE: how much of the noise is removed, and how many truths lie inside the errors, by band and
label. Both models on the same spectra, by redshift: which is better where both know the spectrum, and which is chosen.
Real spectra (LEGA-C by ``quietspec fetch legac``; SDSS 7340 and five galaxies of MUSE-UDF from the folder `--data`):
every fifth block of 30 pixels is left out and predicted from the rest, by both. False alarms are in the results of
``python benchmarks/detection.py --recipe ultraviolet --model ultraviolet``.
"""

from typing import cast

from script import add_data, console, finish, log, parser

from quietspec.denoisers import ByCoverage, KinematicPosterior, load_denoiser
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.evaluation.studies.ultraviolet import (
    UltravioletSettings,
    distant_galaxies,
    ultraviolet_study,
    ultraviolet_tables,
)
from quietspec.lab.plots import ultraviolet_figure
from quietspec.lab.simulate import UltravioletRecipe

MODELS = ("survey", "ultraviolet")


def main() -> None:
    made = parser(__doc__, results="ultraviolet", figures=True)
    add_data(made)
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0, 40.0])
    made.add_argument("-n", type=int, default=200, help="simulated galaxies at each S/N")
    made.add_argument("--compared", type=int, default=40, help="simulated galaxies at each redshift, by both models")
    made.add_argument("--seed", type=int, default=7)
    options = made.parse_args()
    settings = UltravioletSettings(options.snr, options.n, n_compared=options.compared, seed=options.seed)
    models = {name: cast("KinematicPosterior", load_denoiser("posterior", name)) for name in MODELS}
    chooser, real = cast("ByCoverage", load_denoiser("posterior")), RealSpectra(options.data, log)
    content = ultraviolet_study(models, chooser, UltravioletRecipe.fetched(), real, settings)
    console.width = 330
    console.print(*ultraviolet_tables(content))
    shown = [
        (name, one, {each: model.denoise(one) for each, model in models.items()})
        for name, one in distant_galaxies(real)
    ]
    finish(options, content, {"": ultraviolet_figure(shown)} if shown else {})


if __name__ == "__main__":
    main()
