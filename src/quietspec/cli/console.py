"""How commands speak: errors without tracebacks, lines for people on standard error, progress on terminals only."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from quietspec.io.reading.options import as_command_line
from quietspec.progress import Progress

__all__ = ["command_line", "console", "fail", "log", "progress_bar", "verbosity", "warn"]

_PIPE_WIDTH = 160  # characters per line where there is no terminal, so that file names are not folded

console = Console(
    highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else _PIPE_WIDTH
)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass
class Verbosity:
    """How much commands say: set once by ``--quiet`` or ``--verbose``."""

    quiet: bool = False
    verbose: bool = False


verbosity = Verbosity()


def fail(error: Exception | str) -> None:
    """Print an error to standard error."""
    _errors.print(f"[bold red]error:[/] {escape(as_command_line(str(error)))}")


def warn(message: str) -> None:
    """Print a line that matters, such as a reader's warning, to standard error."""
    _errors.print(escape(as_command_line(message)))


def log(message: str) -> None:
    """Print a line for people to standard error, so that standard output stays for results; not with ``--quiet``."""
    if not verbosity.quiet:
        _errors.print(escape(message))


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show progress: a bar on a terminal, a line at every tenth elsewhere, nothing with ``--quiet``.

    Parameters
    ----------
    label : str
        What is going on.

    Yields
    ------
    callable
        To be called with how much is done, and of how much.
    """
    if _errors.is_terminal and not verbosity.quiet:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=_errors, transient=True) as bar:
            task = bar.add_task(escape(label), total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    reported = 0

    def report(done: float, total: float) -> None:
        nonlocal reported
        tenth = int(10 * done / total)
        if reported < tenth < 10:  # the last tenth is for whoever finishes to announce
            reported = tenth
            log(f"{label}: {10 * tenth} %")

    yield report


def command_line() -> str:
    """Return the command as it was typed, without the folder the program lies in."""
    return shlex.join(["quietspec", *sys.argv[1:]])
