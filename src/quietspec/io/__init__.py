"""Files in, files out: readers of every survey's format, the writer, and the fetcher of public data."""

import sys

from quietspec.io.fetching import fetch
from quietspec.io.reading.describe import describe
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.source import SpectraSource, open_spectra, read
from quietspec.io.writing.writer import write

__all__ = ["ReadOptions", "SpectraSource", "describe", "fetch", "open_spectra", "read", "write"]

if "specutils" in sys.modules:  # costs seconds to import; who uses it gets our loaders
    import quietspec.io.loaders  # noqa: F401
