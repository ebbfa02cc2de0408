"""Fixtures of the batch tests: small cubes, their manifest, their undisturbed outputs, and commands in processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from quietspec.denoisers import load_denoiser
from quietspec.files.denoise import denoise_file

from ..io import layouts

pytest.importorskip("distributed", reason="needs the extra `cluster`")

N_CUBES = 4
DENOISER = "wavelet"  # the same to the last bit whatever the number of threads
_SIDE, _CHANNELS = 72, 300  # a second's work
_OWN = ["DATE", "CHECKSUM", "DATASUM", "QSCMD"]  # header cards that tell runs apart
_PATIENCE = 240.0  # seconds; far more than needed, for machines that have other work


@dataclass(frozen=True)
class Batch:
    """A manifest of small cubes, and a folder for what comes of it."""

    manifest: Path
    out: Path
    names: list[str] = field(default_factory=lambda: [f"cube{number}_denoised.fits" for number in range(N_CUBES)])

    def parts(self) -> list[Path]:
        """Outputs that are being written, or were left."""
        return list(self.out.glob(".*.part"))


def save_cube(path: Path, level: float, side: int = _SIDE) -> Path:
    """A cube as MUSE writes one, of work enough to be met in the middle."""
    rng = np.random.default_rng(int(10 * level))
    hdus = layouts.muse()
    flux = layouts.spectra(_CHANNELS, side, side) * level
    hdus["DATA"].data = (flux + rng.normal(0, layouts.SIGMA, flux.shape)).astype(np.float32)
    hdus["STAT"].data = np.full(flux.shape, layouts.SIGMA**2, dtype=np.float32)
    hdus["DQ"].data = np.zeros(flux.shape, dtype=np.uint8)
    hdus.writeto(path)
    return path


@pytest.fixture(scope="session")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cubes")
    return [save_cube(folder / f"cube{number}.fits", 1.0 + number) for number in range(N_CUBES)]


@pytest.fixture(scope="session")
def undisturbed(cubes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the outputs as `quietspec denoise` makes them, without batch or cluster."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for cube in cubes:
        denoise_file([cube], folder / f"{cube.stem}_denoised.fits", load_denoiser(DENOISER), command="any")
    return folder


@pytest.fixture
def batch(cubes: list[Path], tmp_path: Path) -> Batch:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file\n" + "".join(f"{cube}\n" for cube in cubes))
    return Batch(manifest, tmp_path / "out")


@pytest.fixture
def all_there(undisturbed: Path) -> Callable[[Batch], None]:
    """Whether each good cube's output is there once, whole, and the same as undisturbed, with nothing beside."""

    def check(batch: Batch) -> None:
        assert sorted(path.name for path in batch.out.glob("*.fits")) == batch.names
        for name in batch.names:
            difference = fits.FITSDiff(
                batch.out / name, undisturbed / name, ignore_keywords=_OWN, ignore_hdus=["PROVENANCE"]
            )
            assert difference.identical, difference.report()
        assert not batch.parts()
        assert not list((batch.out / "batch").glob("*.crash"))

    return check


@pytest.fixture(scope="session")
def program() -> str:
    """Path of the installed `quietspec`."""
    path = shutil.which("quietspec", path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip("needs the installed command: pip install -e .")
    return path


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start commands, each with its descendants in a session of their own, of which nothing outlives the test."""
    started: list[subprocess.Popen[str]] = []
    # A shell lets what it runs in the background ignore interrupts, which the commands would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = {
        **os.environ,
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
        "DASK_TEMPORARY_DIRECTORY": str(tmp_path / "dask"),
    }

    def start(*words: object, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(word) for word in words], start_new_session=True, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(launch, program, batch: Batch) -> Callable[..., subprocess.Popen[str]]:
    """Start `batch run` on the small cubes."""
    words = [program, "batch", "run", batch.manifest, "-o", batch.out, "--denoiser", DENOISER, "--no-thumbnails"]
    return lambda *more, **options: launch(*words, *more, **options)


def until(condition: Callable[[], object], seconds: float = _PATIENCE) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def ended(process: subprocess.Popen[str], status: int, seconds: float = _PATIENCE) -> tuple[str, str]:
    """Output and messages of a command, once it has ended as it should."""
    out, messages = process.communicate(timeout=seconds)
    assert process.returncode == status, out + messages
    # Dask may log tracebacks of its own when it ends.
    assert not re.search(r'File ".*/(src|site-packages)/quietspec/', messages), messages
    return out, messages


@pytest.fixture(scope="session")
def threads() -> Iterator[str]:
    """Address of a cluster within this process, for tests that kill nothing."""
    from distributed import LocalCluster

    with LocalCluster(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address
