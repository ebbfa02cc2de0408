"""Real spectra of high S/N, degraded by added noise and denoised: reductions beside what their own noise allows.

    python benchmarks/degrade_real_spectra.py [--data FOLDER]

Spectra of SAMI, MaNGA, CALIFA, SDSS and LEGA-C get white noise until their S/N is 5, 10 and 20, several times, and
every method denoises the same ones (`quietspec.lab.evaluation.studies.degraded`). Residuals are taken against the
undegraded spectra, whose own noise limits what even a perfect denoiser can reach
(`quietspec.lab.evaluation.DegradedScores`).

SDSS, MaNGA and LEGA-C come by ``quietspec fetch`` (ngc3522, ngc3073, manga, legac), SAMI and CALIFA from the folder
`--data`; what is missing is reported and left out.
"""

from script import add_data, console, finish, log, parser

from quietspec.lab.evaluation.studies.degraded import DegradedSettings, degraded_study, degraded_table
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.plots import degraded_figure


def main() -> None:
    made = parser(__doc__, results="degrade_real_spectra", figures=True)
    add_data(made)
    made.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    made.add_argument("--least", type=float, default=40, help="least S/N of the undegraded spectra")
    made.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0])
    made.add_argument("--realisations", type=int, default=5, help="draws of the added noise")
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    settings = DegradedSettings(options.model, options.least, tuple(options.snr), options.realisations, options.seed)
    content = degraded_study(RealSpectra(options.data, log), settings)
    console.print(degraded_table(content))
    finish(options, content, {"": degraded_figure(content)})


if __name__ == "__main__":
    main()
