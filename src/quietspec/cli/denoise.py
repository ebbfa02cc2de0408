"""The command `denoise`."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.console import command_line, console, failed, log, print_path, progress_bar, shown, warn
from quietspec.cli.options import DenoiserName, EmissionOption, Model, Spatial, Together, Workers, with_read_options
from quietspec.cli.outputs import (
    Json,
    Overwrite,
    claim_outputs,
    places,
    require_drawable,
    require_new,
    stdout_is_json,
    write_json,
)

if TYPE_CHECKING:
    from quietspec.denoised import Denoised
    from quietspec.denoisers import Denoiser
    from quietspec.denoisers.posterior.contamination import ChannelNoise
    from quietspec.files import FileReport

__all__ = ["denoise"]

_SUFFIX = "_denoised.fits"


@with_read_options
def denoise(
    files: Annotated[list[Path], typer.Argument(help="Spectra or cubes, of any survey `quietspec info` knows.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="FITS file to write; with several inputs a folder for them.")
    ],
    model: Model = "auto",
    denoiser: DenoiserName = "posterior",
    emission: EmissionOption = None,
    spatial: Spatial = False,
    together: Together = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw maps and four spectra: a PNG or PDF file, a folder with several inputs.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page about the result: an HTML file, a folder with several inputs."),
    ] = None,
    json: Json = None,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    residual: Annotated[
        bool, typer.Option("--residual", help="Write the input minus the estimate as well, as HDU RESIDUAL.")
    ] = False,
    read: dict[str, Any],
) -> None:
    """Denoise spectra or cubes: estimate, error and flags of every pixel, as FITS."""
    from quietspec.denoisers import load_denoiser

    inputs: list[tuple[Path, ...]] = [tuple(files)] if together else [(path,) for path in files]
    require_new(json, overwrite)
    outputs = places(inputs, out, _SUFFIX)
    figures = places(inputs, figure, ".png") if figure else [None] * len(inputs)
    pages = places(inputs, report, ".html") if report else [None] * len(inputs)
    claim_outputs([*outputs, *figures, *pages, json], [*files, model])
    tool = load_denoiser(denoiser, model, emission, spatial=spatial)
    reports = [
        _denoise_one(paths, output, beside, tool, overwrite=overwrite, workers=workers, residual=residual, **read)
        for paths, output, *beside in zip(inputs, outputs, figures, pages, strict=True)
    ]
    if not stdout_is_json(json):
        _print_reports(reports)
    write_json(json, {"model": str(tool.model), "files": [asdict(report) for report in reports]})
    if any(report.error for report in reports):
        raise typer.Exit(1)


def _denoise_one(
    paths: tuple[Path, ...], output: Path, beside: list[Path | None], tool: Denoiser, *, overwrite: bool, **options: Any
) -> FileReport:
    """Denoise one input; an error becomes a line of the report, so that the other inputs are still done."""
    from quietspec.files import FileReport, denoise_file

    figure, page = beside
    try:
        require_new(page, overwrite)
        if figure is not None:
            require_new(figure, overwrite)
            require_drawable(figure)
        with progress_bar(paths[0].name) as progress:
            report, denoised = denoise_file(
                paths, output, tool, overwrite=overwrite, command=command_line(), keep=figure is not None,
                progress=progress, **options,
            )  # fmt: skip
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one input, the others are still done)
        return FileReport(inputs=tuple(str(path) for path in paths), error=failed(error, paths))
    if figure is not None and denoised is not None:
        report = _drawn(report, denoised, figure)
    return report if page is None else _told(report, page)


def _told(report: FileReport, page: Path) -> FileReport:
    """Write the page; where that fails the output is there all the same, and the report says both."""
    from quietspec.view.report import write_report

    try:
        write_report(report.output, page)
    except Exception as error:  # noqa: BLE001  (the output is there all the same)
        return replace(report, error=failed(error, report.inputs))
    return replace(report, page=str(page))


def _drawn(report: FileReport, denoised: Denoised, figure: Path) -> FileReport:
    """Draw the figure; where that fails the output is there all the same, and the report says both."""
    from quietspec.plots import denoised_map_figure, save

    try:
        save(denoised_map_figure(denoised), figure)
    except Exception as error:  # noqa: BLE001  (the output is there all the same)
        return replace(report, error=failed(error, report.inputs))
    return replace(report, figure=str(figure))


def _print_reports(reports: list[FileReport]) -> None:
    """Print a table, a line per file, and the readers' warnings below it."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("file", "spectra", "S/N before", "S/N after", "failed", "flagged", "seconds"):
        table.add_column(name, justify="left" if name == "file" else "right", overflow="fold")
    for report in reports:
        inputs = shown(" + ".join(Path(path).name for path in report.inputs))
        if not report.output:
            table.add_row(inputs, "[red]not done[/]", "", "", "", "", "")
            continue
        flags = ", ".join(f"{count} {flag.lower().replace('_', ' ')}" for flag, count in report.flags.items())
        table.add_row(
            inputs,
            str(report.n_spectra),
            _number(report.snr_before),
            _number(report.snr_after),
            str(report.failed),
            flags or "none",
            f"{report.seconds:.1f}",
        )
    console.print(table)
    console.print(
        "S/N: median over spectra of the median per pixel, on the pixels within the model's wavelengths; "
        "after: by the model's own errors.",
        style="dim", soft_wrap=True,
    )  # fmt: skip
    for report in reports:
        if report.noise is not None:
            log(f"{Path(report.inputs[0]).name}: {_noise(report.noise)}")
        if report.choice:
            log(f"{Path(report.inputs[0]).name}: {report.choice}")
        for warning in report.warnings:
            warn(f"{Path(report.inputs[0]).name}: {warning}")
        for path in filter(None, (report.output, report.figure, report.page)):
            print_path(path, dim=True)


def _noise(noise: ChannelNoise) -> str:
    correlation = ", ".join(f"{value:.2f}" for value in noise.correlation)
    return f"channels scatter by {noise.scale:.2f} of the quoted errors; correlated {correlation} at lags 1, 2, 3"


def _number(value: float) -> str:
    return f"{value:.1f}" if isfinite(value) else "–"
