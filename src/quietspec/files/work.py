"""The way from a file to a file, whatever is made of its spectra: read by tiles, compute, write whole, and report."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, field, fields, replace
from enum import IntFlag
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from quietspec.arrays import FloatArray
from quietspec.denoisers import ByCoverage, Chosen, Denoiser, SpatialPosterior
from quietspec.denoisers.spatial import Together
from quietspec.errors import ReadError
from quietspec.files.workers import Compute, Crew
from quietspec.io import SpectraSource, open_spectra
from quietspec.io.writing.options import WriteOptions
from quietspec.progress import Progress
from quietspec.spectra import Spectra

__all__ = [
    "Report", "Settle", "Work", "explanation_of", "finite_median", "flag_counts", "is_own", "process", "settled",
    "without_spaxels",
]  # fmt: skip

TILE = 256  #: spectra computed at once; few enough that no worker waits long for the last
READINGS = 3  #: times that a file is read whose spaxels are denoised together

Settle = Callable[[Denoiser], Denoiser]  #: `settled`, for the file at hand
Tile = TypeVar("Tile")
Result = TypeVar("Result")
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


class Work(ABC, Generic[Tile, AnyReport]):
    """What is made of the spectra of one file. An instance serves for one file."""

    #: Class of the report.
    report: type[AnyReport]

    @abstractmethod
    def open_output(
        self, path: Path, source: SpectraSource, options: WriteOptions, settle: Settle
    ) -> AbstractContextManager[object]:
        """Context in which the output is filled; the file appears when the context ends without an exception.

        `settle` lets a denoiser see the whole file before its tiles.
        """

    @property
    def denoiser(self) -> Denoiser | None:
        """The denoiser, once it is settled; None without any."""
        return None

    def tiles(self, source: SpectraSource, progress: Progress | None) -> tuple[int, Iterable[Spectra]]:
        """Number of spectra to compute, and the tiles that hold them, each with its rows as ``meta["rows"]``."""
        tiles = source.tiles(TILE)
        return source.n_spectra, map(self.denoiser.informed, tiles) if isinstance(self.denoiser, Together) else tiles

    @abstractmethod
    def compute(self, spectra: Spectra, progress: Progress | None) -> Tile:
        """Compute the result of a tile, possibly in a thread beside those of other tiles."""

    @property
    def elsewhere(self) -> Callable[[Spectra], Tile] | None:
        """What computes a tile in another process, to which it can be sent; None where only this process can."""
        return None

    @abstractmethod
    def put(self, tile: Tile, rows: slice) -> None:
        """Accept the result of the spectra `rows`, tile by tile in their order."""

    @abstractmethod
    def finish(self, source: SpectraSource) -> dict[str, Any]:
        """Complete the output, and return the fields of `report` that the result decides.

        Raises a `QuietspecError` where no spectrum has a result: better no file than one of NaN.
        """


def settled(
    denoiser: Denoiser, source: SpectraSource, crew: Crew | None = None, progress: Progress | None = None
) -> Denoiser:
    """Let a denoiser that chooses among models, or learns a cube, do so for a whole file before its tiles.

    Parameters
    ----------
    denoiser : Denoiser
        Any.
    source : SpectraSource
        The file.
    crew : Crew, optional
        Who computes the tiles of which a cube is learned; this thread by default.
    progress : callable, optional
        Called with the number of spectra that are done, of as many as the file has.

    Returns
    -------
    Denoiser
        The same, unless it chooses or learns.
    """
    if isinstance(denoiser, SpatialPosterior):
        _require_image(source)
        readings = _Readings(source, progress)
        mapped = partial(_mapped, crew or Crew(), source.n_spectra)
        return denoiser.learned(readings, source.redshift, source.spatial_shape, mapped)
    if not isinstance(denoiser, ByCoverage):
        return denoiser
    return denoiser.settled(source.wavelength, source.redshift, source.medium)


@dataclass
class _Readings:
    """Reads a file anew whenever it is called, and says how far the readings are that a cube needs, the last apart."""

    source: SpectraSource
    progress: Progress | None
    done: int = 0

    def __call__(self) -> Iterator[Spectra]:
        for tile in self.source.tiles(TILE):
            yield tile
            self.done += len(tile)
            if self.progress is not None:
                self.progress(min(self.done // READINGS, self.source.n_spectra), self.source.n_spectra)


def without_spaxels(denoiser: Denoiser) -> Denoiser:
    """What can be sent to another process to denoise the tiles of `Work.tiles`."""
    return denoiser.knows_no_spaxels() if isinstance(denoiser, Together) else denoiser


def is_own(thing: object) -> bool:
    """Whether a thing is of a class of quietspec, which every process of this installation can import."""
    return type(thing).__module__.partition(".")[0] == __name__.partition(".")[0]


def explanation_of(denoiser: Denoiser | None) -> str:
    """Return why a settled denoiser has another than the usual model; empty where it does not."""
    return denoiser.explanation if isinstance(denoiser, Chosen) else ""


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
            if isinstance(work.denoiser, Together):
                progress = _last_reading(progress)
            n_spectra, tiles = work.tiles(source, progress)
            with closing(_computed(tiles, n_spectra, work, crew, progress)) as results:
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


def _require_image(source: SpectraSource) -> None:
    if source.spatial_shape is None:
        raise ReadError(
            f"{', '.join(map(str, source.paths))}: its spectra form no image, and have no neighbours to learn from. "
            "Leave out --spatial (spatial=False)."
        )


_WRITE_OPTIONS = {each.name for each in fields(WriteOptions)}


def _computed(
    tiles: Iterable[Spectra], n_spectra: int, work: Work[Tile, AnyReport], crew: Crew, progress: Progress | None
) -> Generator[tuple[slice, Tile]]:
    """Compute tiles; yield their rows and results in order."""
    with ExitStack() as resources:
        # A worker has one thread: those of the linear-algebra library would get in each other's way.
        resources.enter_context(threadpool_limits(limits=1))
        team = resources.enter_context(crew.team(work.elsewhere, n_spectra) or nullcontext())
        size = crew.size if team is None else team.size

        def compute(spectra: Spectra) -> tuple[slice, Tile]:
            rows: slice = spectra.meta.get("rows", slice(0, n_spectra))
            if team is not None:
                return rows, team(spectra)
            # Only tiles that are computed one after the other can tell how far all of them are.
            within = None if size else _shifted(progress, rows.start, n_spectra)
            return rows, work.compute(spectra, within)

        if size == 0:
            yield from map(compute, tiles)
        else:
            yield from _side_by_side(compute, tiles, size, () if team is None else (team.kill,))


def _side_by_side(
    compute: Callable[[Spectra], Result],
    tiles: Iterable[Spectra],
    workers: int,
    abandon: Iterable[Callable[[], None]],
) -> Iterator[Result]:
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for tile in tiles:
                waiting.append(pool.submit(compute, tile))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # an error, an interrupt, or whoever takes the results takes no more of them
            pool.shutdown(wait=False, cancel_futures=True)
            for end in abandon:
                end()
            raise


def _mapped(crew: Crew, n_spectra: int, compute: Compute, tiles: Iterable[Spectra]) -> Iterator[Any]:
    """Apply a function to tiles, side by side where workers of this machine do so; yield the results in order."""
    here = replace(crew, spread=None)
    with here.team(compute, n_spectra) or nullcontext() as team:
        if here.size == 0:
            yield from map(compute, tiles)
        else:
            yield from _side_by_side(team or compute, tiles, here.size, () if team is None else (team.kill,))


def _last_reading(progress: Progress | None) -> Progress | None:
    """Progress over the last of the readings of a file."""
    if progress is None:
        return None
    return lambda done, total: progress(((READINGS - 1) * total + done) // READINGS, total)


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
