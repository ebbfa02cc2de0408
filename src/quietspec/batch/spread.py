"""The tiles of one large cube, computed by all workers of the cluster while one of them reads and writes."""

from __future__ import annotations

import faulthandler
import time
from collections import Counter
from contextlib import nullcontext
from contextvars import copy_context
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from threadpoolctl import threadpool_limits

from quietspec import __version__
from quietspec.batch.leftovers import crash_noted, crash_report
from quietspec.batch.memory import keep_freed_memory
from quietspec.errors import BatchError, WriteError
from quietspec.files.workers import Compute, answer
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    from distributed import Future

__all__ = ["Spread"]

_TRIES = 3  # attempts at a tile whose workers die
_FIRST = 1  # priority over cubes that wait, so that what is begun is finished first


class Spread:
    """The workers of the cluster to which this one belongs, as those who compute the tiles of its cube.

    A tile and what computes it stay in the memory of this worker, from which the others fetch them: they do not pass
    through the scheduler. Left to itself, the scheduler would send every tile to this worker, which holds the data.
    Each tile is therefore given to the worker with the fewest. The task of the cube gives up its slot, so that this
    worker takes tiles, too.

    Parameters
    ----------
    folder : Path
        Folder of the outputs.
    output : str
        Name of the cube's output.
    compute : callable
        Makes the result of a tile.
    """

    def __init__(self, folder: Path, output: str, compute: Compute) -> None:
        self._folder, self._output, self._compute = folder, output, compute
        self._under_way: dict[Future[Any], str] = {}  # with the workers that they were given to
        self._lock = Lock()
        self._killed = False
        self.size = 1  #: tiles that the workers can compute side by side

    def __enter__(self) -> Self:
        from distributed import get_client, secede

        self._client = get_client()
        self.size = sum(self._client.nthreads().values())
        self._context = copy_context()  # in which Dask knows that this process is a worker
        self._shared = self._scatter(self._compute)
        secede()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.release()

    def __call__(self, spectra: Spectra) -> Any:
        """Compute a tile on any worker, and on another one if that worker dies.

        Parameters
        ----------
        spectra : Spectra
            The tile.

        Returns
        -------
        object
            Its result.

        Raises
        ------
        WriteError
            If the tile has lost as many workers as it may.
        Exception
            Whatever went wrong as it was computed.
        """
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        rows: slice = spectra.meta["rows"]
        note = f"{self._output}.{rows.start}"
        data = self._scatter(spectra)
        for _ in range(_TRIES):
            try:
                result, error = self._ask(data, note)
            except KilledWorker as death:
                crash, worker = crash_report(self._folder, note), death.last_worker.address
                continue
            except FutureCancelledError:
                if self._killed:
                    raise
                # The scheduler took whoever holds the tile for dead, as it does where processes wait for long.
                data, self._shared = self._scatter(spectra), self._scatter(self._compute)
                crash, worker = crash_report(self._folder, note), "the scheduler"
                continue
            if error is not None:
                raise error
            return result
        cause = f"crashed ({crash})" if crash else "were killed from outside, perhaps because memory ran out"
        raise WriteError(
            f"{self._output}: spectra {rows.start} to {rows.stop - 1}: {_TRIES} processes that were to denoise them "
            f"{cause}; see the log of {worker}"
        )

    def kill(self) -> None:
        """Have no more tiles computed."""
        with self._lock:
            self._killed = True
            self._client.cancel(list(self._under_way))

    def _ask(self, data: Future[Any], note: str) -> tuple[Any, Exception | None]:
        with self._lock:
            if self._killed:
                raise BatchError(f"{self._output}: the cube was given up; its other tiles are no longer wanted.")
            worker = self._idlest()
            future: Future[Any] = self._client.submit(
                _computed, __version__, self._shared, data, self._folder, note,
                key=(f"tile-{self._output}", f"{note}-{time.monotonic_ns()}"), pure=False, priority=_FIRST,
                workers=[worker], allow_other_workers=True,
            )  # fmt: skip
            self._under_way[future] = worker
        try:
            answered: tuple[Any, Exception | None] = future.result()
            return answered
        finally:
            with self._lock:
                self._under_way.pop(future)

    def _idlest(self) -> str:
        """Address of the worker that has the fewest of our tiles for its threads."""
        given, threads = Counter(self._under_way.values()), self._client.nthreads()
        address: str = min(threads, key=lambda worker: given[worker] / threads[worker])
        return address

    def _scatter(self, thing: Any) -> Future[Any]:
        """Keep an object in the memory of this worker for others to fetch; may be called from any thread."""
        future: Future[Any] = self._context.copy().run(self._client.scatter, thing, hash=False)
        return future


def _computed(
    version: str, compute: Compute, spectra: Spectra, folder: Path, note: str
) -> tuple[Any, Exception | None]:
    """Compute a tile; a fault of compiled code is noted, unless this process notes those of its own cube."""
    if version != __version__:
        other = f"a worker has quietspec {__version__}, another {version}. Install the same release everywhere."
        return None, BatchError(other)
    keep_freed_memory()
    noted = nullcontext() if faulthandler.is_enabled() else crash_noted(folder, note)
    with noted, threadpool_limits(limits=1):
        return answer(compute, spectra)
