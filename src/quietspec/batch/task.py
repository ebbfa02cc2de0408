"""What a worker does with one cube: see whether it is done already, denoise it, draw it small, tell what came of it."""

from __future__ import annotations

import ctypes
import faulthandler
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from astropy.io import fits

from quietspec import __version__
from quietspec.batch.manifest import Cube
from quietspec.batch.state import Record, place
from quietspec.batch.thumbnail import draw_thumbnail
from quietspec.denoisers import Denoiser, load_denoiser
from quietspec.errors import BatchError, QuietspecError
from quietspec.files import denoise_file
from quietspec.hashing import file_sha256

__all__ = ["Job", "Outcome", "Settings", "crash_report", "denoise_cube", "model_name", "remove_leftovers", "thumbnail"]

Emission = Literal["auto", "strong", "none"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3), from glibc's malloc.h
_KEPT, _MAPPED = 2**28, 2**25  # bytes: freed memory kept at most, and the size from which arrays are mapped one by one


@dataclass(frozen=True)
class Settings:
    """What all cubes of a run have in common.

    Parameters
    ----------
    denoiser, model : str
        As `quietspec.denoisers.load_denoiser` takes them.
    emission : {'auto', 'strong', 'none'}, optional
        The same.
    threads : int
        Threads that denoise tiles of one cube side by side.
    thumbnails : bool
        Whether small pictures are drawn.
    overwrite : bool
        Do everything again, and replace files that no survey wrote.
    quick : bool
        Take a finished output for whole if its size and time are right, without reading it.
    command : str
        The command behind it, for the outputs' headers.
    """

    denoiser: str = "posterior"
    model: str = "survey"
    emission: Emission | None = None
    threads: int = 1
    thumbnails: bool = True
    overwrite: bool = False
    quick: bool = False
    command: str = ""


