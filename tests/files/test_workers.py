"""Tiles computed in processes of their own."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter

import numpy as np
import pytest

from quietspec.errors import SpectraError, WriteError
from quietspec.files.workers import Workers
from quietspec.spectra import Spectra


@pytest.fixture
def spectra():
    return Spectra.from_arrays(np.arange(4000.0, 4100.0), np.ones((2, 100)), 0.5, medium="air", redshift=0.0)


def test_a_tile_is_computed_in_another_process(spectra):
    with Workers(attrgetter("flux")) as workers:
        np.testing.assert_array_equal(workers(spectra), spectra.flux)
        np.testing.assert_array_equal(workers(spectra[:1]), spectra.flux[:1])
    with Workers(_process) as workers:
        first, second = workers(spectra), workers(spectra)
    assert first == second != os.getpid()


def test_errors_arrive_where_the_tile_was_asked_for(spectra):
    with (
        Workers(partial(getattr, "there is no such attribute")) as workers,
        pytest.raises(RuntimeError, match="in a wo"),
    ):
        workers(spectra)
    with Workers(_refuse) as workers, pytest.raises(SpectraError, match="none of these"):
        workers(spectra)


def test_a_worker_that_dies_is_reported(spectra):
    with Workers(_die) as workers, pytest.raises(WriteError, match="a worker process has ended"):
        workers(spectra)


def test_nobody_waits_for_tiles_of_workers_that_are_killed(spectra, tmp_path):
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    with ThreadPoolExecutor(1) as pool, Workers(partial(_wait, begun, ended)) as workers:
        asked = pool.submit(workers, spectra)
        while not begun.exists():
            time.sleep(0.01)
        workers.kill()
        with pytest.raises(WriteError, match="a worker process has ended"):
            asked.result()
    assert not ended.exists()


def _wait(begun, ended, _):
    begun.touch()
    time.sleep(60)
    ended.touch()


def _process(_):
    return os.getpid()


def _refuse(_):
    raise SpectraError("none of these")


def _die(_):
    os._exit(1)
