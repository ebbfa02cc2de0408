"""The command `view`: a page that shows denoised files, spectra and maps."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.cli.console import log, print_path
from quietspec.cli.options import with_read_options

__all__ = ["view"]


@with_read_options
def view(
    file: Annotated[Path, typer.Argument(help="Denoised file, spectra of any survey, or maps (`quietspec measure`).")],
    other: Annotated[Path | None, typer.Argument(metavar="FILE2", help="A second file to compare.")] = None,
    *,
    input: Annotated[  # noqa: A002  (the name of the option)
        list[Path] | None,
        typer.Option(help="What was denoised, if it lies elsewhere: for sums of regions. Repeat it for the arms."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes any that is free.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser, or only print its address.")
    ] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name, beside that of this machine, under which the page may be asked for: a JupyterHub's."),
    ] = None,
    read: dict[str, Any],
) -> None:
    """Explore a file in the browser: maps, spectra with their errors, regions, two files side by side."""
    import webbrowser

    from quietspec.view import ViewServer

    with ViewServer(
        *filter(None, (file, other)), port=port, hosts=allow_host or (), inputs=input or (), **read
    ) as server:
        print_path(server.address)
        tunnel = f"ssh -L {server.port}:127.0.0.1:{server.port} HOST"
        log(f"from another machine: {tunnel}, then open the same address there. Ctrl-C ends the page.")
        if browser:
            webbrowser.open(server.address)
        # Also where Ctrl-C is ignored from the start, as shells arrange it for programs behind `&`.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            server.wait()
        except KeyboardInterrupt:
            log("ended")
