"""The command `recover` with files: stellar populations of spectra and cubes, as maps and tables."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from quietspec.cli.app import command_line, console, fail, log, progress_bar, require_new, write_json
from quietspec.cli.denoise import places, require_drawable
from quietspec.cli.recipes import library_named
from quietspec.errors import QuietspecError

if TYPE_CHECKING:
    from quietspec.files.measure import MeasuredFile, MeasureReport
    from quietspec.populations import PpxfOptions
    from quietspec.populations.methods import PopulationMethod

__all__ = ["MethodName", "recover_files"]

_SUFFIX = "_populations.fits"
_COLUMNS = {  # that are printed
    "log_age_mw": "log age\nby mass",
    "log_age_lw": "log age\nby light",
    "mh_mw": "\\[M/H]\nby mass",
    "mh_lw": "\\[M/H]\nby light",
    "log_ml_v": "log M/L\nV",
    "a_v": "A_V\nmag",
    "velocity": "velocity\nkm/s",
    "sigma": "σ\nkm/s",
}

MethodName = Literal["posterior", "ppxf", "denoised"]


def recover_files(
    files: list[Path],
    out: Path,
    *,
    method: MethodName,
    model: str,
    together: bool,
    figure: Path | None,
    json: Path | None,
    overwrite: bool,
    library: str | None,
    jobs: int,
    changes: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Recover populations of files: maps with errors, as FITS.

    Parameters
    ----------
    files : list of Path
        As on the command line of ``recover``, as are the others.
    out : Path
        File or folder to write.
    method : {'posterior', 'ppxf', 'denoised'}
        Way to populations.
    model : str
        Prior of the denoiser.
    together : bool
        Whether the files are the arms of one object.
    figure, json : Path or None
        Where the figure and the report go.
    overwrite : bool
        Whether outputs may be replaced.
    library : str or None
        SSPs that pPXF fits with.
    jobs : int
        Fits side by side.
    changes : dict
        Options of pPXF that differ from the defaults.
    options : dict
        Of the reader.

    Raises
    ------
    typer.Exit
        If a file could not be done.
    """
    from quietspec.populations import PpxfOptions

    inputs: list[tuple[Path, ...]] = [tuple(files)] if together else [(path,) for path in files]
    if json is not None:
        require_new(json, overwrite)
    outputs = places(inputs, out, _SUFFIX)
    figures = places(inputs, figure, "_populations.png") if figure else [None] * len(inputs)
    settings = PpxfOptions(**changes)
    way = method_named(method, model, library, settings, jobs)
    reports = [
        _recover_one(paths, output, picture, way, overwrite=overwrite, **options)
        for paths, output, picture in zip(inputs, outputs, figures, strict=True)
    ]
    if json is None or str(json) != "-":
        print_populations(reports)
    if json is not None:
        write_json(json, {"model": way.model, "method": method, "files": [asdict(report) for report in reports]})
    if any(report.error for report in reports):
        raise typer.Exit(1)


def method_named(
    method: MethodName, model: str, library: str | None, options: PpxfOptions, jobs: int
) -> PopulationMethod:
    """Make the way to populations asked for.

    Parameters
    ----------
    method : {'posterior', 'ppxf', 'denoised'}
        Which.
    model : str
        Prior of the denoiser.
    library : str or None
        Path of the SSP library for pPXF; the fetched MILES by default.
    options : PpxfOptions
        Of pPXF.
    jobs : int
        Fits side by side.

    Returns
    -------
    PopulationMethod
        Ready to use.
    """
    from quietspec.denoisers import load_denoiser
    from quietspec.populations.methods import DenoisedPpxfMethod, PosteriorMethod, PpxfMethod

    if method == "posterior":
        return PosteriorMethod(load_denoiser("posterior", model))
    templates = library_named(library)
    if method == "ppxf":
        return PpxfMethod(templates, options, jobs)
    return DenoisedPpxfMethod(load_denoiser("posterior", model), templates, options, jobs=jobs)


def _recover_one(
    paths: tuple[Path, ...],
    output: Path,
    figure: Path | None,
    method: PopulationMethod,
    *,
    overwrite: bool,
    **options: Any,
) -> MeasureReport:
    """Do one input; an error becomes a line of the report, so that the other inputs are still done."""
    from quietspec.files.measure import MeasureReport, measure_file

    try:
        if figure is not None:
            require_new(figure, overwrite)
            require_drawable(figure)
        with progress_bar(paths[0].name) as progress:
            report, recovered = measure_file(
                paths, output, method, overwrite=overwrite, command=command_line(), progress=progress, **options
            )
    except QuietspecError as error:
        fail(error)
        return MeasureReport(inputs=tuple(str(path) for path in paths), error=str(error))
    return report if figure is None else _drawn(report, recovered, figure)


def _drawn(report: MeasureReport, recovered: MeasuredFile, figure: Path) -> MeasureReport:
    """Draw the figure; where that fails the output is there all the same, and the report says both."""
    from quietspec.plots import populations_figure, save

    try:
        save(populations_figure(recovered.populations, recovered.spatial_shape, recovered.wcs), figure)
    except QuietspecError as error:
        fail(error)
        return replace(report, error=str(error))
    return replace(report, figure=str(figure))


def print_populations(reports: list[MeasureReport]) -> None:
    """Print a table, a line per file, and the readers' warnings below it."""
    from rich.table import Table

    known = {name for report in reports for name in report.medians}
    columns = {name: label for name, label in _COLUMNS.items() if name in known}
    table = Table(box=None, header_style="bold", pad_edge=False, title="Medians over spectra", title_justify="left")
    for column in ("file", "spectra", *columns.values(), "failed", "flagged", "seconds"):
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for report in reports:
        name = " + ".join(Path(path).name for path in report.inputs)
        if not report.output:
            table.add_row(name, "[red]not done[/]")
            continue
        values = [_value(*report.medians[key]) if key in report.medians else "" for key in columns]
        flags = ", ".join(f"{count} {flag.lower().replace('_', ' ')}" for flag, count in report.flags.items())
        counts = str(report.n_spectra), str(report.failed)
        table.add_row(name, counts[0], *values, counts[1], flags or "none", f"{report.seconds:.1f}")
    console.print(table)
    for report in reports:
        for warning in report.warnings:
            log(f"{Path(report.inputs[0]).name}: {warning}")
        for path in filter(None, (report.output, report.figure)):
            console.print(path, style="dim", markup=False, soft_wrap=True)


def _value(median: float, error: float) -> str:
    """A number with its error, to the error's second digit."""
    from math import floor, isfinite, log10

    if not (isfinite(median) and isfinite(error) and error > 0):
        return f"{median:.3g}"
    digits = max(0, 1 - floor(log10(error)))
    return f"{median:.{digits}f} ± {error:.{digits}f}"
