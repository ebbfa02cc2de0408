"""Learn the shipped model's discrepancy from bright real spectra, and put it into the model's card.

    python benchmarks/learn_discrepancy.py [--model survey] [--out FOLDER]

Of MaNGA (fetched), LEGA-C (fetched), SAMI 230776 and CALIFA NGC2691 (from the folder `--data`), spectra of median S/N
above `--least`. Kept apart, for tests: SAMI 56140, the SDSS spectra, MUSE.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from degrade_real_spectra import ROOT, SHARED, select
from model_card import put_into_card
from rich.console import Console
from rich.table import Table

from quietspec import Spectra, read
from quietspec.denoisers import load_prior
from quietspec.io import fetch
from quietspec.lab.evaluation import DiscrepancySettings, measure_discrepancy

LEARNED_FROM = ("MaNGA (sdss-mangadap 4.5.0)", "LEGA-C M19 56670", "SAMI 230776 A", "CALIFA NGC2691")


def bright_spectra(folder: Path, least: float) -> list[Spectra]:
    """Spectra to learn from."""
    found = [read(fetch(name)) for name in ("manga", "legac")]
    found += [read(*(folder / file for file in files), redshift=z) for files, z in SHARED.values()]
    return [some for spectra in found if len(some := select(spectra, least))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="survey", help="prior: name or .npz")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real spectra")
    parser.add_argument("--least", type=float, default=20.0, help="least S/N")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "quietspec" / "models", help="folder of the model")
    options = parser.parse_args()
    prior = load_prior(options.model)
    settings = DiscrepancySettings()
    spectra = bright_spectra(options.data, options.least)
    found = measure_discrepancy(prior, spectra, np.random.default_rng(options.seed), settings)
    card = {
        "wavelength": np.round(found.wavelength, 1).tolist(),
        "fraction": np.round(found.fraction, 5).tolist(),
        "length": found.length,
        "learned_from": LEARNED_FROM,
        "spectra": sum(len(some) for some in spectra),
        "command": f"python benchmarks/learn_discrepancy.py --least {options.least:g} --seed {options.seed}",
    }
    table = Table("rest Å", "1σ, % of the flux", box=None)
    for wavelength, fraction in zip(card["wavelength"], card["fraction"], strict=True):
        table.add_row(f"{wavelength:.0f}", f"{100 * fraction:.2f}")
    Console().print(table)
    put_into_card(options.model, options.out, {"discrepancy": card})


if __name__ == "__main__":
    main()
