"""One run at a time in a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from quietspec.batch.state import now, own_file, place, require_no_old_state
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named

__all__ = ["locked"]

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # from file systems without locks


@contextmanager
def locked(folder: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Keep a folder to one run at a time; the system releases the lock however the run ends.

    Where the file system has no locks, a file that only one run can create stands in. It outlives a run that is killed,
    and the next one says how to remove it.

    Parameters
    ----------
    folder : Path
        Folder of the outputs; made if missing.
    say : callable, optional
        Called with a line for people to read if a file stands in for the lock.

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
    with os_errors_named(folder):
        place(folder, "").mkdir(parents=True, exist_ok=True)
    lock, substitute = own_file(folder, "lock"), own_file(folder, "lock.held")
    with ExitStack() as stack:
        with os_errors_named(folder):
            file = stack.enter_context(lock.open("a+", encoding="utf-8", errors="replace"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise BatchError(
                    f"{folder}: another run is at work there ({file.read().strip()}). Wait until it ends, or stop it."
                ) from error
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                say(f"{folder}: this file system has no locks ({error.strerror}); {substitute} stands in for one")
                stack.enter_context(_held(substitute, folder))
            else:
                _require_free(substitute, folder)
            file.truncate(0)
            file.write(_holder())
            file.flush()
        yield


@contextmanager
def _held(substitute: Path, folder: Path) -> Iterator[None]:
    """Hold a lock by the existence of a file."""
    try:
        with substitute.open("x", encoding="utf-8") as file:
            file.write(_holder())
    except FileExistsError:
        _require_free(substitute, folder)
        raise
    try:
        yield
    finally:
        substitute.unlink(missing_ok=True)


def _require_free(substitute: Path, folder: Path) -> None:
    """Raise `BatchError` if a file stands in for a lock."""
    if substitute.exists():
        holder = substitute.read_text(encoding="utf-8", errors="replace").strip()
        raise BatchError(
            f"{folder}: another run is at work there ({holder}), or was killed. If none is at work, remove {substitute}"
        )


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {now()}\n"
