"""A file that appears whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from quietspec.errors import WriteError

__all__ = ["os_errors_named", "require_uncompressed", "reserve", "whole_file"]

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@contextmanager
def whole_file(
    path: str | os.PathLike[str], *, overwrite: bool = False, inputs: Iterable[str | os.PathLike[str]] = ()
) -> Iterator[Path]:
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
    target = Path(path)
    _require_free(target, overwrite, inputs)
    final = target.resolve()  # where `path` is a link, it stays one
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    with os_errors_named(target), partial.open("xb"):
        pass
    try:
        yield partial
        with os_errors_named(target):
            _sync(partial)
            _require_free(target, overwrite, inputs)
            partial.replace(final)
            _sync(final.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def os_errors_named(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `WriteError` that names the path."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise WriteError(f"{path}: the disk is full ({_free(path)}). Nothing was written.") from error
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}.") from error


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
        if error.errno not in _FULL:
            raise
        raise WriteError(
            f"{path}: {size} bytes ({size / 1e6:.1f} MB) are needed, more than the disk or the limit on file sizes "
            f"leaves ({_free(path)}). Free some space, or write elsewhere. Nothing was written."
        ) from error


def require_uncompressed(path: Path) -> None:
    """Refuse the name of a compressed file."""
    if path.suffix in (".gz", ".bz2", ".xz", ".zip"):
        raise WriteError(f"{path}: output is not compressed; give it a name that ends in .fits.")


def _require_free(target: Path, overwrite: bool, inputs: Iterable[str | os.PathLike[str]]) -> None:
    if target.is_dir():
        raise WriteError(f"{target}: is a directory; name a file in it.")
    if not target.parent.is_dir():
        raise WriteError(f"{target}: there is no folder {target.parent}; make it first.")
    if not target.exists():
        return
    if not target.is_file():
        raise WriteError(f"{target}: is not a regular file; name another.")
    if any(Path(source).exists() and target.samefile(source) for source in inputs):
        raise WriteError(f"{target}: is an input of this run; name another file.")
    if not overwrite:
        raise WriteError(f"{target}: exists already; name another file, or allow it to be replaced: --overwrite.")


def _free(path: Path) -> str:
    return f"{shutil.disk_usage(path.parent).free / 1e6:.1f} MB free"


def _sync(path: Path) -> None:
    """Force a file or folder to the disk before its name is relied on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
