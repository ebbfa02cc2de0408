"""The benchmark: one cube, and everything timed on it in one run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from quietspec.denoisers import Denoiser, Posterior, SpectralPrior, load_denoiser, load_prior
from quietspec.errors import QuietspecError
from quietspec.files import denoise_file
from quietspec.lab.bench.child import Measured, in_child
from quietspec.lab.bench.contenders import CONTENDERS, Speed, absent, sample
from quietspec.lab.bench.cost import cost_of
from quietspec.lab.bench.machine import machine, measured_rates
from quietspec.lab.bench.profile import profile_of
from quietspec.lab.simulate.cubes import SimulatedCube
from quietspec.templates import SspLibrary

__all__ = ["BenchOptions", "run_bench"]

_SHARES = (1 / 3, 2 / 3)  # of the field's side, in the cubes that show how time grows
_COMPONENTS = (16, 32)  # of the prior's basis, beside all
_PARALLEL = ("ppxf-parallel",)  # whose other processes' time is not known
_PIXELS = (1 / 3, 2 / 3)  # of a spectrum's pixels, beside all


@dataclass(frozen=True)
class BenchOptions:
    """How much is measured.

    Parameters
    ----------
    side : int
        Spaxels along each side of the cube.
    spectra : int
        Most spectra that those beside the posterior are timed on.
    workers : int
        Threads of the posterior; all cores if 0.
    redshift : float
        Of the simulated galaxy.
    seed : int
        Of the cube.
    contenders : tuple of str
        Who is timed, of `CONTENDERS`.
    """

    side: int = 120
    spectra: int = 1024
    workers: int = 0
    redshift: float = 0.03
    seed: int = 0
    contenders: tuple[str, ...] = tuple(CONTENDERS)


def run_bench(
    library: SspLibrary, options: BenchOptions | None = None, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Time the posterior from file to file and in memory, and others on the same spectra.

    Parameters
    ----------
    library : SspLibrary
        Of which the cube is made.
    options : BenchOptions, optional
        How much is measured.
    say : callable, optional
        Told what is going on.

    Returns
    -------
    dict
        JSON types; `docs/formats.md` lists the keys.

    Raises
    ------
    QuietspecError
        If a measurement fails; what is not installed is reported as absent.
    """
    options = options or BenchOptions()
    workers = options.workers or os.cpu_count() or 1
    if unknown := set(options.contenders) - set(CONTENDERS):
        raise QuietspecError(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(CONTENDERS)}.")
    with tempfile.TemporaryDirectory() as folder:
        cubes = [Path(folder) / f"cube{number}.fits" for number in range(len(_SHARES) + 1)]
        sides = [max(2, round(share * options.side)) for share in (*_SHARES, 1)]
        for path, side in zip(cubes, sides, strict=True):
            say(f"writing a cube of {side} × {side} spaxels")
            in_child(_write, library, path, side, options)
        growth = []
        for path, side in zip(cubes, sides, strict=True):
            say(f"denoising that of {side} × {side}, {workers} workers")
            growth.append(in_child(_denoise, path, options.redshift, workers))
        say("the same with one worker")
        alone = in_child(_denoise, cubes[0], options.redshift, 1)
        speeds, missing = _contenders(cubes[-1], options, say)
        say("scaling and profile")
        scaling = in_child(_scaling, cubes[-1], options).value
        steps = in_child(profile_of, cubes[-1], options.redshift, options.spectra).value
        cost = cost_of(_posterior(), sample(cubes[-1], options.redshift, options.spectra))
    whole = growth[-1]
    speed = whole.value["n_spectra"] / whole.value["seconds"]
    busy = whole.value["cpu_seconds"] / whole.value["n_spectra"]
    best = measured_rates()
    floor = cost.floor(best)
    return {
        "machine": machine(),
        "options": asdict(options) | {"workers": workers},
        "spectra_per_second": {"posterior-file": speed} | {name: one.per_second for name, one in speeds.items()},
        "cpu_ms": {"posterior-file": 1e3 * busy} | {name: one.cpu_ms for name, one in speeds.items()},
        "absent": missing,
        "ratios": {name: speed / one.per_second for name, one in speeds.items()},
        "cpu_ratios": {name: one.cpu_ms / (1e3 * busy) for name, one in speeds.items() if name not in _PARALLEL},
        "cube": {
            "shape": [whole.value["n_pixels"], options.side, options.side],
            "seconds": whole.value["seconds"],
            "cpu_seconds": whole.value["cpu_seconds"],
            "peak_rss_bytes": whole.peak_rss_bytes,
        },
        "scaling": {
            "spectra": [_point(one) for one in growth],
            "workers": {"1": _point(alone), str(workers): _point(growth[0])},
            **scaling,
        },
        "profile_ms": steps,
        "cost": cost.to_dict(),
        "rates": asdict(best),
        "floor_seconds": floor,
        "floor_ratio": busy / floor,
    }


def _contenders(
    path: Path, options: BenchOptions, say: Callable[[str], None]
) -> tuple[dict[str, Speed], dict[str, str]]:
    """Speeds by name, and why others have none."""
    speeds: dict[str, Speed] = {}
    missing: dict[str, str] = {}
    for name in options.contenders:
        why = absent(name)
        if why is not None:
            missing[name] = why
            continue
        say(f"timing {name}")
        speeds[name] = in_child(CONTENDERS[name], path, options.redshift, options.spectra).value
    return speeds, missing


def _write(library: SspLibrary, path: Path, side: int, options: BenchOptions) -> None:
    SimulatedCube.draw(library, (side, side), seed=options.seed, redshift=options.redshift).write(path)


def _denoise(path: Path, redshift: float, workers: int) -> dict[str, Any]:
    output = path.with_name(f"denoised_{path.name}")
    denoiser, before = load_denoiser("posterior"), time.process_time()
    try:
        report, _ = denoise_file([path], output, denoiser, workers=workers, redshift=redshift)
        busy = time.process_time() - before
    finally:
        output.unlink(missing_ok=True)
    n_pixels = sample(path, redshift, 1).n_pixels
    return {"n_spectra": report.n_spectra, "n_pixels": n_pixels, "seconds": report.seconds, "cpu_seconds": busy}


def _point(measured: Measured) -> dict[str, Any]:
    return {
        "n_spectra": measured.value["n_spectra"],
        "seconds": measured.value["seconds"],
        "cpu_seconds": measured.value["cpu_seconds"],
        "peak_rss_bytes": measured.peak_rss_bytes,
    }


def _posterior() -> Posterior:
    return Posterior("posterior", load_prior("survey"))


def _scaling(path: Path, options: BenchOptions) -> dict[str, Any]:
    """Milliseconds a spectrum in memory, by number of pixels and of components of the basis, in one thread."""
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
            {"n_components": size, "ms": cost(Posterior("posterior", _truncated(prior, size)))} for size in sizes
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
