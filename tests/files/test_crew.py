"""Tiles computed by a crew: in this thread, by threads, by a team."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pytest

from quietspec.errors import SpectraError
from quietspec.files import crew
from quietspec.files.crew import Crew
from quietspec.spectra import Spectra

N = 7


@pytest.fixture
def tiles() -> list[Spectra]:
    flux = np.outer(np.arange(N), np.ones(20))
    whole = Spectra.from_arrays(np.arange(4000.0, 4020.0), flux, 0.5, medium="air", redshift=0.0)
    return [whole[row : row + 1] for row in range(N)]


def level(tile: Spectra) -> int:
    return int(tile.flux[0, 0])


class Others:
    """A team that answers with negative numbers, and counts how often it is given up."""

    size = 2

    def __init__(self, compute: Any) -> None:
        self.compute, self.open, self.given_up = compute, False, 0

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False

    def __call__(self, tile: Spectra) -> Any:
        assert self.open
        return -self.compute(tile)

    def kill(self) -> None:
        self.given_up += 1


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Others:
    monkeypatch.setattr(crew, "LARGE", N - 1)
    return Others(level)


@pytest.mark.parametrize("size", [0, 1, 3, 20])
def test_results_come_in_the_order_of_the_tiles(tiles: list[Spectra], size: int) -> None:
    assert list(Crew(size).map(level, tiles, N, level)) == list(range(N))


@pytest.mark.parametrize("size", [1, 3])
def test_few_tiles_are_read_ahead(tiles: list[Spectra], size: int) -> None:
    read: list[int] = []

    def reading() -> Iterator[Spectra]:
        for number, tile in enumerate(tiles):
            read.append(number)
            yield tile

    results = Crew(size).map(level, reading(), N, None)
    assert next(results) == 0
    assert len(read) == size + 1
    results.close()


def test_this_thread_computes_where_there_is_no_worker(tiles: list[Spectra]) -> None:
    assert set(Crew(0).map(lambda _: threading.get_ident(), tiles, N, None)) == {threading.get_ident()}


def test_a_team_computes_many_spectra_unless_only_this_process_can(tiles: list[Spectra], others: Others) -> None:
    spread = Crew(0, lambda _: others)
    assert list(spread.map(level, tiles, N, level)) == [-number for number in range(N)]
    assert list(spread.map(level, tiles, N, None)) == list(range(N))
    assert list(spread.map(level, tiles, N - 1, level)) == list(range(N))
    assert (others.given_up, others.open) == (0, False)


def test_a_team_is_given_up_when_nobody_takes_its_results(tiles: list[Spectra], others: Others) -> None:
    results = Crew(0, lambda _: others).map(level, tiles, N, level)
    assert next(results) == 0
    results.close()
    assert (others.given_up, others.open) == (1, False)


@pytest.mark.parametrize("size", [0, 2])
def test_an_error_ends_the_work(tiles: list[Spectra], size: int) -> None:
    def refuse(tile: Spectra) -> int:
        if level(tile) == 2:
            raise SpectraError("none of these")
        return level(tile)

    found: list[int] = []
    with pytest.raises(SpectraError, match="none of these"):
        found.extend(Crew(size).map(refuse, tiles, N, None))
    assert found == [0, 1]
