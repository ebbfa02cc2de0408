"""Velocity, dispersion, populations and flux by the kinematic posterior, beside the default of the shipped model.

    python benchmarks/kinematics.py simulated [--law smooth|wide] [--instrument MUSE] [-n 200]
    python benchmarks/kinematics.py real
    python benchmarks/kinematics.py repeats

`simulated`: recipe `survey`, its own smooth calibration errors or (wide) those of the default law. `real`: both epochs
of SDSS 0412 as they are, bins of SAMI 572402, 230776 and 56140 as they are and with noise added. `repeats`: bins of
SAMI 56140 B against the same sky in D (one plate) and in C (another plate), exposures of NGC 3522 and NGC 3073.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from repeated_observations import average, overlaps, own_pixels
from rich.console import Console
from rich.table import Table

from quietspec import Spectra, load_denoiser, read
from quietspec.denoisers import SpectralPrior
from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.io.fetching import cached
from quietspec.lab.evaluation.motions import (
    SCORED,
    degraded_labels,
    flux_score,
    label_pulls,
    label_score,
    miscalibrated,
)
from quietspec.lab.simulate import SurveyRecipe
from quietspec.statistics import MAD_TO_SIGMA
from quietspec.templates import load_library

ROOT = Path(__file__).parents[1]
REDSHIFTS = {"MUSE": 0.02, "SDSS": 0.03, "SAMI": 0.04, "MaNGA": 0.03, "CALIFA V500": 0.015}
MODEL = ROOT / "benchmarks" / "models" / "survey-rest.npz"
SMOOTH = CalibrationLaw(0.03, 0.015, ())


def simulated(options: argparse.Namespace, console: Console) -> None:
    """Rms errors, stated errors and coverage against the truth."""
    prior = SpectralPrior.load(options.prior)
    wide = options.law == "wide"
    recipe = SurveyRecipe(load_library(cached("miles")), instruments=[options.instrument], calibration_error=not wide)
    denoisers = {
        "0.1.0": load_denoiser("posterior"),
        "0.1.0, no discrepancy": load_denoiser("posterior", discrepancy=False),
        "kinematic": KinematicPosterior("kinematic", prior, CalibrationLaw() if wide else SMOOTH),
    }
    for snr in options.snr:
        rng = np.random.default_rng((options.seed, round(snr)))
        made = recipe.simulate(options.n, rng, snr, redshift=REDSHIFTS[options.instrument])
        if wide:
            made = miscalibrated(made, CalibrationLaw(), rng)
        table = Table("denoiser", "flux, rms over 0.1.0's", "pixels in 1σ", *SCORED, "ms", title=f"S/N {snr:g}")
        reference = None
        for name, denoiser in denoisers.items():
            denoiser.denoise(made.observed[:2])
            start = time.process_time()
            denoised = denoiser.denoise(made.observed)
            spent = (time.process_time() - start) / options.n * 1e3
            error, coverage = flux_score(denoised, made.truth)
            reference = error if reference is None else reference
            cells = []
            for label in SCORED:
                score = label_score(*denoised.parameters[label], made.parameters[label])
                stated = f"{score.rms:.3g} ({score.stated:.3g})"
                cells.append(f"{stated} {score.coverage:.2f} {score.bias:+.2f} {score.scatter:.2f}")
            ratio = f"{np.sqrt(np.mean(error**2) / np.mean(reference**2)):.3f} ({np.median(error / reference):.3f})"
            table.add_row(name, ratio, f"{coverage:.3f}", *cells, f"{spent:.1f}")
        console.print(table)


def sami(folder: Path, name: str, least: float = 0.0) -> Spectra:
    """One spectrum of each bin of a SAMI galaxy."""
    paths = [folder / "sami" / f"{name}_sectors_{arm}.fits.gz" for arm in ("blue", "red")]
    bins = fits.getdata(paths[0], "BIN_MASK").ravel()
    rows = np.array([np.flatnonzero(bins == number)[0] for number in np.unique(bins[bins > 0])])
    spectra = read(*paths)[rows]
    return spectra[np.flatnonzero(np.nan_to_num(spectra.snr) > least)]


def contenders(options: argparse.Namespace) -> dict:
    prior = SpectralPrior.load(options.prior)
    return {"0.1.0": load_denoiser("posterior"), "kinematic": KinematicPosterior("kinematic", prior)}


def real(options: argparse.Namespace, console: Console) -> None:
    """Labels of SDSS 0412; stated errors of SAMI's bins."""
    denoisers = contenders(options)
    table = Table("spectrum", "denoiser", "S/N", *SCORED, "χ²/dof", "flags")
    for path in sorted((options.data / "sdss").glob("spec-0412-*.fits")):
        spectra = read(path)
        for name, denoiser in denoisers.items():
            found = denoiser.denoise(spectra)
            cells = [f"{found.parameters[key][0][0]:.3g} ± {found.parameters[key][1][0]:.2g}" for key in SCORED]
            fit = f"{found.chi2[0] / found.dof[0]:.2f}"
            table.add_row(path.stem, name, f"{spectra.snr[0]:.0f}", *cells, fit, str(found.flags[0]))
    console.print(table)
    table = Table("galaxy", "denoiser", "S/N", "bins", "V error > 80", "flagged", *SCORED, title="median stated errors")
    for galaxy in ("572402_A", "230776_A", "56140_A", "56140_B", "56140_C", "56140_D"):
        rng = np.random.default_rng((options.seed, *galaxy.encode()))
        for row in degraded_labels(denoisers, sami(options.data, galaxy, 20.0), (20.0, 10.0, 5.0), rng):
            numbers = [str(row[key]) for key in ("spectra", "reverted", "flagged")]
            snr = f"{row['snr']:g}" if row["snr"] else "as is"
            table.add_row(galaxy, row["denoiser"], snr, *numbers, *(f"{row[key]:.3g}" for key in SCORED))
    console.print(table)


