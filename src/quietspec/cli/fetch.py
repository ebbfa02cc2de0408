"""The command `fetch`: public data that may not be shipped with the package."""

from __future__ import annotations

from typing import Annotated

import typer

from quietspec.cli.console import console, log, print_path, progress_bar

__all__ = ["fetch"]


def fetch(
    name: Annotated[str | None, typer.Argument(help="Data set; without it, they are listed.")] = None,
) -> None:
    """Bring a public data set into the cache, checked by SHA-256; its path is the last line."""
    from quietspec.io.fetching import DATASETS, cached
    from quietspec.io.fetching import fetch as bring

    if name is None:
        for dataset in DATASETS.values():
            console.print(f"{dataset.name:<12} {'cached' if cached(dataset.name) else '      '}  {dataset.what}")
        return
    with progress_bar(name) as progress:
        path = bring(name, progress=progress)
    log(f"{name}: {DATASETS[name].what}. {DATASETS[name].terms}")
    print_path(path)
