"""Let a denoiser see a file as a whole before its tiles: choose among models by it, or learn its galaxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from quietspec.denoisers import ByCoverage, Chosen, Denoiser, SpatialPosterior
from quietspec.denoisers.spatial import Together
from quietspec.errors import ReadError
from quietspec.files.crew import Crew
from quietspec.files.workers import Compute
from quietspec.io import SpectraSource
from quietspec.progress import Progress
from quietspec.spectra import Spectra

__all__ = ["Settled", "settled", "tiles_of"]

TILE = 256  #: spectra computed at once; few enough that no worker waits long for the last

_READINGS = 3  # times that a file is read whose spaxels are denoised together


@dataclass(frozen=True)
class Settled:
    """A denoiser that has seen a file as a whole, and may denoise it tile by tile.

    Parameters
    ----------
    denoiser : Denoiser
        Denoises the tiles that `informed` returns, in this process or in another.
    informed : callable
        Lets a tile carry what the denoiser must know of its spectra beside their data.
    explanation : str
        Why it is another than the usual model for some spectra; empty where it is not.
    readings : int
        Number of times that the file is read, the last time to denoise its tiles. A cube in which few spaxels have data
        is read once less.
    """

    denoiser: Denoiser
    informed: Callable[[Spectra], Spectra] = lambda tile: tile
    explanation: str = ""
    readings: int = 1

    def over_last_reading(self, progress: Progress | None) -> Progress | None:
        """Return what takes the progress over the last reading, and reports that over all."""
        if progress is None or self.readings == 1:
            return progress
        before = self.readings - 1
        return lambda done, total: progress((before * total + done) // self.readings, total)


def settled(
    denoiser: Denoiser, source: SpectraSource, crew: Crew | None = None, progress: Progress | None = None
) -> Settled:
    """Let a denoiser that chooses among models, or learns a cube, do so for a whole file before its tiles.

    Parameters
    ----------
    denoiser : Denoiser
        Any.
    source : SpectraSource
        The file.
    crew : Crew, optional
        Who computes the tiles from which a cube is learned; this thread by default.
    progress : callable, optional
        Called with the number of spectra done, averaged over all readings of the file, and their total.

    Returns
    -------
    Settled
        The same denoiser, unless it chooses or learns.

    Raises
    ------
    ReadError
        If the denoiser learns from neighbours, and the spectra form no image.
    """
    if isinstance(denoiser, SpatialPosterior):
        return _learned(denoiser, source, crew or Crew(), progress)
    if isinstance(denoiser, ByCoverage):
        denoiser = denoiser.settled(source.wavelength, source.redshift, source.medium)
    return Settled(denoiser, explanation=denoiser.explanation if isinstance(denoiser, Chosen) else "")


def tiles_of(source: SpectraSource) -> Iterator[Spectra]:
    """Read a file from its beginning, tile by tile, each with its rows as ``meta["rows"]``."""
    return source.tiles(TILE)


def _learned(denoiser: SpatialPosterior, source: SpectraSource, crew: Crew, progress: Progress | None) -> Settled:
    if source.spatial_shape is None:
        raise ReadError(
            f"{', '.join(map(str, source.paths))}: its spectra form no image, and have no neighbours to learn from. "
            "Leave out --spatial (spatial=False)."
        )
    here = replace(crew, spread=None)  # without the workers of other machines

    def mapped(compute: Compute, tiles: Iterable[Spectra]) -> Iterator[Any]:
        with closing(here.map(compute, tiles, source.n_spectra, elsewhere=compute)) as results:
            yield from results

    known = denoiser.learned(_Readings(source, progress), source.redshift, source.spatial_shape, mapped)
    if not isinstance(known, Together):  # few spaxels have data
        return Settled(known, readings=_READINGS)
    return Settled(known.knows_no_spaxels(), known.informed, readings=_READINGS)


@dataclass
class _Readings:
    """Reads a file anew whenever it is called, and reports progress over all readings except the last."""

    source: SpectraSource
    progress: Progress | None
    done: int = 0

    def __call__(self) -> Iterator[Spectra]:
        for tile in tiles_of(self.source):
            yield tile
            self.done += len(tile)
            if self.progress is not None:
                self.progress(min(self.done // _READINGS, self.source.n_spectra), self.source.n_spectra)
