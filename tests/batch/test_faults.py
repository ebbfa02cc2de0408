"""What can go wrong in a batch: after each fault all good cubes are there, whole, and all bad ones are named."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

from quietspec.batch import ClusterOptions, Job, Outcome, Settings, batch_status, read_manifest, run_batch
from quietspec.batch.lock import locked
from quietspec.batch.state import read_records
from quietspec.batch.task import denoise_cube
from quietspec.errors import BatchError

from .conftest import DENOISER, N_CUBES, ended, save_cube, until

SETTINGS = Settings(denoiser=DENOISER, command="any", thumbnails=False)


def holder(part: Path, session: int) -> int | None:
    """Process of a session that has a file in its memory; None where it is done with it."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if os.getsid(int(folder.name)) == session and str(part) in (folder / "maps").read_text():
                return int(folder.name)
        except (OSError, ProcessLookupError):
            continue
    return None


def kill_in_the_middle(batch, session: int) -> None:
    """Kill a worker that is writing an output."""
    killed = []

    def found() -> bool:
        for part in batch.parts():
            if worker := holder(part, session):
                os.kill(worker, signal.SIGKILL)
                killed.append(part)
                return part.exists()  # still unfinished, so it was met in the middle
        return False

    until(found)
    assert len(killed) == 1


def again(batch, scheduler: str = "local"):
    """Go on with a batch."""
    return run_batch(read_manifest(batch.manifest), batch.out, SETTINGS, ClusterOptions(scheduler=scheduler))


def test_undisturbed(run, batch, all_there):
    out, messages = ended(run("--json", "-"), 0)
    assert "Dask dashboard: http" in messages
    assert "WARNING" not in messages
    assert json.loads(out)["counts"]["failed"] == 0
    all_there(batch)


def test_worker_killed(run, batch, all_there):
    process = run("--workers", 2)
    kill_in_the_middle(batch, process.pid)
    _, messages = ended(process, 0)
    assert messages.count("killed from outside") == 1
    assert max(cube["attempts"] for cube in batch_status(batch.out).cubes) == 2
    all_there(batch)


def test_client_killed_and_run_again(run, batch, all_there, threads):
    process = run("--workers", 2)
    until(lambda: any(record.event == "done" for record in read_records(batch.out).values()) and batch.parts())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not batch_status(batch.out).complete
    report = again(batch, threads)
    assert report.counts["kept"] >= 1
    assert report.complete
    all_there(batch)


def test_scheduler_killed_and_restarted(launch, run, batch, all_there):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = Path(sys.executable).parent / "dask"

    def start():
        scheduler = launch(
            dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--dashboard-address", "127.0.0.1:0"
        )
        return scheduler, launch(dask, "worker", address, "--nthreads", 1, "--no-nanny", "--death-timeout", 30)

    scheduler, workers = start()
    process = run("--scheduler", address)
    until(lambda: any(record.event == "done" for record in read_records(batch.out).values()) and batch.parts())
    os.killpg(scheduler.pid, signal.SIGKILL)
    scheduler.wait()
    workers.wait(timeout=120)  # workers end by themselves where their scheduler is lost
    start()
    _, messages = ended(process, 0)
    assert "the scheduler is lost" in messages
    assert "the scheduler is back" in messages
    all_there(batch)


def test_scheduler_that_never_answers(run, batch):
    with socket.socket() as bound:  # a port that nobody listens at
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        _, messages = ended(run("--scheduler", address, "--cluster", "patience=1"), 1)
    assert f"error: scheduler {address}: does not answer" in messages
    assert batch_status(batch.out).counts["waiting"] == N_CUBES


def interrupt(session: int) -> None:
    """As a terminal does: to all processes of the group."""
    os.killpg(session, signal.SIGINT)


def test_interrupt_finishes_what_is_under_way(run, batch, all_there, threads):
    process = run("--workers", 1)
    until(batch.parts)
    interrupt(process.pid)
    _, messages = ended(process, 130)
    assert "finishing the 1 under way" in messages
    assert "stopped; to go on: quietspec batch run" in messages
    report = batch_status(batch.out)
    assert report.counts["waiting"] == N_CUBES - 1
    assert not batch.parts()
    assert again(batch, threads).counts["kept"] == 1
    all_there(batch)


