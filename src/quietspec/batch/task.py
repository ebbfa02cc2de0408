"""What a worker does with one cube: check whether it is done already, denoise it, draw it, and say what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from astropy.io import fits

from quietspec import __version__
from quietspec.batch.facts import Record
from quietspec.batch.leftovers import crash_noted
from quietspec.batch.manifest import Cube
from quietspec.batch.memory import keep_freed_memory
from quietspec.batch.spread import Spread
from quietspec.batch.state import place
from quietspec.batch.thumbnail import draw_thumbnail
from quietspec.denoisers import Denoiser, Emission, load_denoiser
from quietspec.errors import BatchError, QuietspecError
from quietspec.files import denoise_file
from quietspec.files.crew import Crew
from quietspec.hashing import file_sha256

__all__ = ["Job", "Outcome", "Settings", "denoise_cube", "model_name", "page", "thumbnail"]


@dataclass(frozen=True)
class Settings:
    """What all cubes of a batch have in common.

    Parameters
    ----------
    denoiser, model : str
        As for `quietspec.denoisers.load_denoiser`.
    emission : {'auto', 'strong', 'none'}, optional
        Treatment of gas emission lines, as for `quietspec.denoisers.load_denoiser`.
    spatial : bool
        Whether each cube is denoised as a whole.
    threads : int
        Tiles of one cube that are denoised side by side, in threads or, of large cubes, processes.
    split : bool
        Whether all workers of the cluster denoise the tiles of a cube of more than 10,000 spectra.
    thumbnails : bool
        Whether to draw small pictures.
    reports : bool
        Whether to write a page about each cube.
    overwrite : bool
        Denoise every cube again, and replace files that no batch wrote.
    quick : bool
        Accept a finished output as complete if its size and time are right, without reading it.
    command, manifest : str
        The command that was typed and the file that lists the cubes, for headers and reports.
    """

    denoiser: str = "posterior"
    model: str = "auto"
    emission: Emission | None = None
    spatial: bool = False
    threads: int = 1
    split: bool = False
    thumbnails: bool = True
    reports: bool = False
    overwrite: bool = False
    quick: bool = False
    command: str = ""
    manifest: str = ""


@dataclass(frozen=True)
class Job:
    """One cube, with all that a worker needs to know.

    Parameters
    ----------
    cube : Cube
        What to denoise.
    folder : str
        Folder of the outputs; workers must see it under the same path.
    model : str
        Name and hash of the model, as `model_name` gives them.
    version : str
        Version of quietspec. A worker with another model or version refuses.
    settings : Settings, optional
        What all cubes have in common.
    previous : Record, optional
        What is known of the cube from earlier runs.
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
        'kept': the output was complete already; 'retry': failed in a way that may pass; 'refused': this worker cannot
        process any cube.
    facts : mapping of str to object
        For 'done': the fields of `quietspec.files.denoise.FileReport`; ``size``, ``mtime_ns`` and ``sha256`` of the
        output; as ``sources`` the same of its inputs; and ``recipe`` (`Cube.recipe`). Empty for 'kept'; otherwise the
        ``reason``.
    """

    status: Literal["done", "kept", "failed", "retry", "refused"]
    facts: Mapping[str, Any]


def denoise_cube(job: Job) -> Outcome:
    """Denoise one cube, unless its output is complete and was made from the same input in the same way.

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
        with crash_noted(Path(job.folder), job.cube.output):
            if _is_complete(job):
                return Outcome("kept", {})
            return Outcome("done", _denoise(job))
    except BatchError as error:
        return Outcome("refused", {"reason": str(error)})
    except QuietspecError as error:
        return Outcome("failed", {"reason": str(error)})
    except Exception as error:  # noqa: BLE001  (network, memory, a bug: none may end the batch)
        reason = f"{', '.join(job.cube.files)}: {type(error).__name__}: {error}"
        ours = "" if isinstance(error, (OSError, MemoryError)) else " (a bug of quietspec: please report it)"
        return Outcome("retry", {"reason": reason + ours})


def model_name(settings: Settings) -> str:
    """Name a denoiser with the hash of its model and its treatment of gas: equal names make equal outputs."""
    denoiser = _load(settings.denoiser, settings.model, settings.emission, settings.spatial)
    return f"{denoiser.model} emission={settings.emission}" if settings.emission else str(denoiser.model)


def thumbnail(folder: Path, output: str) -> Path:
    """Return the path of the small picture of an output."""
    return place(folder, "thumbnails") / f"{output}.png"


def page(folder: Path, output: str) -> Path:
    """Return the path of the page about an output."""
    return place(folder, "reports") / f"{output}.html"


