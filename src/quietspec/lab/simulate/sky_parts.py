"""Parts of a galaxy on the sky: discs, bulges, rings and blobs, with their light, populations, dust, motions, gas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from quietspec.arrays import SHARED, BoolArray, BySpectrum, FloatArray
from quietspec.lab.simulate.galaxy import Population
from quietspec.lab.simulate.sky import Sky, boundary, random_field

__all__ = ["Blob", "Bulge", "Disc", "GasDisc", "Layer", "Part", "Ring", "Rotation"]

_ARM_TILT = 0.35  # tangent of the pitch angle of spiral arms, 19°
_HALF = 0.5  # of its peak: where a part is brighter, it is


@dataclass(frozen=True, eq=False)
class Layer(BySpectrum):
    """Light of one part of a galaxy at the points of the sky, each quantity (n_points,).

    Parameters
    ----------
    light : (n_points,)
        Mean flux in the S/N window after dust, per spaxel.
    log_age, mh : (n_points,)
        Mean log age and [M/H] by mass.
    a_v : (n_points,)
        Attenuation at 5500 Å, mag.
    velocity, sigma : (n_points,)
        Gaussian LOSVD, km/s.
    ew_halpha : (n_points,)
        Equivalent width of Hα, rest-frame Å.
    scatter : (log age, [M/H])
        Standard deviations about the means, dex.
    gas_velocity, gas_sigma : (n_points,), optional
        Velocity and dispersion of the gas, km/s; the velocity of the stars and 45 km/s by default.
    """

    light: FloatArray
    log_age: FloatArray
    mh: FloatArray
    a_v: FloatArray
    velocity: FloatArray
    sigma: FloatArray
    ew_halpha: FloatArray
    scatter: tuple[float, float] = field(default=(0.15, 0.1), metadata=SHARED)
    gas_velocity: FloatArray | None = None
    gas_sigma: FloatArray | None = None


class Part(Protocol):
    """A part of a galaxy."""

    def layer(self, sky: Sky, rng: np.random.Generator) -> Layer:
        """Return its light at all points of the sky."""

    def features(self, sky: Sky) -> dict[str, BoolArray]:
        """Return points (ny, nx) near which maps change fast, by kind of feature."""


@dataclass(frozen=True)
class Rotation:
    """Velocities of a disc seen at an angle.

    Parameters
    ----------
    speed : float
        Rotation at large radii in the plane, km/s; negative for the opposite sense.
    turnover : float
        Scale radius of its arctangent rise.
    axis_ratio, angle : float
        Cosine of the inclination; position angle of the major axis, degrees.
    step : float
        Jump of the velocity across a straight line, km/s.
    step_at : (offset, angle)
        Distance of that line from the centre, and direction of its normal in degrees.
    """

    speed: float = 200.0
    turnover: float = 0.15
    axis_ratio: float = 0.7
    angle: float = 30.0
    step: float = 0.0
    step_at: tuple[float, float] = (0.2, 60.0)

    def velocity(self, sky: Sky) -> FloatArray:
        """Velocity along the line of sight, km/s, (ny, nx)."""
        radius, azimuth = sky.plane(self.axis_ratio, self.angle)
        inclined = self.speed * np.sqrt(1 - self.axis_ratio**2)
        rotation = inclined * 2 / np.pi * np.arctan(radius / self.turnover) * np.cos(azimuth)
        return np.asarray(rotation + self.step * (self._beyond(sky) - 0.5))

    def features(self, sky: Sky) -> dict[str, BoolArray]:
        """Return the points along the step, (ny, nx)."""
        return {"step": boundary(self._beyond(sky))} if self.step else {}

    def _beyond(self, sky: Sky) -> BoolArray:
        offset, angle = self.step_at
        return np.asarray(sky.along(angle) > offset)


@dataclass(frozen=True)
class GasDisc:
    """Gas of a galaxy that moves apart from its stars.

    Parameters
    ----------
    rotation : Rotation
        Its motion.
    sigma : (centre, outside)
        Velocity dispersion, km/s.
    scale : float
        Scale length of the change of the dispersion.
    ew_halpha : float
        Equivalent width of Hα over all stars, Å.
    edge : float, optional
        Radius beyond which there is none.
    """

    rotation: Rotation = field(default_factory=Rotation)
    sigma: tuple[float, float] = (80.0, 30.0)
    scale: float = 0.45
    ew_halpha: float = 3.0
    edge: float | None = None

    def instead(self, layer: Layer, sky: Sky) -> Layer:
        """Return a layer of stars with this gas in place of its own."""
        radius, _ = sky.plane(self.rotation.axis_ratio, self.rotation.angle)
        centre, outside = self.sigma
        return replace(
            layer,
            ew_halpha=self.ew_halpha * (radius < (np.inf if self.edge is None else self.edge)).ravel().astype(float),
            gas_velocity=self.rotation.velocity(sky).ravel(),
            gas_sigma=(outside + (centre - outside) * np.exp(-radius / self.scale)).ravel(),
        )


@dataclass(frozen=True)
class Disc:
    """An exponential disc, smooth or patchy, with or without spiral arms and a sudden change of its populations.

    Parameters
    ----------
    light, scale : float
        Central brightness and scale length.
    population : Population
        Its stars; gradients are per scale length.
    rotation : Rotation
        Its motion, and its inclination.
    sigma : (centre, outside)
        Velocity dispersion, km/s.
    a_v, ew_halpha : float
        Attenuation, mag, and equivalent width of Hα, Å.
    arms : float
        Contrast of two spiral arms in brightness; their stars are younger by 0.6 times that in dex, gas brighter.
    patchiness, patch : float
        Standard deviation in dex, and length, of random fields added to log age and (0.7 times) to [M/H].
    edge : float, optional
        Radius beyond which stars are of another kind at once.
    jump : (log age, [M/H])
        Change beyond that radius, dex.
    kind : str, optional
        Name of the feature that the disc as a whole is, out to twice its scale length; none by default.
    """

    light: float = 1.0
    scale: float = 0.45
    population: Population = field(default_factory=lambda: Population(9.8, 0.0, -0.15, -0.2))
    rotation: Rotation = field(default_factory=Rotation)
    sigma: tuple[float, float] = (120.0, 50.0)
    a_v: float = 0.4
    ew_halpha: float = 6.0
    arms: float = 0.0
    patchiness: float = 0.0
    patch: float = 0.2
    edge: float | None = None
    jump: tuple[float, float] = (-0.6, -0.4)
    kind: str | None = None

    def layer(self, sky: Sky, rng: np.random.Generator) -> Layer:
        """Return its light at all points of the sky."""
        radius, _ = self._plane(sky)
        wave = self.arms * self._arms(sky)
        log_age, mh = self.population.means(radius / self.scale)
        beyond = np.zeros(radius.shape) if self.edge is None else (radius > self.edge).astype(float)
        patches = [self.patchiness * random_field(radius.shape, self.patch / sky.step, rng) for _ in range(2)]
        centre, outside = self.sigma
        return _layer(
            light=self.light * np.exp(-radius / self.scale) * (1 + wave),
            log_age=log_age + self.jump[0] * beyond + patches[0] - 0.6 * np.maximum(wave, 0),
            mh=mh + self.jump[1] * beyond + 0.7 * patches[1],
            a_v=np.full(radius.shape, self.a_v),
            velocity=self.rotation.velocity(sky),
            sigma=outside + (centre - outside) * np.exp(-2 * radius / self.scale),
            ew_halpha=self.ew_halpha * (1 + 3 * np.maximum(wave, 0)),
            scatter=(self.population.log_age_scatter, self.population.mh_scatter),
        )

    def features(self, sky: Sky) -> dict[str, BoolArray]:
        """Return the points along the step in velocity and the edge, on the ridges of the arms, and of a small disc."""
        radius, _ = self._plane(sky)
        whole = {} if self.kind is None else {self.kind: radius < 2 * self.scale}
        edge = {} if self.edge is None else {"edge": boundary(radius > self.edge)}
        arms = {"arms": (self._arms(sky) > 0.9) & (radius < 2 * self.scale)} if self.arms else {}
        return self.rotation.features(sky) | edge | arms | whole

    def _plane(self, sky: Sky) -> tuple[FloatArray, FloatArray]:
        return sky.plane(self.rotation.axis_ratio, self.rotation.angle)

    def _arms(self, sky: Sky) -> FloatArray:
        radius, azimuth = self._plane(sky)
        return np.asarray(np.cos(2 * (azimuth - np.log(np.maximum(radius, sky.step)) / _ARM_TILT)))


@dataclass(frozen=True)
class Bulge:
    """A round bulge at rest.

    Parameters
    ----------
    light, radius, index : float
        Brightness at the half-light radius, that radius, and Sérsic index.
    population : Population
        Its stars; gradients are per half-light radius.
    sigma, a_v : float
        Velocity dispersion, km/s, and attenuation, mag.
    """

    light: float = 0.4
    radius: float = 0.15
    index: float = 1.5
    population: Population = field(default_factory=lambda: Population(10.05, 0.15))
    sigma: float = 180.0
    a_v: float = 0.2

    def layer(self, sky: Sky, rng: np.random.Generator) -> Layer:
        """Return its light at all points of the sky."""
        from astropy.modeling.models import Sersic1D

        radius = np.hypot(sky.x, sky.y)
        log_age, mh = self.population.means(radius / self.radius)
        return _layer(
            light=Sersic1D(self.light, self.radius, self.index)(radius),
            log_age=log_age,
            mh=mh,
            a_v=np.full(radius.shape, self.a_v),
            velocity=np.zeros(radius.shape),
            sigma=np.full(radius.shape, self.sigma),
            ew_halpha=np.full(radius.shape, 0.3),
            scatter=(self.population.log_age_scatter, self.population.mh_scatter),
        )

    def features(self, sky: Sky) -> dict[str, BoolArray]:
        """Return nothing: it is smooth."""
        return {}


@dataclass(frozen=True)
class _Bright(ABC):
    """A part of one population, bright in some places, that moves with a disc or by itself.

    Parameters
    ----------
    light : float
        Its highest brightness.
    population : Population
        Its stars, without gradients.
    rotation : Rotation, optional
        Disc it moves with.
    velocity, sigma : float
        Velocity beside that of the disc, and dispersion, km/s.
    a_v, ew_halpha : float
        Attenuation, mag, and equivalent width of Hα, Å.
    kind : str
        Name of the feature that it is.
    """

    light: float = 0.4
    population: Population = field(default_factory=lambda: Population(8.4, 0.0))
    rotation: Rotation | None = None
    velocity: float = 0.0
    sigma: float = 40.0
    a_v: float = 0.7
    ew_halpha: float = 60.0
    kind: str = "clump"

    @abstractmethod
    def brightness(self, sky: Sky) -> FloatArray:
        """Brightness over the highest, (ny, nx)."""

    def layer(self, sky: Sky, rng: np.random.Generator) -> Layer:
        """Return its light at all points of the sky."""
        moving = 0.0 if self.rotation is None else self.rotation.velocity(sky)
        stars, everywhere = self.population, np.ones(sky.x.shape)
        return _layer(
            light=self.light * self.brightness(sky),
            log_age=stars.log_age * everywhere,
            mh=stars.mh * everywhere,
            a_v=self.a_v * everywhere,
            velocity=(moving + self.velocity) * everywhere,
            sigma=self.sigma * everywhere,
            ew_halpha=self.ew_halpha * everywhere,
            scatter=(stars.log_age_scatter, stars.mh_scatter),
        )

    def features(self, sky: Sky) -> dict[str, BoolArray]:
        """Return where it is brighter than half its peak."""
        return {self.kind: self.brightness(sky) > _HALF}


@dataclass(frozen=True)
class Blob(_Bright):
    """A round Gaussian: a clump of young stars, or a small companion.

    Parameters
    ----------
    place : (x, y)
        Its position.
    size : float
        Gaussian σ.
    """

    place: tuple[float, float] = (0.5, 0.2)
    size: float = 0.08

    def brightness(self, sky: Sky) -> FloatArray:
        """Brightness over the highest, (ny, nx)."""
        distance = np.hypot(sky.x - self.place[0], sky.y - self.place[1])
        return np.asarray(np.exp(-0.5 * (distance / self.size) ** 2))


@dataclass(frozen=True)
class Ring(_Bright):
    """A thin ring in the plane of its disc.

    Parameters
    ----------
    radius, width : float
        Radius and Gaussian σ.
    """

    radius: float = 0.6
    width: float = 0.05

    def brightness(self, sky: Sky) -> FloatArray:
        """Brightness over the highest, (ny, nx)."""
        disc = self.rotation or Rotation()
        radius, _ = sky.plane(disc.axis_ratio, disc.angle)
        return np.asarray(np.exp(-0.5 * ((radius - self.radius) / self.width) ** 2))


def _layer(scatter: tuple[float, float], **maps: FloatArray) -> Layer:
    return Layer(**{name: np.ravel(values) for name, values in maps.items()}, scatter=scatter)
