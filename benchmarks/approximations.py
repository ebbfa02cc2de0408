"""What the posterior's approximations cost: results as they are against those without any, on the same spectra.

Run it as ``python benchmarks/approximations.py``, after `quietspec fetch miles` and `quietspec fetch muse-a478`:
spectra of recipe `survey` (S/N 2 to 60; MUSE, MaNGA, SAMI) and spaxels of Abell 478. The exact results take all
directions of the basis in full (what tells next to nothing to first order) and all components of the mixture.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import quietspec
from quietspec.denoised import Denoised
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.denoisers.posterior import denoiser, inference, masking
from quietspec.io.fetching import fetch
from quietspec.lab.simulate import get_recipe
from quietspec.spectra import Spectra
from quietspec.templates import load_library


def samples(n: int) -> dict[str, Spectra]:
    recipe = get_recipe("survey", load_library(fetch("miles")))
    rng = np.random.default_rng(11)
    found = {
        name: recipe.observe(recipe.rest(n, rng), rng, np.geomspace(2, 60, n), instrument=name).observed
        for name in ("MUSE", "MaNGA", "SAMI")
    }
    cube = quietspec.read(fetch("muse-a478"), redshift=0.0858)
    return found | {"Abell 478": cube[np.linspace(0, len(cube) - 1, n).astype(int)]}


def timed(tool: Denoiser, spectra: Spectra) -> tuple[Denoised, float]:
    start = time.process_time()
    return tool.denoise(spectra), 1e3 * (time.process_time() - start) / len(spectra)


def compare(name: str, one: Denoised, exact: Denoised) -> None:
    used = exact.valid & one.valid
    sigma = np.where(used, exact.sigma, 1)
    flux = np.sqrt(np.sum(np.where(used, (one.flux - exact.flux) / sigma, 0) ** 2, axis=1) / used.sum(axis=1))
    errors = np.sqrt(np.sum(np.where(used, one.sigma / sigma - 1, 0) ** 2, axis=1) / used.sum(axis=1))
    labels = [np.abs(one.parameters[key][0] - mean) / error for key, (mean, error) in exact.parameters.items()]
    flags = int(np.sum(one.flags != exact.flags))
    columns = (np.median(flux), np.quantile(flux, 0.95), np.median(errors), np.quantile(errors, 0.95))
    print(f"{name:12}", *(f"{100 * value:9.3f}" for value in columns), end="")
    print(f"{100 * np.sqrt(np.nanmean(np.square(labels))):9.3f}{flags:7d}", end="")


def approximate(neglected: float, neglected_before: float, negligible: float, first_order: float) -> tuple[float, ...]:
    """Set what the posterior leaves out; returns the values set before."""
    before = (denoiser.NEGLECTED, masking.NEGLECTED_BEFORE, inference._NEGLIGIBLE, inference._FIRST_ORDER)
    denoiser.NEGLECTED, masking.NEGLECTED_BEFORE = neglected, neglected_before
    inference._NEGLIGIBLE, inference._FIRST_ORDER = negligible, first_order
    return before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=96, help="spectra of each kind")
    n = parser.parse_args().n
    print("per cent of the stated error: rms of the flux (median, 95 %), of the error (median, 95 %), of labels; flags")
    for name, spectra in samples(n).items():
        one, cost = timed(load_denoiser("posterior"), spectra)
        usual = approximate(neglected=0.0, neglected_before=0.0, negligible=1e-9, first_order=1e-4)
        exact, exact_cost = timed(load_denoiser("posterior"), spectra)
        approximate(*usual)
        compare(name, one, exact)
        print(f"   {cost:.1f} ms a spectrum of processor time, without approximations {exact_cost:.1f}")


if __name__ == "__main__":
    main()
