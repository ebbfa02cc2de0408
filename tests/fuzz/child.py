"""A process that tries inputs one after the other, under limits, and reports each as a line of JSON.

``python -m tests.fuzz.child SEED FIRST LAST`` from the root of the repository.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import bases, targets

SECONDS = 10  #: of processor time for one input
MEMORY = 10**9  #: bytes that one input may add


def main(seed: int, first: int, last: int) -> None:
    faulthandler.enable()
    bases.fits_files()  # their making does not count as an input's
    report = os.fdopen(os.dup(1), "w")
    _limit_memory()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
        for number in range(first, last):
            folder = Path(root) / "work"
            folder.mkdir()
            print(json.dumps(_tried(seed, number, folder)), file=report, flush=True)
            shutil.rmtree(folder, ignore_errors=True)


def _limit_memory() -> None:
    size = _status("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * MEMORY,) * 2)


def _tried(seed: int, number: int, folder: Path) -> dict[str, object]:
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 1 + SECONDS, resource.RLIM_INFINITY))
    before = _peak_from_now()
    name, _ = targets.target(seed, number)
    said: dict[str, str] = {}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            _, ending = targets.run(seed, number, folder)
    except MemoryError:
        ending = "memory"
    except Exception as error:  # noqa: BLE001  (any is a finding)
        ending, said = _ending(error), {"signature": _signature(error), "message": str(error)[:300]}
    memory = _status("VmHWM") - before
    seconds = time.process_time() - used
    if memory > MEMORY:
        ending = "memory"
    if seconds > SECONDS:
        ending = "hang"
    return {"number": number, "target": name, "ending": ending, "seconds": round(seconds, 3), "memory": memory, **said}


def _ending(error: BaseException) -> str:
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    if any(isinstance(cause, MemoryError) for cause in causes):
        return "memory"
    return "wrong" if isinstance(error, targets.WrongError) else "untyped"


def _signature(error: BaseException) -> str:
    """Kind of the first cause, and the last place in quietspec that it came through."""
    while error.__cause__ is not None and not isinstance(error, targets.WrongError):
        error = error.__cause__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/quietspec/" in frame.filename]
    where = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(where.filename).name}:{where.name}"


def _peak_from_now() -> int:
    """Begin to measure the peak of memory; what it is now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    """Bytes, as the kernel counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(key)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
