"""The benchmark: one cube, on which everything is timed in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from quietspec.denoisers import Denoiser, KinematicPosterior, SpectralPrior, load_prior
from quietspec.errors import QuietspecError
from quietspec.lab.bench.child import Measured, in_child
from quietspec.lab.bench.contenders import CONTENDERS, Speed, absent, sample
from quietspec.lab.bench.cost import Cost, cost_of
from quietspec.lab.bench.machine import measured_rates
from quietspec.lab.bench.profile import profile_of
from quietspec.lab.bench.whole_files import WAYS, from_file
from quietspec.lab.machine import machine
from quietspec.lab.simulate.cubes import SimulatedCube
from quietspec.templates import SspLibrary

__all__ = ["BenchOptions", "run_bench"]

_SHARES = (1 / 3, 2 / 3)  # of the full side, in the smaller cubes that show how time grows
_COMPONENTS = (8, 16)  # numbers of basis components that are timed beside all
_PARALLEL = ("ppxf-parallel",)  # contenders whose processor time in other processes is not known
_PIXELS = (1 / 3, 2 / 3)  # shares of a spectrum's pixels that are timed beside all


@dataclass(frozen=True)
class BenchOptions:
    """How much is measured.

    Parameters
    ----------
    side : int
        Spaxels along each side of the cube.
    spectra : int
        Most spectra on which the contenders are timed.
    workers : int
        Workers of the posterior, from file to file; all cores if 0.
    redshift : float
        Redshift of the simulated galaxy.
    seed : int
        Seed of the cube.
    contenders : tuple of str
        Names in `CONTENDERS` of those that are timed.
    files : tuple of str
        Names in `WAYS` of what is done with the largest cube from file to file, beside denoising it.
    """

    side: int = 120
    spectra: int = 1024
    workers: int = 0
    redshift: float = 0.03
    seed: int = 0
    contenders: tuple[str, ...] = tuple(CONTENDERS)
    files: tuple[str, ...] = tuple(WAYS)

    @property
    def n_workers(self) -> int:
        """Workers of the posterior."""
        return self.workers or os.cpu_count() or 1


def run_bench(
    library: SspLibrary, options: BenchOptions | None = None, log: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Time the posterior from file to file and in memory, and other methods on the same spectra.

    Parameters
    ----------
    library : SspLibrary
        Templates of the simulated cube.
    options : BenchOptions, optional
        How much is measured.
    log : callable, optional
        Called with a line of text at each step.

    Returns
    -------
    dict
        JSON types; ``docs/formats.md`` lists the keys.

    Raises
    ------
    QuietspecError
        If a contender is unknown, or a measurement fails; what is not installed is reported as absent.
    """
    options = options or BenchOptions()
    for kind, named, known in (("contender", options.contenders, CONTENDERS), ("way", options.files, WAYS)):
        if unknown := set(named) - set(known):
            raise QuietspecError(f"no {kind} {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    with tempfile.TemporaryDirectory() as folder:
        cubes = _cubes(library, options, Path(folder), log)
        growth = _growth(cubes, options, log)
        # The middle one, in which two workers are processes, as in cubes that matter.
        alone = _from_file("posterior-file", cubes[1], options, 1, log)
        whole = {"posterior-file": growth[-1]} | {
            way: _from_file(way, cubes[-1], options, options.n_workers, log)
            for way in options.files
            if way != "posterior-file"
        }
        speeds, missing = _contenders(cubes[-1], options, log)
        log("scaling and profile")
        scaling = in_child(_scaling, cubes[-1], options).value
        steps = in_child(profile_of, cubes[-1], options.redshift, options.spectra).value
        cost = cost_of(_posterior(), sample(cubes[-1], options.redshift, options.spectra))
    return {
        "machine": machine(),
        "options": asdict(options) | {"workers": options.n_workers},
        **_rates(whole, speeds),
        "absent": missing,
        "cube": [growth[-1].value["n_pixels"], options.side, options.side],
        "files": {way: _point(one) for way, one in whole.items()},
        "scaling": {
            "spectra": [_point(one) for one in growth],
            "workers": {"1": _point(alone), str(options.n_workers): _point(growth[1])},
            **scaling,
        },
        "profile_ms": steps,
        **_floor(growth[-1], cost),
    }


def _cubes(library: SspLibrary, options: BenchOptions, folder: Path, log: Callable[[str], None]) -> list[Path]:
    """Write cubes of growing size; the last is the one that is timed."""
    cubes = []
    for number, share in enumerate((*_SHARES, 1)):
        side = max(2, round(share * options.side))
        log(f"writing a cube of {side} × {side} spaxels")
        cubes.append(folder / f"cube{number}.fits")
        in_child(_write, library, cubes[-1], side, options)
    return cubes


def _growth(cubes: list[Path], options: BenchOptions, log: Callable[[str], None]) -> list[Measured]:
    """Denoise every cube from file to file."""
    return [_from_file("posterior-file", path, options, options.n_workers, log) for path in cubes]


def _from_file(way: str, path: Path, options: BenchOptions, workers: int, log: Callable[[str], None]) -> Measured:
    log(f"{way} of {path.name}, {'1 worker' if workers == 1 else f'{workers} workers'}")
    return in_child(from_file, way, path, options.redshift, workers)


def _contenders(
    path: Path, options: BenchOptions, log: Callable[[str], None]
) -> tuple[dict[str, Speed], dict[str, str]]:
    """Speeds by name, and why others have none."""
    reasons = {name: absent(name) for name in options.contenders}
    speeds: dict[str, Speed] = {}
    for name in (name for name, why in reasons.items() if why is None):
        log(f"timing {name}")
        speeds[name] = in_child(CONTENDERS[name], path, options.redshift, options.spectra).value
    return speeds, {name: why for name, why in reasons.items() if why is not None}


def _rates(whole: dict[str, Measured], speeds: dict[str, Speed]) -> dict[str, dict[str, float]]:
    """Spectra per second and processor time of all, and their ratios to those of the posterior from file to file."""
    found = {way: _speed_of(one) for way, one in whole.items()} | speeds
    posterior = found["posterior-file"]
    others = {name: one for name, one in found.items() if name != "posterior-file"}
    return {
        "spectra_per_second": {name: one.per_second for name, one in found.items()},
        "cpu_ms": {name: one.cpu_ms for name, one in found.items()},
        "ratios": {name: posterior.per_second / one.per_second for name, one in others.items()},
        "cpu_ratios": {name: one.cpu_ms / posterior.cpu_ms for name, one in others.items() if name not in _PARALLEL},
    }


def _speed_of(measured: Measured) -> Speed:
    n = measured.value["n_spectra"]
    return Speed(n / measured.value["seconds"], 1e3 * measured.cpu_seconds / n)


def _floor(whole: Measured, cost: Cost) -> dict[str, Any]:
    """What the posterior must do, how fast the machine is at best, and how far from that the posterior is."""
    rates = measured_rates()
    floor = cost.floor(rates)
    busy = whole.cpu_seconds / whole.value["n_spectra"]
    return {"cost": cost.to_dict(), "rates": asdict(rates), "floor_seconds": floor, "floor_ratio": busy / floor}


def _write(library: SspLibrary, path: Path, side: int, options: BenchOptions) -> None:
    SimulatedCube.draw(library, (side, side), seed=options.seed, redshift=options.redshift).write(path)


def _point(measured: Measured) -> dict[str, Any]:
    return {
        "n_spectra": measured.value["n_spectra"],
        "seconds": measured.value["seconds"],
        "cpu_seconds": measured.cpu_seconds,
        "peak_rss_bytes": measured.peak_rss_bytes,
        "peak_worker_bytes": measured.peak_child_bytes,
    }


def _posterior() -> KinematicPosterior:
    return KinematicPosterior("posterior", load_prior("survey"))


def _scaling(path: Path, options: BenchOptions) -> dict[str, Any]:
    """Milliseconds per spectrum in memory, by number of pixels and of basis components, in one thread."""
    spectra = sample(path, options.redshift, options.spectra // 2)

    def cost(denoiser: Denoiser, low: float = 0.0, high: float = 1e9) -> float:
        some = spectra.between(low, high)
        denoiser.denoise(some[:32])
        start = time.process_time()
        denoiser.denoise(some)
        return 1e3 * (time.process_time() - start) / len(some)

    denoiser, prior = _posterior(), load_prior("survey")
    covered = spectra.wavelength[spectra.wavelength < prior.wavelength[-1] * (1 + options.redshift)]
    with threadpool_limits(limits=1):
        ends = [covered[int(share * len(covered)) - 1] for share in (*_PIXELS, 1)]
        pixels = [{"n_pixels": int((covered <= end).sum()), "ms": cost(denoiser, high=float(end))} for end in ends]
        sizes = [*(size for size in _COMPONENTS if size < prior.n_components), prior.n_components]
        components = [
            {"n_components": size, "ms": cost(KinematicPosterior("posterior", _truncated(prior, size)))}
            for size in sizes
        ]
    return {"pixels": pixels, "components": components}


def _truncated(prior: SpectralPrior, size: int) -> SpectralPrior:
    """The prior's marginal over its first components."""
    return replace(
        prior,
        components=prior.components[:size],
        means=prior.means[:, :size],
        covariances=prior.covariances[:, :size, :size],
        slopes=prior.slopes[:, :, :size],
    )
