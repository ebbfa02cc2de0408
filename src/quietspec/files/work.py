"""The way from a file to a file, whatever is made of its spectra: read by tiles, compute, write whole, and report."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, fields, replace
from enum import IntFlag
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import FloatArray
from quietspec.denoisers import Denoiser
from quietspec.errors import ReadError
from quietspec.files.crew import Crew
from quietspec.files.settling import Settled, settled, tiles_of
from quietspec.io import SpectraSource, open_spectra
from quietspec.io.writing.options import WriteOptions
from quietspec.progress import Progress
from quietspec.spectra import Spectra

__all__ = ["Maker", "Report", "Settle", "Work", "finite_median", "flag_counts", "is_own", "process"]

Settle = Callable[[Denoiser], Settled]  #: `settled`, for the file at hand
Tile = TypeVar("Tile")
Made = TypeVar("Made", covariant=True)
AnyReport = TypeVar("AnyReport", bound="Report")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of one input.

    Parameters
    ----------
    inputs : tuple of str
        The file, or the arms of one object.
    output : str
        What was written; empty if nothing.
    model : str
        What made the results: name, and start of the hash of each model.
    choice : str
        Which spectra have another than the usual model, and why; empty where none has, or a model was named.
    n_spectra : int
        Number of spectra.
    failed : int
        Number of spectra without a result.
    flags : mapping of str to int
        Number of spectra that carry each flag, by its name.
    seconds : float
        Time from opening the input to the finished output.
    warnings : tuple of str
        What the reader found worth saying.
    figure : str
        What was drawn; empty if nothing.
    error : str
        Why nothing was written or drawn; empty if all is well.
    """

    inputs: tuple[str, ...]
    output: str = ""
    model: str = ""
    choice: str = ""
    n_spectra: int = 0
    failed: int = 0
    flags: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    figure: str = ""
    error: str = ""


class Maker(Protocol[Made]):
    """What makes the result of a tile."""

    def __call__(self, spectra: Spectra, progress: Progress | None = None, /) -> Made:
        """Compute a tile; `progress` is called with the number of its spectra that are done and their total."""
        ...


class Work(ABC, Generic[Tile, AnyReport]):
    """What is made of the spectra of one file. An instance serves for one file."""

    #: Class of the report.
    report: type[AnyReport]

    #: The denoiser, once it has seen the file; None without any.
    settled: Settled | None = None

    @abstractmethod
    def open_output(
        self, path: Path, source: SpectraSource, options: WriteOptions, settle: Settle
    ) -> AbstractContextManager[object]:
        """Context in which the output is filled; the file appears when the context ends without an exception.

        `settle` lets a denoiser see the whole file before its tiles.
        """

    def tiles(self, source: SpectraSource) -> tuple[int, Iterable[Spectra]]:
        """Number of spectra to compute, and the tiles that hold them, each with its rows as ``meta["rows"]``."""
        tiles = tiles_of(source)
        return source.n_spectra, tiles if self.settled is None else map(self.settled.informed, tiles)

    @property
    @abstractmethod
    def maker(self) -> Maker[Tile]:
        """What makes the result of a tile, once the output is open; threads may call it side by side."""

    @property
    @abstractmethod
    def sendable(self) -> bool:
        """Whether `maker` can be sent to other processes, which know the classes of quietspec."""

    @abstractmethod
    def put(self, tile: Tile, rows: slice) -> None:
        """Accept the result of the spectra `rows`, tile by tile in their order."""

    @abstractmethod
    def finish(self, source: SpectraSource) -> dict[str, Any]:
        """Complete the output, and return the fields of `report` that the result decides.

        Raises a `QuietspecError` where no spectrum has a result: better no file than one of NaN.
        """


def is_own(thing: object) -> bool:
    """Whether a thing is of a class of quietspec, which every process of this installation can import."""
    return type(thing).__module__.partition(".")[0] == __name__.partition(".")[0]


