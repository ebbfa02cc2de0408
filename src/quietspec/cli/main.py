"""The `quietspec` command: its groups, its common options, and what becomes of errors."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quietspec.cli.batch import batch
from quietspec.cli.console import console, fail, verbosity
from quietspec.cli.demo import demo
from quietspec.cli.denoise import denoise
from quietspec.cli.fetch import fetch
from quietspec.cli.info import info
from quietspec.cli.lab import lab
from quietspec.cli.measure import measure
from quietspec.cli.models import models
from quietspec.cli.view import view
from quietspec.errors import QuietspecError

__all__ = ["app"]

_ABOUT = "Denoise low-S/N galaxy spectra and IFU cubes, with errors that can be trusted."


class _Group(TyperGroup):
    """Prints our own errors as one message and ends with status 1."""

    def invoke(self, ctx: Any) -> Any:
        from quietspec.io.writing.atomic import removed_on_signals

        try:
            with removed_on_signals(), warnings.catch_warnings():
                return super().invoke(ctx)
        except QuietspecError as error:
            if verbosity.verbose:
                raise
            fail(error)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_ABOUT,
)


def _version(wanted: bool) -> None:
    if wanted:
        from quietspec import __version__

        console.print(f"quietspec {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show where an error comes from.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    verbosity.quiet, verbosity.verbose = quiet, verbose
    if not verbose:
        warnings.simplefilter("ignore")  # libraries' remarks; what matters to users is said in words


for _command in (info, denoise, measure, view, demo, fetch, models):
    app.command()(_command)
app.add_typer(batch, name="batch")
app.add_typer(lab, name="lab")