def sami_repeats(options: argparse.Namespace) -> Iterator[tuple[str, Spectra, Spectra]]:
    """Bins of 56140 B and the same sky in D and in C."""
    cubes, bins = {}, {}
    for cube in "BCD":
        paths = [options.data / "sami" / f"56140_{cube}_sectors_{arm}.fits.gz" for arm in ("blue", "red")]
        cubes[cube], bins[cube] = read(*paths), fits.getdata(paths[0], "BIN_MASK").ravel()
    for other in "DC":
        rows, members, shares = overlaps(bins["B"], bins[other])
        first, second = cubes["B"][rows], average(cubes[other], members, shares)
        bright = np.flatnonzero((np.nan_to_num(first.snr) > 3) & (np.nan_to_num(second.snr) > 3))
        yield f"SAMI 56140 B − {other}", first[bright], second[bright]


def sdss_repeats() -> Iterator[tuple[str, Spectra, Spectra]]:
    """Pairs of exposures of one arm."""
    for name in ("ngc3522", "ngc3073"):
        path = cached(name)
        if path is None:
            continue
        exposures = read(path, exposures=True)
        arm = np.array([label[:2] for label in exposures.meta["exposures"]])
        for which in np.unique(arm):
            rows = np.flatnonzero(arm == which)
            for one, other in pairwise(rows):
                yield f"{name} {which}", own_pixels(exposures, int(one)), own_pixels(exposures, int(other))


def repeats(options: argparse.Namespace, console: Console) -> None:
    """Pulls of labels between independent observations."""
    table = Table("repeats", "denoiser", "n", *SCORED, title="rms of pulls (1.48 × their median size)")
    for name, denoiser in contenders(options).items():
        pulls: dict[str, list[dict]] = {}
        for kind, first, second in (*sami_repeats(options), *sdss_repeats()):
            pulls.setdefault(kind, []).append(label_pulls(denoiser.denoise(first), denoiser.denoise(second)))
        for kind, found in pulls.items():
            joined = {label: np.concatenate([one[label] for one in found]) for label in SCORED}
            table.add_row(kind, name, str(len(joined["sigma"])), *(_scatter(joined[key]) for key in SCORED))
    console.print(table)


def _scatter(pulls: np.ndarray) -> str:
    return f"{np.sqrt(np.mean(pulls**2)):.2f} ({MAD_TO_SIGMA * np.median(np.abs(pulls)):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulated", "real", "repeats"))
    parser.add_argument("--prior", type=Path, default=MODEL, help="rest-frame prior (.npz)")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real spectra")
    parser.add_argument("--law", choices=("smooth", "wide"), default="wide", help="calibration errors simulated")
    parser.add_argument("--instrument", default="MUSE", choices=REDSHIFTS)
    parser.add_argument("--snr", type=float, nargs="+", default=[5.0, 10.0, 20.0, 50.0])
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    globals()[options.what](options, Console(width=260))


if __name__ == "__main__":
    main()
