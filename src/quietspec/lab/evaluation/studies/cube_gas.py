"""Gas of simulated galaxies, whose lines are measured spaxel by spaxel and as a whole, against the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import load_denoiser
from quietspec.lab.evaluation.studies.cube_contenders import REFERENCE
from quietspec.lab.evaluation.studies.cube_observation import CubeObservation
from quietspec.lab.simulate.cube_worlds import WORLDS, world
from quietspec.lab.simulate.galaxy_cube import GalaxyCube
from quietspec.lab.simulate.galaxy_cubes import simulate_cube
from quietspec.lab.streams import stream
from quietspec.lines import LinePosterior
from quietspec.templates import SspLibrary

__all__ = ["CubeGasSettings", "cube_gas_study", "cube_gas_tables"]

_SPATIAL = "spatial"
_GROUPS = {"1–5": (1.0, 5.0), "0–1": (0.0, 1.0), "1–3": (1.0, 3.0), "3–5": (3.0, 5.0), "5–10": (5.0, 10.0)}
_NONE = "no gas"
_BARE = 0.02  # S/N of Hα below which there is no gas
_SPOILT = 3.0  # times the galaxy's median error of Hα, beyond which a line is masked
_FALSE = 3.0  # S/N of a line that is taken for one


@dataclass(frozen=True, kw_only=True)
class CubeGasSettings(CubeObservation):
    """Galaxies whose gas moves apart from their stars.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    snr : float
        S/N of the brightest spaxel.
    """

    model: str = "survey"
    size: int = 15
    snr: float = 25.0
    seed: int = 27


def cube_gas_study(
    library: SspLibrary, settings: CubeGasSettings, log: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measure Hα and the motion of gas in simulated galaxies, spaxel by spaxel and as a whole.

    Parameters
    ----------
    library : SspLibrary
        Stars of the galaxies.
    settings : CubeGasSettings
        The galaxies.
    log : callable, optional
        Called with a line of text for each galaxy.

    Returns
    -------
    dict
        JSON types: settings, and scores by contender and by true S/N of Hα, all galaxies together and each by itself.
    """
    denoisers = {
        name: load_denoiser("posterior", settings.model, "fit", spatial=spatial)
        for name, spatial in ((REFERENCE, False), (_SPATIAL, True))
    }
    found: dict[str, dict[str, _Spaxels]] = {}
    for name in settings.worlds:
        cube = _galaxy(library, settings, name)
        measured = {who: denoiser.denoise(cube.simulated.observed) for who, denoiser in denoisers.items()}
        error = _lines(measured[REFERENCE]).line("Halpha").error
        found[name] = {who: _Spaxels.of(cube, one, error) for who, one in measured.items()}
        log(f"{name}: " + ", ".join(f"{who} {_summary(one, '1–5')}" for who, one in found[name].items()))
    everything = {who: _Spaxels.stack([one[who] for one in found.values()]) for who in denoisers}
    galaxies = {name: {who: _scores(one) for who, one in by_who.items()} for name, by_who in found.items()}
    return {
        "settings": asdict(settings),
        "all": {who: _scores(one) for who, one in everything.items()},
        "galaxies": galaxies,
    }


def _galaxy(library: SspLibrary, settings: CubeGasSettings, name: str) -> GalaxyCube:
    rng = stream("gas of cubes", settings.seed, [*WORLDS].index(name))
    setup = settings.setup(rng, settings.snr)  # before the galaxy is drawn from the same stream
    return simulate_cube(library, world(name, rng, gas=True), setup, rng)


