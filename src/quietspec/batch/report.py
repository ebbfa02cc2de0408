"""What became of a batch's cubes: as a value, as JSON, and as pages with small pictures."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from quietspec.batch.facts import Record
from quietspec.batch.manifest import Cube
from quietspec.batch.state import Plan, now, place, read_records
from quietspec.batch.task import page as page_about
from quietspec.batch.task import thumbnail
from quietspec.denoised import Flag
from quietspec.errors import BatchError
from quietspec.io.writing.atomic import os_errors_named, whole_file

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["STATUSES", "BatchReport", "batch_status", "collect_report", "write_report"]

STATUSES = ("failed", "flagged", "begun", "waiting", "done")  #: those that need attention first
_FLAGGED = 0.1  # a cube is flagged if more than this fraction of its estimates carry one doubtful flag
_DOUBTFUL = (
    Flag.POOR_FIT, Flag.UNLIKE_PRIOR, Flag.WRONG_REDSHIFT, Flag.STAR, Flag.NOT_GALAXY, Flag.MISSCALED,
)  # fmt: skip
_PAGE = 250  # cubes per page: some 3 MB of pictures
_MEASURED = (
    "n_spectra", "snr_before", "snr_after", "failed", "noise", "flags", "seconds", "warnings", "size", "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class BatchReport:
    """What became of each cube.

    Parameters
    ----------
    manifest, command, version, model, started : str
        As in `quietspec.batch.state.Plan`.
    reported : str
        When this report was made, UTC, ISO 8601.
    interrupted : bool
        Whether the run was told to stop.
    counts : mapping of str to int
        Number of cubes by status, and as ``kept`` how many of them the run found complete and left alone.
    cubes : sequence of mapping
        ``output``, ``inputs``, ``options``, ``status`` (one of `STATUSES`), ``reason``, ``attempts`` and ``time``; for
        finished cubes also what was measured (`quietspec.files.denoise.FileReport`) and the output's ``size`` and
        ``sha256``.
    """

    manifest: str
    command: str
    version: str
    model: str
    started: str
    reported: str
    interrupted: bool
    counts: Mapping[str, int]
    cubes: Sequence[Mapping[str, Any]]

    @property
    def complete(self) -> bool:
        """Whether every cube has its output."""
        return not any(self.counts[status] for status in ("failed", "begun", "waiting"))


def batch_status(folder: str | PathLike[str]) -> BatchReport:
    """Report on a batch, during a run or after it.

    Parameters
    ----------
    folder : path
        Folder of its outputs.

    Returns
    -------
    BatchReport
        The present state of its cubes.

    Raises
    ------
    BatchError
        If the folder holds no batch.
    """
    return collect_report(Path(folder), Plan.load(Path(folder)))


def collect_report(folder: Path, plan: Plan, *, kept: int = 0, interrupted: bool = False) -> BatchReport:
    """Combine plan and journal."""
    records = read_records(folder)
    cubes = [_entry(cube, plan, records.get(cube.output)) for cube in plan.cubes]
    counted = Counter(str(cube["status"]) for cube in cubes)
    return BatchReport(
        manifest=plan.manifest,
        command=plan.command,
        version=plan.version,
        model=plan.model,
        started=plan.started,
        reported=now(),
        interrupted=interrupted,
        counts={**{status: counted[status] for status in STATUSES}, "kept": kept},
        cubes=cubes,
    )


def write_report(report: BatchReport, folder: str | PathLike[str]) -> Path:
    """Write a report as JSON and as HTML pages, below the folder of a batch.

    Parameters
    ----------
    report : BatchReport
        The report.
    folder : path
        Folder of the outputs.

    Returns
    -------
    Path
        The first page. Each page contains its pictures and needs no other file.

    Raises
    ------
    WriteError
        If a file cannot be written.
    """
    folder = Path(folder)
    _write(place(folder, "report.json"), json.dumps(asdict(report), indent=1) + "\n")
    cubes = sorted(report.cubes, key=lambda cube: STATUSES.index(cube["status"]))
    pages = [cubes[start : start + _PAGE] for start in range(0, len(cubes), _PAGE)] or [[]]
    names = ["index.html", *(f"page{number}.html" for number in range(2, len(pages) + 1))]
    template = _template()
    for name, page in zip(names, pages, strict=True):
        shown = [
            {**cube, "picture": _picture(folder, cube["output"]), "page": _page(folder, cube["output"])}
            for cube in page
        ]
        _write(place(folder, name), template.render(report=report, cubes=shown, names=names, name=name))
    return place(folder, names[0])


def _entry(cube: Cube, plan: Plan, record: Record | None) -> dict[str, Any]:
    facts = record.facts if record else {}
    entry = {
        "output": cube.output,
        "inputs": list(cube.files),
        "options": dict(cube.options),
        "status": _status(cube, plan, record),
        "reason": facts.get("reason", ""),
        "attempts": record.attempts if record else 0,
        "time": record.time if record else "",
    }
    return entry | {name: facts[name] for name in _MEASURED if name in facts}


def _status(cube: Cube, plan: Plan, record: Record | None) -> str:
    if record is None:
        return "waiting"
    if record.event == "start":
        return "begun"
    if record.event == "failed":
        return "failed"
    if record.facts.get("recipe") != cube.recipe(plan.model):
        return "waiting"  # the existing output was made with other options or another model
    return "flagged" if _is_doubtful(record.facts) else "done"


def _is_doubtful(facts: Mapping[str, Any]) -> bool:
    """Whether many of a cube's estimates carry the same flag that puts them in doubt."""
    estimates = facts["n_spectra"] - facts["failed"]
    return any(facts["flags"].get(flag.name, 0) > _FLAGGED * estimates for flag in _DOUBTFUL)


def _picture(folder: Path, output: str) -> str:
    """Return a small picture as a data URL; empty if there is none."""
    path = thumbnail(folder, output)
    try:
        return "data:image/png;base64," + b64encode(path.read_bytes()).decode() if path.is_file() else ""
    except OSError:
        return ""


def _page(folder: Path, output: str) -> str:
    """Return the relative address of the page about an output; empty if there is none."""
    path = page_about(folder, output)
    try:
        found = path.relative_to(place(folder, "")).as_posix()
        return quote(found, errors="surrogateescape") if path.is_file() else ""
    except OSError:  # a name that is too long
        return ""


def _template() -> Template:
    try:
        from jinja2 import Environment, PackageLoader
    except ModuleNotFoundError as error:
        raise BatchError(f"{error.name} is not installed: pip install 'quietspec[cluster]'.") from error
    environment = Environment(
        loader=PackageLoader("quietspec.batch", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: _printable(value) if isinstance(value, str) else value,
    )  # fmt: skip
    return environment.get_template("report.html")


def _printable(text: str) -> str:
    """Replace characters that a file name may contain but a page must not; markup remains markup."""
    return text if text.isprintable() else type(text)("".join(c if c.isprintable() else "\ufffd" for c in text))


def _write(path: Path, text: str) -> None:
    with os_errors_named(path), whole_file(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")
