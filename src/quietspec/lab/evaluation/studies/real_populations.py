"""Stellar populations of real galaxies: two exposures of one, one against pPXF's published fit, one as maps.

SAMI galaxy 56140, bins of cube B against the same sky in cube D (disjoint exposures): do noisy spectra fitted with
pPXF, denoised spectra fitted with it, and the posterior each give one answer within their errors? Pulls are the
difference over √(σ_B² + σ_D²). NGC 3522 (SDSS) is compared with the log of pPXF's own examples. Abell 478 (MUSE) is
mapped by the posterior.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from quietspec.denoisers import Denoiser, load_denoiser, load_prior
from quietspec.files import measure_file
from quietspec.lab.evaluation.repeats import pull_scatter
from quietspec.lab.evaluation.studies.real_spectra import REDSHIFTS, RealSpectra
from quietspec.lab.evaluation.studies.repeats import SAMI_SNR, sami_cubes, sami_pair
from quietspec.plots import populations_figure
from quietspec.populations import Populations, PpxfOptions
from quietspec.populations.methods import DenoisedPpxfMethod, PopulationMethod, PosteriorMethod, PpxfMethod
from quietspec.spectra import Spectra
from quietspec.templates import SspLibrary
from quietspec.wavelengths import in_window

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DRAWN", "PopulationsSettings", "abell_478", "ngc_3522", "real_populations_tables", "sami_repeats"]

#: Parameters that the figure shows.
DRAWN = ("log_age_lw", "mh_lw")
_PARAMETERS = ("log_age_mw", "mh_mw", "log_age_lw", "mh_lw", "log_ml_v", "velocity", "sigma")
_V_LIGHT = (5070.0, 5950.0)  # Å, where pPXF's examples normalise templates
_REFERENCE_EXAMPLES = ("ppxf_example_population_bootstrap.py", "ppxf_example_population_gas_sdss.py")


@dataclass(frozen=True)
class PopulationsSettings:
    """How much is fitted.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    bins : int, optional
        SAMI bins, evenly chosen; all by default.
    bootstrap : int
        Refits of NGC 3522 for its errors.
    jobs : int
        pPXF fits in parallel.
    """

    model: str = "survey"
    bins: int | None = None
    bootstrap: int = 20
    jobs: int = 2

    @property
    def denoiser(self) -> Denoiser:
        """The posterior of the model."""
        return load_denoiser("posterior", self.model)


def sami_repeats(real: RealSpectra, library: SspLibrary, settings: PopulationsSettings) -> dict[str, Any] | None:
    """Compare the populations of two SAMI cubes of one galaxy, by each method.

    Parameters
    ----------
    real : RealSpectra
        Where the cubes are.
    library : SspLibrary
        Templates of pPXF.
    settings : PopulationsSettings
        How much is fitted.

    Returns
    -------
    dict or None
        Number and S/N of the bins; ``unflagged`` and ``methods``: agreement by method and parameter; ``values``: what
        the figure shows. None if a cube is missing.
    """
    cubes = sami_cubes(real)
    if cubes is None:
        return None
    halves = _bright(*sami_pair(cubes["B"], cubes["D"]), settings.bins)
    methods: dict[str, PopulationMethod] = {
        "pPXF": PpxfMethod(library, jobs=settings.jobs),
        "denoised, pPXF": DenoisedPpxfMethod(settings.denoiser, library, jobs=settings.jobs),
        "posterior": PosteriorMethod(settings.denoiser),
    }
    found: dict[str, Any] = {"bins": len(halves[0])}
    found |= {"snr": [np.percentile(one.snr, (16, 50, 84)).tolist() for one in halves]}
    found |= {"unflagged": {}, "methods": {}, "values": {}}
    for name, method in methods.items():
        first, second = (method(half) for half in halves)
        names = [parameter for parameter in _PARAMETERS if parameter in first.values]
        found["methods"][name] = {parameter: _agreement(first, second, parameter) for parameter in names}
        found["unflagged"][name] = int(((first.flags | second.flags) == 0).sum())
        found["values"][name] = {parameter: _drawn(first, second, parameter) for parameter in DRAWN}
        if name == "posterior":
            for parameter, sigma in load_prior(settings.model).label_sigma.items():
                if parameter in names:
                    found["methods"][name][parameter]["expected"] = _expected_pulls(first, parameter, sigma**2)
        real.log(f"SAMI, {name}: done, {int((first.failed | second.failed).sum())} failed")
    return found


def _bright(first: Spectra, second: Spectra, n: int | None) -> tuple[Spectra, Spectra]:
    """The bins that are bright enough in both cubes, or `n` of them."""
    bright = np.flatnonzero((np.nan_to_num(first.snr) > SAMI_SNR) & (np.nan_to_num(second.snr) > SAMI_SNR))
    chosen = bright[np.linspace(0, len(bright) - 1, min(n or len(bright), len(bright))).astype(int)]
    return first[chosen], second[chosen]


def _drawn(first: Populations, second: Populations, name: str) -> list[list[float]]:
    """Values of both, then errors of both."""
    both = (first, second)
    return [one.values[name].tolist() for one in both] + [one.error(name).tolist() for one in both]


def _agreement(first: Populations, second: Populations, name: str) -> dict[str, float]:
    """How two observations of the same stars differ in one parameter."""
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


def _expected_pulls(first: Populations, name: str, variance: float) -> float:
    """Pulls of two posterior means with right errors, for Gaussians: √(1 − σ²/σ²_prior), as both lean on one prior."""
    share = 1 - first.error(name)[~first.failed] ** 2 / variance
    return float(np.sqrt(np.mean(np.clip(share, 0, 1))))


def ngc_3522(real: RealSpectra, library: SspLibrary, settings: PopulationsSettings) -> dict[str, Any] | None:
    """Fit one bright SDSS spectrum with pPXF by V light, by mass and blue light, and with the posterior.

    Parameters
    ----------
    real : RealSpectra
        Where the spectrum is.
    library : SspLibrary
        Templates of pPXF.
    settings : PopulationsSettings
        How much is fitted.

    Returns
    -------
    dict or None
        S/N, ``published`` means of pPXF's own log, and ``methods``: value and error by method and parameter. None if
        the spectrum is missing.
    """
    spectra = real.fetched("ngc3522")
    if spectra is None:
        return None
    gas = PpxfOptions(gas="fit", bootstrap=settings.bootstrap)
    found = {
        "pPXF, V light": PpxfMethod(_light_library(library), gas)(spectra),
        "pPXF": PpxfMethod(library, gas)(spectra),
        "posterior": PosteriorMethod(settings.denoiser)(spectra),
    }
    content = {
        name: {
            parameter: [float(one.values[parameter][0]), float(one.error(parameter)[0])]
            for parameter in (("log_age_mw", "mh_mw") if "V light" in name else _PARAMETERS)
            if parameter in one.values
        }
        for name, one in found.items()
    }
    return {"snr": float(spectra.snr[0]), "published": dict(_published()), "methods": content}


def _light_library(library: SspLibrary) -> SspLibrary:
    """SSPs of equal V light, so that weights and 'mass-weighted' means are by V light, as in pPXF's examples."""
    window = in_window(library.wavelength, _V_LIGHT)
    return replace(library, spectra=library.spectra / library.spectra[:, window].mean(axis=1, keepdims=True))


