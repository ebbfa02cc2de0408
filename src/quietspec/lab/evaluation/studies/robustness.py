"""The stresses of the robustness study, among them stars younger than those of the templates, and its tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from rich.table import Table

from quietspec.lab.evaluation.robustness import StressTest
from quietspec.lab.evaluation.stresses import STRESSES, Stress, young_stars
from quietspec.lab.simulate import SurveyRecipe
from quietspec.templates import SspLibrary

__all__ = ["LIMITS", "all_stresses", "stress_table"]

#: Rest-frame Å that both MILES and M11-MILES cover.
LIMITS = (3600.0, 7330.0)
_YOUNG = (3555.0, 7395.0)  # Å, within which the library of young stars is used
_AGES = (100.0, 10.0)  # Myr
_SCORES = (
    "reduction", "loss", "loss_90", "coverage68", "flagged", "silent", "failed", "hidden_loss", "hidden_coverage68",
)  # fmt: skip
_WITH_LINES = ("emission lines", "wide lines", "broad Balmer lines")  # stresses whose line fluxes are tabulated


def all_stresses(young: Path | None, log: Callable[[str], None] = lambda _: None) -> list[Stress]:
    """Make all stresses.

    Parameters
    ----------
    young : Path or None
        Folder of the library M11-MILES; without it the stresses of young stars are left out.
    log : callable, optional
        Called with a line of text if they are.

    Returns
    -------
    list of Stress
        Those of `STRESSES`, and stars of 100 and 10 Myr.
    """
    if young is None:
        log("stars younger than the templates left out: run `quietspec fetch m11-miles` first")
        return list(STRESSES)
    recipe = SurveyRecipe(_solar_library(young), limits=LIMITS)
    return [*STRESSES, *(young_stars(recipe, age) for age in _AGES)]


def _solar_library(folder: Path) -> SspLibrary:
    """M11-MILES of solar metallicity, which alone has young stars; a library of all metallicities leaves them out."""
    files = sorted(folder.glob("M11_MILES_*_z_0.02.fits"))
    headers = [fits.getheader(file) for file in files]
    spectra = np.array([fits.getdata(file) for file in files])
    wavelength = headers[0]["CRVAL1"] + headers[0]["CDELT1"] * np.arange(spectra.shape[1])
    library = SspLibrary(
        name="M11-MILES", wavelength=wavelength, medium="air", spectra=spectra, fwhm=np.array(headers[0]["FWHM"]),
        log_age=np.array([9 + np.log10(header["AGE"]) for header in headers]), metallicity=np.zeros(len(files)),
    )  # fmt: skip
    return library.between(*_YOUNG)


def stress_table(test: StressTest, stress: Stress) -> Table:
    """Tabulate the scores under one stress, in percent and points; pulls as they are.

    Parameters
    ----------
    test : StressTest
        Result of `stress_test`.
    stress : Stress
        One of its stresses.

    Returns
    -------
    rich.table.Table
        One row per model and amount.
    """
    out = Table(title=f"{stress.name}: {stress.quantity}; S/N {test.snr:g}, % and points", title_justify="left")
    models = test.scores[stress.name]
    lines = [name for name in test.columns(stress.name, next(iter(models))) if "error" in name or "within" in name]
    lines = lines if stress.name in _WITH_LINES else []
    for name in ("model", "amount", *_SCORES, "pull", *lines):
        out.add_column(name.replace("_", " "), justify="left" if name == "model" else "right")
    for model in models:
        columns = test.columns(stress.name, model)
        for row, amount in enumerate(stress.amounts):
            cells = [_shown(columns[name][row], 100) for name in _SCORES]
            cells += [_shown(columns["pull"][row], 1), *(_shown(columns[name][row], 100) for name in lines)]
            out.add_row(model if row == 0 else "", f"{amount:g}", *cells)
        out.add_section()
    return out


def _shown(value: float | None, factor: float) -> str:
    return "" if value is None else f"{factor * value:.1f}"
