"""Stellar populations of real galaxies: two exposures of one, one against pPXF's published fit, one as maps.

SAMI galaxy 56140, bins of cube B against the same sky in cube D (disjoint exposures): do noisy spectra fitted with
pPXF, denoised ones fitted with it, and the posterior give one answer within their errors? Pulls are the difference
over √(σ_B² + σ_D²). NGC 3522 (SDSS) against the log of pPXF's own examples. Abell 478 (MUSE) as maps of the posterior.

    python benchmarks/real_populations.py [--data FOLDER] [--bins N] [--jobs 2]

Data that are not there are left out, and said: SAMI's are in the folder `--data`, the others come by `quietspec fetch`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from machine import machine
from repeated_observations import MUSE_REDSHIFT, SAMI_SNR, average, cached, overlaps
from rich.console import Console
from rich.table import Table

from quietspec import Spectra, load_denoiser, read
from quietspec.denoisers import load_prior
from quietspec.files import measure_file
from quietspec.io import fetch
from quietspec.lab.evaluation import pull_scatter
from quietspec.plots import populations_figure, save
from quietspec.plots.style import BLACK, COLOURS, figure, robust_limits, styled
from quietspec.populations import Populations, PpxfOptions
from quietspec.populations.methods import DenoisedPpxfMethod, PopulationMethod, PosteriorMethod, PpxfMethod
from quietspec.templates import SspLibrary, load_library
from quietspec.wavelengths import in_window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
PARAMETERS = ("log_age_mw", "mh_mw", "log_age_lw", "mh_lw", "log_ml_v", "velocity", "sigma")
DRAWN = {"log_age_lw": "log age by light [log yr]", "mh_lw": "[M/H] by light [dex]"}
V_LIGHT = (5070.0, 5950.0)  # Å, where pPXF's examples normalise templates
REFERENCE_EXAMPLES = ("ppxf_example_population_bootstrap.py", "ppxf_example_population_gas_sdss.py")


def methods(options: argparse.Namespace, library: SspLibrary) -> dict[str, PopulationMethod]:
    """What is compared, by name."""
    denoiser = load_denoiser("posterior", options.model)
    return {
        "pPXF": PpxfMethod(library, jobs=options.jobs),
        "denoised, pPXF": DenoisedPpxfMethod(denoiser, library, jobs=options.jobs),
        "posterior": PosteriorMethod(denoiser),
    }


def sami_halves(options: argparse.Namespace) -> tuple[Spectra, Spectra] | None:
    """Bins of cube B, and the same sky in cube D."""
    cubes = {
        cube: [options.data / "sami" / f"56140_{cube}_sectors_{arm}.fits.gz" for arm in ("blue", "red")]
        for cube in "BD"
    }
    if not all(path.exists() for paths in cubes.values() for path in paths):
        return None
    spectra = {cube: read(*paths) for cube, paths in cubes.items()}
    bins = {cube: fits.getdata(paths[0], "BIN_MASK").ravel() for cube, paths in cubes.items()}
    rows, members, shares = overlaps(bins["B"], bins["D"])
    first, second = spectra["B"][rows], average(spectra["D"], members, shares)
    bright = np.flatnonzero((np.nan_to_num(first.snr) > SAMI_SNR) & (np.nan_to_num(second.snr) > SAMI_SNR))
    chosen = bright[np.linspace(0, len(bright) - 1, min(options.bins or len(bright), len(bright))).astype(int)]
    return first[chosen], second[chosen]


def agreement(first: Populations, second: Populations, name: str) -> dict[str, float]:
    """How two observations of the same stars differ, in one parameter."""
    good = ~(first.failed | second.failed)
    difference = (first.values[name] - second.values[name])[good]
    error = np.hypot(first.error(name), second.error(name))[good]
    robust, rms = pull_scatter((difference / np.where(error > 0, error, np.nan))[None])
    return {
        "count": int(good.sum()),
        "pulls": float(robust[0]),
        "pulls_rms": float(rms[0]),
        "median_difference": float(np.median(difference)),
        "rms_difference": float(np.sqrt(np.mean(difference**2))),
        "median_error": float(np.median(error) / np.sqrt(2)),
    }


def prior_variance(model: str) -> dict[str, float]:
    """Variance of each label under the prior, the broad outskirts left out."""
    prior = load_prior(model)
    kept = slice(0, prior.n_mixture - len(prior.card.get("settings", {}).get("outskirts", ())))
    weights = prior.weights[kept] / prior.weights[kept].sum()
    labels, slopes = prior.labels[kept], prior.slopes[kept]
    inner = np.einsum("kpi,kij,kpj->kp", slopes, prior.covariances[kept], slopes)
    inner += np.diagonal(prior.label_covariances[kept], axis1=1, axis2=2)
    variance = weights @ (inner + (labels - weights @ labels) ** 2)
    return dict(zip(prior.label_names, variance.tolist(), strict=True))


def expected_pulls(first: Populations, name: str, variance: dict[str, float]) -> float:
    """Pulls of two posterior means of right errors, for Gaussians: √(1 − σ²/σ²_prior), as both lean on one prior."""
    share = 1 - first.error(name)[~first.failed] ** 2 / variance.get(name, np.nan)
    return float(np.sqrt(np.mean(np.clip(share, 0, 1))))


def sami(options: argparse.Namespace, library: SspLibrary, console: Console) -> dict | None:
    """B against D by each method."""
    halves = sami_halves(options)
    if halves is None:
        console.print("SAMI left out: its files are not there")
        return None
    variance = prior_variance(options.model)
    found: dict = {"bins": len(halves[0]), "snr": [np.percentile(one.snr, (16, 50, 84)).tolist() for one in halves]}
    found |= {"unflagged": {}, "methods": {}, "values": {}}
    for name, method in methods(options, library).items():
        first, second = (method(half) for half in halves)
        names = [parameter for parameter in PARAMETERS if parameter in first.values]
        found["methods"][name] = {parameter: agreement(first, second, parameter) for parameter in names}
        found["unflagged"][name] = int(((first.flags | second.flags) == 0).sum())
        if name == "posterior":
            for parameter in names:
                found["methods"][name][parameter]["expected"] = expected_pulls(first, parameter, variance)
        found["values"][name] = {
            parameter: [[*one.values[parameter].tolist()] for one in (first, second)]
            + [one.error(parameter).tolist() for one in (first, second)]
            for parameter in DRAWN
        }
        console.print(f"SAMI, {name}: done, {int((first.failed | second.failed).sum())} failed")
    return found


def light_library(library: SspLibrary) -> SspLibrary:
    """SSPs of equal V light, so that weights and 'mass-weighted' means are by V light, as in pPXF's examples."""
    window = in_window(library.wavelength, V_LIGHT)
    return replace(library, spectra=library.spectra / library.spectra[:, window].mean(axis=1, keepdims=True))


