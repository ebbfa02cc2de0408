"""From a file of spectra to a file of measurements: maps of a cube, a table of anything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoised import ModelId
from quietspec.errors import ReadError, TemplateError
from quietspec.files.work import Report, Work, finite_median, flag_counts, process
from quietspec.io import SpectraSource
from quietspec.io.writing.atomic import claim_outputs, os_errors_named, require_fits_name, whole_file
from quietspec.io.writing.options import WriteOptions
from quietspec.io.writing.parameters import parameter_hdus
from quietspec.io.writing.provenance import provenance
from quietspec.populations.methods import PopulationMethod
from quietspec.populations.result import PopulationFlag, Populations
from quietspec.progress import Progress
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    from astropy.io import fits
    from astropy.wcs import WCS

__all__ = ["MeasureReport", "MeasuredFile", "measure_file"]


@dataclass(frozen=True, kw_only=True)
class MeasureReport(Report):
    """What became of one input that was measured; see `Report` for the fields that all reports share.

    Parameters
    ----------
    method : str
        How populations were found.
    medians : mapping of str to (float, float)
        Median over spectra of each parameter, and of its error.
    """

    method: str = ""
    medians: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MeasuredFile:
    """Populations of a file's spectra, with their place on the sky.

    Parameters
    ----------
    populations : Populations
        Results for all spectra.
    snr : (n_spectra,)
        Median S/N per pixel of the input.
    redshift : (n_spectra,)
        Redshifts of the input.
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
    progress: Progress | None = None,
    **options: Any,
) -> tuple[MeasureReport, MeasuredFile]:
    """Find the stellar populations of one file, or of the arms of one object, and write them as FITS.

    Parameters
    ----------
    paths : sequence of path
        The file, or its arms.
    output : path
        The file to write; it appears whole or not at all.
    method : PopulationMethod
        How to find them: one of `quietspec.populations.methods`.
    progress : callable, optional
        Called with the number of spectra done and their total.
    **options
        Fields of `quietspec.io.ReadOptions` and `quietspec.io.WriteOptions`.

    Returns
    -------
    report : MeasureReport
        What was done.
    measured : MeasuredFile
        The result.

    Raises
    ------
    QuietspecError
        If the input cannot be read, none of its spectra has a result, or the output cannot be written; then nothing is
        left behind.
    """
    work = _Measuring(method)
    report = process(paths, output, work, progress=progress, **options)
    return report, work.measured


@dataclass(frozen=True, eq=False)
class _Tile:
    """Populations of a tile, and the S/N of its spectra."""

    populations: Populations
    snr: FloatArray
    refusal: TemplateError | None = None


class _Measuring(Work[_Tile, MeasureReport]):
    """Measure spectra tile by tile, and write all results at the end."""

    report = MeasureReport

    def __init__(self, method: PopulationMethod) -> None:
        self._method = method
        self._tiles: list[_Tile] = []
        self.measured: MeasuredFile

    @contextmanager
    def open_output(self, path: Path, source: SpectraSource, options: WriteOptions) -> Iterator[None]:
        """Reserve the output's name; write the file at the end."""
        claim_outputs([path], source.paths)
        require_fits_name(path)
        with whole_file(path, overwrite=options.overwrite, inputs=source.paths) as partial:
            yield
            hdus = _hdus(self.measured, source, self._method.model, options)
            with os_errors_named(path):
                hdus.writeto(partial, overwrite=True)

    def compute(self, spectra: Spectra, progress: Progress | None) -> _Tile:
        """Measure a tile; where no template covers its wavelengths, those of other tiles may still be covered."""
        try:
            return _Tile(self._method(spectra, progress), spectra.snr)
        except TemplateError as error:
            return _Tile(_refused(spectra, str(error)), spectra.snr, error)

    def put(self, tile: _Tile, rows: slice) -> None:
        """Keep the tile's results."""
        self._tiles.append(tile)

    def finish(self, source: SpectraSource) -> dict[str, Any]:
        """Join the tiles and summarise them."""
        populations = Populations.stack(_alike([tile.populations for tile in self._tiles]))
        refusal = next((tile.refusal for tile in reversed(self._tiles) if tile.refusal), None)
        _require_any(populations, source, refusal)
        snr = np.concatenate([tile.snr for tile in self._tiles])
        self.measured = MeasuredFile(populations, snr, source.redshift, source.spatial_shape, source.wcs)
        found = ~populations.failed
        return {
            "method": populations.method,
            "failed": int((~found).sum()),
            "flags": flag_counts(populations.flags, PopulationFlag),
            "medians": {
                name: (finite_median(populations.values[name][found]), finite_median(populations.error(name)[found]))
                for name in populations.names
            },
        }


def _refused(spectra: Spectra, reason: str) -> Populations:
    n = len(spectra)
    flags = np.full(n, int(PopulationFlag.NO_DATA))
    unknown = np.full(n, np.nan)
    return Populations(
        method="", values={}, low={}, high={}, flags=flags, reasons=np.full(n, reason), chi2=unknown, seconds=unknown
    )


def _alike(parts: Sequence[Populations]) -> list[Populations]:
    """Give tiles that were refused the method of the others and their parameters, as NaN."""
    whole = next((part for part in parts if part.values), parts[0])
    filled = []
    for part in parts:
        if part.values:
            filled.append(part)
            continue
        unknown = np.full(len(part), np.nan)
        nothing = dict.fromkeys(whole.names, unknown)
        further = dict.fromkeys(whole.further, (unknown, unknown))
        filled.append(
            replace(
                part, method=whole.method, meta=whole.meta, values=nothing, low=nothing, high=nothing, further=further
            )
        )
    return filled


def _require_any(populations: Populations, source: SpectraSource, refusal: TemplateError | None) -> None:
    """Raise where no spectrum has a result."""
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


def _hdus(measured: MeasuredFile, source: SpectraSource, model: ModelId, options: WriteOptions) -> fits.HDUList:
    populations = measured.populations
    facts = provenance(model, options.command, source.meta) | {
        "QSMETHOD": (populations.method, "how populations were found")
    }
    history = [*(f"Input: {warning}" for warning in source.meta["warnings"]), *options.history]
    table = populations.to_table()
    table.add_columns([measured.redshift, measured.snr.astype(np.float32)], [0, 0], names=["redshift", "snr_in"])
    return parameter_hdus(_images(measured), table, source, PopulationFlag, facts, history)


def _images(measured: MeasuredFile) -> dict[str, Any]:
    """Values that become one image each."""
    populations = measured.populations
    images: dict[str, Any] = {}
    for name in populations.names:
        images |= {name: populations.values[name], f"{name}_err": populations.error(name)}
    for name, (value, error) in populations.further.items():
        images |= {name: value, f"{name}_err": error}
    return images | {"flags": populations.flags, "chi2": populations.chi2, "snr_in": measured.snr}
