"""The command `lab bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.cli.assignments import changed
from quietspec.cli.console import command_line, console, log, print_path
from quietspec.cli.options import Library, library_named
from quietspec.cli.outputs import Json, Overwrite, require_new, stdout_is_json, write_json

__all__ = ["bench"]


def bench(
    side: Annotated[int, typer.Option(min=6, help="Spaxels along each side of the simulated MUSE cube.")] = 120,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a setting, as name=value: spectra, workers, redshift, seed, contenders, files; repeatable.",
        ),
    ] = None,
    library: Library = None,
    json: Json = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Time the posterior beside networks, smoothers and pPXF, on the spectra of one simulated cube."""
    from quietspec.lab.bench import BenchOptions, run_bench
    from quietspec.lab.reproduce import made

    require_new(json, overwrite)
    origin = made(command_line(folders=False), "quietspec.cli.lab.bench", json)
    options = changed(BenchOptions(side=side), changes or (), "--set")
    result = run_bench(library_named(library), options, log)
    result = origin | result
    if figures is not None:
        _draw(result, figures)
    if not stdout_is_json(json):
        _print(result)
    write_json(json, result)


def _draw(result: dict[str, Any], folder: Path) -> None:
    from quietspec.lab.plots import bench_figures
    from quietspec.plots import save

    folder.mkdir(parents=True, exist_ok=True)
    for name, page in bench_figures(result).items():
        save(page, folder / f"{name}.png")
        print_path(folder / f"{name}.png", dim=True)


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "spectra per second", "posterior over it", "processor ms", "posterior under it"):
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
    console.print(f"cube of {' × '.join(map(str, result['cube']))}; {result['floor_ratio']:.1f} times the floor")
    for way, cost in result["files"].items():
        own, each = cost["peak_rss_bytes"] / 1e9, cost["peak_worker_bytes"] / 1e9
        console.print(f"{way}: {cost['seconds']:.1f} s, at most {own:.2f} GB, and {each:.2f} GB per worker process")
