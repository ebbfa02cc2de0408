"""What knowing its neighbours does for a spaxel: simulated galaxies by several contenders, spaxel by spaxel the first.

Galaxies are those of `quietspec.lab.simulate.cube_worlds` and one of star particles with stars of another library. The
same galaxy with its spaxels shuffled shows whether place is used where there is nothing to gain; stripes of [M/H] show
what contrast a map keeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.denoised import Denoised
from quietspec.lab.evaluation.cubes import BRIGHT, CUBE_LABELS, FAINT, SHAPE, score_cube
from quietspec.lab.evaluation.maps import score_map
from quietspec.lab.evaluation.studies.cube_contenders import REFERENCE, Contender
from quietspec.lab.evaluation.studies.cube_observation import CubeObservation
from quietspec.lab.simulate.cube_worlds import Stripes, world
from quietspec.lab.simulate.galaxy_cube import GalaxyCube
from quietspec.lab.simulate.galaxy_cubes import World, simulate_cube
from quietspec.lab.simulate.particles import ParticleSetup, simulate_particles
from quietspec.lab.streams import stream
from quietspec.templates import SspLibrary

__all__ = ["ASKED", "CubeStudySettings", "cube_prior_study", "cube_prior_tables", "summarise_cubes"]

_PARTICLES, _SHUFFLED = "particles", "shuffled"
_OUTSIDE = (_PARTICLES, _SHUFFLED)  # scored by themselves, not in medians over galaxies

#: What is asked of a contender, by the rows of the summary.
ASKED = {
    "shape / spaxels": "≤ 0.6",
    "log_age_lw / spaxels": "≤ 0.65",
    "mh_lw / spaxels": "≤ 0.7",
    "velocity / spaxels": "≤ 0.5",
    "sigma / spaxels": "≤ 0.5",
    "map rms, log_age_lw": "< bins",
    "map rms, mh_lw": "< bins",
    "map FWHM added, log_age_lw": "< bins",
    "map FWHM added, mh_lw": "< bins",
    "flux inside 68 %: all": "65–71",
    "flux inside 68 %: S/N < 4": "≥ 63",
    "flux inside 68 %: near features, least": "≥ 60",
    "labels inside 68 %: all": "65–71",
    "labels inside 68 %: S/N < 4": "≥ 63",
    "labels inside 68 %: near features, least": "≥ 60",
    "moved at S/N > 15, σ": "< 0.1",
    "shape / spaxels, S/N > 15": "≤ 1",
    "labels inside 68 %: velocity": "65–71",
    "star flagged or right": "1",
    "companion flagged or right": "1",
    "shape / spaxels, shuffled": "1",
    "flux inside 68 %, shuffled": "65–71",
    "shape / spaxels, particles": "≤ 0.6",
    "flux inside 68 %, particles": "65–71",
}
_RIGHT = 1.5  # a stranger has its own answer if the root mean square of its velocity's pulls is below this
_FEATURES = ("clump", "ring", "step", "edge", "core", "arms")


@dataclass(frozen=True, kw_only=True)
class CubeStudySettings(CubeObservation):
    """Galaxies, their observation, and stripes.

    Parameters
    ----------
    snr : float
        S/N of the brightest spaxel.
    periods : sequence of float
        Periods of the stripes, in FWHM of the seeing; no stripes if there are none.
    stripe_snrs : sequence of float
        S/N at which they are seen.
    """

    snr: float = 35.0
    periods: Sequence[float] = (2.0, 3.0, 4.0, 6.0)
    stripe_snrs: Sequence[float] = (5.0, 10.0, 20.0)


def cube_prior_study(
    library: SspLibrary,
    outside: SspLibrary | None,
    settings: CubeStudySettings,
    contenders: Mapping[str, Contender],
    log: Callable[[str], None] = lambda _: None,
    look: Callable[[str, GalaxyCube, Mapping[str, Denoised]], None] = lambda *_: None,
) -> dict[str, Any]:
    """Denoise all galaxies by all contenders, and score them.

    Parameters
    ----------
    library : SspLibrary
        Stars of the galaxies.
    outside : SspLibrary or None
        Stars of the galaxy of particles, which is left out without them.
    settings : CubeStudySettings
        The galaxies.
    contenders : mapping of str to callable
        Contenders by name; ``spaxels`` has to be among them.
    log : callable, optional
        Called with a line of text for each galaxy and contender.
    look : callable, optional
        Called with each galaxy's name, its cube, and its results by contender.

    Returns
    -------
    dict
        Settings; scores by galaxy and contender; transfer by contender, S/N and period; the summary.
    """
    galaxies: dict[str, Any] = {}
    for name, cube in _galaxies(library, outside, settings):
        results, seconds = {}, {}
        for who, denoise in contenders.items():
            start = time.process_time()
            results[who] = denoise(cube.simulated.observed)
            seconds[who] = time.process_time() - start
            log(f"{name}, {who}: {seconds[who]:.0f} s")
        look(name, cube, results)
        galaxies[name] = {"snr": _percentiles(cube)} | _scores(cube, results, seconds)
    transfer = {who: _transfer(library, settings, denoise) for who, denoise in contenders.items()}
    parts = {"settings": asdict(settings), "galaxies": galaxies, "transfer": transfer}
    return {name: _rounded(part) for name, part in (parts | {"summary": summarise_cubes(galaxies)}).items()}


def _galaxies(
    library: SspLibrary, outside: SspLibrary | None, settings: CubeStudySettings
) -> Iterator[tuple[str, GalaxyCube]]:
    for number, name in enumerate(settings.worlds):
        rng = stream("cubes", settings.seed, number)
        galaxy = world(name, rng)
        yield name, simulate_cube(library, galaxy, settings.setup(rng, settings.snr), rng)
    rng = stream("cubes: shuffled", settings.seed)
    galaxy = world(settings.worlds[0], rng)
    plain = simulate_cube(library, galaxy, replace(settings.setup(rng, settings.snr), drizzle=0.0), rng)
    yield _SHUFFLED, plain.shuffled(rng)
    if outside is not None:
        rng = stream("cubes: particles", settings.seed)
        shape = (settings.size, settings.size)
        yield _PARTICLES, simulate_particles(outside, ParticleSetup(shape=shape, snr=settings.snr), rng)


def _percentiles(cube: GalaxyCube) -> list[float]:
    return [float(value) for value in np.percentile(cube.simulated.parameters["snr"], (0, 16, 50, 84, 100))]


def _scores(cube: GalaxyCube, results: Mapping[str, Denoised], seconds: Mapping[str, float]) -> dict[str, Any]:
    reference = results[REFERENCE]
    return {
        who: {"seconds": seconds[who]} | asdict(score_cube(cube, one, None if who == REFERENCE else reference))
        for who, one in results.items()
    }


def _transfer(library: SspLibrary, settings: CubeStudySettings, denoise: Contender) -> dict[str, dict[str, float]]:
    """Slope of the recovered against the true map of [M/H] by S/N and period; the truth is as blurred by the seeing."""
    found: dict[str, dict[str, float]] = {}
    for snr in settings.stripe_snrs:
        for period in settings.periods:
            rng = stream("cubes: stripes", settings.seed, int(10 * snr), int(10 * period))
            setup = settings.setup(rng, snr)
            length = period * setup.seeing / (settings.size / 2)
            cube = simulate_cube(library, World({"stripes": Stripes(length)}), setup, rng)
            image, truth = cube.simulated.observed.image, cube.simulated.parameters["mh_lw"]
            recovered = denoise(cube.simulated.observed).parameters["mh_lw"][0]
            found.setdefault(f"{snr:g}", {})[f"{period:g}"] = score_map(image(recovered), image(truth)).slope
    return found


def summarise_cubes(galaxies: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Summarise scores as the rows of `ASKED`, medians over galaxies.

    Parameters
    ----------
    galaxies : mapping
        Scores by galaxy and contender, as in the result of `cube_prior_study`.

    Returns
    -------
    dict of str to (dict of str to float)
        Rows by contender; NaN for what no galaxy has.
    """
    contenders = [who for who in next(iter(galaxies.values())) if who != "snr"]
    return {who: _summary(galaxies, who) for who in contenders}


