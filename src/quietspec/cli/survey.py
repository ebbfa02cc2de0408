"""The commands `survey run`, `survey status` and `survey report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from quietspec.cli.app import app, command_line, console, log, progress_bar, require_new, write_json

if TYPE_CHECKING:
    from quietspec.batch import BatchReport

_SHOWN = 20  # cubes of one status that are listed
_STOPPED = 130  # exit status of a command that was interrupted

survey = typer.Typer(no_args_is_help=True, help="Denoise thousands of cubes on a Dask cluster.")
app.add_typer(survey, name="survey")

Folder = Annotated[Path, typer.Argument(help="Folder that `survey run -o` was given.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the report as JSON; - is standard output.")]


@survey.command()
def run(
    manifest: Annotated[Path, typer.Argument(help="CSV, ECSV or Parquet, a row a cube: file, output, redshift, …")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for outputs, state and report; made if missing.")],
    scheduler: Annotated[
        str, typer.Option(help="local, or a Dask scheduler: its address, or its scheduler file (.json).")
    ] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="local: worker processes; all cores by default.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that denoise tiles of one cube side by side.")] = 1,
    model: Annotated[
        str, typer.Option(help="Prior: the name of a shipped one (`quietspec models`), or an .npz from `train`.")
    ] = "survey",
    denoiser: Annotated[
        str, typer.Option(help="posterior, wiener, pca, gaussian, savgol, butterworth or wavelet.")
    ] = "posterior",
    emission: Annotated[
        Literal["auto", "strong", "none"] | None, typer.Option(help="Gas lines to mask, as in `denoise`.")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a cube is tried again whose worker died; the last time alone.")
    ] = 2,
    ahead: Annotated[
        int, typer.Option(min=0, help="Cubes handed out beyond the workers' slots, for clusters that grow by demand.")
    ] = 0,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for a scheduler that is away.")] = 600.0,
    ignore: Annotated[list[str] | None, typer.Option(help="Column of the manifest to pass over; repeatable.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Know finished outputs by size and time, without reading them.")
    ] = False,
    thumbnails: Annotated[bool, typer.Option(help="Draw a small picture of each cube.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do all again, and replace files that are not the survey's.")
    ] = False,
    json: Json = None,
) -> None:
    """Denoise the cubes of a manifest. The same command goes on where it was stopped. Needs the extra `cluster`."""
    from quietspec.batch import ClusterOptions, Settings, read_manifest, run_batch

    if workers is not None and scheduler != "local":
        raise typer.BadParameter("is for --scheduler local; others have the workers they have", param_hint="--workers")
    if json is not None:
        require_new(json, overwrite=True)
    cubes = read_manifest(manifest, ignore or ())
    settings = Settings(
        denoiser=_found(denoiser, ".onnx"), model=_found(model, ".npz"), emission=emission, threads=threads,
        thumbnails=thumbnails, overwrite=overwrite, quick=quick, command=command_line(), manifest=str(manifest),
    )  # fmt: skip
    with progress_bar(f"{len(cubes)} cubes") as progress:
        cluster = ClusterOptions(scheduler=scheduler, workers=workers, retries=retries, ahead=ahead, patience=patience)
        report = run_batch(cubes, out, settings, cluster, say=log, progress=progress)
    _tell(report, out, json)
    if report.interrupted and not report.complete:
        log(f"stopped; to go on: {command_line()}")
        raise typer.Exit(_STOPPED)
    if not report.complete:
        raise typer.Exit(1)


@survey.command()
def status(folder: Folder, json: Json = None) -> None:
    """Tell how far a survey is, while it runs or after."""
    from quietspec.batch import batch_status

    _tell(batch_status(folder), folder, json)


@survey.command()
def report(folder: Folder, json: Json = None) -> None:
    """Write a survey's pages and JSON again, as things stand."""
    from quietspec.batch import batch_status, write_report

    found = batch_status(folder)
    write_report(found, folder)
    _tell(found, folder, json)


def _found(name: str, ending: str) -> str:
    """Path of a model file as workers elsewhere can find it; names of shipped models stay."""
    return str(Path(name).absolute()) if Path(name).suffix == ending else name


def _tell(found: BatchReport, folder: Path, json: Path | None) -> None:
    from dataclasses import asdict

    if json is not None:
        write_json(json, asdict(found))
    if json is not None and str(json) == "-":
        return
    _print_troubles(found)
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items() if count)
    console.print(f"{len(found.cubes)} cubes: {counts}", soft_wrap=True)
    console.print(str(folder / "batch" / "index.html"), style="dim", markup=False, soft_wrap=True)


def _print_troubles(found: BatchReport) -> None:
    """Print which cubes failed and which are flagged, the first of each."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("output", "status", "why"):
        table.add_column(name, overflow="fold")
    for status in ("failed", "flagged"):
        cubes = [cube for cube in found.cubes if cube["status"] == status]
        for cube in cubes[:_SHOWN]:
            table.add_row(escape(cube["output"]), status, escape(_why(cube)))
        if len(cubes) > _SHOWN:
            table.add_row("…", status, f"{len(cubes) - _SHOWN} more; the page and --json name all")
    if table.row_count:
        console.print(table)


def _why(cube: Any) -> str:
    flags = (f"{count} {name.lower().replace('_', ' ')}" for name, count in cube.get("flags", {}).items())
    return str(cube["reason"]) or f"of {cube['n_spectra']} spectra: {', '.join(flags)}"
