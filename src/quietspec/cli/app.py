"""The `quietspec` command and how it speaks: errors without tracebacks, progress bars on terminals only."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from quietspec import __version__
from quietspec.errors import QuietspecError, WriteError

__all__ = ["Overwrite", "app", "command_line", "console", "fail", "log", "progress_bar", "require_new", "write_json"]

_PIPE_WIDTH = 160  # characters a line where there is no terminal, so that file names are not folded

console = Console(
    highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else _PIPE_WIDTH
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]


class _Group(TyperGroup):
    """Prints our own errors as one message and ends with status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except QuietspecError as error:
            fail(error)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Denoise low-S/N galaxy spectra and IFU cubes, with errors that can be trusted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"quietspec {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Denoise low-S/N galaxy spectra and IFU cubes, with errors that can be trusted."""


def fail(error: Exception | str) -> None:
    """Print an error to standard error."""
    errors.print(f"[bold red]error:[/] {_plain(error)}")


def log(message: str) -> None:
    """Print a line for people to standard error, so that standard output stays for results."""
    errors.print(_plain(message))


def _plain(text: object) -> str:
    return str(text).replace("[", r"\[")


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float, float], None]]:
    """Show progress: a bar on a terminal, a line at every tenth elsewhere.

    Parameters
    ----------
    label : str
        What is going on.

    Yields
    ------
    callable
        To be called with how much is done, and of how much.
    """
    if errors.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors, transient=True) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    reported = 0

    def report(done: float, total: float) -> None:
        nonlocal reported
        tenth = int(10 * done / total)
        if tenth > reported:
            reported = tenth
            log(f"{label}: {10 * tenth} %")

    yield report


def command_line() -> str:
    """The command as it was typed, but for the folder the program lies in."""
    return shlex.join(["quietspec", *sys.argv[1:]])


def require_new(path: Path, overwrite: bool) -> None:
    """Refuse to go on where an output file exists or cannot be made, before any work is done.

    Parameters
    ----------
    path : Path
        The file; ``-``, standard output, always passes.
    overwrite : bool
        Whether it may be replaced.

    Raises
    ------
    WriteError
        If the file exists and may not be replaced, is a folder, or its folder does not exist or is read-only.
    """
    if str(path) == "-":
        return
    if path.is_dir():
        raise WriteError(f"{path}: is a folder. Name a file in it.")
    if path.exists() and not overwrite:
        raise WriteError(f"{path}: exists already. Choose another name, or give --overwrite.")
    if not path.parent.is_dir():
        raise WriteError(f"{path}: the folder {path.parent} does not exist. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise WriteError(f"{path}: the folder {path.parent} may not be written to. Choose another.")


def write_json(path: Path, content: Any) -> None:
    """Write JSON to a file, whole or not at all; ``-`` is standard output.

    Parameters
    ----------
    path : Path
        The file.
    content : object
        What `json` can write; NaN and infinities become null.
    """
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    from quietspec.io.writing.atomic import os_errors_named, whole_file

    with os_errors_named(path), whole_file(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content


def _register() -> None:
    from quietspec.cli import bench, data, demo, denoise, networks, recover, survey, worlds  # noqa: F401  (adding commands)


_register()
