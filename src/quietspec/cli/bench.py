"""The command `bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.app import Overwrite, app, command_line, console, log, require_new, write_json
from quietspec.cli.options import Library, Seed
from quietspec.cli.recipes import commit

if TYPE_CHECKING:
    from quietspec.lab.bench import BenchOptions


@app.command()
def bench(
    side: Annotated[int, typer.Option(min=6, help="Spaxels along each side of the simulated MUSE cube.")] = 120,
    spectra: Annotated[int, typer.Option("-n", min=64, help="Most spectra that others are timed on.")] = 1024,
    workers: Annotated[int, typer.Option(min=0, help="Threads of the posterior; 0 for all cores.")] = 0,
    against: Annotated[str | None, typer.Option(help="Whom to time, by commas; all that are installed.")] = None,
    seed: Seed = 0,
    library: Library = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all results as JSON; - is standard output.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Time the posterior beside networks, smoothers and pPXF, on the spectra of one simulated cube."""
    from quietspec.io.fetching import fetch
    from quietspec.lab.bench import BenchOptions, run_bench
    from quietspec.templates import load_library

    if json is not None:
        require_new(json, overwrite)
    options = BenchOptions(side=side, spectra=spectra, workers=workers, seed=seed)
    if against is not None:
        options = _against(options, against)
    result = run_bench(load_library(library or fetch("miles")), options, log)
    result = {"command": command_line(), "commit": commit()} | result
    if figures is not None:
        _draw(result, figures)
    if json is None or str(json) != "-":
        _print(result)
    if json is not None:
        write_json(json, result)


def _against(options: BenchOptions, names: str) -> BenchOptions:
    from dataclasses import replace

    return replace(options, contenders=tuple(filter(None, names.split(","))))


def _draw(result: dict[str, Any], folder: Path) -> None:
    from quietspec.lab.plots import bench_figures
    from quietspec.plots import save

    folder.mkdir(parents=True, exist_ok=True)
    for name, page in bench_figures(result).items():
        save(page, folder / f"{name}.png")
        console.print(str(folder / f"{name}.png"), style="dim", markup=False, soft_wrap=True)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "spectra a second", "posterior over it", "processor ms", "posterior under it"):
        table.add_column(name, justify="right" if name else "left")
    for name, rate in result["spectra_per_second"].items():
        ratio = result["ratios"].get(name)
        busy, less = result["cpu_ms"][name], result["cpu_ratios"].get(name)
        cells = (
            "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            for value in (rate, ratio, busy, less)
        )
        table.add_row(name, *cells)
    for name, why in result["absent"].items():
        table.add_row(name, "–", why)
    console.print(table)
    cube = result["cube"]
    shape = " × ".join(map(str, cube["shape"]))
    console.print(
        f"cube of {shape}: {cube['seconds']:.1f} s, {cube['peak_rss_bytes'] / 1e9:.2f} GB at most; "
        f"{result['floor_ratio']:.1f} times the floor"
    )
