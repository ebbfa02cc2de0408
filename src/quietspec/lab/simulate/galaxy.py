"""One galaxy on the sky: a rotating, dusty spiral of an old bulge, a disc with gradients, and young stars with gas."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np

from quietspec.arrays import FloatArray
from quietspec.lab.simulate.emission import Gas, line_ratios
from quietspec.lab.simulate.histories import normal_weights
from quietspec.lab.simulate.kinematics import Losvd
from quietspec.lab.simulate.simulated import Simulated
from quietspec.lab.simulate.survey import SurveyRecipe, halpha_continuum
from quietspec.wavelengths import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from quietspec.templates import SspLibrary

__all__ = ["FLUX_UNIT", "Galaxy", "Geometry", "Population", "one_calibration", "simulate_galaxy", "sky_wcs"]

FLUX_UNIT = u.Unit("1e-17 erg s-1 cm-2 Angstrom-1")  #: of simulated galaxies
_COMPONENTS = ("bulge", "disc", "young")
_ARCSEC_PER_SPAXEL = 1.0
_SKY_POSITION = (150.0, 2.2)  # RA and Dec of the centre, degrees


@dataclass(frozen=True)
class Geometry:
    """Distribution of the light: lengths in half the longer side of the field, light in the disc's central brightness.

    Parameters
    ----------
    axis_ratio : float
        Cosine of the disc's inclination.
    position_angle : float
        Position angle of the receding side of the disc's major axis, degrees from +x towards +y.
    disc_scale : float
        Scale length of the exponential disc.
    bulge_radius, bulge_index, bulge_light : float
        Half-light radius, Sérsic index and brightness at that radius of the round bulge.
    ring_radius, ring_width, ring_light : float
        Radius, Gaussian σ and brightness of the ring of young stars, in the plane of the disc.
    clump_place : (x, y)
        Position of the clump of young stars on the sky, relative to the centre.
    clump_size, clump_light : float
        Gaussian σ and brightness of the clump.
    seeing : float
        FWHM of the point-spread function.
    """

    axis_ratio: float = 0.8
    position_angle: float = 35.0
    disc_scale: float = 0.8
    bulge_radius: float = 0.22
    bulge_index: float = 2.0
    bulge_light: float = 0.35
    ring_radius: float = 0.62
    ring_width: float = 0.09
    ring_light: float = 0.12
    clump_place: tuple[float, float] = (-0.55, 0.35)
    clump_size: float = 0.1
    clump_light: float = 0.35
    seeing: float = 0.2

    def plane(self, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """Distance from the centre in the plane of the disc, and cosine of the angle from the receding major axis.

        Parameters
        ----------
        shape : (ny, nx)
            Spaxels of the field.

        Returns
        -------
        radius, cosine : (ny, nx)
            Radius in units of half the longer side; the cosine is 1 at the very centre.
        """
        y, x = _sky(shape)
        angle = np.radians(self.position_angle)
        along = x * np.cos(angle) + y * np.sin(angle)
        across = (y * np.cos(angle) - x * np.sin(angle)) / self.axis_ratio
        radius = np.hypot(along, across)
        return radius, np.divide(along, radius, out=np.ones(shape), where=radius > 0)

    def light(self, shape: tuple[int, int]) -> dict[str, FloatArray]:
        """Brightness of ``bulge``, ``disc`` and ``young`` stars after blurring by the seeing, each (ny, nx)."""
        from astropy.modeling.models import Sersic1D
        from scipy.ndimage import gaussian_filter

        y, x = _sky(shape)
        radius, _ = self.plane(shape)
        ring = self.ring_light * _gauss((radius - self.ring_radius) / self.ring_width)
        distance = np.hypot(x - self.clump_place[0], y - self.clump_place[1])
        sharp = {
            "bulge": Sersic1D(self.bulge_light, self.bulge_radius, self.bulge_index)(np.hypot(x, y)),
            "disc": np.exp(-radius / self.disc_scale),
            "young": ring + self.clump_light * _gauss(distance / self.clump_size),
        }
        blur = self.seeing / FWHM_PER_SIGMA * max(shape) / 2
        return {name: gaussian_filter(image, blur, mode="nearest") for name, image in sharp.items()}


@dataclass(frozen=True)
class Population:
    """Stars of one component: normally distributed in log age and [M/H], with linear radial gradients.

    Parameters
    ----------
    log_age, mh : float
        Mass-weighted means at the centre: log10(age/yr) and [M/H].
    log_age_gradient, mh_gradient : float
        Their change per scale length of the disc, dex.
    log_age_scatter, mh_scatter : float
        Standard deviations, dex.
    """

    log_age: float
    mh: float
    log_age_gradient: float = 0.0
    mh_gradient: float = 0.0
    log_age_scatter: float = 0.15
    mh_scatter: float = 0.1

    def weights(self, library: SspLibrary, radius: FloatArray) -> FloatArray:
        """Fractions of the mass formed, (n, n_ssp), at radii (n,) given in disc scale lengths."""
        return normal_weights(library, *self.means(radius), (self.log_age_scatter, self.mh_scatter))

    def means(self, radius: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean log age and [M/H] at radii given in disc scale lengths."""
        return self.log_age + self.log_age_gradient * radius, self.mh + self.mh_gradient * radius


