"""The commands `batch run`, `batch status` and `batch report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.assignments import changed
from quietspec.cli.console import command_line, console, log, print_path, progress_bar, shown
from quietspec.cli.options import DenoiserName, EmissionOption, Model, Spatial
from quietspec.cli.outputs import Json, require_new, stdout_is_json, write_json

if TYPE_CHECKING:
    from quietspec.batch import BatchReport

_SHOWN = 20  # cubes of one status that are listed
_STOPPED = 130  # exit status of a command that was interrupted

batch = typer.Typer(no_args_is_help=True, help="Denoise thousands of cubes on a Dask cluster.")
Folder = Annotated[Path, typer.Argument(help="Folder that `batch run -o` was given.")]


@batch.command()
def run(
    manifest: Annotated[Path, typer.Argument(help="CSV, ECSV or Parquet, one row per cube: file, output, redshift, …")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for outputs, state and report; made if missing.")],
    scheduler: Annotated[
        str, typer.Option(help="local, or a Dask scheduler: its address, or its scheduler file (.json).")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="local: worker processes; all cores by default.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Tiles of one cube that are denoised side by side.")] = 1,
    split: Annotated[
        bool,
        typer.Option("--split", help="Spread the tiles of each cube of more than 10,000 spectra over all workers."),
    ] = False,
    model: Model = "auto",
    denoiser: DenoiserName = "posterior",
    emission: EmissionOption = None,
    spatial: Spatial = False,
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            help="How to deal with the cluster, as name=value: retries (of a cube whose worker died; 2), ahead (cubes "
            "handed out beyond the workers' slots; 0), patience (seconds to wait for a scheduler; 600). Repeatable."
        ),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Column of the manifest to pass over; repeatable.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Know finished outputs by size and time, without reading them.")
    ] = False,
    thumbnails: Annotated[bool, typer.Option(help="Draw a small picture of each cube.")] = True,
    reports: Annotated[bool, typer.Option("--reports", help="Write a page about each cube.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do everything again, and replace files that are not from this run.")
    ] = False,
    json: Json = None,
) -> None:
    """Denoise the cubes of a manifest; the same command goes on where it was stopped. Needs the extra `cluster`."""
    from quietspec.batch import ClusterOptions, Settings, read_manifest, run_batch

    if workers is not None and scheduler != "local":
        raise typer.BadParameter("is for --scheduler local; others have the workers they have", param_hint="--workers")
    if split and threads > 1:
        raise typer.BadParameter("spreads tiles over workers of one thread; leave out --threads", param_hint="--split")
    require_new(json, overwrite=True)
    cubes = read_manifest(manifest, ignore or ())
    settings = Settings(
        denoiser=_found(denoiser, ".onnx"), model=_found(model, ".npz"), emission=emission, spatial=spatial,
        threads=threads, split=split, thumbnails=thumbnails, reports=reports, overwrite=overwrite, quick=quick,
        command=command_line(), manifest=str(manifest),
    )  # fmt: skip
    options = changed(ClusterOptions(scheduler=scheduler, workers=workers), cluster or (), "--cluster")
    with progress_bar(f"{len(cubes)} cubes") as progress:
        report = run_batch(cubes, out, settings, options, say=log, progress=progress)
    _tell(report, out, json)
    if report.interrupted and not report.complete:
        log(f"stopped; to go on: {command_line()}")
        raise typer.Exit(_STOPPED)
    if not report.complete:
        raise typer.Exit(1)


@batch.command()
def status(folder: Folder, json: Json = None) -> None:
    """Show how far a batch is, while it runs or afterwards."""
    from quietspec.batch import batch_status

    _tell(batch_status(folder), folder, json)


@batch.command()
def report(folder: Folder, json: Json = None) -> None:
    """Write a batch's pages and JSON again, as things stand."""
    from quietspec.batch import batch_status, write_report

    found = batch_status(folder)
    write_report(found, folder)
    _tell(found, folder, json)


def _found(name: str, ending: str) -> str:
    """Return the absolute path of a model file, which workers elsewhere can find; names of shipped models stay."""
    return str(Path(name).absolute()) if Path(name).suffix == ending else name


def _tell(found: BatchReport, folder: Path, json: Path | None) -> None:
    from dataclasses import asdict

    write_json(json, asdict(found))
    if stdout_is_json(json):
        return
    _print_troubles(found)
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items() if count)
    console.print(f"{len(found.cubes)} cubes: {counts}", soft_wrap=True)
    print_path(folder / "batch" / "index.html", dim=True)


def _print_troubles(found: BatchReport) -> None:
    """Print which cubes failed and which are flagged, the first of each."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("output", "status", "why"):
        table.add_column(name, overflow="fold")
    for status in ("failed", "flagged"):
        cubes = [cube for cube in found.cubes if cube["status"] == status]
        for cube in cubes[:_SHOWN]:
            table.add_row(shown(cube["output"]), status, shown(_why(cube)))
        if len(cubes) > _SHOWN:
            table.add_row("…", status, f"{len(cubes) - _SHOWN} more; the page and --json name all")
    if table.row_count:
        console.print(table)


def _why(cube: Any) -> str:
    flags = (f"{count} {name.lower().replace('_', ' ')}" for name, count in cube.get("flags", {}).items())
    return str(cube["reason"]) or f"of {cube['n_spectra']} spectra: {', '.join(flags)}"
