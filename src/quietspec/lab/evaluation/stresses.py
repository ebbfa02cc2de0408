"""What spoils spectra: masks, wrong inputs, defects of data, and galaxies that the prior does not know.

A `Scene` is a set of simulated spectra that can be observed repeatedly with the same noise; a `Stress` observes it
spoilt by a given amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quietspec.instruments import BRIGHT_SKY_LINES
from quietspec.lab.evaluation.outsiders import moved
from quietspec.lab.simulate.defects import masked_runs, spikes
from quietspec.lab.simulate.emission import Gas, add_lines, line_ratios
from quietspec.lab.simulate.kinematics import Losvd
from quietspec.lab.simulate.survey import halpha_continuum
from quietspec.lab.streams import stream
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, in_window, rest_air

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.lab.simulate import Instrument, RestSpectra, Simulated, SurveyRecipe

__all__ = ["STRESSES", "Observation", "Scene", "Stress", "young_stars"]

_RUN = 30.0  # pixels, mean length of the masked runs
_BROAD = 1500.0  # km/s, velocity dispersion of broad Balmer lines (FWHM 3500 km/s)
_SKY_LINES = np.array(BRIGHT_SKY_LINES)
# Emulated change of depth per dex of [α/Fe] at fixed [M/H] in bands (rest-frame air Å): Mg and α-element molecules
# deepen, iron lines weaken. The bands are those of Trager et al. 1998, and Ca H+K, CaH and red TiO. The sizes are ours,
# chosen so that Mg b deepens by a quarter and iron lines lose a sixth at +0.4: not a stellar-population model.
_ALPHA_BANDS = {
    (3925.0, 3980.0): 0.2, (4369.0, 4421.0): -0.4, (4514.0, 4560.0): -0.3, (5069.0, 5134.0): 0.3,
    (5154.0, 5197.0): 0.6, (5245.7, 5285.7): -0.45, (5312.1, 5352.1): -0.5, (5387.5, 5415.0): -0.45,
    (5696.6, 5720.4): -0.45, (5776.6, 5796.6): -0.4, (5936.6, 5994.1): 0.4, (6189.6, 6272.1): 0.4,
    (6775.0, 7000.0): 0.4, (7053.0, 7163.0): 0.5,
}  # fmt: skip
_ALPHA_BLUE = 0.12  # excess at 3600 Å per dex, falling to 0 at 4500 Å (Vazdekis et al. 2015, MNRAS 449, 1177)


@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """Simulated spectra with the facts that a spoilt observation hides.

    Parameters
    ----------
    simulated : Simulated
        Spectra and their truth.
    noise : (n_spectra, n_pixels)
        True 1σ noise, also in masked pixels.
    lines : (n_spectra, n_pixels), optional
        Emission lines in the flux, if their flux is to be scored.
    """

    simulated: Simulated
    noise: FloatArray
    lines: FloatArray | None = None

    def with_changes(self, **changes: Any) -> Observation:
        """Return the same observation with other fields of the observed `Spectra`."""
        return replace(self, simulated=replace(self.simulated, observed=replace(self.simulated.observed, **changes)))

    def masked(self, bad: BoolArray) -> Observation:
        """Return the same observation with the pixels `bad` masked, (n_spectra, n_pixels)."""
        observed = self.simulated.observed
        return self.with_changes(flux=np.where(bad, np.nan, observed.flux), ivar=np.where(bad, 0, observed.ivar))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Galaxies of one redshift seen by one instrument, which can be observed repeatedly with the same noise.

    Parameters
    ----------
    recipe : SurveyRecipe
        Recipe of the observation; its masks, spikes and mis-scaled errors are left out.
    rest : RestSpectra
        The n noise-free spectra.
    gas : Gas
        Their emission lines.
    instrument : Instrument
        The spectrograph.
    redshift, snr : float
        Redshift and S/N.
    seed : tuple of int
        Seed of the noise and of the stress.
    """

    recipe: SurveyRecipe
    rest: RestSpectra
    gas: Gas
    instrument: Instrument
    redshift: float
    snr: float
    seed: tuple[int, ...]

    def rng(self) -> np.random.Generator:
        """Make the generator of a stress, the same at every call, so that larger amounts continue smaller ones."""
        return stream("robustness: stress", *self.seed)

    @cached_property
    def plain(self) -> Observation:
        """The unspoilt observation."""
        return self.observe()

    def observe(self, **changes: Any) -> Observation:
        """Observe, with other fields of the scene if given, and always the same random numbers of the noise."""
        scene = replace(self, **changes)
        recipe = copy(scene.recipe)
        recipe.instruments = (scene.instrument,)
        recipe.switches = replace(recipe.switches, masks=False, spikes=False, misscaled_errors=False)
        rng = stream("robustness: noise", *scene.seed)
        simulated = recipe.observe(scene.rest, rng, scene.snr, redshift=scene.redshift, gas=scene.gas)
        return Observation(simulated=simulated, noise=simulated.observed.sigma)


