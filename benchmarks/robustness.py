"""What spoils spectra and what it costs: loss against amount for masks, gaps, wrong inputs, defects, gas and stars.

Spectra of the recipe `survey` are denoised as they are and again spoilt by growing amounts of
one thing (`quietspec.lab.evaluation.STRESSES`), with the same noise. The loss is in points of the RMS noise: how much
more of it is left, on the same pixels, than without the stress.

    python benchmarks/robustness.py [--model survey] [--young FOLDER]

Stars younger than those of the templates come from the folder `--young`, ``m11_miles`` of the source archive of
sdss-mangadap 4.5.0 (``mangadap/data/spectral_templates``; Maraston & Strömbäck 2011, MNRAS 418, 2785): other models of
the same stars, so that 100 Myr, which both libraries have, shows what the change of models costs. Left out, and said,
where there is none.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from astropy.io import fits
from machine import machine
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from quietspec import load_denoiser
from quietspec.io import fetch
from quietspec.lab.evaluation import STRESSES, Stress, StressTest, stress_test, young_stars
from quietspec.lab.plots import robustness_figure
from quietspec.lab.simulate import SurveyRecipe
from quietspec.plots.style import save
from quietspec.templates import SspLibrary, load_library

ROOT = Path(__file__).parents[1]
INSTRUMENTS = ("SAMI", "MaNGA", "CALIFA V500")  # two arms with correlated noise; even in log λ; of low resolution
MODELS = ("posterior", "wiener", "gaussian")
LIMITS = (3600.0, 7330.0)  # rest-frame Å; what both libraries cover
AGES = (100.0, 10.0)  # Myr
TOLD = ("reduction", "loss", "loss_90", "coverage68", "flagged", "silent", "failed", "hidden_loss", "hidden_coverage68")


def young_library(folder: Path) -> SspLibrary:
    """M11-MILES of solar metallicity."""
    files = sorted(folder.glob("M11_MILES_*_z_0.02.fits"))
    headers = [fits.getheader(file) for file in files]
    spectra = np.array([fits.getdata(file) for file in files])
    wavelength = headers[0]["CRVAL1"] + headers[0]["CDELT1"] * np.arange(spectra.shape[1])
    library = SspLibrary(
        name="M11-MILES", wavelength=wavelength, medium="air", spectra=spectra, fwhm=np.array(headers[0]["FWHM"]),
        log_age=np.array([9 + np.log10(header["AGE"]) for header in headers]), metallicity=np.zeros(len(files)),
    )  # fmt: skip
    return library.between(3555, 7395)


def stresses(options: argparse.Namespace, console: Console) -> list[Stress]:
    """Those asked for, stars younger than the templates among them where there are any."""
    found = list(STRESSES)
    if options.young is None:
        console.print("stars younger than the templates left out: no folder --young")
    else:
        young = SurveyRecipe(young_library(options.young), limits=LIMITS)
        found += [young_stars(young, age) for age in AGES]
    return [stress for stress in found if options.only is None or stress.name in options.only]


def table(test: StressTest, stress: Stress) -> Table:
    """Scores in percent and points; pulls as they are."""
    out = Table(title=f"{stress.name}: {stress.quantity}; S/N {test.snr:g}, % and points", title_justify="left")
    lines = [name for name in test.columns(stress.name, MODELS[0]) if "error" in name or "within" in name]
    lines = lines if stress.name in ("emission lines", "wide lines", "broad Balmer lines") else []
    for name in ("model", "amount", *TOLD, "pull", *lines):
        out.add_column(name.replace("_", " "), justify="left" if name == "model" else "right")
    for model in test.scores[stress.name]:
        columns = test.columns(stress.name, model)
        for row, amount in enumerate(stress.amounts):
            cells = [shown(columns[name][row], 100) for name in TOLD]
            cells += [shown(columns["pull"][row], 1), *(shown(columns[name][row], 100) for name in lines)]
            out.add_row(model if row == 0 else "", f"{amount:g}", *cells)
        out.add_section()
    return out


def shown(value: float | None, factor: float) -> str:
    return "" if value is None else f"{factor * value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=60, help="spectra at each amount")
    parser.add_argument("--instruments", nargs="+", default=list(INSTRUMENTS), help="each sees an equal share of them")
    parser.add_argument("--snr", type=float, nargs="+", default=[10.0, 20.0])
    parser.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    parser.add_argument("--young", type=Path, help="folder of M11-MILES templates")
    parser.add_argument("--only", nargs="+", help="names of the stresses to try; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "robustness.json")
    options = parser.parse_args()
    console = Console(width=230)
    recipe = SurveyRecipe(load_library(fetch("miles")), limits=LIMITS, instruments=options.instruments)
    denoisers = {name: load_denoiser(name, options.model) for name in MODELS}
    asked, tests = stresses(options, console), []
    with Progress(console=console, transient=True) as bar:
        for snr in options.snr:
            task = bar.add_task(f"S/N {snr:g}", total=1)
            tests.append(
                stress_test(
                    recipe, denoisers, asked, snr, options.n, seed=options.seed,
                    progress=lambda done, task=task: bar.update(task, completed=done),
                )
            )  # fmt: skip
    for stress in asked:
        for test in tests:
            console.print(table(test, stress))
    about = {"model": str(denoisers["posterior"].model), "instruments": options.instruments}
    content = {"machine": machine(), **about, "tests": [test.to_json() for test in tests]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    save(robustness_figure(tests), options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
