"""Spectral indices: Lick/IDS, the 4000 Å break, the Ca triplet, TiO and CaH, and a user's own; with joint errors."""

from quietspec.indices.definitions import (
    DEFINITIONS,
    LICK,
    IndexDefinition,
    find_definition,
    find_definitions,
)
from quietspec.indices.dispersion import DispersionCorrection, corrected_for_dispersion, dispersion_correction
from quietspec.indices.files import read_definitions
from quietspec.indices.grids import IndexFlag
from quietspec.indices.measure import FactoredCovariance, measure_index, measure_indices
from quietspec.indices.posterior import fitted_redshift, indices_of
from quietspec.indices.resolution import Resolution, added_sigma_to, constant_sigma, lick_fwhm
from quietspec.indices.results import Indices

__all__ = [
    "DEFINITIONS", "LICK", "DispersionCorrection", "FactoredCovariance", "IndexDefinition", "IndexFlag", "Indices",
    "Resolution", "added_sigma_to", "constant_sigma", "corrected_for_dispersion", "dispersion_correction",
    "find_definition", "find_definitions", "fitted_redshift", "indices_of", "lick_fwhm", "measure_index",
    "measure_indices", "read_definitions",
]  # fmt: skip
