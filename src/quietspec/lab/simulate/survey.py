"""The recipe `survey`: galaxies with kinematics, dust and gas as observed by the spectrographs of real surveys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from quietspec.errors import TemplateError
from quietspec.lab.simulate.air import AirResiduals
from quietspec.lab.simulate.defects import masked_runs, spikes
from quietspec.lab.simulate.dust import transmission
from quietspec.lab.simulate.emission import Gas, add_lines, random_gas
from quietspec.lab.simulate.histories import HistoryPrior, log_uniform, random_histories
from quietspec.lab.simulate.instruments import INSTRUMENTS, Instrument
from quietspec.lab.simulate.kinematics import FourierLibrary, Losvd, log_wavelengths
from quietspec.lab.simulate.noise import correlated_noise, scale_to_snr
from quietspec.lab.simulate.simulated import RestSpectra, Simulated
from quietspec.lab.simulate.survey_prior import SurveyPrior, SurveySwitches
from quietspec.lab.simulate.view import View
from quietspec.resampling import Resampler
from quietspec.spectra import Spectra
from quietspec.templates.means import population_labels
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SNR_WINDOW, in_window, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.templates import SspLibrary

__all__ = ["SurveyRecipe", "halpha_continuum"]

_BLOCK = 250  # spectra processed at a time
_CONTAMINATED = 0.05  # in units of the 1σ noise: more gas or spike than this, and a pixel says nothing about stars
_FAINTEST = 0.1  # least factor of the flux calibration: no instrument makes light negative
_END = 1.0  # Å at either end of a library that spectra at rest leave out


class SurveyRecipe:
    """Galaxy spectra with LOSVD and dust on a log-λ rest-frame grid, observed by a survey's instrument.

    Each call of `observe` is one galaxy, with one instrument and one redshift. The truth includes the flux-calibration
    error, as what an instrument without noise would record does, but neither emission lines nor spikes nor what the air
    leaves. S/N is the mean flux of the truth over the mean 1σ noise in the S/N window, or over all pixels if the
    instrument does not observe that window (MUSE at low redshift).

    Parameters
    ----------
    library : SspLibrary
        Templates, in air wavelengths.
    prior : SurveyPrior, optional
        Ranges of all draws.
    instruments : sequence of str, optional
        Names in `INSTRUMENTS` to draw from; all by default.
    limits : (low, high), optional
        Rest-frame Å; the library has to extend beyond both by `margin`.
    margin : float, optional
        Fraction of the wavelength that is computed beyond either end of `limits` and cut off again; 0.8 % is
        2400 km/s, enough for the widest LOSVD. Without motions none is needed.
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
        margin: float = 0.008,
        velocity_scale: float = 50.0,
        **switches: bool,
    ) -> None:
        if library.medium != "air":
            raise TemplateError(f"{library.name}: in vacuum, but recipes need air wavelengths: give library.in_air().")
        unknown = [name for name in instruments if name not in INSTRUMENTS]
        if unknown or not instruments:
            raise ValueError(f"instruments: {', '.join(unknown) or 'none'} given; there are {', '.join(INSTRUMENTS)}.")
        self.prior, self.switches = prior or SurveyPrior(), SurveySwitches(**switches)
        self.instruments = tuple(INSTRUMENTS[name] for name in instruments)
        grid = log_wavelengths(limits[0] * (1 - margin), limits[1] * (1 + margin), velocity_scale)
        _require_cover(library, grid, limits)
        self.library, self._given, self._velocity_scale = library.at(grid), library, velocity_scale
        self._inside, self._limits = slice(*np.searchsorted(grid, limits)), limits
        self._fourier = FourierLibrary(self.library.spectra, velocity_scale)
        self.wavelength = grid[self._inside]
        self._histories = _switched(self.prior.histories, self.switches)

    @property
    def libraries(self) -> str:
        """Names of the libraries whose stars are mixed."""
        return self.library.name

    def at_rest(self) -> SurveyRecipe:
        """Return the recipe without motions and calibration errors, over all wavelengths of its library."""
        wavelength = self._given.wavelength
        still = dict.fromkeys(("velocity", "dispersion", "higher_moments", "calibration_error"), False)
        return SurveyRecipe(
            self._given,
            prior=self.prior,
            instruments=[instrument.name for instrument in self.instruments],
            limits=(float(wavelength[0]) + _END, float(wavelength[-1]) - _END),
            margin=0.0,
            velocity_scale=self._velocity_scale,
            **asdict(self.switches) | still,
        )

    def before(self, instrument: Instrument) -> Self:
        """Return the same galaxies before one instrument, which need not be one of `INSTRUMENTS`."""
        other = copy(self)
        other.instruments = (instrument,)
        return other

    def without_gas(self) -> Self:
        """Return the same galaxies without emission lines."""
        other = copy(self)
        other.switches = replace(self.switches, emission=False)
        return other

    def rest(self, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw `n` noise-free spectra with LOSVD, velocity offset and dust; their mean flux in the S/N window is 1."""
        weights = random_histories(self.library, n, rng, self._histories)
        return self.compose(weights, self._losvd(n, rng), *self._dust(n, rng))

    def compose(
        self,
        weights: FloatArray,
        losvd: Losvd,
        a_v: FloatArray,
        slope: FloatArray | float = 0.0,
        bump: FloatArray | float = 0.0,
    ) -> RestSpectra:
        """Make noise-free spectra from given stars, motions and dust.

        Parameters
        ----------
        weights : (n, n_ssp)
            Fractions of the mass formed, on the grid of the library.
        losvd : Losvd
            LOSVDs of the n spectra; not applied if both dispersion and velocity are switched off.
        a_v : (n,)
            Attenuation at 5500 Å, mag.
        slope, bump : float or (n,), optional
            Tilt of the attenuation curve, and its bump at 2175 Å (`transmission`).

        Returns
        -------
        RestSpectra
            Spectra of mean flux 1 in the S/N window.
        """
        n = len(weights)
        light = weights / (weights @ self.library.light())[:, None]
        slope, bump = (np.broadcast_to(np.asarray(value, dtype=float), n) for value in (slope, bump))
        window = in_window(self.wavelength, SNR_WINDOW)
        flux = np.empty((n, len(self.wavelength)), dtype=np.float32)
        for rows in _blocks(n):
            block = self._mix(light[rows], losvd[rows])
            if self.switches.dust:
                block *= transmission(self.wavelength, a_v[rows], slope[rows], bump[rows])
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

    def _dust(self, n: int, rng: np.random.Generator) -> tuple[FloatArray, ...]:
        """A_V, tilt and bump of the attenuation; drawn even without dust, so that all other draws stay the same."""
        scale, limit = self.prior.a_v
        a_v = -scale * np.log1p(-rng.random(n) * -np.expm1(-limit / scale))
        slope = self.prior.dust_slope * rng.standard_normal(n)
        bump = rng.uniform(0, self.prior.dust_bump, n) if self.prior.dust_bump else np.zeros(n)
        return a_v * float(self.switches.dust), slope, bump

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
            S/N; drawn log-uniformly from the prior's range if not given.
        instrument : str, optional
            Name in `INSTRUMENTS`; drawn if not given.
        redshift : float, optional
            Redshift; drawn uniformly from the instrument's range if not given.
        gas : Gas, optional
            Emission lines of the n_spectra; drawn if not given.

        Returns
        -------
        Simulated
            Spectra on the pixels of the instrument that the rest-frame spectra cover.
        """
        n = len(rest)
        seen = INSTRUMENTS[instrument] if instrument else self.instruments[rng.integers(len(self.instruments))]
        z = float(rng.uniform(*self.redshifts(seen))) if redshift is None else float(redshift)
        view = View.of(seen, z, rest.wavelength)
        wanted = log_uniform(rng, self.prior.snr, n) if snr is None else np.broadcast_to(np.asarray(snr, float), n)
        record = self._recorder(view, rest.wavelength)
        truth, flux, ivar = (np.empty((n, len(view.rest_wavelength)), dtype=np.float32) for _ in range(3))
        contaminated, correlation = np.empty(flux.shape, dtype=bool), np.empty(n)
        fwhm = np.maximum(view.fwhm / (1 + z), self._own_fwhm(view))  # templates cannot be sharpened; lines are as wide
        air = self._air(view, rng)
        for rows in _blocks(n):
            truth[rows] = record(rest.flux[rows], rng)
            sigma, noise, correlation[rows] = self._noise(view, truth[rows], wanted[rows], rng)
            np.multiply(sigma, noise, out=flux[rows])
            flux[rows] += truth[rows]
            if air is not None:
                flux[rows] += air.added(truth[rows], sigma)
            clean = flux[rows].copy()
            if self.switches.emission:
                lines = self._gas(rest[rows], rng) if gas is None else gas[rows]
                add_lines(flux[rows], view.rest_wavelength, fwhm, lines)
            ivar[rows] = self.spoil(flux[rows], sigma, rng)
            contaminated[rows] = np.abs(np.nan_to_num(flux[rows] - clean)) > _CONTAMINATED * sigma
        observed = Spectra(
            wavelength=view.wavelength,
            flux=flux,
            ivar=ivar,
            redshift=np.full(n, z),
            medium=seen.medium,
            fwhm=fwhm * (1 + z),
            meta={
                "survey": f"simulated {seen.name}",
                "instrument": seen.name,
                "recipe": self.name,
                "library": self.library.name,
            },
        )
        parameters = {**rest.parameters, "snr": wanted.copy(), "noise_correlation": correlation}
        return Simulated(observed=observed, truth=truth, parameters=parameters, contaminated=contaminated)

    def redshifts(self, instrument: Instrument) -> tuple[float, float]:
        """Range of the redshifts of galaxies before an instrument."""
        return instrument.redshift

    def noise_free(self, observed: Spectra) -> Callable[[int, np.random.Generator], FloatArray]:
        """Return a function that draws noise-free flux on the pixels of an observation.

        Parameters
        ----------
        observed : Spectra
            Spectra made by `observe`.

        Returns
        -------
        callable
            Function (n, rng) -> (n, n_pixels) that draws the `Simulated.truth` of n spectra.
        """
        seen, z = INSTRUMENTS[observed.meta["instrument"]], float(observed.redshift[0])
        record = self._recorder(View.of(seen, z, self.wavelength), self.wavelength)
        return lambda n, rng: record(self.rest(n, rng).flux, rng)

    def _recorder(self, view: View, wavelength: FloatArray) -> Callable[[FloatArray, np.random.Generator], FloatArray]:
        """Return a function that puts flux on an instrument's pixels, and multiplies it by calibration errors."""
        resample = self._resampler(view, wavelength)
        if not self.switches.calibration_error:
            return lambda flux, _: resample(flux)
        knots = self.prior.calibration.knots(view.wavelength)

        def recorded(flux: FloatArray, rng: np.random.Generator) -> FloatArray:
            factor = np.maximum(knots.draw(len(flux), rng), _FAINTEST)
            return np.asarray(resample(flux) * factor.astype(flux.dtype))

        return recorded

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

    def _resampler(self, view: View, wavelength: FloatArray) -> Resampler:
        """Resampler to an instrument's pixels and resolution; templates that are coarser are not smoothed."""
        if not self.switches.instrument_fwhm:
            return Resampler(wavelength, view.rest_wavelength)
        own = self._own_fwhm(view)
        wanted = view.fwhm / (1 + view.redshift)
        return Resampler(
            wavelength, view.rest_wavelength, np.sqrt(np.clip(wanted**2 - own**2, 0, None)) / FWHM_PER_SIGMA
        )

    def _own_fwhm(self, view: View) -> FloatArray:
        """Resolution of the templates at the pixels of a view, rest-frame Å."""
        return np.interp(view.rest_wavelength, self.library.wavelength, self.library.fwhm)

    def _noise(
        self, view: View, truth: FloatArray, snr: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """1σ noise and unit-variance noise, both (n, n_pixels), and the lag-1 correlation of the latter, (n,)."""
        n, law = len(truth), view.instrument.noise
        position = law.draw(n, rng) * float(self.switches.noise_spread)
        correlation = rng.uniform(*law.correlation, n) * float(self.switches.noise_correlation)
        sigma = scale_to_snr(truth, law.relative_sigma(view.wavelength, position), view.snr_window, snr)
        return sigma, correlated_noise(truth.shape, rng, correlation), correlation

    def _air(self, view: View, rng: np.random.Generator) -> AirResiduals | None:
        """What the air leaves in one exposure, by draws of their own: all others are the same with it and without."""
        if not self.switches.sky:
            return None
        air = rest_air(view.wavelength, 0.0, view.instrument.medium)
        return AirResiduals.draw(self.prior.air, air, view.fwhm, rng.spawn(1)[0])

    def _gas(self, rest: RestSpectra, rng: np.random.Generator) -> Gas:
        return random_gas(
            halpha_continuum(rest), rest.parameters["a_v"], rest.parameters["velocity"], rng, self.prior.emission
        )

    def spoil(self, flux: FloatArray, sigma: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Add spikes to `flux` and mask runs of pixels, both in place; return the quoted inverse variance."""
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
    """Mean stellar flux density within 40 Å of Hα, (n_spectra,), to which the equivalent width of Hα refers."""
    halpha = EMISSION_LINES["Halpha"]
    return np.asarray(rest.flux[:, in_window(rest.wavelength, (halpha - 40, halpha + 40))].mean(axis=1))


def _blocks(n: int) -> list[slice]:
    """Slices of a few spectra each, whose intermediate results fit into the processor's cache."""
    return [slice(first, min(first + _BLOCK, n)) for first in range(0, n, _BLOCK)]


def _switched(prior: HistoryPrior, switches: SurveySwitches) -> HistoryPrior:
    if not switches.bursts:
        prior = replace(prior, burst_probabilities=(1.0,))
    if not switches.metallicity_scatter:
        prior = replace(prior, scatter=(1e-6, 1e-6), burst_metallicity_scatter=0.0)
    return prior


def _require_cover(library: SspLibrary, grid: FloatArray, limits: tuple[float, float]) -> None:
    """Refuse a library that ends before the wavelengths a recipe computes, margins included."""
    first, last = library.wavelength[[0, -1]]
    if first <= grid[0] and grid[-1] <= last:
        return
    low, high = np.ceil(first * limits[0] / grid[0]) + _END, np.floor(last * limits[1] / grid[-1]) - _END
    raise TemplateError(
        f"{library.name}: covers {first:.1f}–{last:.1f} Å, but spectra of {limits[0]:.0f}–{limits[1]:.0f} Å need "
        f"{grid[0]:.1f}–{grid[-1]:.1f} Å, since motions shift light in from beyond the ends. Take a library that "
        f"reaches further, or, in Python, a shorter range: SurveyRecipe(library, limits=({max(low, limits[0]):.0f}, "
        f"{min(high, limits[1]):.0f}))."
    )
