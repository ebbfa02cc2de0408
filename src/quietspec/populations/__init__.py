"""Ages, metallicities, mass-to-light ratios and kinematics, by pPXF or from the posterior of a denoiser."""

from quietspec.populations.fit import fit_denoised, fit_populations
from quietspec.populations.options import PpxfOptions
from quietspec.populations.posterior import posterior_populations
from quietspec.populations.result import PopulationFlag, Populations

__all__ = [
    "PopulationFlag", "Populations", "PpxfOptions", "fit_denoised", "fit_populations", "posterior_populations",
]  # fmt: skip
