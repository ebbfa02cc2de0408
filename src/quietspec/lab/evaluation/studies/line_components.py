"""Second components of gas and broad Balmer lines: how often they are found, and what they do to line fluxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import SpectralPrior
from quietspec.lab.evaluation.studies.line_fluxes import LineSettings, observed_lines
from quietspec.lab.evaluation.studies.line_ways import LINES, all_with_gas, both_ways, flux_scores, inside
from quietspec.lab.simulate import Simulated, SurveyRecipe
from quietspec.lab.simulate.emission import Gas, add_lines
from quietspec.lab.simulate.histories import log_uniform
from quietspec.lab.streams import stream
from quietspec.lines import GROUPS
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, rest_air

__all__ = ["KINDS", "component_study", "component_tables"]

#: What is simulated beside one narrow component.
KINDS = ("one", "second", "broad")
_BLENDS = {"HeI3889": "H8"}
_BALMER = ("Halpha", "Hbeta", "Hgamma", "Hdelta")
_OFFSET, _SHARE, _SIGMA = (100.0, 400.0), (0.2, 0.5), (50.0, 300.0)  # km/s, of the flux, km/s: of second components
_SCATTER = 0.1  # dex, of the ratios of second components about those of the first
_NUMBERS = {name: number for number, group in enumerate(GROUPS) for name, _ in group.members}
_GROUP_OF = [_NUMBERS[_BLENDS.get(name, name)] for name in EMISSION_LINES]
_FWHM, _BROAD_WIDTH = (1500.0, 6000.0), (10.0, 100.0)  # km/s, and equivalent width of broad Hα, Å
_BINS = (0.0, 10.0, 30.0, 100.0, np.inf)  # of the S/N of Hα


def component_study(
    prior: SpectralPrior, recipe: SurveyRecipe, settings: LineSettings, log: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Fit simulated spectra with and without further components.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    recipe : SurveyRecipe
        Galaxies.
    settings : LineSettings
        What is simulated.
    log : callable
        Takes lines of progress.

    Returns
    -------
    list of dict
        One entry for each kind, S/N and way of fitting.
    """
    with_gas, found = all_with_gas(recipe), []
    for snr in settings.snrs:
        for kind in KINDS:
            drawn = list(_drawn(with_gas, kind, snr, settings))
            for name, entry in both_ways(prior, drawn, "one component", _scores):
                found.append({"kind": kind, "snr": snr, "fit": name, **entry})
                rates = ", ".join(f"{what} {entry[what]:.3f}" for what in ("second", "apart", "broad"))
                log(f"{kind}, S/N {snr:g}, {name}: {rates}")
    return found


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Spectra of one instrument, and true fluxes of their narrow lines."""

    made: Simulated
    flux: FloatArray
    broad: FloatArray


def _drawn(recipe: SurveyRecipe, kind: str, snr: float, settings: LineSettings) -> Iterator[_Drawn]:
    """Simulate spectra of a kind."""
    rng = stream("line components", settings.seed, KINDS.index(kind), round(100 * snr))
    halpha = list(EMISSION_LINES).index("Halpha")
    for made, gas in observed_lines(recipe, snr, settings):
        further = _FURTHER[kind](gas, made, rng)
        observed, wide = made.observed, 1 + float(made.observed.redshift[0])
        flux = observed.flux.copy()
        rest = rest_air(observed.wavelength, wide - 1, observed.medium)
        add_lines(flux, rest, np.asarray(observed.fwhm) / wide, further)
        made = replace(made, observed=replace(observed, flux=flux))
        total = gas.flux + (further.flux if kind == "second" else 0.0)
        yield _Drawn(made, total * wide, wide * further.flux[:, halpha] * (kind == "broad"))


def _nothing(gas: Gas, made: Simulated, rng: np.random.Generator) -> Gas:
    return replace(gas, flux=np.zeros_like(gas.flux))


def _second(gas: Gas, made: Simulated, rng: np.random.Generator) -> Gas:
    """A second component, of the same lines and of ratios that scatter by 0.1 dex."""
    n = len(gas.velocity)
    offset = rng.uniform(*_OFFSET, n) * rng.choice([-1.0, 1.0], n)
    share = rng.uniform(*_SHARE, n)[:, None]
    ratios = 10 ** (_SCATTER * rng.standard_normal((n, len(GROUPS))))[:, _GROUP_OF]
    return Gas(gas.flux * ratios * share / (1 - share), gas.velocity + offset, log_uniform(rng, _SIGMA, n))


def _broad(gas: Gas, made: Simulated, rng: np.random.Generator) -> Gas:
    """Broad Balmer lines, in the ratios of case B."""
    n, names = len(gas.velocity), list(EMISSION_LINES)
    observed = made.observed
    wide = 1 + float(observed.redshift[0])
    rest = rest_air(observed.wavelength, wide - 1, observed.medium)
    level = made.truth[:, np.abs(rest - EMISSION_LINES["Halpha"]).argmin()]
    flux = np.zeros_like(gas.flux)
    for name, ratio in zip(_BALMER, (1.0, 0.35, 0.16, 0.09), strict=True):
        flux[:, names.index(name)] = ratio
    flux *= (level * log_uniform(rng, _BROAD_WIDTH, n))[:, None]
    width = log_uniform(rng, _FWHM, n) / FWHM_PER_SIGMA
    return Gas(flux, gas.velocity + 200 * rng.standard_normal(n), width)


_FURTHER: dict[str, Callable[[Gas, Simulated, np.random.Generator], Gas]] = {
    "one": _nothing, "second": _second, "broad": _broad,
}  # fmt: skip


def _scores(pairs: Sequence[tuple[_Drawn, Denoised]]) -> dict[str, Any]:
    """Rates, and pulls of narrow fluxes."""
    lines = [found.lines for _, found in pairs]
    components = np.concatenate([one.components for one in lines if one is not None])
    broad = np.concatenate([one.broad_halpha for one in lines if one is not None])
    true = np.concatenate([drawn.broad for drawn, _ in pairs])
    entry: dict[str, Any] = {
        "n": len(components),
        "moving": float(np.mean(components > 0)),
        "second": float(np.mean(components == 2)),
        "apart": float(np.mean(np.concatenate([one.apart for one in lines if one is not None]) == 1)),
        "broad": float(np.mean(np.isfinite(broad[:, 0]))),
    }
    seen = np.isfinite(broad[:, 0]) & (true > 0)
    if seen.sum() > 1:
        pulls = (broad[seen, 0] - true[seen]) / broad[seen, 1]
        entry["broad Halpha"] = {
            "inside 68": inside(pulls, 1.0), "inside 95": inside(pulls, 1.96),
            "median ratio": float(np.median(broad[seen, 0] / true[seen])),
        }  # fmt: skip
    return entry | {line: _line_scores(line, pairs) for line in LINES}


def _line_scores(line: str, pairs: Sequence[tuple[_Drawn, Denoised]]) -> dict[str, float]:
    """Coverage, slope and errors of the total flux of a narrow line."""
    place = list(EMISSION_LINES).index(line)
    each = ((found.line(line).flux, found.line(line).error, drawn.flux[:, place]) for drawn, found in pairs)
    return flux_scores(*(np.concatenate(parts) for parts in zip(*each, strict=True)))


def component_tables(content: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Tabulate what `component_study` found."""
    for kind in KINDS:
        table = Table("S/N", "fit", "second", "broad", *LINES, title=f"simulated: {kind}")
        for entry in content:
            if entry["kind"] == kind:
                cells = (
                    f"{100 * one['inside 68']:.0f}, {100 * one['inside 95']:.0f} %; {one['slope']:.3f}"
                    for one in (entry[line] for line in LINES)
                )
                rates = (f"{100 * entry[name]:.1f} %" for name in ("second", "broad"))
                table.add_row(f"{entry['snr']:g}", entry["fit"], *rates, *cells)
        yield table
