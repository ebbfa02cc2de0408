"""From a file of spectra to a file of measurements: maps of a cube, a table of anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.binning import Binning, SumPlan, plan_sums
from quietspec.denoisers import SpatialPosterior, load_denoiser
from quietspec.errors import ReadError, SpectraError, TemplateError, WriteError
from quietspec.files.layouts import LAYOUTS, Contents, Layout
from quietspec.files.light import Light, light_of
from quietspec.files.measured import MeasuredFile
from quietspec.files.settling import settled
from quietspec.files.work import Report, Settle, Work, finite_median, flag_counts, is_own, process
from quietspec.io import SpectraSource
from quietspec.io.writing.options import WriteOptions
from quietspec.io.writing.provenance import provenance
from quietspec.populations.methods import PopulationMethod, denoiser_of, with_denoiser
from quietspec.populations.result import PopulationFlag, Populations
from quietspec.progress import Progress
from quietspec.spectra import Spectra

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


def measure_file(
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    method: PopulationMethod,
    *,
    bins: Binning | None = None,
    workers: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[MeasureReport, MeasuredFile]:
    """Find the stellar populations of one file, or of the arms of one object, and write them as FITS.

    Parameters
    ----------
    paths : sequence of path
        The file, or its arms.
    output : path
        The file to write, or the folder where the layout is nGIST's; it appears whole or not at all.
    method : PopulationMethod
        How to find them: one of `quietspec.populations.methods`.
    bins : Binning, optional
        Which spaxels of a cube are summed first; each sum is then measured like one spectrum.
    workers : int, optional
        Number of workers that measure tiles side by side while the main thread reads; 0 measures one tile after the
        other. Several workers are processes that each hold the model, or threads where there are fewer than some 2000
        spectra or the method is not quietspec's own.
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
    SpectraError
        If spaxels are to be summed, and the denoiser is one of whole cubes.
    """
    if bins is not None and isinstance(denoiser_of(method), SpatialPosterior):
        raise SpectraError("measure: only spaxels as they are can be denoised as a whole: spatial=False, or no bins.")
    work = _Measuring(method, bins)
    report = process(paths, output, work, workers=workers, progress=progress, **options)
    return report, work.measured


@dataclass(frozen=True, eq=False)
class _Tile:
    """Populations of a tile, the S/N and redshift of its spectra, and their brightness where the layout has it."""

    populations: Populations
    snr: FloatArray
    redshift: FloatArray
    light: Light | None
    refusal: TemplateError | None = None


@dataclass(frozen=True)
class _TileMaker:
    """Measure a tile; where no template covers its wavelengths, those of other tiles may still be covered."""

    method: PopulationMethod
    of_images: bool

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> _Tile:
        light = light_of(spectra) if self.of_images else None
        try:
            return _Tile(self.method(spectra, progress), spectra.snr, spectra.redshift, light)
        except TemplateError as error:
            return _Tile(_refused(spectra, str(error)), spectra.snr, spectra.redshift, light, error)


class _Measuring(Work[_Tile, MeasureReport]):
    """Measure spectra tile by tile, and write all results at the end."""

    report = MeasureReport

    def __init__(self, method: PopulationMethod, bins: Binning | None = None) -> None:
        self._method, self._bins = method, bins
        self._sums: SumPlan | None = None
        self._spaxels: list[Light] = []
        self._tiles: list[_Tile] = []
        self._layout: Layout
        self.measured: MeasuredFile

    @contextmanager
    def open_output(self, path: Path, source: SpectraSource, options: WriteOptions, settle: Settle) -> Iterator[None]:
        """Reserve the output's name; write it at the end."""
        if (denoiser := denoiser_of(self._method)) is not None:
            self.settled = settle(denoiser)
            self._method = with_denoiser(self._method, self.settled.denoiser)
        self._layout = _layout_named(options.layout)
        if self._bins is not None and self._bins.apertures and self._layout.of_images:
            raise WriteError(
                f"{path}: apertures form no image, and the layout {options.layout!r} holds maps. Write a table: "
                'layout="native".'
            )
        with self._layout.place(path, source, options) as place:
            yield
            self._layout.write(place, path, self._contents(source, options))

    def _contents(self, source: SpectraSource, options: WriteOptions) -> Contents:
        facts = provenance(self._method.model, options.command, source.meta) | {
            "QSMETHOD": (self.measured.populations.method, "how populations were found")
        }
        if self._sums is not None and self._bins is not None:
            facts["QSBIN"] = (self._sums.name, "what was summed before it was measured")
            facts["QSNCORR"] = (str(self._sums.correlation), "correlation of the noise of spaxels")
            left_out = str(len(self._sums.spikes)) if self._bins.clean else "not looked for"
            facts["QSNSPIKE"] = (left_out, "pixels left out as cosmic rays")
        notes = [*(f"Input: {warning}" for warning in source.meta["warnings"]), self._choice]
        history = [*filter(None, notes), *options.history]
        return Contents(self.measured, source, facts, history)

    @property
    def _choice(self) -> str:
        return "" if self.settled is None else self.settled.explanation

    def tiles(self, source: SpectraSource) -> tuple[int, Iterable[Spectra]]:
        """Tiles of the file, or of sums of its spaxels."""
        if self._bins is None:
            return super().tiles(source)
        own = denoiser_of(self._method) or settled(load_denoiser("posterior"), source).denoiser
        self._sums = plan_sums(source, self._bins, own, self._see if self._layout.of_images else None)
        return len(self._sums), self._sums.tiles(source)

    def _see(self, spaxels: Spectra) -> None:
        self._spaxels.append(light_of(spaxels))

    @property
    def maker(self) -> _TileMaker:
        """What measures a tile."""
        return _TileMaker(self._method, self._layout.of_images)

    @property
    def sendable(self) -> bool:
        """Whether the method and its denoiser are of quietspec."""
        denoiser = denoiser_of(self._method)
        return is_own(self._method) and (denoiser is None or is_own(denoiser))

    def put(self, tile: _Tile, rows: slice) -> None:
        """Keep the tile's results."""
        self._tiles.append(tile)

    def finish(self, source: SpectraSource) -> dict[str, Any]:
        """Join the tiles and summarise them."""
        populations = Populations.stack(_alike([tile.populations for tile in self._tiles]))
        refusal = next((tile.refusal for tile in reversed(self._tiles) if tile.refusal), None)
        _require_any(populations, source, refusal)
        snr, redshift = (np.concatenate([getattr(tile, name) for tile in self._tiles]) for name in ("snr", "redshift"))
        self.measured = MeasuredFile(
            populations,
            snr,
            redshift,
            source.spatial_shape,
            source.wcs,
            light=_stacked([tile.light for tile in self._tiles if tile.light is not None]),
            sums=self._sums,
            spaxel_light=_stacked(self._spaxels),
        )
        found = ~populations.failed
        return {
            "model": str(self._method.model),
            "choice": self._choice,
            "method": populations.method,
            "failed": int((~found).sum()),
            "flags": flag_counts(populations.flags, PopulationFlag),
            "medians": {
                name: (finite_median(populations.values[name][found]), finite_median(populations.error(name)[found]))
                for name in populations.names
            },
        }