@pytest.mark.usefixtures("hangup_heeded")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_in_good_order(run, batch, number):
    process = run("--workers", 1)
    until(batch.parts)
    os.killpg(process.pid, number) if number == signal.SIGHUP else process.send_signal(number)
    _, messages = ended(process, 130)
    assert "finishing the 1 under way" in messages
    assert batch_status(batch.out).counts["waiting"] == N_CUBES - 1
    assert not batch.parts()


@pytest.mark.parametrize("how", [(), ("--split",)])
def test_second_interrupt_drops_what_is_under_way(run, batch, tmp_path, how):
    long = save_cube(tmp_path / "long.fits", 9.0, side=200)
    batch.manifest.write_text(f"file\n{long}\n")
    process = run("--workers", 1, *how)
    until(batch.parts)
    for _ in range(2):
        interrupt(process.pid)
        time.sleep(0.5)
    _, messages = ended(process, 130)
    assert "stopped; to go on: quietspec batch run" in messages
    assert batch_status(batch.out).counts["begun"] == 1
    assert not list(batch.out.glob("*.fits")) + batch.parts()


def test_bad_cubes_among_good_ones(batch, cubes, all_there, threads, tmp_path):
    truncated, unreadable, empty = (tmp_path / f"{name}.fits" for name in ("truncated", "unreadable", "empty"))
    truncated.write_bytes(cubes[0].read_bytes()[:100_000])
    unreadable.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    with fits.open(save_cube(tmp_path / "whole.fits", 1.0, side=4)) as hdus:
        hdus["DATA"].data[:] = float("nan")
        hdus.writeto(empty)
    bad = {truncated: "truncated", unreadable: "is a picture (PNG)", empty: "no spectrum has a usable pixel",
           tmp_path / "missing.fits": "no such file"}  # fmt: skip
    lines = batch.manifest.read_text().splitlines()
    lines[2:2] = map(str, bad)
    batch.manifest.write_text("\n".join(lines) + "\n")
    report = again(batch, threads)
    assert report.counts["failed"] == len(bad)
    reasons = {cube["inputs"][0]: cube["reason"] for cube in report.cubes if cube["status"] == "failed"}
    for path, reason in bad.items():
        assert str(path) in reasons[str(path)]
        assert reason in reasons[str(path)]
    assert {cube["attempts"] for cube in report.cubes} == {1}  # what is wrong with a file is not tried again
    all_there(batch)


def test_disk_full(run, batch, all_there, threads):
    limit = 200_000  # bytes a file: enough for the state, too little for any output
    process = run("--workers", 1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    ended(process, 1)
    report = batch_status(batch.out)
    assert report.counts["failed"] == N_CUBES
    assert all("bytes" in cube["reason"] and "are needed" in cube["reason"] for cube in report.cubes)
    assert not list(batch.out.glob("*.fits")) + batch.parts()
    assert again(batch, threads).complete
    all_there(batch)


def test_disk_too_full_for_the_journal(run, batch, all_there, threads):
    limit = 2_000  # bytes a file: the plan fits, and the first notes
    process = run("--workers", 1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, messages = ended(process, 1)
    assert "the limit on the size of files is reached" in messages
    assert again(batch, threads).complete
    all_there(batch)


def test_two_runs_at_once(run, batch, all_there):
    first = run("--workers", 1)
    until(batch.parts)
    _, messages = ended(run("--workers", 1), 1)
    assert f"error: {batch.out}: another run is at work there (process {first.pid} on" in messages
    ended(first, 0)
    all_there(batch)


def test_lock_is_free_again(tmp_path):
    with locked(tmp_path), pytest.raises(BatchError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def poison() -> Callable[[Job], Outcome]:
    """Return work that crashes at one cube, as a damaged library may; made here, so that it travels by value."""

    def poisoned(job: Job) -> Outcome:
        from quietspec.batch import task

        def crash(_: Job) -> dict[str, object]:
            return {"read": ctypes.string_at(0)}

        if "cube1" in job.cube.output:
            task._denoise = crash
        return denoise_cube(job)

    return poisoned


def test_cube_that_kills_its_worker(batch, cubes, undisturbed, all_there):
    options = ClusterOptions(workers=2, retries=1)
    report = run_batch(read_manifest(batch.manifest), batch.out, SETTINGS, options, work=poison())
    assert report.counts["failed"] == 1
    (failed,) = (cube for cube in report.cubes if cube["status"] == "failed")
    assert failed["inputs"] == [str(cubes[1])]
    assert "crashed (Segmentation fault)" in failed["reason"]
    assert failed["attempts"] == 2
    batch.names.remove("cube1_denoised.fits")
    all_there(batch)
