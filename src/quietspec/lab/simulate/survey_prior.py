"""Ingredients of the recipe `survey`, and the ranges from which they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from quietspec.denoisers.posterior.calibration import CalibrationLaw
from quietspec.lab.simulate.air import AirPrior
from quietspec.lab.simulate.emission import EmissionPrior
from quietspec.lab.simulate.histories import HistoryPrior

__all__ = ["SURVEY_HISTORIES", "SurveyPrior", "SurveySwitches"]

#: Histories broader than the paper's: younger galaxies, more and fainter bursts.
SURVEY_HISTORIES = HistoryPrior(
    start_gyr=(0.3, 13.5), burst_probabilities=(0.35, 0.3, 0.2, 0.15), burst_fraction=(0.001, 1.0)
)


@dataclass(frozen=True)
class SurveySwitches:
    """Ingredients of the recipe; each False leaves one out and the others as they are.

    Parameters
    ----------
    bursts, metallicity_scatter : bool
        Bursts, and scatter of [M/H] among stars of one age, in the histories.
    dispersion, higher_moments, velocity : bool
        Velocity dispersion (without it σ, h3 and h4 are 0); h3 and h4; velocity offset.
    dust, emission : bool
        Attenuation of the stars; gas emission lines.
    instrument_fwhm : bool
        Smoothing to the instrument's resolution.
    calibration_error, masks, spikes : bool
        Flux-calibration error; masked runs of pixels; cosmic-ray spikes.
    sky : bool
        What the air leaves in its bands.
    noise_spread, noise_correlation : bool
        Deviation of each spectrum from the median noise law; correlation between pixels.
    misscaled_errors : bool
        Quoted errors wrong by a factor of log-normal scatter 0.2. Off by default, since the coverage of a denoiser is
        defined for input errors that are right.
    """

    bursts: bool = True
    metallicity_scatter: bool = True
    dispersion: bool = True
    higher_moments: bool = True
    velocity: bool = True
    dust: bool = True
    emission: bool = True
    instrument_fwhm: bool = True
    calibration_error: bool = True
    masks: bool = True
    spikes: bool = True
    sky: bool = True
    noise_spread: bool = True
    noise_correlation: bool = True
    misscaled_errors: bool = False


@dataclass(frozen=True)
class SurveyPrior:
    """Ranges from which the recipe draws.

    Parameters
    ----------
    histories : HistoryPrior
        Ranges of star formation and enrichment.
    emission : EmissionPrior
        Ranges of the emission lines.
    sigma : (low, high)
        Stellar velocity dispersion, km/s; log-uniform.
    moments : (standard deviation, limit)
        h3 and h4: normal, clipped.
    velocity : (standard deviation, limit)
        Velocity offset, km/s: normal and clipped for four spectra in five, uniform within ± the limit for the fifth.
    a_v : (scale, limit)
        Attenuation at 5500 Å, mag: exponential, cut at the limit.
    dust_slope : float
        Standard deviation of the power-law tilt of the attenuation curve (`transmission`).
    dust_bump : float
        Largest strength of the bump at 2175 Å; uniform from 0.
    snr : (low, high)
        S/N in the S/N window; log-uniform.
    calibration : CalibrationLaw
        Law of the flux-calibration error; the wide one that denoisers assume by default.
    air : AirPrior
        Ranges of what the air leaves in its bands.
    """

    histories: HistoryPrior = SURVEY_HISTORIES
    emission: EmissionPrior = field(default_factory=EmissionPrior)
    sigma: tuple[float, float] = (20.0, 400.0)
    moments: tuple[float, float] = (0.05, 0.3)
    velocity: tuple[float, float] = (80.0, 300.0)
    a_v: tuple[float, float] = (0.6, 2.5)
    dust_slope: float = 0.2
    dust_bump: float = 0.0
    snr: tuple[float, float] = (1.5, 60.0)
    calibration: CalibrationLaw = field(default_factory=CalibrationLaw)
    air: AirPrior = field(default_factory=AirPrior)
