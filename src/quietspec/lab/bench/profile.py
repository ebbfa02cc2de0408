"""Where the time of a posterior goes, step by step."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from quietspec.denoisers import KinematicPosterior, load_denoiser
from quietspec.denoisers.posterior.compression import compress
from quietspec.denoisers.posterior.conditioning import expand_residual, predict
from quietspec.denoisers.posterior.diagnosis import diagnose, measure
from quietspec.denoisers.posterior.inference import infer
from quietspec.denoisers.posterior.kinematic_fit import BatchFit
from quietspec.denoisers.posterior.steps import first_fit, last_fit
from quietspec.denoisers.posterior.velocity_scan import VelocityScan
from quietspec.io.writing.writer import WritableTile
from quietspec.lab.bench.contenders import sample

__all__ = ["profile_of"]

_Function = Callable[..., Any]
_MADE_READY = WritableTile.of.__func__  # type: ignore[attr-defined]
_WEIGHTS = (compress, expand_residual, predict)
# Steps: functions whose time they take, and functions called by these whose time they do not.
_STEPS: dict[str, tuple[tuple[_Function, ...], tuple[_Function, ...]]] = {
    "scan of motions": ((VelocityScan.__call__,), ()),
    "gas and spikes": ((BatchFit._first_look, first_fit), (VelocityScan.__call__,)),
    "last fit": ((last_fit,), ()),
    "weights of the mixture": (_WEIGHTS, ()),
    "moments of the mixture": ((infer,), _WEIGHTS),
    "errors of pixels": ((BatchFit.solution,), ()),
    "diagnosis": ((measure, diagnose), ()),
    "made ready to write": ((_MADE_READY,), ()),
}


def profile_of(path: Path, redshift: float, n: int) -> dict[str, float]:
    """Profile the posterior denoiser on spectra of a cube, in one thread.

    Parameters
    ----------
    path : Path
        The cube.
    redshift : float
        Redshift of its galaxy.
    n : int
        Number of spectra.

    Returns
    -------
    dict of str to float
        Milliseconds of processor time per spectrum by step; ``rest`` is what belongs to no step.
    """
    denoiser, spectra = load_denoiser("posterior", "survey"), sample(path, redshift, n)
    with threadpool_limits(limits=1):
        denoiser.denoise(spectra[: n // 2])
        profiler = cProfile.Profile(time.process_time)
        profiler.enable()
        WritableTile.of(denoiser.denoise(spectra))
        profiler.disable()
    stats: dict[tuple[str, int, str], tuple[Any, ...]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]

    def milliseconds(functions: tuple[_Function, ...]) -> float:
        """Cumulative time per spectrum; 0 for a function that was not called."""
        codes = [function.__code__ for function in functions]
        keys = [(code.co_filename, code.co_firstlineno, code.co_name) for code in codes]
        return 1e3 / len(spectra) * sum(float(stats[key][3]) for key in keys if key in stats)

    steps = {name: milliseconds(own) - milliseconds(others) for name, (own, others) in _STEPS.items()}
    return steps | {"rest": milliseconds((KinematicPosterior.denoise, _MADE_READY)) - sum(steps.values())}