def _summary(galaxies: Mapping[str, Any], who: str) -> dict[str, float]:
    inner = [scores for name, scores in galaxies.items() if name not in _OUTSIDE]
    own, reference = [scores[who] for scores in inner], [scores[REFERENCE] for scores in inner]
    pairs = list(zip(own, reference, strict=True))
    rows = {"shape / spaxels": _median(one["shape"][SHAPE] / other["shape"][SHAPE] for one, other in pairs)}
    rows["shape / spaxels, S/N > 15"] = _median(one["shape"][BRIGHT] / other["shape"][BRIGHT] for one, other in pairs)
    for name in ("log_age_lw", "mh_lw", "velocity", "sigma"):
        rows[f"{name} / spaxels"] = _median(
            one["labels"][name][FAINT] / other["labels"][name][FAINT] for one, other in pairs
        )
    for name in ("log_age_lw", "mh_lw"):
        rows[f"map rms, {name}"] = _median(one["maps"][name]["rms"] for one in own)
        rows[f"map FWHM added, {name}"] = _median(one["maps"][name]["fwhm"] for one in own)
    rows |= _coverages(own)
    rows["moved at S/N > 15, σ"] = _median(max(one["moved"].values()) for one in own if one["moved"])
    for name in ("star", "companion"):
        rows[f"{name} flagged or right"] = _median(
            float(_settled(one["strangers"][name])) for one in own if one["strangers"].get(name, {}).get("count")
        )
    return rows | _outside(galaxies, who)


