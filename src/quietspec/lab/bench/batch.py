"""What a batch costs: its overhead per cube beside the work, and how much faster it runs with more workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from astropy.io import fits

from quietspec.batch import ClusterOptions, Job, Outcome, read_manifest, run_batch
from quietspec.batch.task import denoise_cube
from quietspec.errors import QuietspecError
from quietspec.io.writing.atomic import whole_file
from quietspec.lab.simulate.cubes import SimulatedCube
from quietspec.templates import SspLibrary

__all__ = ["batch_overhead", "batch_speeds"]

_CONTENT = bytes(range(256)) * 16  # a file of 4 kB
_REDSHIFT = 0.03


def batch_overhead(folder: Path, n: int, workers: int) -> tuple[float, float]:
    """Time trivial work on tiny cubes (read a small file, write it whole), in a loop and as a batch.

    What is measured is thus the manifest, the journal with its flushes to the disk, Dask, and the report.

    Parameters
    ----------
    folder : Path
        Empty folder to work in.
    n : int
        Number of cubes.
    workers : int
        Worker processes of the batch.

    Returns
    -------
    loop, batch : float
        Seconds of both.
    """
    for number in range(n):
        (folder / f"{number:05d}.fits").write_bytes(_CONTENT)
    manifest = _manifest(folder, [f"{number:05d}.fits,0.1" for number in range(n)])
    loop = folder / "loop"
    loop.mkdir()
    jobs = [Job(cube, str(loop), model="", version="") for cube in read_manifest(manifest)]
    start = time.perf_counter()
    for job in jobs:
        _copy(job)
    return time.perf_counter() - start, _seconds(manifest, folder / "batch", workers, _copy)


def batch_speeds(library: SspLibrary, folder: Path, n: int, side: int, workers: tuple[int, ...]) -> dict[int, float]:
    """Time a batch of simulated MUSE cubes of S/N 2–21 with several numbers of workers.

    Parameters
    ----------
    library : SspLibrary
        Templates of the cubes.
    folder : Path
        Empty folder to work in.
    n, side : int
        Number of cubes, and spaxels along their sides.
    workers : tuple of int
        Numbers of worker processes.

    Returns
    -------
    dict of int to float
        Seconds by number of workers, including start and end of the cluster.

    Raises
    ------
    QuietspecError
        If the outputs depend on the number of workers.
    """
    for seed in range(n):
        cube = SimulatedCube.draw(library, (side, side), seed=seed, redshift=_REDSHIFT)
        cube.write(folder / f"{seed}.fits")
    manifest = _manifest(folder, [f"{seed}.fits,{_REDSHIFT}" for seed in range(n)])
    seconds = {number: _seconds(manifest, folder / str(number), number, denoise_cube) for number in workers}
    for number in workers[1:]:
        _require_the_same(folder / str(workers[0]), folder / str(number), n)
    return seconds


def _manifest(folder: Path, lines: list[str]) -> Path:
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["file,redshift", *lines]) + "\n", encoding="utf-8")
    return manifest


def _copy(job: Job) -> Outcome:
    """Copy a file, and report as `denoise_cube` does."""
    content = Path(job.cube.files[0]).read_bytes()
    with whole_file(job.output, overwrite=True) as partial:
        partial.write_bytes(content)
    recipe = job.cube.recipe(job.model)
    return Outcome("done", {"n_spectra": 1, "failed": 0, "flags": {}, "seconds": 0.0, "recipe": recipe})


def _seconds(manifest: Path, out: Path, workers: int, work: Callable[[Job], Outcome]) -> float:
    """Seconds from reading the manifest to the last page of the report."""
    start = time.perf_counter()
    report = run_batch(read_manifest(manifest), out, cluster=ClusterOptions(workers=workers), work=work)
    seconds = time.perf_counter() - start
    if not report.complete:
        raise QuietspecError(f"the batch did not finish: {report.counts}.")
    return seconds


def _require_the_same(one: Path, other: Path, n: int) -> None:
    paths = sorted(one.glob("*.fits"))
    if len(paths) != n:
        raise QuietspecError(f"{one}: {n - len(paths)} outputs are missing.")
    for path in paths:
        with fits.open(path) as a, fits.open(other / path.name) as b:
            if any((a[name].data.tobytes() != b[name].data.tobytes()) for name in ("FLUX", "VAR", "MASK")):
                raise QuietspecError(f"{path.name}: its result depends on the number of workers.")