@dataclass(frozen=True)
class Job:
    """One cube, with all that a worker needs to know.

    Parameters
    ----------
    cube : Cube
        What to denoise.
    folder : str
        Where outputs go; workers must see it under the same path.
    model : str
        Name and hash of the model, as `model_name` gives them.
    version : str
        Of quietspec. A worker with another model or version refuses.
    settings : Settings, optional
        How.
    previous : Record, optional
        What is known of the cube from runs before.
    """

    cube: Cube
    folder: str
    model: str
    version: str
    settings: Settings = field(default_factory=Settings)
    previous: Record | None = None

    @property
    def output(self) -> Path:
        """Path of the output."""
        return Path(self.folder) / self.cube.output


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Parameters
    ----------
    status : {'done', 'kept', 'failed', 'retry', 'refused'}
        'kept': was whole already; 'retry': failed in a way that may pass; 'refused': this worker cannot do any.
    facts : mapping of str to object
        'done': the fields of `quietspec.files.denoise.FileReport`, and ``size``, ``mtime_ns``, ``sha256`` of
        the output, ``sources``, these of its inputs, and ``recipe`` (`Cube.recipe`). Else ``reason``.
    """

    status: Literal["done", "kept", "failed", "retry", "refused"]
    facts: Mapping[str, Any]


def denoise_cube(job: Job) -> Outcome:
    """Denoise one cube, unless its output is whole and was made of the same input in the same way.

    Parameters
    ----------
    job : Job
        The cube.

    Returns
    -------
    Outcome
        What came of it; no exception leaves this function.
    """
    try:
        with _crash_noted(job):
            if _is_whole(job):
                return Outcome("kept", {})
            return Outcome("done", _denoise(job))
    except BatchError as error:
        return Outcome("refused", {"reason": str(error)})
    except QuietspecError as error:
        return Outcome("failed", {"reason": str(error)})
    except Exception as error:  # noqa: BLE001  (a network, memory, a bug: none may end the survey)
        return Outcome("retry", {"reason": f"{job.output}: {type(error).__name__}: {error}"})


def model_name(settings: Settings) -> str:
    """Name a denoiser with the hash of its model and its treatment of gas: who has the same, makes the same."""
    denoiser = _load(settings.denoiser, settings.model, settings.emission)
    hashed = (
        f"{denoiser.name} {denoiser.hash}" if hasattr(denoiser, "hash") else repr(denoiser)
    )  # a network, a smoother
    gas = f" emission={settings.emission}" if settings.emission else ""
    return getattr(denoiser, "model", hashed) + gas


def remove_leftovers(folder: Path, outputs: Sequence[str]) -> None:
    """Remove what killed processes left of outputs they had not finished.

    Parameters
    ----------
    folder : Path
        Of the outputs.
    outputs : sequence of str
        Their names.
    """
    wanted = set(outputs)
    for partial in folder.glob(".*.part"):
        if partial.name[1:].rsplit(".", 2)[0] in wanted:
            partial.unlink(missing_ok=True)


def crash_report(folder: Path, output: str) -> str:
    """What Python said when the process that held a cube crashed; empty where it was killed from outside."""
    note = _crash_note(folder, output)
    lines = note.read_text(encoding="utf-8", errors="replace").splitlines() if note.exists() else []
    note.unlink(missing_ok=True)
    return lines[0].removeprefix("Fatal Python error: ") if lines else ""


def _crash_note(folder: Path, output: str) -> Path:
    return place(folder, f".{output}.crash")


@contextmanager
def _crash_noted(job: Job) -> Iterator[None]:
    """Have Python write to a file what ends this process, if it is a fault of compiled code; else no file stays."""
    note = _crash_note(Path(job.folder), job.cube.output)
    was_enabled = faulthandler.is_enabled()
    with note.open("w", encoding="utf-8") as file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()
            if was_enabled:
                faulthandler.enable()
            note.unlink(missing_ok=True)


def _denoise(job: Job) -> dict[str, Any]:
    _keep_freed_memory()
    settings, output = job.settings, job.output
    before = [_stamp(Path(path)) for path in job.cube.files]
    report, _ = denoise_file(
        job.cube.files,
        output,
        _denoiser(job),
        overwrite=True,  # the run has seen to it that nothing else stands there
        command=settings.command or None,
        workers=settings.threads if settings.threads > 1 else 0,  # other workers have the other cores
        **job.cube.options,
    )
    warnings = [*report.warnings, *_thumbnail(job)]
    hashes = _input_hashes(output, job.cube.files)
    sources = [{**stamp, "sha256": sha256} for stamp, sha256 in zip(before, hashes, strict=True)]
    recipe = job.cube.recipe(job.model)
    stamps = {**_stamp(output), "sha256": file_sha256(output), "sources": sources, "recipe": recipe}
    return _without_nan({**asdict(report), "warnings": warnings, **stamps})


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Undo MALLOC_TRIM_THRESHOLD_ of Dask's workers: each array's pages would be asked of the kernel anew.

    That doubles the time of a cube. Where the C library is not glibc there is nothing to undo.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _MAPPED)


def _without_nan(facts: dict[str, Any]) -> dict[str, Any]:
    """The same with None for NaN, which JSON has not."""
    safe: dict[str, Any] = json.loads(json.dumps(facts), parse_constant=lambda _: None)
    return safe


def _thumbnail(job: Job) -> list[str]:
    """Draw the small picture; why there is none, where that fails: the output is whole all the same."""
    if not job.settings.thumbnails:
        return []
    try:
        draw_thumbnail(job.output, thumbnail(Path(job.folder), job.cube.output))
    except QuietspecError as error:
        return [str(error)]
    return []


def thumbnail(folder: Path, output: str) -> Path:
    """Path of the small picture of an output."""
    return place(folder, "thumbnails") / f"{output}.png"


def _denoiser(job: Job) -> Denoiser:
    """The denoiser all have agreed on; read again where a model file changed since this worker last used it."""
    settings = job.settings
    if job.version != __version__:
        raise BatchError(
            f"a worker has quietspec {__version__}, the run {job.version}. Install one release everywhere."
        )
    if model_name(settings) != job.model:
        _load.cache_clear()
    if (found := model_name(settings)) != job.model:
        raise BatchError(f"a worker's model is {found!r}, not {job.model!r}. Give all machines the same model files.")
    return _load(settings.denoiser, settings.model, settings.emission)


@lru_cache(maxsize=2)
def _load(denoiser: str, model: str, emission: Emission | None) -> Denoiser:
    return load_denoiser(denoiser, model, emission)


def _is_whole(job: Job) -> bool:
    """Whether the output of an earlier run is all there, and what this run would make."""
    record, facts = job.previous, job.previous.facts if job.previous else {}
    if (
        job.settings.overwrite
        or record is None
        or record.event != "done"
        or facts.get("recipe") != job.cube.recipe(job.model)
    ):
        return False
    if not job.output.is_file() or not _same(job.output, facts, quick=job.settings.quick):
        return False
    files, sources = [Path(path) for path in job.cube.files], facts["sources"]
    # An input that is gone may have been archived; what it gave is whole.
    return len(files) == len(sources) and all(
        _same(file, source, quick=True) or file_sha256(file) == source["sha256"]
        for file, source in zip(files, sources, strict=True)
        if file.exists()
    )


def _same(path: Path, known: Mapping[str, Any], *, quick: bool) -> bool:
    """Whether a file is as it was: by size, and time of change or content."""
    stamp = _stamp(path)
    if stamp.get("size") != known["size"]:
        return False
    return bool(stamp["mtime_ns"] == known["mtime_ns"] if quick else file_sha256(path) == known["sha256"])


def _stamp(path: Path) -> dict[str, int]:
    """Size and time of change; empty where there is no such file, which the reader will tell."""
    try:
        status = path.stat()
    except OSError:
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _input_hashes(output: Path, files: Sequence[str]) -> list[str]:
    """Hashes of the inputs, which the output's header holds already."""
    header = fits.getheader(output)
    keys = ["QSINSHA", *(f"QSINSHA{number}" for number in range(2, len(files) + 1))]
    return [str(header.get(key) or file_sha256(Path(file))) for key, file in zip(keys, files, strict=True)]