class _Observe(Protocol):
    def __call__(self, scene: Scene, amount: float) -> Observation: ...


@dataclass(frozen=True)
class Stress:
    """A way to spoil an observation.

    Parameters
    ----------
    name, quantity : str
        Name of the stress, and what its amounts measure, with the unit.
    amounts : tuple of float
        Amounts that are tried.
    observe : callable
        Maps a `Scene` and an amount to the spoilt `Observation`.
    reference : float
        Amount that losses are measured against.
    plain : bool
        Whether the observation at the reference amount is `Scene.plain`.
    """

    name: str
    quantity: str
    amounts: tuple[float, ...]
    observe: _Observe
    reference: float = 0.0
    plain: bool = True


def _random_masks(scene: Scene, amount: float) -> Observation:
    seen = scene.plain
    shape = seen.noise.shape
    return seen.masked(
        masked_runs(shape, scene.rng(), mean_runs=-np.log1p(-amount) * shape[1] / _RUN, mean_length=_RUN)
    )


def _gap(scene: Scene, amount: float) -> Observation:
    seen = scene.plain
    wavelength = seen.simulated.observed.wavelength
    centre = np.quantile(wavelength, scene.rng().uniform(0.15, 0.85, len(scene.rest)))
    return seen.masked(np.abs(wavelength - centre[:, None]) < amount / 2)


def _side_missing(scene: Scene, amount: float, *, blue: bool) -> Observation:
    seen = scene.plain
    place = np.linspace(0, 1, seen.noise.shape[1])
    bad = place < amount if blue else place > 1 - amount
    return seen.masked(np.broadcast_to(bad, seen.noise.shape))


def _wrong_redshift(scene: Scene, amount: float) -> Observation:
    return scene.plain.with_changes(redshift=moved(scene.plain.simulated.observed, amount).redshift)


def _wrong_variance(scene: Scene, amount: float) -> Observation:
    seen = scene.plain
    return seen.with_changes(ivar=seen.simulated.observed.ivar / amount)


def _cosmic_rays(scene: Scene, amount: float) -> Observation:
    seen = scene.plain
    flux = seen.simulated.observed.flux.copy()
    spikes(flux, seen.noise, scene.rng(), mean_number=amount)
    return seen.with_changes(flux=flux)


def _sky_residuals(scene: Scene, amount: float) -> Observation:
    """Sky lines subtracted slightly off their place: derivatives of Gaussians of random sign, with extremes ±amount."""
    seen = scene.plain
    observed = seen.simulated.observed
    air = rest_air(observed.wavelength, 0.0, observed.medium)
    sigma = np.asarray(observed.fwhm) / FWHM_PER_SIGMA
    offset = (air - _SKY_LINES[:, None]) / sigma
    shape = offset * np.exp((1 - offset**2) / 2)
    sign = scene.rng().choice([-1.0, 1.0], (len(observed), len(_SKY_LINES)))
    return seen.with_changes(flux=observed.flux + amount * seen.noise * (sign @ shape))