def _denoise(job: Job) -> dict[str, Any]:
    """Write the output, and return the facts of a job that is done."""
    keep_freed_memory()
    settings, output = job.settings, job.output
    before = [_stamp(Path(path)) for path in job.cube.files]
    report, _ = denoise_file(
        job.cube.files,
        output,
        _denoiser(job),
        overwrite=True,  # the run has made sure that nothing foreign is there
        command=settings.command or None,
        workers=_crew(job),
        **job.cube.options,
    )
    warnings = [*report.warnings, *_draw(job), *_tell(job)]
    hashes = _input_hashes(output, job.cube.files)
    sources = [{**stamp, "sha256": sha256} for stamp, sha256 in zip(before, hashes, strict=True)]
    recipe = job.cube.recipe(job.model)
    stamps = {**_stamp(output), "sha256": file_sha256(output), "sources": sources, "recipe": recipe}
    return _without_nan({**asdict(report), "warnings": warnings, **stamps})


def _crew(job: Job) -> Crew:
    """Who denoises the tiles of a cube; where there is one thread, the other cores belong to other workers."""
    spread = partial(Spread, Path(job.folder), job.cube.output) if job.settings.split else None
    return Crew(job.settings.threads if job.settings.threads > 1 else 0, spread)


def _without_nan(facts: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN, which JSON does not have, by None."""
    safe: dict[str, Any] = json.loads(json.dumps(facts), parse_constant=lambda _: None)
    return safe


def _draw(job: Job) -> list[str]:
    """Draw the small picture; if that fails, return why as a warning, since the output is complete all the same."""
    if not job.settings.thumbnails:
        return []
    try:
        draw_thumbnail(job.output, thumbnail(Path(job.folder), job.cube.output))
    except QuietspecError as error:
        return [str(error)]
    return []


def _tell(job: Job) -> list[str]:
    """Write the page about the cube; if that fails, return why as a warning."""
    if not job.settings.reports:
        return []
    from quietspec.view.report import write_report

    try:
        write_report(job.output, page(Path(job.folder), job.cube.output))
    except QuietspecError as error:
        return [str(error)]
    return []


def _denoiser(job: Job) -> Denoiser:
    """Load the denoiser of the run; again if its model file has changed since this worker last used it."""
    settings = job.settings
    if job.version != __version__:
        raise BatchError(
            f"a worker has quietspec {__version__}, the run {job.version}. Install the same release everywhere."
        )
    if model_name(settings) != job.model:
        _load.cache_clear()
    if (found := model_name(settings)) != job.model:
        raise BatchError(f"a worker's model is {found!r}, not {job.model!r}. Give all machines the same model files.")
    return _load(settings.denoiser, settings.model, settings.emission, settings.spatial)


@lru_cache(maxsize=2)
def _load(denoiser: str, model: str, emission: Emission | None, spatial: bool) -> Denoiser:
    return load_denoiser(denoiser, model, emission, spatial=spatial)


def _is_complete(job: Job) -> bool:
    """Whether the output of an earlier run is complete, and is what this run would make."""
    record, facts = job.previous, job.previous.facts if job.previous else {}
    if (
        job.settings.overwrite
        or record is None
        or record.event != "done"
        or facts.get("recipe") != job.cube.recipe(job.model)
    ):
        return False
    if not job.output.is_file() or not _is_same(job.output, facts, quick=job.settings.quick):
        return False
    files, sources = [Path(path) for path in job.cube.files], facts.get("sources", [])
    # An input that is gone may have been archived; its output is still good.
    return len(files) == len(sources) and all(
        _is_same(file, source, quick=True) or file_sha256(file) == source.get("sha256")
        for file, source in zip(files, sources, strict=True)
        if file.exists()
    )


def _is_same(path: Path, known: Mapping[str, Any], *, quick: bool) -> bool:
    """Whether a file is unchanged: in size, and in modification time or content."""
    stamp = _stamp(path)
    if not stamp or stamp["size"] != known.get("size"):
        return False
    return bool(stamp["mtime_ns"] == known.get("mtime_ns") if quick else file_sha256(path) == known.get("sha256"))


def _stamp(path: Path) -> dict[str, int]:
    """Return size and modification time; nothing for a missing file, which the reader will report."""
    try:
        status = path.stat()
    except OSError:
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _input_hashes(output: Path, files: Sequence[str]) -> list[str]:
    """Return the hashes of the inputs, which the output's header holds already."""
    header = fits.getheader(output)
    keys = ["QSINSHA", *(f"QSINSHA{number}" for number in range(2, len(files) + 1))]
    return [str(header.get(key) or file_sha256(Path(file))) for key, file in zip(keys, files, strict=True)]
