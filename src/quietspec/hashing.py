"""SHA-256 of files, by which inputs, outputs and models are known again."""

from __future__ import annotations

import hashlib
import pathlib
from os import PathLike

__all__ = ["file_sha256"]


def file_sha256(path: str | PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits; an `OSError` where it cannot be read."""
    with pathlib.Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
