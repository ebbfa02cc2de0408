"""Balmer and forbidden lines that move apart: how often it is found, and what it does to fluxes and velocities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import SpectralPrior
from quietspec.lab.evaluation.studies.line_fluxes import BATCHES, LineSettings
from quietspec.lab.evaluation.studies.line_ways import LINES, all_with_gas, both_ways, flux_scores, inside
from quietspec.lab.simulate import Draws, Simulated, SurveyRecipe, viewing_of
from quietspec.lab.simulate.emission import Gas
from quietspec.lab.streams import stream
from quietspec.lines import is_forbidden
from quietspec.wavelengths import EMISSION_LINES

__all__ = ["motions_study", "motions_table"]

_FORBIDDEN = np.array([is_forbidden(name) for name in EMISSION_LINES])
_WIDTHS = 0.2  # 1σ of ln of the ratio of the two σ, where lines are apart


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Spectra of one instrument, their lines, and by how much forbidden lines move apart (km/s)."""

    made: Simulated
    gas: Gas
    offset: FloatArray


def motions_study(
    prior: SpectralPrior,
    recipe: SurveyRecipe,
    settings: LineSettings,
    offsets: Sequence[float],
    log: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Fit spectra whose forbidden lines move apart from the others, by one motion and by what the evidence asks for.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    recipe : SurveyRecipe
        Galaxies.
    settings : LineSettings
        What is simulated.
    offsets : sequence of float
        Velocities of forbidden lines about the others, km/s, to either side; 0 for one motion.
    log : callable
        Takes lines of progress.

    Returns
    -------
    list of dict
        One entry for each S/N, offset and way of fitting.
    """
    with_gas, found = all_with_gas(recipe), []
    for snr in settings.snrs:
        for offset in offsets:
            drawn = list(_drawn(with_gas, offset, snr, settings))
            for name, entry in both_ways(prior, drawn, "one motion", _scores):
                found.append({"offset": offset, "snr": snr, "fit": name, **entry})
                log(f"{offset:g} km/s, S/N {snr:g}, {name}: apart {entry['apart']:.3f}, second {entry['second']:.3f}")
    return found


def _drawn(recipe: SurveyRecipe, offset: float, snr: float, settings: LineSettings) -> Iterator[_Drawn]:
    """Simulate spectra whose forbidden lines have an offset."""
    rng = stream("motions apart", settings.seed, round(offset), round(100 * snr))
    share = max(settings.n // BATCHES, 1)
    for number in range(BATCHES):
        instrument = settings.instruments[number % len(settings.instruments)]
        draws = Draws.of("motions apart", snr, settings.seed, round(offset), number)
        rest = recipe.rest(share, draws.galaxies)
        viewing = viewing_of(recipe, rest, draws.galaxies, instrument)
        signed = offset * rng.choice([-1.0, 1.0], share)
        wider = np.exp(_WIDTHS * rng.standard_normal(share) * (offset > 0))
        gas: Gas = viewing["gas"]
        moved = replace(
            gas,
            velocity=gas.velocity[:, None] + np.outer(signed, _FORBIDDEN),
            sigma=gas.sigma[:, None] * np.where(_FORBIDDEN, wider[:, None], 1.0),
        )
        made = recipe.observe(rest, draws.noise, snr, **{**viewing, "gas": moved})
        yield _Drawn(made, moved, signed)


def _scores(pairs: Sequence[tuple[_Drawn, Denoised]]) -> dict[str, Any]:
    """Rates, and pulls of fluxes and of differences of velocity where lines are found apart."""
    lines = [found.lines for _, found in pairs if found.lines is not None]
    apart = np.concatenate([one.apart for one in lines]) == 1
    components = np.concatenate([one.components for one in lines])
    difference = np.concatenate([one.forbidden_velocity[:, 0] - one.velocity[:, 0] for one in lines])
    error = np.concatenate([np.hypot(one.forbidden_velocity[:, 1], one.velocity[:, 1]) for one in lines])
    pulls = ((difference - np.concatenate([drawn.offset for drawn, _ in pairs])) / error)[apart]
    entry: dict[str, Any] = {
        "n": len(apart),
        "moving": float(np.mean(components > 0)),
        "second": float(np.mean(components == 2)),
        "apart": float(np.mean(apart)),
    }
    if len(pulls) > 1:
        entry["difference"] = {"inside 68": inside(pulls, 1.0), "inside 95": inside(pulls, 1.96),
                               "median error": float(np.median(error[apart]))}  # fmt: skip
    return entry | {line: _line_scores(line, pairs) for line in LINES}


def _line_scores(line: str, pairs: Sequence[tuple[_Drawn, Denoised]]) -> dict[str, float]:
    """Coverage, bias and errors of the flux of a line."""
    place = list(EMISSION_LINES).index(line)
    each = (
        (found.line(line).flux, found.line(line).error, drawn.gas.flux[:, place] * (1 + drawn.made.observed.redshift))
        for drawn, found in pairs
    )
    return flux_scores(*(np.concatenate(parts) for parts in zip(*each, strict=True)))


def motions_table(content: Sequence[dict[str, Any]]) -> Table:
    """Tabulate what `motions_study` found: rates, and shares of fluxes inside 68 and 95 % with their mean pull."""
    table = Table("S/N", "km/s", "fit", "apart", "second", "difference", *LINES, title="motions apart")
    for entry in content:
        cells = (
            f"{100 * one['inside 68']:.0f}, {100 * one['inside 95']:.0f} %; {one['mean pull']:+.1f}"
            for one in (entry[line] for line in LINES)
        )
        one = entry.get("difference")
        difference = "–" if one is None else (
            f"{100 * one['inside 68']:.0f}, {100 * one['inside 95']:.0f} %; ± {one['median error']:.0f}"
        )  # fmt: skip
        rates = (f"{100 * entry[name]:.1f} %" for name in ("apart", "second"))
        table.add_row(f"{entry['snr']:g}", f"{entry['offset']:g}", entry["fit"], *rates, difference, *cells)
    return table