@dataclass(frozen=True)
class Galaxy:
    """Structure, stars, dust, gas and motions of the galaxy.

    Parameters
    ----------
    geometry : Geometry
        Distribution of the light.
    bulge, disc, young : Population
        Stars of each component.
    rotation : float
        Velocity at large radii in the plane of the disc, km/s; it rises as an arctangent (Courteau 1997, AJ 114, 2402).
    turnover : float
        Scale radius of the arctangent, in disc scale lengths.
    sigma : (centre, disc)
        Velocity dispersion of the stars at the centre and at large radii, km/s.
    a_v : (everywhere, young)
        Attenuation, mag: that of all spaxels, and what is added where all the light comes from young stars.
    ew_halpha : (bulge, disc, young)
        Rest-frame equivalent width of Hα, Å, where all the light comes from that component.
    gas_sigma : float
        Velocity dispersion of the gas, km/s.
    """

    geometry: Geometry = field(default_factory=Geometry)
    bulge: Population = field(default_factory=lambda: Population(10.05, 0.15))
    disc: Population = field(default_factory=lambda: Population(9.85, 0.0, -0.2, -0.2))
    young: Population = field(default_factory=lambda: Population(8.3, 0.0, 0.0, -0.15))
    rotation: float = 220.0
    turnover: float = 0.25
    sigma: tuple[float, float] = (190.0, 60.0)
    a_v: tuple[float, float] = (0.2, 0.6)
    ew_halpha: tuple[float, float, float] = (0.5, 6.0, 90.0)
    gas_sigma: float = 45.0


