"""Knowing what it does not know: which spectra that are not galaxies at their redshift get a small p-value.

    python benchmarks/detection.py [--data FOLDER] [--stars FOLDER] [--install FOLDER]

The laws of the symptoms among galaxies come from simulated galaxies and one half of the real ones; what is reported
comes from other simulated galaxies (another seed), from the other half of the real ones, and from outsiders: stars,
quasars behind (any redshift) and at the galaxy's redshift, sky residuals, noise, galaxies with redshifts wrong by
1000–30,000 km/s, errors half and twice the true ones (`quietspec.lab.evaluation.studies.detection`). Real galaxies are
degraded to the S/N of the tests, and flagged undegraded by data set.

The laws know only galaxies. But a few constants of the method (least signal, least support of another redshift, tails
of the noise) were set in view of outsiders drawn with other seeds, among them stars of the same library; and these
stars are also in the SSPs behind the prior. A library of other stars would be a harder test.

One law was changed in view of the SAMI cubes of the second half: quoted errors too large by a quarter had flagged them,
and the laws of the two symptoms of noise have since been the same at all S/N. The false alarms of SAMI are therefore
not blind; those of MUSE (Abell 478) are.

Stars are those of the MILES library (Sánchez-Blázquez et al. 2006; for research, to be cited; not redistributed here)
as in the source archive of the PyPI package sdss-mangadap 4.5.0, folder mangadap/data/spectral_templates/miles; give
the folder unpacked as `--stars`. Real galaxies come by ``quietspec fetch`` (manga, ngc3522, ngc3073, muse-a478) and
from the folder `--data`; what is missing is reported and left out. With ``--recipe ultraviolet`` (and the model of that
name) galaxies are at redshifts of 0.45 to 1.2 before DESI, MUSE, SDSS and WEAVE; then there are no real ones, which are
nearby, and stars are seen from 3540 to 6940 Å, where their library and the recipe overlap.
"""

from pathlib import Path

from script import add_data, add_library, console, finish, library_of, log, parser

from quietspec.lab.evaluation.studies.detection import (
    DetectionSettings,
    detection_study,
    detection_table,
    reasons_table,
)
from quietspec.lab.evaluation.studies.model_card import put_into_card
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.plots import detection_figure
from quietspec.lab.simulate import SurveyRecipe, UltravioletRecipe


def main() -> None:
    made = parser(__doc__, results="detection", figures=True)
    add_library(made)
    add_data(made)
    made.add_argument("--recipe", choices=("survey", "ultraviolet"), default="survey", help="of the simulated galaxies")
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("-n", type=int, default=400, help="test galaxies at each S/N, and stars; others half as many")
    made.add_argument("--calibration", type=int, default=3000, help="simulated galaxies for the laws")
    made.add_argument("--batch", type=int, default=25, help="how many of these share instrument and redshift")
    made.add_argument("--realisations", type=int, default=2, help="degradations of each real galaxy for the laws")
    made.add_argument("--snr", type=float, nargs="+", default=[2.0, 5.0, 10.0, 20.0, 40.0])
    made.add_argument("--stars", type=Path, help="folder of the MILES stellar library")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--install", type=Path, help="folder of model files into whose card the laws are put")
    options = made.parse_args()
    settings = DetectionSettings(
        model=options.model,
        n=options.n,
        calibration=options.calibration,
        batch=options.batch,
        realisations=options.realisations,
        snrs=tuple(options.snr),
        seed=options.seed,
    )
    ultraviolet = options.recipe == "ultraviolet"
    recipe = UltravioletRecipe.fetched() if ultraviolet else SurveyRecipe(library_of(options))
    found = detection_study(recipe, RealSpectra(options.data, log), settings, options.stars)
    content = found.to_json()
    console.print(detection_table(content), reasons_table(content))
    console.print({name: content[name] for name in ("milliseconds", "undegraded")})
    finish(options, content, {"": detection_figure(found.galaxies, found.outsiders)})
    if options.install:
        put_into_card(options.model, options.install, {"symptom_laws": content["symptom_laws"]})


if __name__ == "__main__":
    main()
