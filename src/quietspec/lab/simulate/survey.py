"""The recipe `survey`: galaxies with kinematics, dust and gas, as the spectrographs of real surveys see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import make_interp_spline

from quietspec.errors import TemplateError
from quietspec.lab.simulate.defects import calibration_error, masked_runs, spikes
from quietspec.lab.simulate.dust import transmission
from quietspec.lab.simulate.emission import EmissionPrior, Gas, add_lines, random_gas
from quietspec.lab.simulate.histories import HistoryPrior, log_uniform, random_histories
from quietspec.lab.simulate.instruments import INSTRUMENTS, Instrument
from quietspec.lab.simulate.kinematics import FourierLibrary, Losvd, log_wavelengths
from quietspec.lab.simulate.noise import correlated_noise, scale_to_snr
from quietspec.lab.simulate.simulated import RestSpectra, Simulated
from quietspec.resampling import Resampler
from quietspec.spectra import Spectra
from quietspec.templates.means import population_labels
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SNR_WINDOW, in_window, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.templates import SspLibrary

__all__ = ["SURVEY_HISTORIES", "SurveyPrior", "SurveyRecipe", "SurveySwitches", "halpha_continuum"]

#: Histories broader than the paper's: younger galaxies, more and fainter bursts.
SURVEY_HISTORIES = HistoryPrior(
    start_gyr=(0.3, 13.5), burst_probabilities=(0.35, 0.3, 0.2, 0.15), burst_fraction=(0.001, 1.0)
)

_MARGIN = 0.008  # of the wavelength, beyond `limits` at either end: 2400 km/s, for the widest LOSVD
_MIN_WINDOW_PIXELS = 5
_BLOCK = 250  # spectra worked on at a time
_GALAXY = 50  # spectra that share an instrument where calibration errors are drawn for training
_CONTAMINATED = 0.05  # of the noise: gas or spikes above it make a pixel useless to the fit of stars


@dataclass(frozen=True)
class SurveySwitches:
    """What the recipe contains; each False leaves that ingredient out and the others as they are.

    Parameters
    ----------
    bursts, metallicity_scatter : bool
        Of the histories.
    dispersion, higher_moments, velocity : bool
        Velocity dispersion (σ = 0 and no h3, h4 without it); h3 and h4; velocity offset.
    dust, emission : bool
        Attenuation of the stars; gas emission lines.
    instrument_fwhm : bool
        Smoothing to the instrument's resolution.
    calibration_error, masks, spikes : bool
        Smooth flux-calibration error; masked runs of pixels; cosmic-ray spikes.
    noise_spread, noise_correlation : bool
        Deviation of each spectrum from the median noise law; correlation between channels.
    misscaled_errors : bool
        Quoted errors off by a factor of log-normal scatter 0.2. Off by default: coverage is asked of a denoiser for
        errors that are right.
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
    noise_spread: bool = True
    noise_correlation: bool = True
    misscaled_errors: bool = False


@dataclass(frozen=True)
class SurveyPrior:
    """Ranges from which the recipe draws.

    Parameters
    ----------
    histories : HistoryPrior
        Star formation and enrichment.
    emission : EmissionPrior
        Gas.
    sigma : (low, high)
        Stellar velocity dispersion, km/s, log-uniform.
    moments : (standard deviation, limit)
        h3 and h4: normal, clipped.
    velocity : (standard deviation, limit)
        Velocity offset, km/s: normal and clipped for four spectra in five, uniform up to the limit for the fifth.
    a_v : (scale, limit)
        Attenuation at 5500 Å, mag: exponential, cut at the limit.
    dust_slope : float
        Standard deviation of the power-law tilt of the attenuation curve (`transmission`).
    snr : (low, high)
        S/N in the window, log-uniform.
    calibration : float
        rms of the flux-calibration error.
    """

    histories: HistoryPrior = SURVEY_HISTORIES
    emission: EmissionPrior = field(default_factory=EmissionPrior)
    sigma: tuple[float, float] = (20.0, 400.0)
    moments: tuple[float, float] = (0.05, 0.3)
    velocity: tuple[float, float] = (80.0, 300.0)
    a_v: tuple[float, float] = (0.6, 2.5)
    dust_slope: float = 0.2
    snr: tuple[float, float] = (1.5, 60.0)
    calibration: float = 0.03


