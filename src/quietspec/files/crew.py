"""Who computes the tiles of a file: this thread, threads beside it, or a team outside this process.

Threads wait for each other at every return to Python. Where spectra are many, a team therefore computes them: processes
of this machine, or other workers of the cluster where a batch spreads a cube.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from quietspec.files.workers import Compute, Workers
from quietspec.spectra import Spectra

__all__ = ["Crew", "Team"]

Result = TypeVar("Result")

FEW = 2000  #: spectra up to which starting processes takes longer than it saves
LARGE = 10_000  #: spectra up to which sending tiles to other machines saves little


class Team(Protocol):
    """Those who compute tiles for this process, as long as the context lasts; threads call them for one tile each."""

    @property
    def size(self) -> int:
        """Number of tiles they compute side by side."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def __call__(self, spectra: Spectra, /) -> Any:
        """Compute a tile."""
        ...

    def kill(self) -> None:
        """Stop at once: nobody waits for the tiles any more."""
        ...


@dataclass(frozen=True)
class Crew:
    """Who computes the tiles of a file beside the thread that reads and writes.

    Parameters
    ----------
    size : int
        Number of workers of this machine: processes where the spectra are many, else threads; 0 for none.
    spread : callable, optional
        Makes a team of the cluster's workers from the function that computes a tile, for files of more than `LARGE`
        spectra.
    """

    size: int = 0
    spread: Callable[[Compute], Team] | None = None

    def map(
        self,
        compute: Callable[[Spectra], Result],
        tiles: Iterable[Spectra],
        n_spectra: int,
        elsewhere: Callable[[Spectra], Result] | None,
    ) -> Generator[Result]:
        """Apply a function to the tiles of a file, of which at most one per worker waits for those before it.

        Parameters
        ----------
        compute : callable
            Makes the result of a tile in this process.
        tiles : iterable of Spectra
            The tiles.
        n_spectra : int
            Number of spectra in all tiles.
        elsewhere : callable or None
            Does the same in another process, to which it is sent; None where only this process can.

        Yields
        ------
        object
            The results, in the order of the tiles.
        """
        with self._team(elsewhere, n_spectra) or nullcontext() as team:
            if team is not None:
                yield from _side_by_side(team, tiles, team.size, abandon=team.kill)
            elif self.size:
                yield from _side_by_side(compute, tiles, self.size)
            else:
                yield from map(compute, tiles)

    def _team(self, compute: Compute | None, n_spectra: int) -> Team | None:
        """Return the team that computes a file's tiles, not yet entered; None where this process does."""
        if compute is None:
            return None
        if self.spread is not None and n_spectra > LARGE:
            return self.spread(compute)
        return Workers(compute, self.size) if self.size > 1 and n_spectra > FEW else None


def _side_by_side(
    compute: Callable[[Spectra], Result],
    tiles: Iterable[Spectra],
    workers: int,
    abandon: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Compute tiles by threads; `abandon` frees those that wait for a tile which nobody wants any more."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for tile in tiles:
                waiting.append(pool.submit(compute, tile))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # an error, an interrupt, or whoever takes the results takes no more of them
            pool.shutdown(wait=False, cancel_futures=True)
            abandon()
            raise
