"""The command `measure`: stellar populations and kinematics of spectra and cubes, as maps and tables."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quietspec.cli.assignments import changed
from quietspec.cli.console import command_line, console, failed, log, print_path, progress_bar, shown, warn
from quietspec.cli.options import Library, Model, Spatial, Together, Workers, library_named, with_read_options
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
from quietspec.errors import SpectraError

if TYPE_CHECKING:
    from quietspec.binning import Binning, Correlation
    from quietspec.files import MeasuredFile, MeasureReport
    from quietspec.indices import IndexDefinition
    from quietspec.populations import PpxfOptions
    from quietspec.populations.methods import PopulationMethod

__all__ = ["measure"]

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
LayoutName = Literal["native", "dap", "nGIST"]


@with_read_options
def measure(
    files: Annotated[list[Path], typer.Argument(help="Spectra or cubes, of any survey `quietspec info` knows.")],
    *,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="FITS file to write, with --layout nGIST the folder of a run; with several inputs a folder for them.",
        ),
    ],
    method: Annotated[
        MethodName,
        typer.Option(help="The posterior that denoises (needs no templates); pPXF on noisy spectra, or on denoised."),
    ] = "posterior",
    model: Model = "auto",
    together: Together = False,
    figure: Annotated[
        Path | None, typer.Option(help="Draw maps (values, where there is no image): a file or a folder.")
    ] = None,
    json: Json = None,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    library: Library = None,
    spatial: Spatial = False,
    lines: Annotated[bool, typer.Option(help="Fit emission lines with the stars, and measure them.")] = True,
    index: Annotated[
        list[str] | None,
        typer.Option(
            help="Index by name (Mg_b, Dn4000), lick, all, or a TOML, JSON or YAML file of your own; repeatable."
        ),
    ] = None,
    ppxf: Annotated[
        list[str] | None,
        typer.Option(help="Option of the pPXF fits as name=value, such as gas=fit or bootstrap=30; repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="pPXF fits of one tile side by side.")] = 1,
    layout: Annotated[
        LayoutName,
        typer.Option(
            help="Structure of the output: our own; a MAPS file as the MaNGA DAP's; a folder RUN with RUN_kin.fits, "
            "RUN_gas_bin.fits and so on, as nGIST's.",
            case_sensitive=False,
        ),
    ] = "native",
    bin_snr: Annotated[
        float | None, typer.Option(help="Sum the spaxels of a cube in bins of this S/N first, and measure the sums.")
    ] = None,
    aperture: Annotated[
        list[Path] | None, typer.Option(help="Sum the spaxels in each region of a ds9, CRTF or FITS file; repeatable.")
    ] = None,
    noise_correlation: Annotated[
        str | None,
        typer.Option(
            help="Correlation of the noise of the spaxels that are summed: measured (the default), none, manga, or the "
            "FWHM in spaxels of a drizzling kernel."
        ),
    ] = None,
    clean: Annotated[
        bool,
        typer.Option(help="Leave cosmic rays of single spaxels that no mask marks out of what is summed."),
    ] = True,
    read: dict[str, Any],
) -> None:
    """Measure ages, [M/H], M/L, dust, kinematics, lines and indices: maps (or a table) with errors, as FITS."""
    from quietspec.populations import PpxfOptions

    inputs: list[tuple[Path, ...]] = [tuple(files)] if together else [(path,) for path in files]
    require_new(json, overwrite)
    outputs = _outputs(inputs, out, layout)
    figures = places(inputs, figure, "_populations.png") if figure else [None] * len(inputs)
    claim_outputs(
        [*(outputs if layout != "nGIST" else ()), *figures, json], [*files, model, library, *(aperture or ())]
    )
    bins = _binning(bin_snr, aperture or [], noise_correlation, clean)
    if spatial and bins is not None:
        raise SpectraError("--spatial is for spaxels as they are; leave out --bin-snr and --aperture, or it.")
    options = changed(PpxfOptions(), ppxf or (), "--ppxf")
    way = _method_named(
        method, model, library, options, jobs, lines=lines, spatial=spatial, indices=_indices(index or [])
    )
    beside = workers if workers > 1 else 0  # one tile after the other shows how far each is
    reports = [
        _measure_one(paths, output, picture, way, bins=bins, workers=beside, overwrite=overwrite, layout=layout, **read)
        for paths, output, picture in zip(inputs, outputs, figures, strict=True)
    ]
    if not stdout_is_json(json):
        _print_reports(reports)
    write_json(json, {"model": str(way.model), "method": method, "files": [asdict(report) for report in reports]})
    if any(report.error for report in reports):
        raise typer.Exit(1)


def _outputs(inputs: list[tuple[Path, ...]], out: Path, layout: LayoutName) -> list[Path]:
    """Say where the output of each input goes; that of nGIST's layout is a folder of its own."""
    if layout == "nGIST" and len(inputs) == 1:
        return [out]
    return places(inputs, out, {"dap": "_MAPS.fits", "nGIST": ""}.get(layout, _SUFFIX))


def _indices(named: list[str]) -> tuple[IndexDefinition, ...]:
    """Definitions of indices, by name or from files."""
    from quietspec.indices import find_definitions, read_definitions

    found: list[IndexDefinition] = []
    for name in named:
        found += read_definitions(name) if Path(name).suffix else find_definitions([name])
    return tuple({one.name: one for one in found}.values())


