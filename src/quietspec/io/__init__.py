"""Files in, files out: readers of every survey's format, the writer, and the fetcher of public data."""

import sys

from quietspec.io.describe import describe
from quietspec.io.fetcher import fetch
from quietspec.io.options import ReadOptions
from quietspec.io.source import SpectraSource, open_spectra, read
from quietspec.io.writer import write

__all__ = ["ReadOptions", "SpectraSource", "describe", "fetch", "open_spectra", "read", "write"]

if "specutils" in sys.modules:  # costs seconds to import; who uses it gets our loaders
    import quietspec.io.loaders  # noqa: F401