@dataclass(frozen=True, eq=False)
class _Spaxels(BySpectrum):
    """Hα and the motion of gas in spaxels, each (n,).

    snr        true flux over the error of the spaxel by itself
    flux       estimate − truth, and stated error, over that error, (n, 2)
    velocity   estimate − truth, and stated error, km/s, (n, 2)
    width      the same of ln σ
    seen       estimate over stated error
    """

    snr: FloatArray
    flux: FloatArray
    velocity: FloatArray
    width: FloatArray
    seen: FloatArray

    @classmethod
    def of(cls, cube: GalaxyCube, denoised: Denoised, error: FloatArray) -> _Spaxels:
        lines, truth = _lines(denoised), cube.simulated.parameters
        line = lines.line("Halpha")
        own = cube.observed_spaxels & ~cube.foreign() & np.isfinite(line.flux) & np.isfinite(error)
        own &= error < _SPOILT * np.median(error[own])
        sigma, sigma_error = lines.sigma.T
        every = cls(
            snr=truth["halpha"] / error,
            flux=np.stack([line.flux - truth["halpha"], line.error], axis=1) / error[:, None],
            velocity=np.stack([lines.velocity[:, 0] - truth["gas_velocity"], lines.velocity[:, 1]], axis=1),
            width=np.stack([np.log(sigma / truth["gas_sigma"]), sigma_error / sigma], axis=1),
            seen=line.flux / line.error,
        )
        return every[own]

    def group(self, name: str) -> _Spaxels:
        low, high = (-np.inf, _BARE) if name == _NONE else _GROUPS[name]
        return self[(self.snr > max(low, -np.inf if name == _NONE else _BARE)) & (self.snr <= high)]


def _lines(denoised: Denoised) -> LinePosterior:
    assert denoised.lines is not None
    return denoised.lines


def _scores(spaxels: _Spaxels) -> dict[str, Any]:
    scores: dict[str, Any] = {name: _of_group(spaxels.group(name)) for name in _GROUPS}
    bare = spaxels.group(_NONE)
    return scores | {
        _NONE: {
            "spaxels": len(bare.snr),
            "mean S/N": _rounded(np.mean, bare.seen),
            "rms S/N": _rounded(_rms, bare.seen),
            "false": _rounded(np.mean, np.abs(bare.seen) > _FALSE),
        }
    }


def _of_group(group: _Spaxels) -> dict[str, Any]:
    scores: dict[str, Any] = {"spaxels": len(group.snr), "mean pull of the flux": _rounded(np.mean, _pulls(group.flux))}
    for name, values in (("flux", group.flux), ("velocity", group.velocity), ("width", group.width)):
        scores[name] = {
            "rms": _rounded(_rms, values[:, 0]),
            "stated": _rounded(_rms, values[:, 1]),
            "inside 68 %": _rounded(np.mean, np.abs(_pulls(values)) < 1),
        }
    return scores


def _pulls(values: FloatArray) -> FloatArray:
    return np.asarray(values[:, 0] / values[:, 1])


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _rounded(what: Callable[[Any], Any], values: FloatArray | BoolArray) -> float | None:
    """To four digits; None of nothing."""
    return float(f"{float(what(values)):.4g}") if len(values) else None


def _summary(spaxels: _Spaxels, group: str) -> str:
    one = _of_group(spaxels.group(group))
    return f"{one['spaxels']} spaxels, V {one['velocity']['rms']} km/s, flux {one['flux']['rms']}"


def cube_gas_tables(content: dict[str, Any]) -> Iterator[Table]:
    """Tabulate the study.

    Parameters
    ----------
    content : dict
        From `cube_gas_study`.

    Yields
    ------
    rich.table.Table
        Scores of all galaxies together by S/N of Hα, of each galaxy, and of spaxels without gas.
    """
    columns = (
        "spaxels",
        "V: rms",
        "stated",
        "inside",
        "Hα: rms",
        "stated",
        "mean pull",
        "inside",
        "ln σ: rms",
        "inside",
    )
    yield _table("All galaxies, by S/N of Hα", columns, content["all"], list(_GROUPS))
    for name, found in content["galaxies"].items():
        yield _table(name, columns, found, ["1–5"])
    yield _table(_NONE, ("spaxels", "mean S/N", "rms S/N", "|S/N| > 3"), content["all"], [_NONE])


def _table(title: str, columns: Sequence[str], found: dict[str, Any], groups: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("S/N of Hα", "contender", *columns):
        table.add_column(column)
    for group in groups:
        for who, scores in found.items():
            one = scores[group]
            table.add_row(group, who, *map(_cell, one.values() if group == _NONE else _row(one)))
    return table


def _row(one: dict[str, Any]) -> list[float | None]:
    velocity, flux, width = one["velocity"], one["flux"], one["width"]
    return [
        one["spaxels"], *velocity.values(), flux["rms"], flux["stated"], one["mean pull of the flux"],
        flux["inside 68 %"], width["rms"], width["inside 68 %"],
    ]  # fmt: skip


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
