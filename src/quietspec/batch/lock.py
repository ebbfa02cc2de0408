"""One run at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quietspec.batch.state import now, place, require_no_old_state
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to one run at a time; the system releases the lock however the run ends.

    Parameters
    ----------
    folder : Path
        Folder of the outputs; made if missing.

    Yields
    ------
    None
        While no other run can begin.

    Raises
    ------
    BatchError
        If another run holds the lock.
    """
    require_no_old_state(folder)
    path = place(folder, "lock")
    with os_errors_named(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BatchError(
                f"{folder}: another run is at work there ({file.read().strip()}). Wait until it ends, or stop it."
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {now()}\n")
        file.flush()
        yield
