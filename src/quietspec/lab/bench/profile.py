"""Where a posterior's time goes, step by step."""

from __future__ import annotations

import cProfile
import pstats
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from quietspec.denoisers import load_denoiser
from quietspec.io.writing.writer import WritableTile
from quietspec.lab.bench.contenders import sample

__all__ = ["profile_of"]

_WEIGHTS = (("inference.py", "_compressed"), ("inference.py", "expand"), ("inference.py", "compare"))

#: Steps, and the functions whose time they take: (file, function), less those of the second list.
_STEPS: dict[str, tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]] = {
    "gas and spikes: fits": ((("posterior.py", "_fit"), ("posterior.py", "_first_fit")), ()),
    "gas and spikes: search": (
        (("posterior.py", "_contamination"),),
        (("posterior.py", "_fit"), ("posterior.py", "_first_fit")),
    ),
    "last fit": ((("posterior.py", "_solve"),), (("inference.py", "infer"),)),
    "weights of the mixture": (_WEIGHTS, ()),
    "moments of the mixture": ((("inference.py", "infer"),), _WEIGHTS),
    "discrepancy and errors of pixels": ((("posterior.py", "_followed"), ("results.py", "store")), ()),
    "diagnosis": ((("diagnosis.py", "measure"), ("diagnosis.py", "diagnose")), ()),
    "made ready to write": ((("writer.py", "of"),), ()),
}


def profile_of(path: Path, redshift: float, n: int) -> dict[str, float]:
    """Profile the posterior denoiser on spectra of a cube, in one thread.

    Parameters
    ----------
    path : path
        The cube.
    redshift : float
        Of its galaxy.
    n : int
        Number of spectra.

    Returns
    -------
    dict of str to float
        Milliseconds of processor time a spectrum by step; ``rest`` is what no step has.
    """
    denoiser, spectra = load_denoiser("posterior"), sample(path, redshift, n)
    with threadpool_limits(limits=1):
        denoiser.denoise(spectra[: n // 2])
        profiler = cProfile.Profile(time.process_time)
        profiler.enable()
        WritableTile.of(denoiser.denoise(spectra))
        profiler.disable()
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    cumulative: dict[tuple[str, str], float] = {}
    for (file, _, function), (_, _, _, seconds, _) in stats.items():
        key = (Path(file).name, function)
        cumulative[key] = cumulative.get(key, 0.0) + seconds
    steps = {
        name: 1e3 / n * (sum(cumulative.get(key, 0) for key in own) - sum(cumulative.get(key, 0) for key in less))
        for name, (own, less) in _STEPS.items()
    }
    whole = 1e3 / n * (cumulative["posterior.py", "denoise"] + cumulative["writer.py", "of"])
    return steps | {"rest": whole - sum(steps.values())}