def _coverages(own: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found = {}
    for kind, of in (("flux", _flux_coverage), ("labels", _label_coverage)):
        for group in ("all", "S/N < 4"):
            found[f"{kind} inside 68 %: {group}"] = 100 * _median(of(one, group) for one in own)
        places = [100 * _median(of(one, f"near {name}") for one in own) for name in _FEATURES]
        found[f"{kind} inside 68 %: near features, least"] = float(np.nanmin(places)) if places else np.nan
    found["labels inside 68 %: velocity"] = 100 * _median(one["label_coverage"]["velocity"]["all"] for one in own)
    return found


def _flux_coverage(scores: Mapping[str, Any], group: str) -> float:
    return float(scores["flux_coverage"].get(group, np.nan))


def _label_coverage(scores: Mapping[str, Any], group: str) -> float:
    """Coverage of the labels in a group, the mean over all of them."""
    return float(np.mean([scores["label_coverage"][name].get(group, np.nan) for name in CUBE_LABELS]))


def _settled(stranger: Mapping[str, float]) -> bool:
    """Whether most spaxels of a stranger are flagged, or have its own velocity within the errors."""
    return stranger["flagged"] > 0.5 or stranger["velocity_pull"] < _RIGHT


def _outside(galaxies: Mapping[str, Any], who: str) -> dict[str, float]:
    found = {}
    for name in _OUTSIDE:
        if name in galaxies:
            one, other = galaxies[name][who], galaxies[name][REFERENCE]
            found[f"shape / spaxels, {name}"] = one["shape"][SHAPE] / other["shape"][SHAPE]
            found[f"flux inside 68 %, {name}"] = 100 * one["flux_coverage"]["all"]
    return found


def _median(values: Iterator[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _rounded(value: Any) -> Any:
    """Round all numbers to four digits; what is not finite becomes None, which JSON knows."""
    if isinstance(value, Mapping):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value


def cube_prior_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate the study.

    Parameters
    ----------
    content : mapping
        Result of `cube_prior_study`.

    Yields
    ------
    rich.table.Table
        The summary beside what is asked; scores of each galaxy; transfer.
    """
    contenders = list(content["summary"])
    yield _table("Summary", ["", *contenders, "asked"], (
        [row, *(_cell(content["summary"][who].get(row)) for who in contenders), asked] for row, asked in ASKED.items()
    ))  # fmt: skip
    columns = ["galaxy", "contender", "seconds", "answered", "shape", *CUBE_LABELS, "flux inside", "age inside"]
    yield _table(f"Shape at {SHAPE}, errors of labels at {FAINT}", columns, (
        [name, who, *map(_cell, _galaxy_row(scores[who]))]
        for name, scores in content["galaxies"].items()
        for who in contenders
    ))  # fmt: skip
    periods = [f"{period:g}" for period in content["settings"]["periods"]]
    yield _table("Transfer of [M/H] by period in FWHM", ["contender", "S/N", *periods], (
        [who, snr, *(_cell(slopes[period]) for period in periods)]
        for who, by_snr in content["transfer"].items()
        for snr, slopes in by_snr.items()
    ))  # fmt: skip


def _galaxy_row(scores: Mapping[str, Any]) -> list[float | None]:
    labels = [scores["labels"][name][FAINT] for name in CUBE_LABELS]
    inside = scores["flux_coverage"]["all"], scores["label_coverage"]["log_age_lw"]["all"]
    return [scores["seconds"], scores["answered"], scores["shape"][SHAPE], *labels, *inside]


def _cell(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.3g}"


def _table(title: str, columns: Sequence[str], rows: Iterator[list[str]]) -> Table:
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    return table