def simulate_galaxy(
    library: SspLibrary,
    rng: np.random.Generator,
    *,
    galaxy: Galaxy | None = None,
    shape: tuple[int, int] = (24, 24),
    snr: float = 30.0,
    instrument: str = "MaNGA",
    redshift: float = 0.03,
    **switches: bool,
) -> Simulated:
    """Observe one galaxy with an integral-field spectrograph.

    Parameters
    ----------
    library : SspLibrary
        Templates, in air wavelengths.
    rng : numpy.random.Generator
        Source of all draws: noise, line ratios, calibration error, masks and spikes.
    galaxy : Galaxy, optional
        The galaxy; an inclined spiral with a ring and a clump of young stars by default.
    shape : (ny, nx), optional
        Spaxels of the field, of 1″ each.
    snr : float, optional
        S/N of the brightest spaxel in the S/N window. The noise is that of the sky and the same everywhere, so the
        S/N of the other spaxels follows their brightness: in the corners of the default
        galaxy it is a fifteenth.
    instrument : str, optional
        Name in `INSTRUMENTS`.
    redshift : float, optional
        Redshift of the galaxy's centre.
    **switches : bool
        Fields of `SurveySwitches`. One calibration error applies to the whole galaxy.

    Returns
    -------
    Simulated
        Spectra with a spatial shape, a celestial WCS and the true parameters of every spaxel; the flux peaks near 1e-17
        erg s⁻¹ cm⁻² Å⁻¹. Gas emission is in the observed flux but not in the truth.
    """
    galaxy = galaxy or Galaxy()
    per_spaxel: dict[str, Any] = switches | {"calibration_error": False}
    recipe = SurveyRecipe(library, instruments=[instrument], **per_spaxel)
    light = {name: image.ravel() for name, image in galaxy.geometry.light(shape).items()}
    brightness = np.sum(list(light.values()), axis=0)
    shares = {name: values / brightness for name, values in light.items()}
    brightness = brightness / brightness.max()
    radius, _ = (image.ravel() for image in galaxy.geometry.plane(shape))

    a_v = galaxy.a_v[0] + galaxy.a_v[1] * shares["young"]
    rest = recipe.compose(_weights(galaxy, recipe.library, shares, radius), _motions(galaxy, shape), a_v)
    flux = rest.flux * brightness[:, None].astype(np.float32)
    if switches.get("calibration_error", True):
        flux *= one_calibration(recipe, redshift, rng)
    rest = replace(rest, flux=flux)

    width = np.stack([shares[name] for name in _COMPONENTS], axis=1) @ galaxy.ew_halpha
    motion, gas_sigma = rest.parameters["velocity"], np.full(len(rest), galaxy.gas_sigma)
    gas = Gas.of_width(line_ratios(1, rng), width, halpha_continuum(rest), a_v, motion, gas_sigma)
    seen = recipe.observe(rest, rng, snr * brightness, instrument=instrument, redshift=redshift, gas=gas)
    observed = replace(seen.observed, spatial_shape=shape, wcs=sky_wcs(shape), unit=FLUX_UNIT)
    return replace(seen, observed=observed)


def one_calibration(recipe: SurveyRecipe, redshift: float, rng: np.random.Generator) -> FloatArray:
    """Draw the calibration error that all spaxels of a galaxy share: a factor of the flux, (1, n_rest_pixels)."""
    factor = recipe.prior.calibration.knots(recipe.wavelength * (1 + redshift)).draw(1, rng)
    return np.asarray(factor.astype(np.float32))


def _weights(galaxy: Galaxy, library: SspLibrary, shares: dict[str, FloatArray], radius: FloatArray) -> FloatArray:
    """Fractions of the mass formed, (n, n_ssp), for given shares of the components in the light of the S/N window."""
    weights = np.zeros((len(radius), library.n_ssp))
    for name in _COMPONENTS:
        stars = getattr(galaxy, name).weights(library, radius / galaxy.geometry.disc_scale)
        weights += (shares[name] / (stars @ library.light()))[:, None] * stars
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _motions(galaxy: Galaxy, shape: tuple[int, int]) -> Losvd:
    """LOSVDs of an inclined rotating disc: the dispersion falls exponentially; h3 opposes the velocity, as observed."""
    radius, cosine = (image.ravel() for image in galaxy.geometry.plane(shape))
    radius = radius / galaxy.geometry.disc_scale
    inclined = galaxy.rotation * np.sqrt(1 - galaxy.geometry.axis_ratio**2)
    velocity = inclined * 2 / np.pi * np.arctan(radius / galaxy.turnover) * cosine
    centre, disc = galaxy.sigma
    sigma = disc + (centre - disc) * np.exp(-2 * radius)
    h3 = np.clip(-0.1 * velocity / sigma, -0.15, 0.15)  # slope: Krajnović et al. 2011, MNRAS 414, 2923
    return Losvd(velocity, sigma, h3, np.zeros_like(h3))


def _sky(shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Offsets y and x of the spaxels from the centre, (ny, nx) each, in units of half the longer side."""
    y, x = np.indices(shape, dtype=float)
    half = max(shape) / 2
    return (y - (shape[0] - 1) / 2) / half, (x - (shape[1] - 1) / 2) / half


def sky_wcs(shape: tuple[int, int]) -> WCS:
    """Celestial WCS (2-D) of an image (ny, nx) of spaxels of 1″: north up, east to the left."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = _SKY_POSITION
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [-_ARCSEC_PER_SPAXEL / 3600, _ARCSEC_PER_SPAXEL / 3600]
    wcs.wcs.set()
    return wcs


def _gauss(offset: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * offset**2))