def ngc3522(options: argparse.Namespace, library: SspLibrary) -> dict | None:
    """One bright SDSS spectrum: pPXF with MILES by V light, by mass and blue light, and the posterior."""
    path = cached("ngc3522")
    if path is None:
        return None
    spectra = read(path)
    gas = PpxfOptions(gas="fit", bootstrap=options.bootstrap)
    found = {
        "pPXF, V light": PpxfMethod(light_library(library), gas)(spectra),
        "pPXF": PpxfMethod(library, gas)(spectra),
        "posterior": PosteriorMethod(load_denoiser("posterior", options.model))(spectra),
    }
    kept = {name: ("log_age_mw", "mh_mw") if "V light" in name else PARAMETERS for name in found}
    content = {
        name: {
            parameter: [float(one.values[parameter][0]), float(one.error(parameter)[0])]
            for parameter in kept[name]
            if parameter in one.values
        }
        for name, one in found.items()
    }
    return {"snr": float(spectra.snr[0]), "published": dict(published()), "methods": content}


def published() -> Iterator[tuple[str, list[float]]]:
    """Mean log age and [M/H] that pPXF's own log reports for this galaxy, by V light."""
    log = (files("ppxf") / "examples" / "ppxf_python_reference_output.txt").read_text(encoding="utf-8")
    for example in REFERENCE_EXAMPLES:
        section = log.split(f"Running: {example}")[1].split("Running: ")[0]
        values = [line.rsplit(":", 1)[1] for line in section.splitlines() if line.startswith("Weighted <")]
        yield example, [float(value) for value in values[:2]]


