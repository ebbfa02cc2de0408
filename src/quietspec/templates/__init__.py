"""SSP template libraries: MILES and E-MILES FITS folders, pPXF npz files, as one `SspLibrary`."""

from quietspec.templates.library import SspLibrary
from quietspec.templates.loaders import load_library, load_miles, load_ppxf
from quietspec.templates.photometry import MassToLight, mass_to_light, v_luminosity

__all__ = ["MassToLight", "SspLibrary", "load_library", "load_miles", "load_ppxf", "mass_to_light", "v_luminosity"]