def process(
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    work: Work[Tile, AnyReport],
    *,
    workers: int | Crew = 0,
    progress: Progress | None = None,
    **options: Any,
) -> AnyReport:
    """Make one output of one file, or of the arms of one object.

    At most one tile per worker waits to be written, so that memory does not grow with the size of the input.

    Parameters
    ----------
    paths : sequence of path
        The file, or its arms.
    output : path
        The file to write; it appears whole or not at all.
    work : Work
        What to make.
    workers : int or Crew, optional
        Number of workers that compute tiles side by side while the main thread reads and writes: processes where the
        spectra are many, else threads; 0 computes one tile after the other. A `Crew` may have others as well.
    progress : callable, optional
        Called with the number of spectra done and their total.
    **options
        Fields of `quietspec.io.ReadOptions` and `quietspec.io.WriteOptions`.

    Returns
    -------
    Report
        Of the class that `work` names.

    Raises
    ------
    QuietspecError
        If the input cannot be read, none of its spectra has a result, or the output cannot be written; then nothing
        is left behind.
    """
    start = time.perf_counter()
    writing = {name: options.pop(name) for name in _WRITE_OPTIONS & options.keys()}
    path = Path(output)
    with open_spectra(*paths, **options) as source:
        _require_original(source)
        source.hash_inputs()
        crew = workers if isinstance(workers, Crew) else Crew(workers)
        settle = partial(settled, source=source, crew=crew, progress=progress)
        with work.open_output(path, source, WriteOptions(**writing), settle):
            if work.settled is not None:
                progress = work.settled.over_last_reading(progress)
            n_spectra, tiles = work.tiles(source)
            # Only tiles that are computed one after the other can tell how far all of them are.
            here = _Placed(work.maker, n_spectra, None if crew.size else progress)
            elsewhere = replace(here, progress=None) if work.sendable else None
            # A worker has one thread: those of the linear-algebra library would get in each other's way.
            with threadpool_limits(limits=1), closing(crew.map(here, tiles, n_spectra, elsewhere)) as results:
                for rows, tile in results:
                    work.put(tile, rows)
                    if progress is not None:
                        progress(rows.stop, n_spectra)
            source.require_unchanged()
            facts = work.finish(source)
        return work.report(
            inputs=tuple(str(path) for path in paths),
            output=str(path),
            n_spectra=n_spectra,
            seconds=time.perf_counter() - start,
            warnings=tuple(source.meta["warnings"]),
            **facts,
        )


def _require_original(source: SpectraSource) -> None:
    if source.meta.get("denoised"):
        raise ReadError(
            f"{', '.join(map(str, source.paths))}: was denoised by quietspec already. To do it again would take the "
            "model for data, and promise errors far too small. Give the original file."
        )


_WRITE_OPTIONS = {each.name for each in fields(WriteOptions)}


@dataclass(frozen=True)
class _Placed(Generic[Tile]):
    """Makes the result of a tile of `n_spectra`, and says which of them it is of."""

    maker: Maker[Tile]
    n_spectra: int
    progress: Progress | None = None

    def __call__(self, spectra: Spectra) -> tuple[slice, Tile]:
        rows: slice = spectra.meta["rows"]
        return rows, self.maker(spectra, _shifted(self.progress, rows.start, self.n_spectra))


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda some, _: progress(done + some, total)


def flag_counts(flags: npt.NDArray[np.integer[Any]], kinds: type[IntFlag]) -> dict[str, int]:
    """Count the spectra that carry each flag; flags that none carries are left out.

    Parameters
    ----------
    flags : (n_spectra,) of int
        Bits of `kinds`.
    kinds : type of IntFlag
        What the bits mean.

    Returns
    -------
    dict of str to int
        Number of spectra by the flag's name.
    """
    counts = {kind.name or "": int(np.sum(flags & kind != 0)) for kind in kinds if kind}
    return {name: count for name, count in counts.items() if count}


def finite_median(values: FloatArray) -> float:
    """Median of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
