"""Run a function in a process of its own, to measure its time and memory apart from all others."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from quietspec.errors import QuietspecError

__all__ = ["Measured", "in_child"]

_SELF, _CHILDREN = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN


@dataclass(frozen=True)
class Measured:
    """Result and cost of a function.

    Parameters
    ----------
    value : object
        What the function returned.
    seconds : float
        Its wall time, without the start of the process.
    cpu_seconds : float
        Its processor time, processes that it started and ended included.
    peak_rss_bytes : int
        Most memory that the process held, libraries included.
    peak_child_bytes : int
        The same of the largest process that it started; 0 if it started none.
    """

    value: Any
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    peak_child_bytes: int


def in_child(function: Callable[..., Any], *arguments: Any) -> Measured:
    """Call a function in a new process.

    Parameters
    ----------
    function : callable
        A function at the top level of a module; it and its arguments can be pickled.
    *arguments
        Its arguments.

    Returns
    -------
    Measured
        What it returned, and its cost.

    Raises
    ------
    QuietspecError
        If it raised, or its process died.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError as error:
        process.join()
        raise QuietspecError(f"{function.__name__}: its process exited with status {process.exitcode}.") from error
    finally:
        process.join()
        receiver.close()
    if isinstance(result, Measured):
        return result
    raise QuietspecError(f"{function.__name__}: {result}")


def _serve(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    start, busy = time.perf_counter(), _busy()
    try:
        value = function(*arguments)
    except Exception as error:  # noqa: BLE001  (sent to the parent, which raises)
        sender.send(f"{type(error).__name__}: {error}")
        return
    seconds, busy = time.perf_counter() - start, _busy() - busy
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    own, children = (resource.getrusage(who).ru_maxrss * unit for who in (_SELF, _CHILDREN))
    sender.send(Measured(value, seconds, busy, own, children))


def _busy() -> float:
    """Processor time so far, in seconds, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (_SELF, _CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