def a478(options: argparse.Namespace) -> dict | None:
    """Maps of the posterior."""
    path = cached("muse-a478")
    if path is None:
        return None
    method = PosteriorMethod(load_denoiser("posterior", options.model))
    with TemporaryDirectory() as folder:
        report, recovered = measure_file([path], Path(folder) / "a478.fits", method, redshift=MUSE_REDSHIFT)
    save(populations_figure(recovered.populations, recovered.spatial_shape, recovered.wcs), options.maps)
    content = asdict(report)
    kept = ("n_spectra", "failed", "flags", "medians", "seconds")
    snr = np.percentile(recovered.snr, (16, 50, 84)).tolist()
    return {"snr": snr} | {key: content[key] for key in kept}


def tables(content: dict) -> Iterator[Table]:
    """What is printed."""
    if content["sami"]:
        table = Table(title=f"SAMI 56140, B against D, {content['sami']['bins']} bins: pulls (rms), difference, error")
        names = list(content["sami"]["methods"])
        for column in ("parameter", *names, "expected of the posterior"):
            table.add_column(column, justify="left" if column == "parameter" else "right")
        for parameter in PARAMETERS:
            found = [content["sami"]["methods"][name].get(parameter) for name in names]
            cells = [
                "{pulls:.2f} ({pulls_rms:.2f})  {rms_difference:.3g}  {median_error:.3g}".format(**one) if one else ""
                for one in found
            ]
            last = found[-1].get("expected") if found[-1] else None
            table.add_row(parameter, *cells, "" if last is None else f"{last:.2f}")
        yield table
    if content["ngc3522"]:
        table = Table("", *PARAMETERS, title=f"NGC 3522, S/N {content['ngc3522']['snr']:.0f}")
        for name, values in content["ngc3522"]["published"].items():
            table.add_row(name, *(f"{value:.3f}" for value in values))
        for name, one in content["ngc3522"]["methods"].items():
            cells = ("{:.3f} ± {:.3f}".format(*one[key]) if key in one else "" for key in PARAMETERS)
            table.add_row(name, *cells)
        yield table


@styled
def draw_sami(content: dict) -> Figure:
    """Values of B against those of D, a column a method."""
    values = content["values"]
    drawing = figure(4.6)
    panels = drawing.subplots(len(DRAWN), len(values), squeeze=False)
    for row, (parameter, label) in enumerate(DRAWN.items()):
        limits = robust_limits(np.concatenate([part for one in values.values() for part in one[parameter][:2]]))
        for axes, (name, one), colour in zip(panels[row], values.items(), COLOURS, strict=False):
            first, second, first_error, second_error = (np.array(part) for part in one[parameter])
            axes.errorbar(first, second, second_error, first_error, fmt="o", ms=2, lw=0.4, color=colour, alpha=0.7)
            axes.axline((0, 0), slope=1, color=BLACK, lw=0.6, zorder=0)
            axes.set(xlim=limits, ylim=limits, aspect="equal")
            pulls = content["methods"][name][parameter]["pulls"]
            axes.set_title(f"{name}: pulls {pulls:.1f}" if row == 0 else f"pulls {pulls:.1f}")
            axes.set_xlabel("cube B")
        panels[row, 0].set_ylabel(f"{label}\ncube D")
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="survey", help="shipped model, or path of an .npz")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real spectra")
    parser.add_argument("--bins", type=int, help="SAMI bins, evenly chosen; all by default")
    parser.add_argument("--bootstrap", type=int, default=20, help="refits of NGC 3522")
    parser.add_argument("--jobs", type=int, default=2, help="pPXF fits side by side")
    parser.add_argument("--maps", type=Path, default=ROOT / "docs" / "figures" / "a478_populations.png")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "real_populations.json")
    options = parser.parse_args()
    console = Console(width=170)
    library = load_library(fetch("miles"))
    content = {
        "machine": machine(),
        "model": str(load_denoiser("posterior", options.model).model),
        "bootstrap": options.bootstrap,
        "a478": a478(options),
        "ngc3522": ngc3522(options, library),
        "sami": sami(options, library, console),
    }
    for table in tables(content):
        console.print(table)
    if content["sami"]:
        save(draw_sami(content["sami"]), options.out.with_name(f"{options.out.stem}_sami.png"))
        del content["sami"]["values"]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