def _published() -> Iterator[tuple[str, list[float]]]:
    """Mean log age and [M/H] that pPXF's own log reports for this galaxy, by V light."""
    log = (files("ppxf") / "examples" / "ppxf_python_reference_output.txt").read_text(encoding="utf-8")
    for example in _REFERENCE_EXAMPLES:
        section = log.split(f"Running: {example}")[1].split("Running: ")[0]
        values = [line.rsplit(":", 1)[1] for line in section.splitlines() if line.startswith("Weighted <")]
        yield example, [float(value) for value in values[:2]]


def abell_478(real: RealSpectra, settings: PopulationsSettings) -> tuple[dict[str, Any], Figure] | None:
    """Map the brightest galaxy of Abell 478 by the posterior.

    Parameters
    ----------
    real : RealSpectra
        Where the cube is.
    settings : PopulationsSettings
        The model.

    Returns
    -------
    content : dict
        S/N, counts, medians and time.
    figure : matplotlib.figure.Figure
        The maps. None in place of both if the cube is missing.
    """
    path = real.fetched_file("muse-a478")
    if path is None:
        return None
    method = PosteriorMethod(settings.denoiser)
    with TemporaryDirectory() as folder:
        report, recovered = measure_file([path], Path(folder) / "a478.fits", method, redshift=REDSHIFTS["muse-a478"])
    content = asdict(report)
    kept = ("n_spectra", "failed", "flags", "medians", "seconds")
    snr = np.percentile(recovered.snr, (16, 50, 84)).tolist()
    maps = populations_figure(recovered.populations, recovered.spatial_shape, recovered.wcs)
    return {"snr": snr} | {key: content[key] for key in kept}, maps


def real_populations_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate the agreement of the SAMI cubes, and NGC 3522 beside pPXF's log.

    Parameters
    ----------
    content : mapping
        ``sami`` from `sami_repeats` and ``ngc3522`` from `ngc_3522`, each None if its data are missing.

    Yields
    ------
    rich.table.Table
        One table per galaxy that is there.
    """
    if content["sami"]:
        yield _sami_table(content["sami"])
    if content["ngc3522"]:
        table = Table("", *_PARAMETERS, title=f"NGC 3522, S/N {content['ngc3522']['snr']:.0f}")
        for name, values in content["ngc3522"]["published"].items():
            table.add_row(name, *(f"{value:.3f}" for value in values))
        for name, one in content["ngc3522"]["methods"].items():
            cells = ("{:.3f} ± {:.3f}".format(*one[key]) if key in one else "" for key in _PARAMETERS)
            table.add_row(name, *cells)
        yield table


def _sami_table(content: Mapping[str, Any]) -> Table:
    table = Table(title=f"SAMI 56140, B against D, {content['bins']} bins: pulls (rms), difference, error")
    names = list(content["methods"])
    for column in ("parameter", *names, "expected of the posterior"):
        table.add_column(column, justify="left" if column == "parameter" else "right")
    for parameter in _PARAMETERS:
        found = [content["methods"][name].get(parameter) for name in names]
        cells = [
            "{pulls:.2f} ({pulls_rms:.2f})  {rms_difference:.3g}  {median_error:.3g}".format(**one) if one else ""
            for one in found
        ]
        last = found[-1].get("expected") if found[-1] else None
        table.add_row(parameter, *cells, "" if last is None else f"{last:.2f}")
    return table
