"""SSP template libraries (MILES and its relatives, pPXF files, BC03, BPASS, M11, MaStar), each as an `SspLibrary`."""

from quietspec.templates.dap import load_dap
from quietspec.templates.library import SspLibrary
from quietspec.templates.loaders import load_library, load_miles, load_ppxf
from quietspec.templates.means import population_labels
from quietspec.templates.photometry import MassToLight, mass_to_light, v_luminosity
from quietspec.templates.terms import TemplateTerms

__all__ = [
    "MassToLight", "SspLibrary", "TemplateTerms", "load_dap", "load_library", "load_miles", "load_ppxf",
    "mass_to_light", "population_labels", "v_luminosity",
]  # fmt: skip
