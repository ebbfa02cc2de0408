"""What a survey's run costs for each cube beyond the work: 10,000 tiny cubes on a local cluster, against a plain loop.

The work is trivial (read a small file, write a small file whole), so that what is measured is the manifest, the journal
with its flushes to the disk, Dask, and the report.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import machine

from quietspec.batch import ClusterOptions, Job, Outcome, read_manifest, run_batch
from quietspec.io.writing.atomic import whole_file

RESULTS = Path(__file__).parent / "results" / "survey_overhead.json"
CONTENT = bytes(range(256)) * 16  # a file of 4 kB


def trivial(job: Job) -> Outcome:
    """Copy a file, and say so in the words of `denoise_cube`."""
    content = Path(job.cube.files[0]).read_bytes()
    with whole_file(job.output, overwrite=True) as partial:
        partial.write_bytes(content)
    recipe = job.cube.recipe(job.model)
    return Outcome("done", {"n_spectra": 1, "failed": 0, "flags": {}, "seconds": 0.0, "recipe": recipe})


def make_manifest(folder: Path, n: int) -> Path:
    lines = ["file,redshift"]
    for number in range(n):
        (folder / f"{number:05d}.fits").write_bytes(CONTENT)
        lines.append(f"{number:05d}.fits,0.1")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def in_a_loop(manifest: Path, out: Path) -> float:
    """Seconds of the same work without survey and cluster."""
    out.mkdir()
    jobs = [Job(cube, str(out), model="", version="") for cube in read_manifest(manifest)]
    start = time.perf_counter()
    for job in jobs:
        trivial(job)
    return time.perf_counter() - start


def as_a_survey(manifest: Path, out: Path, workers: int, work: Callable[[Job], Outcome]) -> float:
    """Seconds from reading the manifest to the last page of the report, the cluster's start and end included."""
    start = time.perf_counter()
    report = run_batch(read_manifest(manifest), out, cluster=ClusterOptions(workers=workers), work=work)
    seconds = time.perf_counter() - start
    if not report.complete:
        raise SystemExit(f"the survey did not end well: {report.counts}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=10_000, help="number of cubes")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON to write")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make_manifest(folder, arguments.n)
        loop = in_a_loop(manifest, folder / "loop")
        survey = as_a_survey(manifest, folder / "survey", arguments.workers, trivial)
    result = {
        "cubes": arguments.n,
        "workers": arguments.workers,
        "loop_ms_per_cube": round(1e3 * loop / arguments.n, 3),
        "survey_ms_per_cube": round(1e3 * survey / arguments.n, 3),
        "overhead_ms_per_cube": round(1e3 * (survey - loop) / arguments.n, 3),
        "machine": machine(),
    }
    arguments.results.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
