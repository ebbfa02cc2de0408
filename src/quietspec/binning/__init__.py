"""Sums of spaxels: bins of equal S/N and apertures, with the noise's correlation between spaxels."""

from quietspec.binning.estimates import shared_weights, sum_estimates
from quietspec.binning.of_denoised import Correlation, bin_denoised, sum_denoised
from quietspec.binning.power import bin_to_snr
from quietspec.binning.regions import Apertures, apertures_of, read_apertures
from quietspec.binning.sources import Binning, SumPlan, plan_sums
from quietspec.binning.spikes import Spikes, find_spikes
from quietspec.binning.sums import Binned, bin_spectra, sum_spectra
from quietspec.noise import (
    INDEPENDENT,
    MANGA_NOISE,
    MeasuredCorrelation,
    NoiseCorrelation,
    best_patch,
    measure_correlation,
)

__all__ = [
    "INDEPENDENT", "MANGA_NOISE", "Apertures", "Binned", "Binning", "Correlation", "MeasuredCorrelation",
    "NoiseCorrelation", "Spikes", "SumPlan", "apertures_of", "best_patch", "bin_denoised", "bin_spectra", "bin_to_snr",
    "find_spikes", "measure_correlation", "plan_sums", "read_apertures", "shared_weights", "sum_denoised",
    "sum_estimates", "sum_spectra",
]  # fmt: skip
