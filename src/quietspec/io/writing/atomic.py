"""Files that appear whole or not at all, and never in place of an input or of one another."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from quietspec.errors import WriteError

__all__ = [
    "claim_outputs", "os_errors_named", "removed_on_signals", "require_fits_name", "reserve", "unfinished",
    "whole_file", "whole_folder",
]  # fmt: skip

AnyPath = str | os.PathLike[str]

_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
_FITS, _PACKED = (".fits", ".fit", ".fts"), (".gz", ".bz2", ".xz", ".zip", ".fz", ".z")
_LONGEST = 255  # bytes of a file's name, on most file systems
_SIGNALS = ("SIGTERM", "SIGHUP")

_unfinished: set[Path] = set()


@contextmanager
def whole_file(path: AnyPath, *, overwrite: bool = False, inputs: Iterable[AnyPath] = ()) -> Iterator[Path]:
    """Open a block that fills a hidden file beside `path`; the file takes that name when the block ends without error.

    Parameters
    ----------
    path : path
        The file to write.
    overwrite : bool
        Replace the file if it exists; it stays as it is until the new one is complete.
    inputs : iterable of path
        Files that must not be replaced.

    Yields
    ------
    Path
        The hidden file, empty. It is removed if the block raises, KeyboardInterrupt included.

    Raises
    ------
    WriteError
        If the file exists or cannot be written.
    """
    target, sources = Path(path), list(inputs)
    _require_new(target, sources, overwrite)
    final = target.resolve()  # where `path` is a link, it stays one
    with unfinished(_hidden(final)) as partial:
        with os_errors_named(target), partial.open("xb"):
            pass
        yield partial
        with os_errors_named(target):
            _sync(partial)
            _require_new(target, sources, overwrite)
            partial.replace(final)
            _sync(final.parent)


@contextmanager
def whole_folder(
    path: AnyPath, names: Collection[str], *, overwrite: bool = False, inputs: Iterable[AnyPath] = ()
) -> Iterator[Path]:
    """Open a block that fills a hidden folder beside `path`; the folder takes that name when the block ends well.

    Parameters
    ----------
    path : path
        The folder to write.
    names : collection of str
        Names that its files may have; a folder that holds others is never replaced.
    overwrite : bool
        Replace the folder if it is there; it stays as it is until the new one is complete.
    inputs : iterable of path
        Files that must not be replaced.

    Yields
    ------
    Path
        The hidden folder, empty. It is removed if the block raises, KeyboardInterrupt included.

    Raises
    ------
    WriteError
        If the folder exists and may not be replaced, or cannot be written.
    """
    target, sources = Path(path), list(inputs)
    final = _resolved(target)
    _require_own_folder(target, final, names, overwrite, sources)
    with unfinished(_hidden(final)) as partial:
        with os_errors_named(target):
            partial.mkdir()
        yield partial
        with os_errors_named(target):
            for file in partial.iterdir():
                _sync(file)
            _require_own_folder(target, final, names, overwrite, sources)
            _put_in_place(partial, final)
            _sync(final.parent)


def _put_in_place(partial: Path, final: Path) -> None:
    """Rename a folder; one that has the name already is removed only when the new one is there."""
    if not final.exists():
        partial.rename(final)
        return
    old = final.rename(_hidden(final))
    try:
        partial.rename(final)
    except OSError:
        old.rename(final)
        raise
    _remove(old)


def _require_own_folder(
    target: Path, place: Path, names: Collection[str], overwrite: bool, inputs: Sequence[AnyPath]
) -> None:
    with os_errors_named(target):
        if place.exists() and not place.is_dir():
            raise WriteError(f"{target}: is a file, and this output is a folder of several; name another.")
        if any(place in Path(source).resolve().parents for source in inputs) and place.exists():
            raise WriteError(f"{target}: holds an input of this run; name another folder.")
        held = sorted(file.name for file in place.iterdir()) if place.exists() else []
        if others := [name for name in held if name not in names]:
            raise WriteError(f"{target}: holds other files, such as {others[0]}; name another folder.")
        if held and not overwrite:
            raise WriteError(
                f"{target}: exists already; name another folder, or allow it to be replaced: overwrite=True."
            )
        _require_parent(target, place)


def _hidden(final: Path) -> Path:
    ending = f".{secrets.token_hex(4)}.part"
    name = os.fsencode(final.name)[: _LONGEST - 1 - len(ending)]
    return final.with_name(f".{os.fsdecode(name)}{ending}")


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """Open a block that makes a file or folder for its own use, which does not outlive the block.

    Parameters
    ----------
    path : Path
        What to remove at the end if it is there; also where `removed_on_signals` ends the process.

    Yields
    ------
    Path
        The same.
    """
    _unfinished.add(path)
    try:
        yield path
    finally:
        _remove(path)
        _unfinished.discard(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def removed_on_signals() -> Iterator[None]:
    """Open a block in which SIGTERM and SIGHUP first remove what is unfinished, then end the process as they always do.

    Signals that are handled or ignored already, as SIGHUP under ``nohup``, are left alone.
    """

    def end(number: int, _: FrameType | None) -> None:
        for path in list(_unfinished):
            _remove(path)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    numbers = [getattr(signal, name) for name in _SIGNALS if main and hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _require_new(target: Path, inputs: Sequence[AnyPath], overwrite: bool) -> None:
    claim_outputs([target], inputs)
    if target.exists() and not overwrite:
        raise WriteError(f"{target}: exists already; name another file, or allow it to be replaced: overwrite=True.")


def claim_outputs(outputs: Iterable[AnyPath], inputs: Iterable[AnyPath] = ()) -> None:
    """Refuse outputs that cannot be written, or that would replace an input or one another, before any work is done.

    Parameters
    ----------
    outputs : iterable of path
        All files that a run is to write.
    inputs : iterable of path
        All files that it reads.

    Raises
    ------
    WriteError
        If an output is an input or another output, by whatever name; is no regular file; or its folder does not exist
        or is read-only.
    """
    known: set[Path] = set()
    sources = [source for path in inputs if (source := _found(path)) is not None]
    for output in outputs:
        target, place = Path(output), _resolved(output)
        with os_errors_named(target):
            if place in known:
                raise WriteError(f"{target}: two outputs of this run have this name; name another file.")
            known.add(place)
            if place.exists() and any(place.samefile(source) for source in sources):
                raise WriteError(f"{target}: is an input of this run; name another file.")
            _require_place(target, place)


def _resolved(path: AnyPath) -> Path:
    with os_errors_named(Path(path)):
        try:
            return Path(path).resolve()
        except (RuntimeError, ValueError) as error:  # a loop of links; a NUL in the name
            raise WriteError(f"{path}: cannot be written: {error}. Name another file.") from error


def _found(path: AnyPath) -> Path | None:
    """An input without links on its way; None if there is none, which its reader will say."""
    try:
        return Path(path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None


def _require_place(target: Path, place: Path) -> None:
    if place.is_dir():
        raise WriteError(f"{target}: is a directory; name a file in it.")
    if place.is_symlink():
        raise WriteError(f"{target}: is a link in a loop; name another file.")
    if place.exists() and not place.is_file():
        raise WriteError(f"{target}: is not a regular file; name another.")
    _require_parent(target, place)


def _require_parent(target: Path, place: Path) -> None:
    if not place.parent.is_dir():
        raise WriteError(f"{target}: there is no folder {target.parent}; make it first.")
    if not os.access(place.parent, os.W_OK):
        raise WriteError(f"{target}: the folder {target.parent} may not be written to; choose another.")


def require_fits_name(path: Path) -> None:
    """Refuse a name that does not end as those of FITS files do, or ends as those of compressed ones."""
    if path.suffix.lower() in _PACKED:
        raise WriteError(f"{path}: output is not compressed; give it a name that ends in .fits.")
    if path.suffix.lower() not in _FITS:
        raise WriteError(f"{path}: the output is a FITS file; give it a name that ends in .fits.")


@contextmanager
def os_errors_named(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `WriteError` that names the path."""
    try:
        yield
    except OSError as error:
        _refuse(path, error)


