"""The benchmark: one cube, and everything timed on it in one run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quietspec.benchmarking.child import Measured, in_child
from quietspec.benchmarking.contenders import CONTENDERS, absent, sample
from quietspec.benchmarking.cost import cost_of
from quietspec.benchmarking.machine import machine, measured_rates
from quietspec.benchmarking.profile import profile_of
from quietspec.denoisers import Denoiser, Posterior, SpectralPrior, load_denoiser, load_prior
from quietspec.errors import QuietspecError
from quietspec.pipeline import denoise_file
from quietspec.simulate.cubes import SimulatedCube
from quietspec.templates import SspLibrary

__all__ = ["BenchOptions", "run_bench"]

_SHARES = (1 / 3, 2 / 3)  # of the field's side, in the cubes that show how time grows
_COMPONENTS = (16, 32)  # of the prior's basis, beside all
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
        rates, missing = _contenders(cubes[-1], options, say)
        say("scaling and profile")
        scaling = in_child(_scaling, cubes[-1], options).value
        steps = in_child(profile_of, cubes[-1], options.redshift, options.spectra).value
        cost = cost_of(_posterior(), sample(cubes[-1], options.redshift, options.spectra))
    whole = growth[-1]
    speed = whole.value["n_spectra"] / whole.value["seconds"]
    best = measured_rates()
    floor = cost.floor(best)
    return {
        "machine": machine(),
        "options": asdict(options) | {"workers": workers},
        "spectra_per_second": {"posterior-file": speed} | rates,
        "absent": missing,
        "ratios": {name: speed / rate for name, rate in rates.items()},
        "cube": {
            "shape": [whole.value["n_pixels"], options.side, options.side],
            "seconds": whole.value["seconds"],
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
        "floor_ratio": workers / speed / floor,
    }


def _contenders(
    path: Path, options: BenchOptions, say: Callable[[str], None]
) -> tuple[dict[str, float], dict[str, str]]:
    """Spectra a second by name, and why others have none."""
    rates: dict[str, float] = {}
    missing: dict[str, str] = {}
    for name in options.contenders:
        why = absent(name)
        if why is not None:
            missing[name] = why
            continue
        say(f"timing {name}")
        rates[name] = in_child(CONTENDERS[name], path, options.redshift, options.spectra).value
    return rates, missing


def _write(library: SspLibrary, path: Path, side: int, options: BenchOptions) -> None:
    SimulatedCube.draw(library, (side, side), seed=options.seed, redshift=options.redshift).write(path)


def _denoise(path: Path, redshift: float, workers: int) -> dict[str, Any]:
    output = path.with_name(f"denoised_{path.name}")
    try:
        report, _ = denoise_file([path], output, load_denoiser("posterior"), workers=workers, redshift=redshift)
        with_pixels = sample(path, redshift, 1).n_pixels
    finally:
        output.unlink(missing_ok=True)
    return {"n_spectra": report.n_spectra, "n_pixels": with_pixels, "seconds": report.seconds}


def _point(measured: Measured) -> dict[str, Any]:
    return {
        "n_spectra": measured.value["n_spectra"],
        "seconds": measured.value["seconds"],
        "peak_rss_bytes": measured.peak_rss_bytes,
    }


def _posterior() -> Posterior:
    return Posterior("posterior", load_prior("survey"))


def _scaling(path: Path, options: BenchOptions) -> dict[str, Any]:
    """Milliseconds a spectrum in memory, by number of pixels and of components of the basis, in one thread."""
    import time

    from threadpoolctl import threadpool_limits

    spectra = sample(path, options.redshift, options.spectra // 2)

    def cost(denoiser: Denoiser, low: float = 0.0, high: float = 1e9) -> float:
        some = spectra.between(low, high)
        denoiser.denoise(some[:32])
        start = time.perf_counter()
        denoiser.denoise(some)
        return 1e3 * (time.perf_counter() - start) / len(some)

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
