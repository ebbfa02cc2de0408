"""From a file of spectra to a file of denoised spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.base import FEWEST_PIXELS, Denoiser
from quietspec.denoisers.posterior.contamination import ChannelNoise, channel_noise
from quietspec.errors import ReadError
from quietspec.files.crew import Crew
from quietspec.files.settling import Settled
from quietspec.files.work import Report, Settle, Work, finite_median, flag_counts, is_own, process
from quietspec.io import SpectraSource
from quietspec.io.writing.options import WriteOptions
from quietspec.io.writing.writer import DenoisedWriter, WritableTile
from quietspec.progress import Progress
from quietspec.spectra import Spectra

__all__ = ["FileReport", "denoise_file"]

_NOISE_STEP = 4  # every fourth spectrum suffices to measure a tile's noise


@dataclass(frozen=True, kw_only=True)
class FileReport(Report):
    """What became of one input that was denoised; see `Report` for the fields that all reports share.

    Parameters
    ----------
    snr_before, snr_after : float
        Median over spectra of their median S/N per pixel; NaN where there is none.
    noise : ChannelNoise, optional
        What the residuals say about the noise, median over tiles.
    page : str
        The page about the result; empty if none was written.
    """

    snr_before: float = float("nan")
    snr_after: float = float("nan")
    noise: ChannelNoise | None = None
    page: str = ""


def denoise_file(
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    denoiser: Denoiser,
    *,
    workers: int | Crew = 1,
    keep: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[FileReport, Denoised | None]:
    """Denoise one file, or the arms of one object, into a FITS file.

    Parameters
    ----------
    paths : sequence of path
        The file, or its arms.
    output : path
        The file to write; it appears whole or not at all.
    denoiser : Denoiser
        What to denoise with.
    workers : int or quietspec.files.crew.Crew, optional
        Number of workers that denoise tiles side by side while the main thread reads and writes; 0 denoises one tile
        after the other, for use where other processes occupy the other cores. Several workers are processes that each
        hold the model, or threads where there are fewer than some 2000 spectra or the denoiser is not quietspec's own.
    keep : bool, optional
        Return the result as well; the whole of it is then held in memory.
    progress : callable, optional
        Called with the number of spectra done and their total.
    **options
        Fields of `quietspec.io.ReadOptions` and `quietspec.io.WriteOptions`.

    Returns
    -------
    report : FileReport
        What was done.
    denoised : Denoised or None
        The result, if `keep`.

    Raises
    ------
    QuietspecError
        If the input cannot be read, none of its spectra can be denoised, or the output cannot be written; then nothing
        is left behind.
    """
    work = _Denoising(denoiser, keep)
    report = process(paths, output, work, workers=workers, progress=progress, **options)
    return report, work.denoised


@dataclass(frozen=True, eq=False)
class _Tile:
    """What is to be written of a tile, and said about it."""

    writable: WritableTile
    noise: ChannelNoise | None
    denoised: Denoised | None


@dataclass(frozen=True)
class _TileMaker:
    """Denoise a tile and prepare all of it, so that nothing is left to do but write."""

    denoiser: Denoiser
    residual: bool
    keep: bool

    def __call__(self, spectra: Spectra, progress: Progress | None = None) -> _Tile:
        denoised = self.denoiser.denoise(spectra)
        noise = _tile_noise(denoised[::_NOISE_STEP])
        return _Tile(WritableTile.of(denoised, residual=self.residual), noise, denoised if self.keep else None)


class _Denoising(Work[_Tile, FileReport]):
    """Denoise spectra and write them tile by tile."""

    report = FileReport
    settled: Settled

    def __init__(self, denoiser: Denoiser, keep: bool) -> None:
        self._denoiser = denoiser
        self._keep = keep
        self._kept: list[Denoised] = []
        self._noises: list[ChannelNoise] = []
        self._residual = False
        self._writer: DenoisedWriter
        self.denoised: Denoised | None = None

    def open_output(self, path: Path, source: SpectraSource, options: WriteOptions, settle: Settle) -> DenoisedWriter:
        """Open the writer."""
        self.settled = settle(self._denoiser)
        self._residual = options.residual
        history = [*filter(None, [self.settled.explanation]), *options.history]
        self._writer = DenoisedWriter(path, source, **asdict(replace(options, history=history)))
        return self._writer

    @property
    def maker(self) -> _TileMaker:
        """What denoises a tile."""
        return _TileMaker(self.settled.denoiser, self._residual, self._keep)

    @property
    def sendable(self) -> bool:
        """Whether the denoiser is of quietspec."""
        return is_own(self.settled.denoiser)

    def put(self, tile: _Tile, rows: slice) -> None:
        """Write a tile."""
        self._writer.put(tile.writable, rows)
        if tile.noise is not None:
            self._noises.append(tile.noise)
        if tile.denoised is not None:
            self._kept.append(tile.denoised)

    def finish(self, source: SpectraSource) -> dict[str, Any]:
        """Record the noise that was measured, and summarise the columns."""
        columns = self._writer.columns
        flags = columns["flags"]
        _require_any(flags, source)
        noise = _median_noise(self._noises)
        self._writer.record(_noise_keywords(noise))
        if self._keep:
            self.denoised = Denoised.stack(self._kept, source.read())
        return {
            "model": str(self.settled.denoiser.model),
            "choice": self.settled.explanation,
            "snr_before": finite_median(columns["snr_in"]),
            "snr_after": finite_median(columns["snr_out"]),
            "noise": noise,
            "failed": sum(int(np.sum(flags == value)) for value in np.unique(flags) if Flag(int(value)).failed),
            "flags": flag_counts(flags, Flag),
        }


def _tile_noise(some: Denoised) -> ChannelNoise | None:
    counted = some.counted
    if not counted.any():
        return None
    return channel_noise(np.where(counted, some.residual, 0.0), np.where(counted, some.spectra.ivar, 0.0))


def _median_noise(noises: Sequence[ChannelNoise]) -> ChannelNoise | None:
    """Median over tiles; None where there is nothing to measure."""
    if not noises:
        return None
    scale, *correlation = np.median([(noise.scale, *noise.correlation) for noise in noises], axis=0)
    return ChannelNoise(float(scale), tuple(map(float, correlation))) if np.isfinite(scale) else None


def _noise_keywords(noise: ChannelNoise | None) -> dict[str, tuple[str, str]]:
    if noise is None:
        return {}
    comment = "correlation of channels that many apart"
    correlations = {f"QSCORR{lag}": (f"{value:.3f}", comment) for lag, value in enumerate(noise.correlation, start=1)}
    return {"QSNOISE": (f"{noise.scale:.3f}", "scatter of channels over quoted error"), **correlations}


def _require_any(flags: npt.NDArray[np.integer[Any]], source: SpectraSource) -> None:
    """Raise `ReadError` where no spectrum that has data could be denoised."""
    failures = [Flag(int(flag)) for flag in np.unique(flags) if Flag.EMPTY not in Flag(int(flag))]
    if not all(flag.failed for flag in failures):
        return
    where = ", ".join(map(str, source.paths))
    if all(Flag.NO_REDSHIFT in flag for flag in failures):
        raise ReadError(f"{where}: no spectrum has a redshift, which this model needs. Give it: --redshift Z.")
    if all(Flag.UNDETERMINED in flag for flag in failures):
        raise ReadError(
            f"{where}: no spectrum can be denoised: each has fewer than {FEWEST_PIXELS} usable pixels, or numbers "
            "beyond the arithmetic, such as an S/N of thousands in part of them. Are flux, errors and mask right? "
            "`quietspec info` shows them; --noise-hdu, --noise-kind and --mask-hdu name others."
        )
    low, high = (f"{source.wavelength[i]:.0f}" for i in (0, -1))
    known = source.redshift[np.isfinite(source.redshift)]
    raise ReadError(
        f"{where}: no spectrum can be denoised: at redshift {_range(known)} none of the usable pixels of "
        f"{low}–{high} Å lies within the model's wavelengths. Is the redshift right? --redshift Z gives another."
    )


def _range(values: FloatArray) -> str:
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"
