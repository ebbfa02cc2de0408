"""From files to files: open, denoise tile by tile, write, and report."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import Denoiser
from quietspec.denoisers.posterior.contamination import ChannelNoise, channel_noise
from quietspec.errors import ReadError
from quietspec.io import open_spectra
from quietspec.io.reading.source import SpectraSource
from quietspec.io.writing.writer import DenoisedWriter, WritableTile
from quietspec.spectra import Spectra

__all__ = ["TILE", "FileReport", "denoise_file"]

TILE = 512  #: spectra held at a time by each worker
_NOISE_STEP = 4  # one spectrum in so many suffices to measure a tile's noise


@dataclass(frozen=True)
class FileReport:
    """What became of one input.

    Parameters
    ----------
    inputs : tuple of str
        The file, or the arms of one object.
    output : str
        What was written.
    n_spectra : int
        Spectra in it.
    snr_before, snr_after : float
        Median over spectra of their median S/N per pixel; NaN where there is none.
    failed : int
        Spectra without a result.
    noise : ChannelNoise, optional
        What the residuals say of the noise, median over tiles.
    flags : mapping of str to int
        Spectra that carry each flag of `quietspec.Flag`.
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
    n_spectra: int = 0
    snr_before: float = float("nan")
    snr_after: float = float("nan")
    failed: int = 0
    noise: ChannelNoise | None = None
    flags: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    figure: str = ""
    error: str = ""


def denoise_file(
    paths: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    denoiser: Denoiser,
    *,
    overwrite: bool = False,
    command: str | None = None,
    workers: int = 1,
    keep: bool = False,
    progress: Callable[[int, int], None] | None = None,
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
    overwrite : bool, optional
        Replace `output` where it exists.
    command : str, optional
        The command behind this, for the header.
    workers : int, optional
        Threads that denoise tiles side by side, while another reads and writes; 0 does one after the other, for where
        other processes take the other cores.
    keep : bool, optional
        Return the result as well; it is then held in memory whole.
    progress : callable, optional
        Called with the number of spectra done and their total.
    **options
        Of `quietspec.io.ReadOptions`.

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
    start = time.perf_counter()
    kept: list[Denoised] = []
    summary = _Summary()
    with open_spectra(*paths, **options) as source:
        with DenoisedWriter(output, source, overwrite=overwrite, command=command) as writer:
            for tile in _finished_tiles(source, partial(_finish, denoiser, keep), workers):
                done = len(summary) + len(tile.writable)
                writer.put(tile.writable, slice(len(summary), done))
                summary.add(tile)
                if tile.denoised is not None:
                    kept.append(tile.denoised)
                if progress is not None:
                    progress(done, source.n_spectra)
            summary.require_any(source)
            totals = summary.totals()
            writer.record(_noise_keywords(totals["noise"]))
        report = FileReport(
            inputs=tuple(str(path) for path in paths),
            output=str(Path(output)),
            n_spectra=source.n_spectra,
            seconds=time.perf_counter() - start,
            warnings=tuple(source.meta["warnings"]),
            **totals,
        )
        return report, Denoised.stack(kept, source.read()) if keep else None


@dataclass(frozen=True, eq=False)
class _Tile:
    """What is to be written of a tile and said of it."""

    writable: WritableTile
    noise: ChannelNoise | None
    denoised: Denoised | None


def _finish(denoiser: Denoiser, keep: bool, spectra: Spectra) -> _Tile:
    """Denoise a tile and make all of it ready, so that nothing is left to do but write."""
    denoised = denoiser.denoise(spectra)
    some = denoised[::_NOISE_STEP]
    counted = some.valid & ~some.ignored
    noise = None
    if counted.any():
        residual = np.where(counted, some.residual, 0.0)
        noise = channel_noise(residual, np.where(counted, some.spectra.ivar, 0.0))
    return _Tile(WritableTile.of(denoised), noise, denoised if keep else None)


def _finished_tiles(source: SpectraSource, finish: Callable[[Spectra], _Tile], workers: int) -> Iterator[_Tile]:
    """Finish tiles in order, side by side, while others are read and written."""
    # No more than one tile waits for each worker, so that memory does not depend on the size of the input. A worker
    # has one thread: those of the linear-algebra library would get in each other's way.
    with threadpool_limits(limits=1):
        if workers == 0:
            yield from map(finish, source.tiles(TILE))
            return
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[Future[_Tile]] = deque()
            for tile in source.tiles(TILE):
                waiting.append(pool.submit(finish, tile))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


class _Summary:
    """Counts over tiles."""

    def __init__(self) -> None:
        self.before: list[float] = []
        self.after: list[float] = []
        self.flags: list[int] = []
        self.noises: list[ChannelNoise] = []

    def __len__(self) -> int:
        return len(self.flags)

    def add(self, tile: _Tile) -> None:
        columns = tile.writable.columns
        self.before.extend(columns["snr_in"])
        self.after.extend(columns["snr_out"])
        self.flags.extend(columns["flags"].tolist())
        if tile.noise is not None:
            self.noises.append(tile.noise)

    def noise(self) -> ChannelNoise | None:
        """Median over tiles; None where there is nothing to measure."""
        if not self.noises:
            return None
        scale, *correlation = np.median([(noise.scale, *noise.correlation) for noise in self.noises], axis=0)
        return ChannelNoise(float(scale), tuple(map(float, correlation))) if np.isfinite(scale) else None

    def require_any(self, source: SpectraSource) -> None:
        """Raise `ReadError` where no spectrum with data could be denoised: better no file than one of NaN."""
        failures = [Flag(flag) for flag in self.flags if Flag.EMPTY not in Flag(flag)]
        if not all(flag.failed for flag in failures):
            return
        where = ", ".join(map(str, source.paths))
        if all(Flag.NO_REDSHIFT in flag for flag in failures):
            raise ReadError(f"{where}: no spectrum has a redshift, which this model needs. Give it: --redshift Z.")
        low, high = (f"{source.wavelength[i]:.0f}" for i in (0, -1))
        known = source.redshift[np.isfinite(source.redshift)]
        raise ReadError(
            f"{where}: no spectrum can be denoised: at redshift {_range(known)} none of the usable pixels of "
            f"{low}–{high} Å lies within the model's wavelengths. Is the redshift right? --redshift Z gives another."
        )

    def totals(self) -> dict[str, Any]:
        flags = np.array(self.flags, dtype=np.int64)
        counts = {flag.name or "": int(np.sum(flags & flag != 0)) for flag in Flag if flag}
        failed = sum(int(np.sum(flags == value)) for value in np.unique(flags) if Flag(int(value)).failed)
        return {
            "snr_before": _median(self.before),
            "snr_after": _median(self.after),
            "noise": self.noise(),
            "failed": failed,
            "flags": {name: count for name, count in counts.items() if count},
        }


def _noise_keywords(noise: ChannelNoise | None) -> dict[str, tuple[str, str]]:
    if noise is None:
        return {}
    comment = "correlation of channels that many apart"
    correlations = {f"QSCORR{lag}": (f"{value:.3f}", comment) for lag, value in enumerate(noise.correlation, start=1)}
    return {"QSNOISE": (f"{noise.scale:.3f}", "scatter of channels over quoted error"), **correlations}


def _range(values: FloatArray) -> str:
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return low if low == high else f"{low} to {high}"


def _median(values: Sequence[float]) -> float:
    finite = np.asarray(values)[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")
