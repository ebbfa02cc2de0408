"""Fixtures of the reader tests: files written to a folder of the test's own, and real ones where they are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quietspec.io.fetching import cached

if TYPE_CHECKING:
    from astropy.io import fits

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write an `HDUList` to a file whose name says nothing."""

    def write(hdus: fits.HDUList, name: str = "file.fits") -> Path:
        path = tmp_path / name
        hdus.writeto(path)
        return path

    return write


@pytest.fixture(scope="session")
def fetched() -> Callable[[str], Path]:
    """Path of a data set in the fetch cache; skips where it has not been fetched."""

    def path(name: str) -> Path:
        found = cached(name)
        if found is None:
            pytest.skip(f"needs real data: run `quietspec fetch {name}` once")
        return found

    return path
