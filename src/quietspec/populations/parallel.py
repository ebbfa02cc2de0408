"""Fits side by side in processes; a fit that kills its process costs one spectrum only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from quietspec.populations.ppxf_fit import FitResult, FitSetup, FitTask, fit_one
from quietspec.populations.result import PopulationFlag

__all__ = ["fit_all"]

_TASKS = 8  # spectra that a process takes at a time
_KILLED = "the process that fitted it died: out of memory, or a fault in a compiled library"


def fit_all(tasks: Sequence[FitTask], setup: FitSetup, jobs: int) -> Iterator[FitResult]:
    """Fit spectra, in order.

    Parameters
    ----------
    tasks : sequence of FitTask
        The spectra.
    setup : FitSetup
        What they share.
    jobs : int
        Number of processes; with 1 all fits are made in this process.

    Yields
    ------
    FitResult
        Result of each spectrum. After a process has died, the spectra it held are fitted one by one, and the one that
        kills its process fails.
    """
    if jobs == 1:
        yield from (fit_one(task, setup) for task in tasks)
        return
    from joblib.externals.loky.process_executor import BrokenProcessPool

    done = 0
    while done < len(tasks):
        try:
            for results in _batches(tasks[done:], setup, jobs):
                yield from results
                done += len(results)
        except BrokenProcessPool:
            suspects = tasks[done : done + _TASKS]
            yield from (_alone(task, setup) for task in suspects)
            done += len(suspects)


def _batches(tasks: Sequence[FitTask], setup: FitSetup, jobs: int) -> Iterator[list[FitResult]]:
    from joblib import Parallel, delayed

    batches = [list(tasks[start : start + _TASKS]) for start in range(0, len(tasks), _TASKS)]
    yield from Parallel(jobs, return_as="generator")(delayed(_fit_several)(batch, setup) for batch in batches)


def _fit_several(tasks: list[FitTask], setup: FitSetup) -> list[FitResult]:
    return [fit_one(task, setup) for task in tasks]


def _alone(task: FitTask, setup: FitSetup) -> FitResult:
    """Fit one spectrum in its own process."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        results: list[FitResult] = Parallel(2)([delayed(fit_one)(task, setup)])
    except BrokenProcessPool:
        return FitResult({}, {}, np.nan, int(PopulationFlag.FAILED), _KILLED, np.nan)
    return results[0]