class SurveyRecipe:
    """Galaxy spectra with LOSVD and dust on a log-λ rest-frame grid, observed by a survey's instrument.

    A call of `observe` is one galaxy: one instrument and one redshift. The truth contains the smooth flux-calibration
    error, since no denoiser can tell it from the spectrum, but neither emission lines nor spikes. S/N is the mean flux
    of the truth over the mean 1σ noise in the S/N window, or over all pixels where the instrument does not see the
    window (MUSE at low redshift).

    Parameters
    ----------
    library : SspLibrary
        In air.
    prior : SurveyPrior, optional
        Ranges of all draws.
    instruments : sequence of str, optional
        Names in `INSTRUMENTS` to draw from; all by default.
    limits : (low, high), optional
        Rest-frame Å; the library must reach 0.8 % further on both sides.
    velocity_scale : float, optional
        Step of the grid, km/s. At 50 km/s the 2.51 Å FWHM of MILES spans 2 pixels at 7350 Å and more in the blue.
    **switches : bool
        Fields of `SurveySwitches`.
    """

    name = "survey"

    def __init__(
        self,
        library: SspLibrary,
        *,
        prior: SurveyPrior | None = None,
        instruments: Sequence[str] = tuple(INSTRUMENTS),
        limits: tuple[float, float] = (3600.0, 7350.0),
        velocity_scale: float = 50.0,
        **switches: bool,
    ) -> None:
        if library.medium != "air":
            raise TemplateError(f"{library.name}: the recipe needs a library in air wavelengths.")
        if unknown := [name for name in instruments if name not in INSTRUMENTS] or not instruments:
            raise ValueError(f"instruments: {unknown or 'none given'}; there are {', '.join(INSTRUMENTS)}.")
        self.prior, self.switches = prior or SurveyPrior(), SurveySwitches(**switches)
        self.instruments = tuple(INSTRUMENTS[name] for name in instruments)
        grid = log_wavelengths(limits[0] * (1 - _MARGIN), limits[1] * (1 + _MARGIN), velocity_scale)
        self.library = library.at(grid)
        self._inside = slice(*np.searchsorted(grid, limits))
        self._fourier = FourierLibrary(self.library.spectra, velocity_scale)
        self.wavelength = grid[self._inside]
        self._histories = _switched(self.prior.histories, self.switches)

    def rest(self, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw `n` noise-free spectra, with LOSVD, velocity offset and dust, of mean flux 1 in the S/N window."""
        weights = random_histories(self.library, n, rng, self._histories)
        return self.compose(weights, self._losvd(n, rng), *self._dust(n, rng))

    def compose(
        self, weights: FloatArray, losvd: Losvd, a_v: FloatArray, slope: FloatArray | float = 0.0
    ) -> RestSpectra:
        """Make noise-free spectra of given stars, motions and dust.

        Parameters
        ----------
        weights : (n, n_ssp)
            Fractions of the mass formed, on the grid of `library`.
        losvd : Losvd
            Of the n spectra; switched off with dispersion and velocity.
        a_v : (n,)
            Attenuation at 5500 Å, mag.
        slope : float or (n,), optional
            Tilt of the attenuation curve (`transmission`).

        Returns
        -------
        RestSpectra
            Of mean flux 1 in the S/N window.
        """
        n = len(weights)
        light = weights / (weights @ self.library.light())[:, None]
        slope = np.broadcast_to(np.asarray(slope, dtype=float), n)
        window = in_window(self.wavelength, SNR_WINDOW)
        flux = np.empty((n, len(self.wavelength)), dtype=np.float32)
        for rows in _blocks(n):
            block = self._mix(light[rows], losvd[rows])
            if self.switches.dust:
                block *= transmission(self.wavelength, a_v[rows], slope[rows])
            np.divide(block, block[:, window].mean(axis=1, keepdims=True), out=flux[rows])
        parameters = population_labels(self.library, weights) | {
            "a_v": a_v, "velocity": losvd.velocity, "sigma": losvd.sigma, "h3": losvd.h3, "h4": losvd.h4,
        }  # fmt: skip
        return RestSpectra(wavelength=self.wavelength, flux=flux, parameters=parameters)

    def _mix(self, weights: FloatArray, losvd: Losvd) -> FloatArray:
        moving = self.switches.dispersion or self.switches.velocity
        return self._fourier.mix(weights, losvd if moving else None)[:, self._inside]

    def _losvd(self, n: int, rng: np.random.Generator) -> Losvd:
        prior, on = self.prior, self.switches
        sigma = log_uniform(rng, prior.sigma, n)
        scatter, limit = prior.velocity
        core, tail = np.clip(scatter * rng.standard_normal(n), -limit, limit), rng.uniform(-limit, limit, n)
        velocity = np.where(rng.random(n) < 0.8, core, tail)
        scatter_h, limit_h = prior.moments
        h3, h4 = (np.clip(scatter_h * rng.standard_normal(n), -limit_h, limit_h) for _ in range(2))
        shape = float(on.dispersion and on.higher_moments)
        return Losvd(velocity * float(on.velocity), sigma * float(on.dispersion), h3 * shape, h4 * shape)

    def _dust(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """A_V and tilt of the attenuation curve; both drawn even where dust is off, so that other draws stay."""
        scale, limit = self.prior.a_v
        a_v = -scale * np.log1p(-rng.random(n) * -np.expm1(-limit / scale))
        return a_v * float(self.switches.dust), self.prior.dust_slope * rng.standard_normal(n)

    def observe(
        self,
        rest: RestSpectra,
        rng: np.random.Generator,
        snr: float | FloatArray | None = None,
        *,
        instrument: str | None = None,
        redshift: float | None = None,
        gas: Gas | None = None,
    ) -> Simulated:
        """Observe spectra as the spaxels of one galaxy.

        Parameters
        ----------
        rest : RestSpectra
            Noise-free spectra.
        rng : numpy.random.Generator
            Source of all draws.
        snr : float or (n_spectra,), optional
            S/N; log-uniform in the prior's range if not given.
        instrument : str, optional
            Name in `INSTRUMENTS`; drawn if not given.
        redshift : float, optional
            Redshift; uniform in the instrument's range if not given.
        gas : Gas, optional
            Emission lines of the n_spectra; drawn if not given.

        Returns
        -------
        Simulated
            On those of the instrument's pixels that the rest-frame spectra cover.
        """
        n = len(rest)
        seen = INSTRUMENTS[instrument] if instrument else self.instruments[rng.integers(len(self.instruments))]
        z = float(rng.uniform(*seen.redshift)) if redshift is None else float(redshift)
        view = _View.of(seen, z, rest.wavelength)
        wanted = log_uniform(rng, self.prior.snr, n) if snr is None else np.broadcast_to(np.asarray(snr, float), n)
        resample = self._resampler(view, rest.wavelength)
        truth, flux, ivar = (np.empty((n, len(view.pixels)), dtype=np.float32) for _ in range(3))
        contaminated, correlation = np.empty(flux.shape, dtype=bool), np.empty(n)
        for rows in _blocks(n):
            truth[rows] = self._recorded(view, resample(rest.flux[rows]), rng)
            sigma, noise, correlation[rows] = self._noise(view, truth[rows], wanted[rows], rng)
            np.multiply(sigma, noise, out=flux[rows])
            flux[rows] += truth[rows]
            clean = flux[rows].copy()
            if self.switches.emission:
                lines = self._gas(rest[rows], rng) if gas is None else gas[rows]
                add_lines(flux[rows], view.pixels, view.fwhm / (1 + z), lines)
            ivar[rows] = self._spoil(flux[rows], sigma, rng)
            contaminated[rows] = np.abs(np.nan_to_num(flux[rows] - clean)) > _CONTAMINATED * sigma
        observed = Spectra(
            wavelength=view.wavelength,
            flux=flux,
            ivar=ivar,
            redshift=np.full(n, z),
            medium=seen.medium,
            fwhm=view.fwhm,
            meta={
                "survey": f"simulated {seen.name}",
                "instrument": seen.name,
                "recipe": self.name,
                "library": self.library.name,
            },
        )
        parameters = {**rest.parameters, "snr": wanted.copy(), "noise_correlation": correlation}
        return Simulated(observed=observed, truth=truth, parameters=parameters, contaminated=contaminated)

    def miscalibrated(self, rest: RestSpectra, rng: np.random.Generator) -> RestSpectra:
        """Give rest-frame spectra the calibration errors of instruments and redshifts drawn a few spectra at a time.

        Parameters
        ----------
        rest : RestSpectra
            Noise-free spectra.
        rng : numpy.random.Generator
            Source of all draws.

        Returns
        -------
        RestSpectra
            The same, times the smooth errors; beyond an instrument's ends these are constant, between its arms linear.
        """
        flux = rest.flux.copy()
        for first in range(0, len(rest) if self.switches.calibration_error else 0, _GALAXY):
            seen = self.instruments[rng.integers(len(self.instruments))]
            view = _View.of(seen, float(rng.uniform(*seen.redshift)), rest.wavelength)
            block = flux[first : first + _GALAXY]
            errors = calibration_error(view.wavelength, view.arm, len(block), rng, self.prior.calibration)
            block *= make_interp_spline(view.pixels, errors, k=1, axis=1)(
                np.clip(rest.wavelength, view.pixels[0], view.pixels[-1])
            )
        return replace(rest, flux=flux)

    def noise_free(self, observed: Spectra) -> Callable[[int, np.random.Generator], FloatArray]:
        """What is recorded without noise on the pixels of an observation, as a function of random draws.

        Parameters
        ----------
        observed : Spectra
            Made by `observe`.

        Returns
        -------
        callable
            (n, rng) -> (n, n_pixels): the `Simulated.truth` of n spectra.
        """
        seen, z = INSTRUMENTS[observed.meta["instrument"]], float(observed.redshift[0])
        view = _View.of(seen, z, self.wavelength)
        resample = self._resampler(view, self.wavelength)
        return lambda n, rng: self._recorded(view, resample(self.rest(n, rng).flux), rng)

    def _recorded(self, view: _View, flux: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Flux on an instrument's pixels with its smooth calibration error."""
        if not self.switches.calibration_error:
            return flux
        return flux * calibration_error(view.wavelength, view.arm, len(flux), rng, self.prior.calibration)

    def simulate(
        self,
        n: int,
        rng: np.random.Generator,
        snr: float | FloatArray | None = None,
        *,
        instrument: str | None = None,
        redshift: float | None = None,
    ) -> Simulated:
        """Draw `n` spectra and observe them as the spaxels of one galaxy."""
        return self.observe(self.rest(n, rng), rng, snr, instrument=instrument, redshift=redshift)

    def _resampler(self, view: _View, wavelength: FloatArray) -> Resampler:
        """To the instrument's pixels and resolution; where the templates are coarser they stay as they are."""
        if not self.switches.instrument_fwhm:
            return Resampler(wavelength, view.pixels)
        own = np.interp(view.pixels, self.library.wavelength, self.library.fwhm)
        wanted = view.fwhm / (1 + view.redshift)
        return Resampler(wavelength, view.pixels, np.sqrt(np.clip(wanted**2 - own**2, 0, None)) / FWHM_PER_SIGMA)

    def _noise(
        self, view: _View, truth: FloatArray, snr: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """1σ noise and unit-variance noise, both (n, n_pixels), and the latter's lag-1 correlation, (n,)."""
        n, law = len(truth), view.instrument.noise
        position = law.draw(n, rng) * float(self.switches.noise_spread)
        window = in_window(view.pixels, SNR_WINDOW)
        if window.sum() < _MIN_WINDOW_PIXELS:
            window = np.ones_like(window)
        correlation = rng.uniform(*law.correlation, n) * float(self.switches.noise_correlation)
        sigma = scale_to_snr(truth, law.relative_sigma(view.wavelength, position), window, snr)
        return sigma, correlated_noise(truth.shape, rng, correlation), correlation

    def _gas(self, rest: RestSpectra, rng: np.random.Generator) -> Gas:
        return random_gas(
            halpha_continuum(rest), rest.parameters["a_v"], rest.parameters["velocity"], rng, self.prior.emission
        )

    def _spoil(self, flux: FloatArray, sigma: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Add spikes to `flux` and mask runs of pixels, in place; return the inverse variance as quoted."""
        if self.switches.spikes:
            spikes(flux, sigma, rng)
        if self.switches.misscaled_errors:
            sigma = sigma * np.exp(0.2 * rng.standard_normal((len(flux), 1))).astype(sigma.dtype)
        ivar = 1 / sigma**2
        if self.switches.masks:
            bad = masked_runs(flux.shape, rng)
            flux[bad], ivar[bad] = np.nan, 0
        return ivar


def halpha_continuum(rest: RestSpectra) -> FloatArray:
    """Mean stellar flux density within 40 Å of Hα, (n_spectra,): what its equivalent width refers to."""
    halpha = EMISSION_LINES["Halpha"]
    return np.asarray(rest.flux[:, in_window(rest.wavelength, (halpha - 40, halpha + 40))].mean(axis=1))


@dataclass(frozen=True, eq=False)
class _View:
    """Those pixels of an instrument that the rest-frame spectra cover at some redshift."""

    instrument: Instrument
    redshift: float
    wavelength: FloatArray
    pixels: FloatArray  # rest-frame air Å
    fwhm: FloatArray
    arm: FloatArray

    @classmethod
    def of(cls, seen: Instrument, redshift: float, wavelength: FloatArray) -> _View:
        low, high = wavelength[0], wavelength[-1]
        # Air and vacuum differ by less than 3 Å here, and far outside the conversion is not defined.
        covered = in_window(seen.wavelength / (1 + redshift), (low - 5, high + 5))
        if not covered.any():
            raise TemplateError(
                f"redshift {redshift:.4f} moves every pixel of {seen.name} out of the templates' "
                f"{low:.0f}–{high:.0f} Å. Choose a smaller redshift."
            )
        pixels = rest_air(seen.wavelength[covered], redshift, seen.medium)
        inside = in_window(pixels, (low, high))
        covered[covered] = inside
        return cls(seen, redshift, seen.wavelength[covered], pixels[inside], seen.fwhm[covered], seen.arm[covered])


def _blocks(n: int) -> list[slice]:
    """Slices of a few spectra: so that what is done to them stays in the processor's cache."""
    return [slice(first, min(first + _BLOCK, n)) for first in range(0, n, _BLOCK)]


def _switched(prior: HistoryPrior, switches: SurveySwitches) -> HistoryPrior:
    if not switches.bursts:
        prior = replace(prior, burst_probabilities=(1.0,))
    if not switches.metallicity_scatter:
        prior = replace(prior, scatter=(1e-6, 1e-6), burst_metallicity_scatter=0.0)
    return prior
