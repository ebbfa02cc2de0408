"""Compute tiles in other processes of this machine.

A worker is a plain interpreter that reads pickles from one pipe and answers on another. It can therefore be started
from anywhere: it is not a fork of a process with threads, and does not run the main module again.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import local
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from threadpoolctl import threadpool_limits

from quietspec.errors import QuietspecError, WriteError
from quietspec.spectra import Spectra

__all__ = ["Compute", "Workers", "answer", "serve"]

Tile = TypeVar("Tile")
Compute = Callable[[Spectra], Any]

_EXIT = 10.0  # seconds that a worker has to end


class Workers(Generic[Tile]):
    """Processes that compute tiles, one for each thread that calls; started when they are needed.

    Parameters
    ----------
    compute : callable
        Makes the result of a tile. It is sent to the processes, and must be defined in a module they can import.
    size : int
        Number of threads that call.
    """

    def __init__(self, compute: Callable[[Spectra], Tile], size: int = 1) -> None:
        self.size = size
        self._compute = compute
        self._own = local()
        self._running: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._running:
            worker.end()

    def kill(self) -> None:
        """End the processes at once: nobody waits for their tiles any more."""
        for worker in self._running:
            worker.kill()

    def __call__(self, spectra: Spectra) -> Tile:
        """Compute a tile in the process of this thread.

        Parameters
        ----------
        spectra : Spectra
            The tile.

        Returns
        -------
        Tile
            Its result.

        Raises
        ------
        WriteError
            If the process has died.
        """
        try:
            result, error = self._worker().ask(spectra)
        except (EOFError, OSError, pickle.UnpicklingError) as cause:
            raise WriteError(
                "a worker process has ended before its work was done, as happens when the memory is used up. Give "
                "fewer workers; one worker needs no further process (--workers 1, workers=1)."
            ) from cause
        if error is not None:
            raise error
        computed: Tile = result
        return computed

    def _worker(self) -> _Worker:
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            self._own.worker = worker = _Worker()
            self._running.append(worker)
            worker.send(self._compute)
        return worker


class _Worker:
    """An interpreter that serves this process."""

    def __init__(self) -> None:
        known = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        read, answer = os.pipe()
        ask, write = os.pipe()
        code = f"from quietspec.files.workers import serve; serve({ask}, {answer})"
        self._process = subprocess.Popen([sys.executable, "-c", code], env=known, pass_fds=(ask, answer))
        os.close(ask)
        os.close(answer)
        self._questions, self._answers = os.fdopen(write, "wb"), os.fdopen(read, "rb")

    def send(self, thing: Any) -> None:
        pickle.dump(thing, self._questions, protocol=pickle.HIGHEST_PROTOCOL)
        self._questions.flush()

    def ask(self, thing: Any) -> Any:
        self.send(thing)
        return pickle.load(self._answers)  # noqa: S301  (from a process of our own)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        """End the process: it does so itself when its input ends."""
        for stream in (self._questions, self._answers):
            with suppress(OSError):  # it has died, and what was written last never arrived
                stream.close()
        try:
            self._process.wait(_EXIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(questions: int, answers: int) -> None:
    """Compute tiles for another process until it sends no more.

    Parameters
    ----------
    questions, answers : int
        Descriptors of the pipes to read from and to write to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's signal is meant for the process that asks
    with os.fdopen(questions, "rb") as source, os.fdopen(answers, "wb") as target, threadpool_limits(limits=1):
        compute = pickle.load(source)  # noqa: S301  (from the process that started this one)
        while True:
            try:
                spectra = pickle.load(source)  # noqa: S301  (likewise)
            except EOFError:
                return
            pickle.dump(answer(compute, spectra), target, protocol=pickle.HIGHEST_PROTOCOL)
            target.flush()


def answer(compute: Compute, spectra: Spectra) -> tuple[Any, Exception | None]:
    """Compute a tile for another process, to which not every exception can be sent.

    Parameters
    ----------
    compute : callable
        Makes the result of a tile.
    spectra : Spectra
        The tile.

    Returns
    -------
    result : object
        The result; None where there is an error.
    error : Exception or None
        What to raise where the tile was asked for.
    """
    try:
        return compute(spectra), None
    except (QuietspecError, MemoryError, OSError) as error:
        return None, error
    except Exception as error:  # noqa: BLE001  (it is raised where the tile was asked for)
        return None, RuntimeError(f"{type(error).__name__} in a worker: {error}")
