"""Large cubes whose tiles all workers share: the same outputs, and one line for what fails."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits

from quietspec.batch import BatchReport, ClusterOptions, Cube, Job, Outcome, Settings, run_batch, spread
from quietspec.batch.task import denoise_cube
from quietspec.denoisers import load_denoiser
from quietspec.errors import BatchError, SpectraError
from quietspec.files import denoise_file
from quietspec.files.crew import LARGE

from .conftest import DENOISER, save_cube

SETTINGS = Settings(denoiser=DENOISER, command="any", thumbnails=False, split=True)
OWN = ["DATE", "CHECKSUM", "DATASUM"]  # header cards that tell runs apart
TILE, LATER = 4, 8  # spectra of a tile of small cubes; the first of the third


@pytest.fixture
def few(monkeypatch) -> None:
    """Cubes of sixteen spectra are large, with tiles of four, in workers that are threads of this process."""
    monkeypatch.setattr("quietspec.files.crew.LARGE", 3 * TILE)
    monkeypatch.setattr("quietspec.files.settling.TILE", TILE)


def cubes_of(folder: Path, *sides: int) -> list[Cube]:
    paths = [save_cube(folder / f"cube{number}.fits", 1.0 + number, side=side) for number, side in enumerate(sides)]
    return [Cube((str(path),), f"out{number}.fits") for number, path in enumerate(paths)]


def run(cubes, folder: Path, settings: Settings = SETTINGS, **options) -> BatchReport:
    return run_batch(cubes, folder / "out", settings, **options)


def assert_as_unsplit(cube: Cube, folder: Path, *model: str, spatial: bool = False) -> None:
    """Whether an output is the same to the bit as that of `denoise_file` without workers, provenance included."""
    alone = folder / f"alone_{cube.output}"
    denoiser = load_denoiser(*(model or (DENOISER,)), spatial=spatial)
    denoise_file(cube.files, alone, denoiser, command="any", workers=0, **cube.options)
    difference = fits.FITSDiff(folder / "out" / cube.output, alone, ignore_keywords=OWN)
    assert difference.identical, difference.report()


def assert_nothing_left(folder: Path) -> None:
    out = folder / "out"
    assert not [*out.glob(".*.part"), *(out / "batch").glob("*.crash"), *(out / "batch").glob(".*.crash")]


def with_tiles(before: Callable[[int], None]) -> Callable[[Job], Outcome]:
    """Return work in which workers call a function with the first spectrum of each tile of a large cube first.

    It is made here, so that it travels by value.
    """

    def work(job: Job) -> Outcome:
        from quietspec.batch import spread

        honest = spread._computed

        def computed(version, compute, spectra, folder, note):
            def first(tile):
                before(tile.meta["rows"].start)
                return compute(tile)

            return honest(version, first, spectra, folder, note)

        spread._computed = computed
        try:
            return denoise_cube(job)
        finally:
            spread._computed = honest

    return work


def test_all_workers_share_a_large_cube(tmp_path):
    large, small = cubes = cubes_of(tmp_path, 101, 4)
    assert LARGE < 101**2
    who = tmp_path / "who"
    who.mkdir()

    def sign(start: int) -> None:
        (who / f"{os.getpid()}_{start}").touch()

    report = run(cubes, tmp_path, cluster=ClusterOptions(workers=2), work=with_tiles(sign))
    assert report.complete
    names = [path.name.split("_") for path in who.iterdir()]
    assert len({process for process, _ in names}) == 2
    assert len({start for _, start in names}) == len(names) > 101**2 // 256  # each tile once
    assert_as_unsplit(large, tmp_path)
    assert_as_unsplit(small, tmp_path)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("always", [False, True])
def test_a_tile_that_kills_its_worker(tmp_path, always):
    (cube,) = cubes = cubes_of(tmp_path, 101)
    killed = tmp_path / "killed"

    def crash(start: int) -> None:
        if start > LARGE // 2 and (always or not killed.exists()):
            killed.touch()
            ctypes.string_at(0)

    report = run(cubes, tmp_path, cluster=ClusterOptions(workers=2, retries=1), work=with_tiles(crash))
    assert report.complete != always
    assert_nothing_left(tmp_path)
    if always:
        assert "crashed (Segmentation fault)" in report.cubes[0]["reason"]
        assert not list((tmp_path / "out").glob("*.fits"))
    else:
        assert_as_unsplit(cube, tmp_path)


def test_what_fails_in_a_tile_is_one_line_and_the_next_run_goes_on(few, tmp_path, threads):
    bad, good = cubes = cubes_of(tmp_path, 4, 4)
    cluster = ClusterOptions(scheduler=threads)

    def fail(start: int) -> None:
        if start == LATER and not (tmp_path / "out" / good.output).exists():
            raise SpectraError("a tile that nothing can be done about")

    report = run([bad], tmp_path, cluster=cluster, work=with_tiles(fail))
    assert [cube["status"] for cube in report.cubes] == ["failed"]
    assert report.cubes[0]["reason"] == "a tile that nothing can be done about"
    assert report.cubes[0]["attempts"] == 1
    assert not list((tmp_path / "out").glob("*.fits"))
    assert_nothing_left(tmp_path)
    (tmp_path / "out" / "batch" / f".{bad.output}.{LATER}.crash").touch()  # as a process leaves that is killed
    assert run(cubes, tmp_path, cluster=cluster).complete
    assert_nothing_left(tmp_path)
    assert run(cubes, tmp_path, replace(SETTINGS, split=False), cluster=cluster).counts["kept"] == 2
    for cube in cubes:
        assert_as_unsplit(cube, tmp_path)


@pytest.mark.parametrize("spatial", [False, True])
def test_what_depends_on_the_whole_cube(few, tmp_path, threads, spatial):
    (cube,) = cubes_of(tmp_path, 4)
    cube = replace(cube, options={"redshift": 0.1})
    settings = replace(SETTINGS, denoiser="posterior", spatial=spatial)
    assert run([cube], tmp_path, settings, cluster=ClusterOptions(scheduler=threads)).complete
    assert_as_unsplit(cube, tmp_path, "posterior", spatial=spatial)


def test_small_cubes_stay_whole(tmp_path, threads, monkeypatch):
    def never(*_):
        raise AssertionError("a small cube is spread")

    monkeypatch.setattr("quietspec.batch.task.Spread", never)
    assert run(cubes_of(tmp_path, 4), tmp_path, cluster=ClusterOptions(scheduler=threads)).complete


def test_workers_of_another_version_end_the_run(few, tmp_path, threads, monkeypatch):
    monkeypatch.setattr(spread, "__version__", "0.0.1")
    honest = spread._computed
    monkeypatch.setattr(spread, "_computed", lambda _, *rest: honest("0.0.2", *rest))
    with pytest.raises(BatchError, match=r"a worker has quietspec 0\.0\.1, another 0\.0\.2"):
        run(cubes_of(tmp_path, 4), tmp_path, cluster=ClusterOptions(scheduler=threads))
    assert_nothing_left(tmp_path)
