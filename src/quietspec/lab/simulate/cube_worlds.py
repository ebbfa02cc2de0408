"""Galaxies to test maps with: smooth, clumpy, with a step in velocity, a counter-rotating core, spiral, and patchy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from quietspec.arrays import BoolArray
from quietspec.lab.simulate.galaxy import Population
from quietspec.lab.simulate.galaxy_cubes import Star, World
from quietspec.lab.simulate.sky import Sky
from quietspec.lab.simulate.sky_parts import Blob, Bulge, Disc, GasDisc, Layer, Part, Ring, Rotation

__all__ = ["WORLDS", "Stripes", "world"]

_YOUNG = Population(8.4, -0.1)
_AGAINST, _TWIST = 0.25, 15.0  # share of galaxies whose gas rotates the other way; 1σ between the axes, degrees
_ENDING = 0.5  # share of galaxies whose gas ends at a radius
_WIDTHS = 0.7, 3.0  # Å, equivalent widths of Hα


def world(name: str, rng: np.random.Generator, *, gas: bool = False) -> World:
    """Make one of `WORLDS`; its inclination, position angle and populations are drawn.

    Parameters
    ----------
    name : str
        Key of `WORLDS`.
    rng : numpy.random.Generator
        Source of all draws.
    gas : bool
        Whether its gas moves apart from the stars: somewhat faster, about another axis, and in one of four galaxies
        the other way; in every other galaxy it ends at a radius. The stars are the same with and without.

    Returns
    -------
    World
        The galaxy.

    Raises
    ------
    ValueError
        If no world has this name.
    """
    if name not in WORLDS:
        raise ValueError(f"world: unknown name {name!r}; there are {', '.join(WORLDS)}.")
    rotation = Rotation(speed=rng.uniform(150, 250), axis_ratio=rng.uniform(0.5, 0.85), angle=rng.uniform(0, 180))
    stars = Population(
        rng.uniform(9.6, 9.9), rng.uniform(-0.2, 0.1), rng.uniform(-0.2, -0.05), rng.uniform(-0.25, -0.1)
    )
    made = WORLDS[name](Disc(rotation=rotation, population=stars), rng)
    return replace(made, gas=_gas(rotation, rng)) if gas else made


def _gas(stars: Rotation, rng: np.random.Generator) -> GasDisc:
    """Gas that is fainter than the stars, and moves apart from them."""
    against = rng.random() < _AGAINST
    return GasDisc(
        rotation=replace(
            stars,
            speed=stars.speed * rng.uniform(1.0, 1.3) * (-1 if against else 1),
            turnover=rng.uniform(0.1, 0.25),
            angle=stars.angle + rng.normal(0, _TWIST),
        ),
        sigma=(rng.uniform(60, 110), rng.uniform(25, 45)),
        ew_halpha=float(np.exp(rng.uniform(*np.log(_WIDTHS)))),
        edge=rng.uniform(0.6, 0.9) if rng.random() < _ENDING else None,
    )


@dataclass(frozen=True)
class Stripes:
    """Stars of even brightness whose [M/H] follows a sine wave, to see what contrast a map keeps.

    Parameters
    ----------
    period : float
        Length of the wave, in half the longer side of the field.
    amplitude, mh : float
        Its amplitude in dex, before seeing, and the mean of [M/H].
    angle : float
        Direction along which it varies, degrees from +x towards +y.
    log_age, sigma : float
        Mean log age and velocity dispersion, km/s.
    """

    period: float
    amplitude: float = 0.4
    mh: float = -0.3
    angle: float = 30.0
    log_age: float = 9.7
    sigma: float = 80.0

    def layer(self, sky: Sky, rng: np.random.Generator) -> Layer:
        """Return the light at all points of the sky."""
        wave = np.sin(2 * np.pi * sky.along(self.angle).ravel() / self.period)
        ones = np.ones(wave.shape)
        return Layer(
            light=ones,
            log_age=self.log_age * ones,
            mh=self.mh + self.amplitude * wave,
            a_v=0.2 * ones,
            velocity=0 * ones,
            sigma=self.sigma * ones,
            ew_halpha=0.5 * ones,
        )

    def features(self, sky: Sky) -> dict[str, BoolArray]:
        """Return nothing: it is smooth."""
        return {}


def _smooth(disc: Disc, rng: np.random.Generator) -> World:
    """Gradients only, and a companion that is little faster."""
    return World({"disc": disc, "bulge": Bulge(), "companion": _companion(300.0, rng)})


def _clumps(disc: Disc, rng: np.random.Generator) -> World:
    """Two clumps and a thin ring of young stars, which move with the disc."""
    parts: dict[str, Part] = {"disc": disc, "bulge": Bulge()}
    parts["ring"] = Ring(light=0.2, population=Population(8.8, 0.0), rotation=disc.rotation, kind="ring")
    first = rng.uniform(0, 2 * np.pi)
    for number, angle in enumerate((first, first + 2)):
        place = 0.55 * np.cos(angle), 0.55 * np.sin(angle)
        parts[f"clump {number}"] = Blob(place=place, population=_YOUNG, rotation=disc.rotation)
    return World(parts)


def _step(disc: Disc, rng: np.random.Generator) -> World:
    """A jump of 150 km/s across a line, and one of the populations at a radius."""
    rotation = replace(disc.rotation, step=150.0, step_at=(rng.uniform(0.1, 0.3), rng.uniform(0, 360)))
    return World({"disc": replace(disc, rotation=rotation, edge=0.55), "bulge": Bulge()})


def _core(disc: Disc, rng: np.random.Generator) -> World:
    """A small old disc in the centre that rotates the other way, and a star in front."""
    backwards = replace(disc.rotation, speed=-disc.rotation.speed, turnover=0.05)
    old = Population(10.0, 0.1)
    core = Disc(light=2.5, scale=0.15, rotation=backwards, population=old, sigma=(110.0, 80.0), kind="core")
    return World({"disc": disc, "core": core}, _star(rng))


def _spiral(disc: Disc, rng: np.random.Generator) -> World:
    """Two arms, and a companion of another redshift."""
    return World({"disc": replace(disc, arms=0.6), "bulge": Bulge(), "companion": _companion(1000.0, rng)})


def _patchy(disc: Disc, rng: np.random.Generator) -> World:
    """Populations that vary by 0.3 dex from place to place, a clump, an edge, and a star in front."""
    clump = Blob(place=(-0.3, 0.5), population=_YOUNG, rotation=disc.rotation)
    patchy = replace(disc, patchiness=0.3, edge=0.7, jump=(-0.4, -0.3))
    return World({"disc": patchy, "bulge": Bulge(), "clump": clump}, _star(rng))


def _companion(velocity: float, rng: np.random.Generator) -> Blob:
    angle = rng.uniform(0, 2 * np.pi)
    place = 0.7 * np.cos(angle), 0.7 * np.sin(angle)
    return Blob(
        light=0.6, size=0.1, place=place, population=Population(9.9, -0.4), velocity=velocity, sigma=70.0, a_v=0.1,
        ew_halpha=0.3, kind="companion",
    )  # fmt: skip


def _star(rng: np.random.Generator) -> Star:
    angle = rng.uniform(0, 2 * np.pi)
    return Star(place=(0.6 * np.cos(angle), 0.6 * np.sin(angle)))


#: Worlds by name; each makes a galaxy of a disc.
WORLDS: dict[str, Callable[[Disc, np.random.Generator], World]] = {
    "smooth": _smooth,
    "clumps": _clumps,
    "step": _step,
    "core": _core,
    "spiral": _spiral,
    "patchy": _patchy,
}