def _lines(scene: Scene, seen: Observation, gas: Gas) -> FloatArray:
    """Emission lines as the instrument records them, (n_spectra, n_pixels)."""
    observed = seen.simulated.observed
    lines = np.zeros(observed.flux.shape)
    rest = rest_air(observed.wavelength, scene.redshift, observed.medium)
    add_lines(lines, rest, np.asarray(observed.fwhm) / (1 + scene.redshift), gas)
    return lines


def _gas(scene: Scene, width: float, sigma: float, agn: float = 0.5, names: Sequence[str] = ()) -> Gas:
    """Gas of a given equivalent width of Hα (Å) and velocity dispersion (km/s), with the named lines or all."""
    n, motion = len(scene.rest), scene.gas.velocity
    ratios = line_ratios(n, scene.rng(), agn)
    if names:
        ratios = ratios * np.isin(list(EMISSION_LINES), names)
    wanted, continuum = np.full(n, width), halpha_continuum(scene.rest)
    return Gas.of_width(ratios, wanted, continuum, scene.rest.parameters["a_v"], motion, np.full(n, sigma))


def _with_gas(scene: Scene, *gases: Gas) -> Observation:
    none = replace(scene.gas, flux=np.zeros_like(scene.gas.flux))
    seen = scene.observe(gas=none)
    lines = np.sum([_lines(scene, seen, gas) for gas in gases], axis=0)
    return replace(seen.with_changes(flux=seen.simulated.observed.flux + lines), lines=lines)


def _emission_strength(scene: Scene, amount: float) -> Observation:
    return _with_gas(scene, _gas(scene, amount, 100.0))


def _emission_width(scene: Scene, amount: float) -> Observation:
    return _with_gas(scene, _gas(scene, 100.0, amount))


def _broad_balmer(scene: Scene, amount: float) -> Observation:
    balmer = ("Halpha", "Hbeta", "Hgamma", "Hdelta", "Hepsilon", "H8", "H9")
    return _with_gas(scene, scene.gas, _gas(scene, amount, _BROAD, names=balmer))


def _resolution(scene: Scene, amount: float) -> Observation:
    fwhm = np.full_like(scene.instrument.fwhm, amount)
    return scene.observe(instrument=replace(scene.instrument, fwhm=fwhm))


def _wrong_resolution(scene: Scene, amount: float) -> Observation:
    seen = scene.plain
    return seen.with_changes(fwhm=np.asarray(seen.simulated.observed.fwhm) * (1 + amount / 100))


def _alpha_enhanced(scene: Scene, amount: float) -> Observation:
    """Deepen or fill bands below the straight line between their edges."""
    wavelength = scene.rest.wavelength
    flux = scene.rest.flux * (1 + amount * _ALPHA_BLUE * np.clip((4500 - wavelength) / 900, 0, None))
    for band, per_dex in _ALPHA_BANDS.items():
        inside = np.flatnonzero(in_window(wavelength, band))
        place = np.linspace(0, 1, len(inside))
        depth = flux[:, inside] - (flux[:, inside[:1]] * (1 - place) + flux[:, inside[-1:]] * place)
        flux[:, inside] += amount * per_dex * depth
    return scene.observe(rest=replace(scene.rest, flux=flux.astype(np.float32)))


def _young_stars(scene: Scene, amount: float, *, young: SurveyRecipe, log_age: float) -> Observation:
    known = scene.rest.parameters
    library = young.library
    weights = np.zeros((len(scene.rest), library.n_ssp))
    weights[:, np.argmin(np.abs(library.log_age - log_age) + np.abs(library.metallicity))] = 1
    stars = young.compose(weights, Losvd(*(known[name] for name in ("velocity", "sigma", "h3", "h4"))), known["a_v"])
    return scene.observe(rest=replace(scene.rest, flux=(1 - amount) * scene.rest.flux + amount * stars.flux))


