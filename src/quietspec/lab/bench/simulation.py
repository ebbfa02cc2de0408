"""Spectra simulated per second, noise included, by each recipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from quietspec.lab.simulate import INSTRUMENTS, PaperRecipe, SurveyRecipe
from quietspec.templates import SspLibrary

__all__ = ["simulation_speeds"]


def simulation_speeds(library: SspLibrary, n: int, threads: int, chunk: int = 1000) -> Iterator[tuple[str, float]]:
    """Time the recipes.

    Threads make chunks of spectra, each with its own random stream; linear algebra is held to one thread, so that the
    number of threads is the number of cores used.

    Parameters
    ----------
    library : SspLibrary
        Templates.
    n : int
        Number of spectra.
    threads : int
        Threads.
    chunk : int
        Spectra made at a time.

    Yields
    ------
    name : str
        Recipe, with the instrument where there is one.
    speed : float
        Spectra per second.
    """
    paper, survey = PaperRecipe(library), SurveyRecipe(library)
    makers: dict[str, Callable[[np.random.Generator], Any]] = {
        "paper": partial(paper.simulate, chunk),
        "survey, rest frame": partial(survey.rest, chunk),
        **{f"survey, {name}": partial(survey.simulate, chunk, instrument=name) for name in INSTRUMENTS},
    }
    with threadpool_limits(limits=1):
        for name, make in makers.items():
            yield name, _speed(make, n // chunk, threads) * chunk


def _speed(make: Callable[[np.random.Generator], Any], n_chunks: int, threads: int) -> float:
    """Chunks per second, after a first chunk that is not counted."""
    streams = [np.random.default_rng(seed) for seed in np.random.SeedSequence(1).spawn(n_chunks + 1)]
    make(streams[0])
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(make, streams[1:]):
            pass
    return n_chunks / (time.perf_counter() - start)
