"""SSP template libraries: MILES and E-MILES FITS folders, pPXF npz files, as one `SspLibrary`."""

from quietspec.templates.library import SspLibrary
from quietspec.templates.loaders import load_library, load_miles, load_ppxf

__all__ = ["SspLibrary", "load_library", "load_miles", "load_ppxf"]