def young_stars(young: SurveyRecipe, age: float, amounts: tuple[float, ...] = (0.0, 0.1, 0.3, 0.6, 1.0)) -> Stress:
    """Make a stress of the light of young stars of solar metallicity, from a library that has them.

    Parameters
    ----------
    young : SurveyRecipe
        Recipe with the library of young stars, on the wavelengths of the recipe under stress.
    age : float
        Age of the stars, Myr; the nearest of the library is used.
    amounts : tuple of float
        Shares of the light in the S/N window.

    Returns
    -------
    Stress
        A stress that keeps the rest of the light, the motions and the attenuation of the scene.
    """
    observe = partial(_young_stars, young=young, log_age=6 + np.log10(age))
    return Stress(f"stars of {age:g} Myr", "share of the light at 4530 Å", amounts, observe)


def _active_nucleus(scene: Scene, amount: float) -> Observation:
    rest = scene.rest
    at_5000 = rest.flux[:, in_window(rest.wavelength, (4980, 5020))].mean(axis=1, keepdims=True)
    power_law = at_5000 * (rest.wavelength / 5000) ** -1.5
    return scene.observe(rest=replace(rest, flux=((1 - amount) * rest.flux + amount * power_law).astype(np.float32)))


def _tilt(scene: Scene, amount: float) -> Observation:
    seen = scene.plain
    simulated, observed = seen.simulated, seen.simulated.observed
    sign = scene.rng().choice([-0.5, 0.5], (len(observed), 1))
    factor = (1 + amount * sign * np.linspace(-1, 1, observed.n_pixels)).astype(np.float32)
    tilted = replace(observed, flux=observed.flux * factor, ivar=observed.ivar / factor**2)
    return Observation(
        simulated=replace(simulated, observed=tilted, truth=simulated.truth * factor), noise=seen.noise * factor
    )


#: The stresses that need only the recipe.
STRESSES: tuple[Stress, ...] = (
    Stress("masks", "fraction masked", (0.0, 0.1, 0.2, 0.4, 0.6, 0.8), _random_masks),
    Stress("arm gap", "width of the gap, Å", (0.0, 100.0, 300.0, 600.0, 1000.0), _gap),
    Stress("blue missing", "fraction missing", (0.0, 0.25, 0.5, 0.75), partial(_side_missing, blue=True)),
    Stress("red missing", "fraction missing", (0.0, 0.25, 0.5, 0.75), partial(_side_missing, blue=False)),
    Stress(
        "wrong redshift", "error of cz / (1 + z), km/s", (-1000.0, -300.0, -100.0, 0.0, 100.0, 300.0, 1000.0),
        _wrong_redshift,
    ),
    Stress("wrong variance", "quoted / true variance", (0.25, 0.5, 1.0, 2.0, 4.0), _wrong_variance, 1.0),
    Stress("cosmic rays", "mean number per spectrum", (0.0, 2.0, 5.0, 10.0, 20.0, 50.0), _cosmic_rays),
    Stress("sky residuals", "amplitude, σ of the noise", (0.0, 1.0, 2.0, 5.0, 10.0, 20.0), _sky_residuals),
    Stress("emission lines", "EW of Hα, Å", (0.0, 3.0, 10.0, 30.0, 100.0, 300.0), _emission_strength, plain=False),
    Stress(
        "wide lines", "σ of the gas, km/s", (40.0, 100.0, 250.0, 500.0, 1000.0, 1500.0), _emission_width, 100.0, False
    ),
    Stress("broad Balmer lines", "EW of broad Hα, Å", (0.0, 10.0, 30.0, 100.0, 300.0), _broad_balmer),
    Stress("resolution", "FWHM, Å", (1.5, 2.5, 4.0, 6.0, 8.0), _resolution, 2.5, False),
    Stress("wrong resolution", "error of the FWHM, %", (-20.0, -10.0, 0.0, 10.0, 20.0), _wrong_resolution),
    Stress("α-enhanced stars", "[α/Fe], emulated", (0.0, 0.2, 0.4, 0.6), _alpha_enhanced),
    Stress("active nucleus", "share of the light at 5000 Å", (0.0, 0.1, 0.2, 0.4, 0.6, 0.8), _active_nucleus),
    Stress("flux calibration", "tilt from end to end", (0.0, 0.1, 0.2, 0.3, 0.5), _tilt),
)  # fmt: skip