def _binning(snr: float | None, apertures: list[Path], noise: str | None, clean: bool) -> Binning | None:
    """Read which spaxels to sum, and how their noise is correlated."""
    from quietspec.binning import Binning

    if snr is None and not apertures:
        if noise is not None:
            raise SpectraError("--noise-correlation is that of spaxels that are summed: give --bin-snr or --aperture.")
        if not clean:
            raise SpectraError("--no-clean is for spaxels that are summed: give --bin-snr or --aperture.")
        return None
    if snr is not None and apertures:
        raise SpectraError("--bin-snr and --aperture each say which spaxels to sum: give one of them.")
    correlation = _correlation(noise or "measured")
    return Binning(snr=snr, apertures=tuple(apertures), correlation=correlation, clean=clean)


def _correlation(named: str) -> Correlation:
    """Correlation of the noise between spaxels, by name or by the FWHM of a kernel."""
    from quietspec.binning import INDEPENDENT, MANGA_NOISE, NoiseCorrelation

    known: dict[str, Correlation] = {"measured": "measured", "none": INDEPENDENT, "manga": MANGA_NOISE}
    if named in known:
        return known[named]
    try:
        return NoiseCorrelation.of_kernel(float(named))
    except ValueError as error:
        raise SpectraError(
            f"--noise-correlation {named}: expected {', '.join(known)}, or the FWHM of a kernel, 0 to 20 spaxels."
        ) from error


def _method_named(
    method: MethodName,
    model: str,
    library: str | None,
    options: PpxfOptions,
    jobs: int,
    *,
    lines: bool,
    spatial: bool,
    indices: tuple[IndexDefinition, ...],
) -> PopulationMethod:
    """Make the method asked for; only pPXF needs the library."""
    from quietspec.denoisers import AUTO, load_denoiser, load_prior
    from quietspec.populations.methods import DenoisedPpxfMethod, PosteriorMethod, PpxfMethod

    if method == "posterior":
        # A prior with motions in its basis knows no lines.
        known = lines and (model == AUTO or load_prior(model).at_rest)
        denoiser = load_denoiser("posterior", model, emission="fit" if known else None, spatial=spatial)
        return PosteriorMethod(denoiser, indices)
    if spatial and method == "ppxf":
        raise typer.BadParameter("is for methods that denoise: posterior, denoised", param_hint="--spatial")
    templates = library_named(library)
    if method == "ppxf":
        return PpxfMethod(templates, options, jobs)
    return DenoisedPpxfMethod(load_denoiser("posterior", model, spatial=spatial), templates, options, jobs=jobs)


def _measure_one(
    paths: tuple[Path, ...],
    output: Path,
    figure: Path | None,
    method: PopulationMethod,
    *,
    overwrite: bool,
    **options: Any,
) -> MeasureReport:
    """Do one input; an error becomes a line of the report, so that the other inputs are still done."""
    from quietspec.files import MeasureReport, measure_file

    try:
        if figure is not None:
            require_new(figure, overwrite)
            require_drawable(figure)
        with progress_bar(paths[0].name) as progress:
            report, recovered = measure_file(
                paths, output, method, overwrite=overwrite, command=command_line(), progress=progress, **options
            )
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one input, the others are still done)
        return MeasureReport(inputs=tuple(str(path) for path in paths), error=failed(error, paths))
    return report if figure is None else _drawn(report, recovered, figure)


def _drawn(report: MeasureReport, recovered: MeasuredFile, figure: Path) -> MeasureReport:
    """Draw the figure; where that fails the output is there all the same, and the report says both."""
    from quietspec.plots import populations_figure, save

    try:
        maps = recovered.on_sky
        save(populations_figure(maps.populations, maps.spatial_shape, maps.wcs), figure)
    except Exception as error:  # noqa: BLE001  (the output is there all the same)
        return replace(report, error=failed(error, report.inputs))
    return replace(report, figure=str(figure))


def _print_reports(reports: list[MeasureReport]) -> None:
    """Print a table, a line per file, and the readers' warnings below it."""
    from rich.table import Table

    known = {name for report in reports for name in report.medians}
    columns = {name: label for name, label in _COLUMNS.items() if name in known}
    table = Table(box=None, header_style="bold", pad_edge=False, title="Medians over spectra", title_justify="left")
    for column in ("file", "spectra", *columns.values(), "failed", "flagged", "seconds"):
        table.add_column(column, justify="left" if column == "file" else "right", overflow="fold")
    for report in reports:
        name = shown(" + ".join(Path(path).name for path in report.inputs))
        if not report.output:
            table.add_row(name, "[red]not done[/]")
            continue
        values = [_value(*report.medians[key]) if key in report.medians else "" for key in columns]
        flags = ", ".join(f"{count} {flag.lower().replace('_', ' ')}" for flag, count in report.flags.items())
        counts = str(report.n_spectra), str(report.failed)
        table.add_row(name, counts[0], *values, counts[1], flags or "none", f"{report.seconds:.1f}")
    console.print(table)
    for report in reports:
        if report.choice:
            log(f"{Path(report.inputs[0]).name}: {report.choice}")
        for warning in report.warnings:
            warn(f"{Path(report.inputs[0]).name}: {warning}")
        for path in filter(None, (report.output, report.figure)):
            print_path(path, dim=True)


def _value(median: float, error: float) -> str:
    """A number with its error, to the error's second digit."""
    from math import floor, isfinite, log10

    if not (isfinite(median) and isfinite(error) and error > 0):
        return f"{median:.3g}"
    digits = max(0, 1 - floor(log10(error)))
    return f"{median:.{digits}f} ± {error:.{digits}f}"