def reserve(partial: Path, size: int, path: Path) -> None:
    """Give a file its full size and its space on the disk, so that writing it through a memory map cannot fail.

    Parameters
    ----------
    partial : Path
        The file.
    size : int
        Size in bytes.
    path : Path
        File to name in the error.

    Raises
    ------
    WriteError
        If the disk is too full; it names `path` and the bytes needed.
    """
    try:
        with partial.open("r+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            elif shutil.disk_usage(partial.parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            else:
                file.truncate(size)
    except OSError as error:
        _refuse(path, error, f": {size} bytes ({size / 1e6:.1f} MB) are needed")


def _refuse(path: Path, error: OSError, needed: str = "") -> NoReturn:
    """Raise a `WriteError` that says why a file was not written."""
    if error.errno in _FULL:
        free = shutil.disk_usage(path.parent).free / 1e6
        reason = f"{_FULL[error.errno]} ({free:.1f} MB free){needed}. Free some space, or write elsewhere"
    elif error.errno == errno.EFBIG:
        reason = f"the limit on the size of files is reached (ulimit -f){needed}. Raise it"
    else:
        reason = f"cannot be written: {error.strerror or error}"
    raise WriteError(f"{path}: {reason}. This file was not written.") from error


def _sync(path: Path) -> None:
    """Force a file or folder to the disk before its name is relied on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