def _stacked(lights: list[Light]) -> Light | None:
    return Light.stack(lights) if lights else None


def _layout_named(name: str) -> Layout:
    if name not in LAYOUTS:
        raise WriteError(f"layout {name!r} is unknown; choose one of {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def _refused(spectra: Spectra, reason: str) -> Populations:
    n = len(spectra)
    flags = np.full(n, int(PopulationFlag.NO_DATA))
    unknown = np.full(n, np.nan)
    return Populations(
        method="", values={}, low={}, high={}, flags=flags, reasons=np.full(n, reason), chi2=unknown, seconds=unknown
    )


def _alike(parts: Sequence[Populations]) -> list[Populations]:
    """Give all tiles the same columns, NaN where one lacks them, and refused ones the method of the others."""
    whole = next((part for part in parts if part.values), parts[0])
    further = dict.fromkeys(name for part in parts for name in part.further)
    filled = []
    for part in parts:
        unknown = np.full(len(part), np.nan)
        columns = {name: part.further.get(name, (unknown, unknown)) for name in further}
        if part.values:
            filled.append(replace(part, further=columns))
            continue
        nothing = dict.fromkeys(whole.names, unknown)
        filled.append(
            replace(
                part, method=whole.method, meta=whole.meta, values=nothing, low=nothing, high=nothing, further=columns
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
        f"{where}: no spectrum has a result; the first: {reason}. Is the redshift right? --redshift Z gives another. "
        "Are the errors? `quietspec info` shows them; --noise-hdu and --noise-kind name others."
    )
