"""How commands speak: errors without tracebacks, lines for people on standard error, progress on terminals only."""

from __future__ import annotations

import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from quietspec.errors import QuietspecError
from quietspec.io.reading.options import as_command_line
from quietspec.progress import Progress

__all__ = [
    "command_line", "console", "fail", "failed", "log", "print_path", "printable", "progress_bar", "shown",
    "verbosity", "warn",
]  # fmt: skip

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


def printable(text: object) -> str:
    r"""Escape what a terminal would obey rather than show.

    Parameters
    ----------
    text : object
        Names of files and texts in them, which may come from anywhere.

    Returns
    -------
    str
        Without control characters but line breaks and tabs, and without characters that turn the text around.

    Examples
    --------
    >>> printable("red\x1b[31m.fits")
    'red\\x1b[31m.fits'
    """
    return re.sub(r"[^\n\t -~]", lambda found: _harmless(found.group()), str(text))


def _harmless(character: str) -> str:
    kind = unicodedata.category(character)
    return character.encode("unicode_escape").decode() if kind in ("Cc", "Cf", "Cs") else character


def shown(text: object) -> Text:
    """Text for a cell of a table or a line: printable, and with no markup in it."""
    return Text(printable(text))


def print_path(path: object, *, dim: bool = False) -> None:
    """Print where a result lies to standard output, on one line; `dim` where it stands below other output."""
    console.print(shown(path), style="dim" if dim else None, soft_wrap=True)


def fail(error: Exception | str) -> None:
    """Print an error to standard error."""
    _errors.print("[bold red]error:[/]", shown(as_command_line(str(error))))


def failed(error: Exception, inputs: Iterable[object]) -> str:
    """Print why an input could not be done, so that the others still are.

    Parameters
    ----------
    error : Exception
        What was raised; an error that quietspec did not raise on purpose is a fault of its own.
    inputs : iterable of path
        The file, or the arms of one object.

    Returns
    -------
    str
        The reason, for the report.
    """
    reason = str(error)
    if not isinstance(error, QuietspecError):
        names = ", ".join(map(str, inputs))
        reason = (
            f"{names}: {type(error).__name__}: {reason}. This is a fault of quietspec: please report it, with the file "
            "if you can, and what `quietspec --verbose` says about it."
        )
    if verbosity.verbose:
        _errors.print_exception()
    fail(reason)
    return reason


def warn(message: str) -> None:
    """Print a line that matters, such as a reader's warning, to standard error."""
    _errors.print(shown(as_command_line(message)))


def log(message: str) -> None:
    """Print a line for people to standard error, so that standard output stays for results; not with ``--quiet``."""
    if not verbosity.quiet:
        _errors.print(shown(message))


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
            task = bar.add_task(escape(printable(label)), total=None)
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


def command_line(*, folders: bool = True) -> str:
    """Return the command as it was typed; without `folders`, for others to read, absolute paths by their last part."""
    words = (
        sys.argv[1:] if folders else [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    )
    return shlex.join(["quietspec", *words])
