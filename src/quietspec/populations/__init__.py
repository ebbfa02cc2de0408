"""Ages, metallicities, mass-to-light ratios and kinematics: by pPXF, and from the posterior that denoises."""

from quietspec.populations.fit import fit_denoised, fit_populations
from quietspec.populations.options import PpxfOptions
from quietspec.populations.posterior import posterior_populations
from quietspec.populations.result import PopulationFlag, Populations

__all__ = [
    "PopulationFlag", "Populations", "PpxfOptions", "fit_denoised", "fit_populations", "posterior_populations",
]  # fmt: skip
