"""Files in, files out: readers of every survey's format, the writer, and the fetcher of public data."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quietspec.io.fetching import fetch
    from quietspec.io.formats import register_format
    from quietspec.io.reading.describe import describe
    from quietspec.io.reading.options import ReadOptions
    from quietspec.io.reading.source import SpectraSource, open_spectra, read
    from quietspec.io.writing.options import WriteOptions
    from quietspec.io.writing.writer import write

__all__ = [
    "ReadOptions", "SpectraSource", "WriteOptions", "describe", "fetch", "open_spectra", "read", "register_format",
    "write",
]  # fmt: skip

# Imported on first use: the command line needs the options' names long before it reads a file.
_HOMES = {
    "quietspec.io.fetching": ("fetch",),
    "quietspec.io.formats": ("register_format",),
    "quietspec.io.reading.describe": ("describe",),
    "quietspec.io.reading.options": ("ReadOptions",),
    "quietspec.io.reading.source": ("SpectraSource", "open_spectra", "read"),
    "quietspec.io.writing.options": ("WriteOptions",),
    "quietspec.io.writing.writer": ("write",),
}

if "specutils" in sys.modules:  # costs seconds to import; whoever uses it gets our loaders
    import quietspec.io.loaders  # noqa: F401


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
