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

from quietspec.denoisers import Denoiser, KinematicPosterior, SpectralPrior, load_denoiser, load_prior
from quietspec.errors import QuietspecError
from quietspec.files import denoise_file
from quietspec.lab.bench.child import Measured, in_child
from quietspec.lab.bench.contenders import CONTENDERS, Speed, absent, sample
from quietspec.lab.bench.cost import Cost, cost_of
from quietspec.lab.bench.machine import measured_rates
from quietspec.lab.bench.profile import profile_of
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
        Threads of the posterior; all cores if 0.
    redshift : float
        Redshift of the simulated galaxy.
    seed : int
        Seed of the cube.
    contenders : tuple of str
        Names in `CONTENDERS` of those that are timed.
    """

    side: int = 120
    spectra: int = 1024
    workers: int = 0
    redshift: float = 0.03
    seed: int = 0
    contenders: tuple[str, ...] = tuple(CONTENDERS)

    @property
    def n_workers(self) -> int:
        """Threads of the posterior."""
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
    if unknown := set(options.contenders) - set(CONTENDERS):
        raise QuietspecError(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}.")
    with tempfile.TemporaryDirectory() as folder:
        cubes = _cubes(library, options, Path(folder), log)
        files = _files(cubes, options, log)
        whole = files["growth"][-1]
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
        "cube": {"shape": [whole.value["n_pixels"], options.side, options.side], **_resources(whole)},
        "scaling": {
            "spectra": [_point(one) for one in files["growth"]],
            "workers": {"1": _point(files["alone"][0]), str(options.n_workers): _point(files["growth"][0])},
            **scaling,
        },
        "profile_ms": steps,
        **_floor(whole, cost),
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


def _files(cubes: list[Path], options: BenchOptions, log: Callable[[str], None]) -> dict[str, list[Measured]]:
    """Denoise every cube from file to file, and the smallest with one worker."""
    growth = []
    for number, path in enumerate(cubes, start=1):
        log(f"denoising cube {number} of {len(cubes)} with {options.n_workers} workers")
        growth.append(in_child(_denoise, path, options.redshift, options.n_workers))
    log("denoising the smallest with one worker")
    return {"growth": growth, "alone": [in_child(_denoise, cubes[0], options.redshift, 1)]}


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


def _rates(whole: Measured, speeds: dict[str, Speed]) -> dict[str, dict[str, float]]:
    """Spectra per second and processor time of all, and their ratios to those of the posterior from file to file."""
    speed = whole.value["n_spectra"] / whole.value["seconds"]
    busy = 1e3 * whole.value["cpu_seconds"] / whole.value["n_spectra"]
    return {
        "spectra_per_second": {"posterior-file": speed} | {name: one.per_second for name, one in speeds.items()},
        "cpu_ms": {"posterior-file": busy} | {name: one.cpu_ms for name, one in speeds.items()},
        "ratios": {name: speed / one.per_second for name, one in speeds.items()},
        "cpu_ratios": {name: one.cpu_ms / busy for name, one in speeds.items() if name not in _PARALLEL},
    }


def _floor(whole: Measured, cost: Cost) -> dict[str, Any]:
    """What the posterior must do, how fast the machine is at best, and how far from that the posterior is."""
    rates = measured_rates()
    floor = cost.floor(rates)
    busy = whole.value["cpu_seconds"] / whole.value["n_spectra"]
    return {"cost": cost.to_dict(), "rates": asdict(rates), "floor_seconds": floor, "floor_ratio": busy / floor}


def _write(library: SspLibrary, path: Path, side: int, options: BenchOptions) -> None:
    SimulatedCube.draw(library, (side, side), seed=options.seed, redshift=options.redshift).write(path)


def _denoise(path: Path, redshift: float, workers: int) -> dict[str, Any]:
    output = path.with_name(f"denoised_{path.name}")
    denoiser, before = load_denoiser("posterior", "survey"), time.process_time()
    try:
        report, _ = denoise_file([path], output, denoiser, workers=workers, redshift=redshift)
        busy = time.process_time() - before
    finally:
        output.unlink(missing_ok=True)
    n_pixels = sample(path, redshift, 1).n_pixels
    return {"n_spectra": report.n_spectra, "n_pixels": n_pixels, "seconds": report.seconds, "cpu_seconds": busy}


def _resources(measured: Measured) -> dict[str, Any]:
    return {
        "seconds": measured.value["seconds"],
        "cpu_seconds": measured.value["cpu_seconds"],
        "peak_rss_bytes": measured.peak_rss_bytes,
    }


def _point(measured: Measured) -> dict[str, Any]:
    return {"n_spectra": measured.value["n_spectra"], **_resources(measured)}


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
