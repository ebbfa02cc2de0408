"""Cubes of galaxies made of parts: seeing mixes their light, as it does in the sky, and drizzling their noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from quietspec.arrays import BoolArray, FloatArray
from quietspec.lab.simulate.emission import Gas, add_lines, line_ratios
from quietspec.lab.simulate.galaxy import FLUX_UNIT, one_calibration, sky_wcs
from quietspec.lab.simulate.galaxy_cube import GalaxyCube, best_gaussian, line_strengths, near
from quietspec.lab.simulate.histories import normal_weights
from quietspec.lab.simulate.instruments import INSTRUMENTS, Instrument
from quietspec.lab.simulate.kinematics import Losvd
from quietspec.lab.simulate.noise import correlated_images, scale_to_snr, window_snr
from quietspec.lab.simulate.simulated import RestSpectra, Simulated
from quietspec.lab.simulate.sky import Sky
from quietspec.lab.simulate.sky_parts import GasDisc, Layer, Part
from quietspec.lab.simulate.survey import SurveyRecipe, halpha_continuum
from quietspec.lab.simulate.view import View
from quietspec.templates.means import population_labels
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, in_window, rest_air

if TYPE_CHECKING:
    from quietspec.templates import SspLibrary

__all__ = ["CubeSetup", "Star", "World", "simulate_cube"]

_PER_SPAXEL = 2  # points of the sky along each side of a spaxel
_MARGIN = 2.0  # sky beyond the field, in FWHM of the seeing
_POINTS_AT_ONCE = 4000
_NO_NOISE = 1e9  # S/N
_CONTAMINATED = 0.05  # of the noise, as in `SurveyRecipe.observe`
_NEAR = 1.5  # FWHM of the seeing
_VELOCITY_STEP, _VELOCITY_REACH = 10.0, 4.0  # grid of LOSVDs: km/s, and σ beyond the fastest
_GAS_SIGMA = 45.0  # km/s
_HALPHA = list(EMISSION_LINES).index("Halpha")


@dataclass(frozen=True)
class Star:
    """A lone star of the Milky Way: the simple population that is most like it, at redshift 0.

    Parameters
    ----------
    place : (x, y)
        Position from the centre of the field, in half its longer side.
    light : float
        Flux in units of that of the galaxy's brightest spaxel, all spaxels together.
    log_age, mh : float
        Population; old ones look like G and K stars, young ones like A stars.
    """

    place: tuple[float, float] = (-0.4, -0.5)
    light: float = 3.0
    log_age: float = 10.0
    mh: float = 0.0


@dataclass(frozen=True)
class World:
    """What there is on the sky.

    Parameters
    ----------
    parts : mapping of str to Part
        Parts of the galaxy by name; one named ``companion`` counts as foreign to it.
    star : Star, optional
        A star in front of it.
    gas : GasDisc, optional
        Gas of all parts but a companion; that of each part, which moves with its stars, by default.
    """

    parts: Mapping[str, Part]
    star: Star | None = None
    gas: GasDisc | None = None

    def layers(self, sky: Sky, rng: np.random.Generator) -> dict[str, Layer]:
        """Return the light of every part at all points of the sky."""
        own = {name: part.layer(sky, rng) for name, part in self.parts.items()}
        if self.gas is None:
            return own
        return {name: layer if name == "companion" else self.gas.instead(layer, sky) for name, layer in own.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class CubeSetup:
    """How it is observed.

    Parameters
    ----------
    shape : (ny, nx)
        Spaxels of the field.
    snr : float
        S/N of the galaxy's brightest spaxel in the S/N window; the noise is that of the sky, the same everywhere.
    instrument : str
        Name in `INSTRUMENTS`.
    limits : (low, high)
        Observed Å that are kept.
    redshift : float
        Redshift of the galaxy.
    seeing : float
        FWHM of the Gaussian point-spread function, spaxels.
    drizzle : float
        Correlation of the noise of neighbouring spaxels, 0 to 0.66; quoted errors are those of single spaxels, right as
        such, and silent about it.
    missing : (ny, nx) of bool, optional
        Spaxels without data.
    """

    shape: tuple[int, int] = (24, 24)
    snr: float = 35.0
    instrument: str = "MaNGA"
    limits: tuple[float, float] = (3700.0, 7400.0)
    redshift: float = 0.03
    seeing: float = 2.0
    drizzle: float = 0.3
    missing: BoolArray | None = None

    def spectrograph(self) -> Instrument:
        """Return the instrument, cut to the limits."""
        whole = INSTRUMENTS[self.instrument]
        arms = tuple(arm[in_window(arm, self.limits)] for arm in whole.arms)
        return replace(whole, arms=arms, fwhm=whole.fwhm[in_window(whole.wavelength, self.limits)])


def simulate_cube(
    library: SspLibrary, world: World, setup: CubeSetup, rng: np.random.Generator, **switches: bool
) -> GalaxyCube:
    """Observe a galaxy with an integral-field spectrograph.

    Parameters
    ----------
    library : SspLibrary
        Templates, in air wavelengths.
    world : World
        The galaxy.
    setup : CubeSetup
        Its observation.
    rng : numpy.random.Generator
        Source of all draws.
    **switches : bool
        Fields of `SurveySwitches`. One calibration error applies to the whole cube.

    Returns
    -------
    GalaxyCube
        Spectra with their truth. The truth includes the star, but no gas; of this, the parameters ``halpha`` (observed
        flux of Hα), ``gas_velocity`` and ``gas_sigma`` (moments of Hα in the spaxel, km/s) tell.
    """
    per_spaxel: dict[str, Any] = switches | {"calibration_error": False}
    recipe = SurveyRecipe(library, instruments=[setup.instrument], **per_spaxel).before(setup.spectrograph())
    view = View.of(recipe.instruments[0], setup.redshift, recipe.wavelength)
    margin = int(np.ceil(_MARGIN * setup.seeing))
    sky = Sky.over(setup.shape, margin, _PER_SPAXEL)
    layers = world.layers(sky, rng)
    exposure = _Exposure(recipe, view, _Blur.of(setup, margin), _velocities(layers))
    light = {name: exposure.add(layer, line_ratios(1, rng)) for name, layer in layers.items()}

    rest, gas = exposure.rest(), exposure.sums["gas"]
    if switches.get("calibration_error", True):
        rest = replace(rest, flux=rest.flux * one_calibration(recipe, setup.redshift, rng))
    galaxy = recipe.observe(rest, rng, _NO_NOISE, redshift=setup.redshift, gas=_no_gas(len(rest)))
    star = _starlight(library, world.star, view, setup) * galaxy.truth.mean(axis=1).max()
    on = float(recipe.switches.emission)
    observed = _Detector(recipe, view, setup).record(galaxy, star, gas if on else 0 * gas, rng)
    observed = replace(observed, parameters={**observed.parameters, **exposure.of_gas(on)})

    total = np.sum(list(light.values()), axis=0)
    shares = {"companion": light["companion"] / total} if "companion" in light else {}
    if world.star is not None:
        shares["star"] = star.mean(axis=1) / observed.truth.mean(axis=1)
    return GalaxyCube(observed, _regions(world, sky, setup, margin), shares, setup.seeing)


@dataclass(frozen=True, eq=False)
class _Blur:
    """Seeing: the share of the light of each line and column of the sky that each of the spaxels catches.

    y, x : (ny, n_lines), (nx, n_columns)
    """

    y: FloatArray
    x: FloatArray

    @classmethod
    def of(cls, setup: CubeSetup, margin: int) -> _Blur:
        def shares(side: int) -> FloatArray:
            sources = (np.arange((side + 2 * margin) * _PER_SPAXEL) + 0.5) / _PER_SPAXEL - margin - 0.5
            return _caught(side, sources, setup.seeing) / _PER_SPAXEL

        return cls(shares(setup.shape[0]), shares(setup.shape[1]))

    def bands(self) -> Iterator[tuple[slice, slice]]:
        """Lines of the sky that are processed at a time, and their points."""
        n_lines, n_columns = self.y.shape[1], self.x.shape[1]
        step = max(1, _POINTS_AT_ONCE // n_columns)
        for first in range(0, n_lines, step):
            last = min(first + step, n_lines)
            yield slice(first, last), slice(first * n_columns, last * n_columns)

    def __call__(self, values: FloatArray, lines: slice) -> FloatArray:
        """Blur values (n_points, k) of some lines of the sky: (n_spaxels, k)."""
        y, x = self.y[:, lines].astype(values.dtype), self.x.astype(values.dtype)
        image = values.reshape(y.shape[1], x.shape[1], -1)
        blurred = np.einsum("hl,ij,ljk->hik", y, x, image, optimize=True)
        return np.asarray(blurred.reshape(-1, values.shape[1]))


def _caught(side: int, places: FloatArray, seeing: float) -> FloatArray:
    """Share of the light of sources at `places`, (n,), that spaxels 0 to `side` − 1 catch, (side, n)."""
    offset = (np.arange(side)[:, None] - places) * FWHM_PER_SIGMA / seeing
    half = 0.5 * FWHM_PER_SIGMA / seeing
    return np.asarray(ndtr(offset + half) - ndtr(offset - half))


@dataclass(frozen=True, eq=False)
class _Exposure:
    """The light that has come from all parts so far, and what makes it up, per spaxel."""

    recipe: SurveyRecipe
    view: View
    blur: _Blur
    velocities: FloatArray
    sums: dict[str, FloatArray] = field(default_factory=dict)

    def add(self, layer: Layer, ratios: FloatArray) -> FloatArray:
        """Add a part, whose gas has line ratios (1, n_lines); return its light per spaxel."""
        light = np.zeros((len(self.blur.y) * len(self.blur.x), 1))
        for lines, points in self.blur.bands():
            for name, values in self._at_points(layer[points], ratios).items():
                seen = self.blur(values, lines)
                self.sums[name] = self.sums[name] + seen if name in self.sums else seen
            light += self.blur(layer.light[points, None], lines)
        return light[:, 0]

    def _at_points(self, layer: Layer, ratios: FloatArray) -> dict[str, FloatArray]:
        """Stars, gas, masses, LOSVD and attenuation times light at points of the sky, (n_points, …) each."""
        recipe, light = self.recipe, layer.light[:, None]
        weights = normal_weights(recipe.library, layer.log_age, layer.mh, layer.scatter)
        none = np.zeros(len(weights))
        rest = recipe.compose(weights, Losvd(layer.velocity, layer.sigma, none, none), layer.a_v)
        rest = replace(rest, flux=rest.flux * light.astype(np.float32))
        gas = np.zeros((len(weights), len(self.view.wavelength)), dtype=np.float32)
        velocity = layer.velocity if layer.gas_velocity is None else layer.gas_velocity
        sigma = none + _GAS_SIGMA if layer.gas_sigma is None else layer.gas_sigma
        lines = Gas.of_width(ratios, layer.ew_halpha, halpha_continuum(rest), layer.a_v, velocity, sigma)
        add_lines(gas, self.view.rest_wavelength, self.view.fwhm / (1 + self.view.redshift), lines)
        offset = (self.velocities - layer.velocity[:, None]) / layer.sigma[:, None]
        per_light = 1 / (weights @ recipe.library.light())[:, None]
        return {
            "stars": rest.flux,
            "gas": gas,
            "halpha": lines.flux[:, [_HALPHA]] * np.stack([none + 1, velocity, velocity**2 + sigma**2], axis=1),
            "mass": weights * light * per_light,
            "losvd": self._lines(weights * per_light) * light * np.exp(-0.5 * offset**2) / layer.sigma[:, None],
            "a_v": light * layer.a_v[:, None],
            "light": light,
        }

    def _lines(self, weights: FloatArray) -> FloatArray:
        """Strength of the lines that are seen, (n, 1), of stars that shine as brightly as others, (n, n_ssp)."""
        library, rest = self.recipe.library, self.view.rest_wavelength
        return line_strengths(library.spectra[:, in_window(library.wavelength, (rest[0], rest[-1]))], weights)[:, None]

    def rest(self) -> RestSpectra:
        """Noise-free spectra of all spaxels, and their parameters."""
        velocity, sigma = best_gaussian(self.velocities, self.sums["losvd"])
        parameters = population_labels(self.recipe.library, self.sums["mass"]) | {
            "a_v": (self.sums["a_v"] / self.sums["light"])[:, 0],
            "velocity": velocity,
            "sigma": sigma,
        }
        return RestSpectra(wavelength=self.recipe.wavelength, flux=self.sums["stars"], parameters=parameters)

    def of_gas(self, share: float) -> dict[str, FloatArray]:
        """Observed flux of Hα, of which a share is seen, and its velocity and dispersion (km/s), (n_spaxels,) each."""
        flux, first, second = self.sums["halpha"].T
        with np.errstate(invalid="ignore"):
            velocity = first / flux
            sigma = np.sqrt(second / flux - velocity**2)
        return {"halpha": share * flux * (1 + self.view.redshift), "gas_velocity": velocity, "gas_sigma": sigma}


@dataclass(frozen=True, eq=False)
class _Detector:
    """Turn light into data: noise, gas, defects, missing spaxels."""

    recipe: SurveyRecipe
    view: View
    setup: CubeSetup

    def record(self, galaxy: Simulated, star: FloatArray, gas: FloatArray, rng: np.random.Generator) -> Simulated:
        truth, (ny, nx) = (galaxy.truth + star).astype(np.float32), self.setup.shape
        sigma = self._sigma(galaxy.truth, rng)
        law, on = self.view.instrument.noise, self.recipe.switches
        correlation = rng.uniform(*law.correlation) * float(on.noise_correlation)
        noise = correlated_images((ny, nx, truth.shape[1]), rng, self.setup.drizzle, correlation)
        noisy = truth + sigma * noise.reshape(truth.shape)
        flux = (noisy + gas).astype(np.float32)
        ivar = self.recipe.spoil(flux, sigma, rng)
        contaminated = np.abs(np.nan_to_num(flux - noisy)) > _CONTAMINATED * sigma
        if self.setup.missing is not None:
            flux[self.setup.missing.ravel()], ivar[self.setup.missing.ravel()] = np.nan, 0
        observed = replace(
            galaxy.observed, flux=flux, ivar=ivar, spatial_shape=(ny, nx), wcs=sky_wcs((ny, nx)), unit=FLUX_UNIT
        )
        facts = {
            "snr": window_snr(truth, sigma, self.view.snr_window),
            "noise_correlation": np.full(len(truth), correlation),
        }
        parameters = {**galaxy.parameters, **facts}
        return Simulated(observed=observed, truth=truth, parameters=parameters, contaminated=contaminated)

    def _sigma(self, truth: FloatArray, rng: np.random.Generator) -> FloatArray:
        """1σ noise of all spaxels, (n_spaxels, n_pixels): that of the sky."""
        law = self.view.instrument.noise
        relative = law.relative_sigma(self.view.wavelength, law.draw(1, rng) * float(self.recipe.switches.noise_spread))
        best = int(np.argmax(truth.mean(axis=1)))
        sigma = scale_to_snr(truth[[best]], relative, self.view.snr_window, np.array([self.setup.snr]))
        return np.repeat(sigma, len(truth), axis=0)


def _velocities(layers: Mapping[str, Layer]) -> FloatArray:
    """Grid that holds the LOSVDs of all parts, km/s."""
    low, high = (
        max((sign * layer.velocity + _VELOCITY_REACH * layer.sigma).max() for layer in layers.values())
        for sign in (-1, 1)
    )
    return np.arange(-low, high + _VELOCITY_STEP, _VELOCITY_STEP)


def _no_gas(n: int) -> Gas:
    return Gas(flux=np.zeros((n, len(EMISSION_LINES))), velocity=np.zeros(n), sigma=np.ones(n))


def _starlight(library: SspLibrary, star: Star | None, view: View, setup: CubeSetup) -> FloatArray:
    """Flux of the star in every spaxel, (n_spaxels, n_pixels), of mean `Star.light` in all spaxels together."""
    if star is None:
        return np.zeros((np.prod(setup.shape), len(view.wavelength)), dtype=np.float32)
    row = np.argmin(np.hypot(library.log_age - star.log_age, library.metallicity - star.mh))
    in_air = rest_air(view.wavelength, 0.0, view.instrument.medium)
    spectrum = np.interp(in_air, library.wavelength, library.spectra[row])
    (ny, nx), half = setup.shape, max(setup.shape) / 2
    x, y = (np.array([place * half + (side - 1) / 2]) for place, side in zip(star.place, (nx, ny), strict=True))
    image = _caught(ny, y, setup.seeing) @ _caught(nx, x, setup.seeing).T
    return np.asarray(star.light * image.reshape(-1, 1) * spectrum / spectrum.mean())


def _regions(world: World, sky: Sky, setup: CubeSetup, margin: int) -> dict[str, BoolArray]:
    """Spaxels within 1.5 FWHM of the seeing of every kind of feature, and of the border of the field."""
    reach = _NEAR * setup.seeing
    centres = slice(margin * _PER_SPAXEL + _PER_SPAXEL // 2, None, _PER_SPAXEL)
    found: dict[str, BoolArray] = {}
    for part in world.parts.values():
        for kind, places in part.features(sky).items():
            inside = near(places, reach * _PER_SPAXEL)[centres, centres][: setup.shape[0], : setup.shape[1]].ravel()
            found[kind] = found.get(kind, np.zeros(inside.shape, dtype=bool)) | inside
    outside = np.zeros(setup.shape, dtype=bool) if setup.missing is None else setup.missing
    beyond = np.pad(outside, 1, constant_values=True)
    return found | {"border": near(beyond, reach)[1:-1, 1:-1].ravel()}
