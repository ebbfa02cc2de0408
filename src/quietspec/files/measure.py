"""From a file of spectra to a file of stellar populations: maps of a cube, a table of anything else."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.errors import ReadError, TemplateError
from quietspec.io import open_spectra
from quietspec.io.writing.atomic import os_errors_named, require_uncompressed, whole_file
from quietspec.io.writing.parameters import parameter_hdus
from quietspec.io.writing.provenance import provenance
from quietspec.populations.methods import PopulationMethod
from quietspec.populations.result import PopulationFlag, Populations
from quietspec.progress import Progress

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from quietspec.arrays import FloatArray
    from quietspec.io import SpectraSource
    from quietspec.spectra import Spectra

__all__ = ["MeasureReport", "MeasuredFile", "measure_file"]

_TILE = 512  # spectra held at a time


@dataclass(frozen=True)
class MeasureReport:
    """What became of one input.

    Parameters
    ----------
    inputs : tuple of str
        The file, or the arms of one object.
    output : str
        What was written.
    method : str
        How populations were found.
    n_spectra : int
        Spectra in it.
    failed : int
        Spectra without a result.
    flags : mapping of str to int
        Spectra that carry each `PopulationFlag`.
    medians : mapping of str to (float, float)
        Median over spectra of each parameter, and of its error.
    seconds : float
        From opening to the finished file.
    warnings : tuple of str
        What the reader had to say.
    figure : str
        What was drawn; empty if nothing.
    error : str
        Why nothing was written or drawn; empty if all is well.
    """

    inputs: tuple[str, ...]
    output: str = ""
    method: str = ""
    n_spectra: int = 0
    failed: int = 0
    flags: Mapping[str, int] = field(default_factory=dict)
    medians: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    figure: str = ""
    error: str = ""


@dataclass(frozen=True, eq=False)
class MeasuredFile:
    """Populations of a file's spectra, with their place on the sky.

    Parameters
    ----------
    populations : Populations
        Of all spectra.
    snr : (n_spectra,)
        Median S/N per pixel of the input.
    redshift : (n_spectra,)
        Of the input.
    spatial_shape : (ny, nx), optional
        Image the spectra form.
    wcs : astropy.wcs.WCS, optional
        Celestial WCS of that image.
    """

    populations: Populations
    snr: FloatArray
    redshift: FloatArray
    spatial_shape: tuple[int, int] | None = None
    wcs: WCS | None = None


def measure_file(
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    method: PopulationMethod,
    *,
    overwrite: bool = False,
    command: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[MeasureReport, MeasuredFile]:
    """Find the stellar populations of one file, or of the arms of one object, and write them as FITS.

    Spectra are read and done some hundreds at a time, so that memory does not grow with the file.

    Parameters
    ----------
    paths : sequence of path
        The file, or its arms.
    output : path
        The file to write; it appears whole or not at all.
    method : PopulationMethod
        How, one of `quietspec.populations.methods`.
    overwrite : bool, optional
        Replace `output` where it exists.
    command : str, optional
        The command behind this, for the header.
    progress : callable, optional
        Called with the number of spectra done and their total.
    **options
        Of `quietspec.io.ReadOptions`.

    Returns
    -------
    report : MeasureReport
        What was done.
    recovered : MeasuredFile
        The result.

    Raises
    ------
    QuietspecError
        If the input cannot be read, none of its spectra has a result, or the output cannot be written; then nothing is
        left behind.
    """
    start = time.perf_counter()
    output = Path(output)
    require_uncompressed(output)
    with (
        open_spectra(*paths, **options) as source,
        whole_file(output, overwrite=overwrite, inputs=source.paths) as partial,
    ):
        recovered = _recover(source, method, progress)
        facts = provenance(method.model, command, source.meta) | {
            "QSMETHOD": (recovered.populations.method, "how populations were found")
        }
        history = [f"Input: {warning}" for warning in source.meta["warnings"]]
        table = recovered.populations.to_table()
        table.add_columns([recovered.redshift, recovered.snr.astype(np.float32)], [0, 0], names=["redshift", "snr_in"])
        hdus = parameter_hdus(_columns(recovered), table, source, PopulationFlag, facts, history)
        with os_errors_named(output):
            hdus.writeto(partial, overwrite=True)
    return _report(source, output, recovered.populations, time.perf_counter() - start), recovered


def _recover(source: SpectraSource, method: PopulationMethod, progress: Progress | None) -> MeasuredFile:
    parts, snr = [], []
    refusal: TemplateError | None = None
    done = 0
    for tile in source.tiles(_TILE):
        try:
            part = method(tile, _shifted(progress, done, source.n_spectra))
        except TemplateError as error:  # this tile's wavelengths only, perhaps
            refusal, part = error, _refused(tile, str(error))
        parts.append(part)
        snr.append(tile.snr)
        done += len(tile)
    populations = Populations.stack(_alike(parts))
    _require_any(populations, source, refusal)
    return MeasuredFile(populations, np.concatenate(snr), source.redshift, source.spatial_shape, source.wcs)


def _shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda some, _: progress(done + some, total)


def _refused(tile: Spectra, reason: str) -> Populations:
    n = len(tile)
    flags = np.full(n, int(PopulationFlag.NO_DATA))
    unknown = np.full(n, np.nan)
    return Populations(
        method="", values={}, low={}, high={}, flags=flags, reasons=(reason,) * n, chi2=unknown, seconds=unknown
    )


def _alike(parts: Sequence[Populations]) -> list[Populations]:
    """Give tiles that were refused the parameters of the others, NaN, and their method."""
    whole = next((part for part in parts if part.values), parts[0])
    filled = []
    for part in parts:
        if part.values:
            filled.append(part)
            continue
        mappings = {name: dict.fromkeys(whole.names, np.full(len(part), np.nan)) for name in ("values", "low", "high")}
        filled.append(
            Populations(
                method=whole.method, flags=part.flags, reasons=part.reasons, chi2=part.chi2, seconds=part.seconds,
                meta=whole.meta, **mappings,
            )
        )  # fmt: skip
    return filled


def _require_any(populations: Populations, source: SpectraSource, refusal: TemplateError | None) -> None:
    """Raise where no spectrum has a result: better no file than one of NaN."""
    if not populations.failed.all():
        return
    where = ", ".join(map(str, source.paths))
    if not np.isfinite(source.redshift).any():
        raise ReadError(f"{where}: no spectrum has a redshift, which populations need. Give it: --redshift Z.")
    if refusal is not None:
        raise TemplateError(f"{where}: {refusal}") from refusal
    reason = next((reason for reason in populations.reasons if reason), "no pixel within the model's wavelengths")
    raise ReadError(
        f"{where}: no spectrum has a result; the first: {reason}. Is the redshift right? --redshift Z gives another."
    )


def _columns(recovered: MeasuredFile) -> dict[str, Any]:
    """What becomes an image each."""
    populations = recovered.populations
    columns: dict[str, Any] = {}
    for name in populations.names:
        columns |= {name: populations.values[name], f"{name}_err": populations.error(name)}
    return columns | {"flags": populations.flags, "chi2": populations.chi2, "snr_in": recovered.snr}


def _report(source: SpectraSource, output: Path, populations: Populations, seconds: float) -> MeasureReport:
    found = ~populations.failed
    counts = {flag.name or "": int(np.sum((populations.flags & flag) != 0)) for flag in PopulationFlag}
    return MeasureReport(
        inputs=tuple(str(path) for path in source.paths),
        output=str(output),
        method=populations.method,
        n_spectra=len(populations),
        failed=int((~found).sum()),
        flags={name: count for name, count in counts.items() if count},
        medians={
            name: (_median(populations.values[name][found]), _median(populations.error(name)[found]))
            for name in populations.names
        },
        seconds=seconds,
        warnings=tuple(source.meta["warnings"]),
    )


def _median(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
