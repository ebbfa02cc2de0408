"""What the air leaves in its bands, by the posterior with a process of its own and without.

    python benchmarks/sky.py --data FOLDER [-n 60]

Simulated spectra of the recipe `wide` (for which libraries are fetched), with residuals of the air's absorption and
glow and without: share of the pixels inside 1σ, in the bands and outside. Real spectra that reach into the bands
(MaNGA and Abell 478 by ``quietspec fetch``; SAMI, SDSS and MUSE-UDF from the folder `--data`): every fifth block of 30
pixels is left out and predicted from the rest. Spaxels of Abell 478 against the ring of spaxels about them.
"""

from script import add_data, console, finish, log, parser

from quietspec.denoisers import load_prior
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.evaluation.studies.sky import SkySettings, sky_study, sky_tables
from quietspec.lab.simulate import SurveyRecipe, WideRecipe
from quietspec.templates import load_library


def main() -> None:
    made = parser(__doc__, results="sky")
    add_data(made)
    made.add_argument("--library", help="SSP library of one recipe `survey`, in the place of `wide`")
    made.add_argument("--instruments", nargs="+", default=list(SkySettings.instruments))
    made.add_argument("--snr", type=float, nargs="+", default=list(SkySettings.snrs))
    made.add_argument("-n", type=int, default=60, help="simulated spectra of each instrument and S/N")
    made.add_argument("--step", type=int, default=2, help="step of the lattice of spaxels")
    made.add_argument("--seed", type=int, default=11)
    options = made.parse_args()
    settings = SkySettings(options.instruments, options.snr, options.n, options.seed, options.step)
    library = load_library(options.library) if options.library else None
    recipes = {
        name: WideRecipe.fetched(sky=name == "sky") if library is None else SurveyRecipe(library, sky=name == "sky")
        for name in ("clean", "sky")
    }
    content = sky_study(load_prior("survey"), recipes, RealSpectra(options.data, log), settings)
    console.width = 260
    console.print(*sky_tables(content))
    finish(options, content)


if __name__ == "__main__":
    main()
