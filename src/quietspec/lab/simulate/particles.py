"""A galaxy of star particles: a world apart from `galaxy_cubes`, which shares with it only the form of the result.

Every particle has its own place, velocity, age and metallicity in three dimensions, shows the nearest population of a
library of its own, and reaches the spaxels through seeing that moves it at random. Dust reddens by a power law, noise
is that of exposures resampled between their pixels, and what the instrument adds to the resolution is the same in
velocity everywhere, the width of the pixels apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.lab.simulate.galaxy_cube import GalaxyCube, best_gaussian, line_strengths, near
from quietspec.lab.simulate.simulated import Simulated
from quietspec.spectra import Spectra
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SNR_WINDOW, SPEED_OF_LIGHT, in_window

if TYPE_CHECKING:
    from quietspec.templates import SspLibrary

__all__ = ["ParticleSetup", "Particles", "simulate_particles"]

_BIN = 25.0  # km/s: step of wavelengths and of velocities
_BINS = 24  # velocities on either side of 0
_DUST = 0.1  # mag: step of the attenuations that are told apart
_ADDED_FWHM = 130.0  # km/s by which the instrument smooths the stars
_COPIES = 4  # places that seeing moves a particle to
_MOFFAT = 3.0  # exponent of the seeing
_FIELD = 8.0  # kpc along the longer side
_NEAR = 1.5  # FWHM of the seeing
_RATIOS = {
    "Halpha": 2.86, "Hbeta": 1.0, "[OIII]5007": 1.2, "[OIII]4959": 0.4, "[NII]6583": 0.9, "[NII]6548": 0.3,
    "[SII]6716": 0.5, "[SII]6731": 0.4,
}  # fmt: skip


@dataclass(frozen=True)
class ParticleSetup:
    """The galaxy and its observation.

    Parameters
    ----------
    shape : (ny, nx)
        Spaxels of the field, whose longer side is 8 kpc.
    n : int
        Particles.
    clusters : int
        Groups of stars of one young age, born together.
    snr : float
        S/N of the brightest spaxel in the S/N window.
    seeing : float
        FWHM, spaxels.
    redshift : float
        Redshift.
    wavelengths : (first, last, step)
        Pixels, observed Å in air.
    """

    shape: tuple[int, int] = (24, 24)
    n: int = 80_000
    clusters: int = 12
    snr: float = 30.0
    seeing: float = 2.0
    redshift: float = 0.025
    wavelengths: tuple[float, float, float] = (3850.0, 7150.0, 2.2)

    def spaxels(self, kpc: FloatArray, axis: int) -> FloatArray:
        """Convert places along an axis of the image, 0 for y and 1 for x, into numbers of spaxels."""
        return np.asarray(kpc * max(self.shape) / _FIELD + (self.shape[axis] - 1) / 2)


@dataclass(frozen=True, eq=False)
class Particles(BySpectrum):
    """Stars of equal mass.

    Parameters
    ----------
    place, motion : (n, 3)
        Positions, kpc, and velocities, km/s; the third axis is normal to the disc.
    age : (n,)
        Gyr.
    mh : (n,)
        [M/H].
    group : (n,) of int
        0 disc, 1 bulge, 2 satellite, from 3 on the clusters.
    """

    place: FloatArray
    motion: FloatArray
    age: FloatArray
    mh: FloatArray
    group: npt.NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.age)

    @classmethod
    def draw(cls, setup: ParticleSetup, rng: np.random.Generator) -> Particles:
        """Draw a disc that grew from inside out, its bulge, young clusters and a satellite."""
        counts = rng.multinomial(setup.n, [0.83, 0.1, 0.064, 0.006])
        disc = _disc(counts[0], rng, ages=(0.1, 11.0))
        return cls.stack([disc, _bulge(counts[1], rng), _satellite(counts[2], rng), _clusters(counts[3], setup, rng)])

    def seen(self, inclination: float, angle: float) -> Particles:
        """Turn the galaxy: the third axis points away from the observer then."""
        tilt, spin = np.radians([inclination, angle])
        turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
        roll = np.array([[np.cos(spin), -np.sin(spin), 0], [np.sin(spin), np.cos(spin), 0], [0, 0, 1]])
        return Particles(self.place @ (roll @ turn).T, self.motion @ (roll @ turn).T, self.age, self.mh, self.group)


def simulate_particles(
    library: SspLibrary, setup: ParticleSetup, rng: np.random.Generator, *, emission: bool = True
) -> GalaxyCube:
    """Observe a galaxy of star particles.

    Parameters
    ----------
    library : SspLibrary
        Populations, in air wavelengths; best of other stars than those a denoiser was trained on.
    setup : ParticleSetup
        The galaxy and its observation.
    rng : numpy.random.Generator
        Source of all draws.
    emission : bool, optional
        Whether the youngest stars make gas shine.

    Returns
    -------
    GalaxyCube
        Spectra with their truth; regions ``clump`` (the clusters) and ``companion`` (the satellite), of which the
        latter is a part of the galaxy here.
    """
    stars = Particles.draw(setup, rng).seen(rng.uniform(30, 65), rng.uniform(0, 360))
    light = _Light.of(stars, library, setup, rng)
    fine, added = _fine_grid(library, setup), _ADDED_FWHM / FWHM_PER_SIGMA / _BIN
    spectra = _on_pixels(light.spectra(library, fine), fine, added, setup)
    wavelength = np.arange(*setup.wavelengths)
    rest = wavelength / (1 + setup.redshift)
    truth = spectra * (1 + 0.02 * np.sin(wavelength / rng.uniform(150, 400) + rng.uniform(0, 6)))
    own, pixel = np.interp(rest, library.wavelength, library.fwhm), setup.wavelengths[2] / (1 + setup.redshift)
    fwhm = np.sqrt(own**2 + (rest * _ADDED_FWHM / SPEED_OF_LIGHT) ** 2 + FWHM_PER_SIGMA**2 / 12 * pixel**2)
    sigma = _errors(truth, wavelength, rest, setup.snr)
    contaminated = light.gas(rest, fwhm) * float(emission) * np.median(truth)
    flux = truth + contaminated + sigma * _resampled_noise((*setup.shape, len(wavelength)), rng).reshape(truth.shape)
    observed = Spectra(
        wavelength=wavelength, flux=flux.astype(np.float32), ivar=(1 / sigma**2).astype(np.float32), medium="air",
        redshift=np.full(len(flux), setup.redshift), fwhm=fwhm * (1 + setup.redshift), spatial_shape=setup.shape,
        meta={"survey": "simulated particles", "library": library.name},
    )  # fmt: skip
    window = in_window(rest, SNR_WINDOW)
    labels = light.labels(library, fine) | {"snr": (truth[:, window].mean(axis=1) / sigma[:, window].mean(axis=1))}
    simulated = Simulated(
        observed=observed, truth=truth.astype(np.float32), parameters=labels, contaminated=contaminated > 0.05 * sigma
    )
    return GalaxyCube(simulated, _regions(stars, setup), {}, setup.seeing)


def _circular(radius: FloatArray) -> FloatArray:
    """Rotation curve, km/s at kpc."""
    return np.asarray(210 * radius / np.sqrt(radius**2 + 0.8**2))


def _disc(n: int, rng: np.random.Generator, ages: tuple[float, float]) -> Particles:
    """Stars on nearly circular orbits; older ones lie farther in, higher, and move at random more."""
    age = ages[0] + (ages[1] - ages[0]) * rng.beta(1.3, 1.0, n)
    radius = rng.gamma(2.0, 2.2 - 0.1 * age)
    azimuth, height = rng.uniform(0, 2 * np.pi, n), rng.laplace(0, 0.1 + 0.03 * age)
    heat = (25 + 6 * age)[:, None] * np.exp(-radius / 9)[:, None] * rng.standard_normal((n, 3))
    speed = _circular(radius) - 0.8 * (25 + 6 * age) ** 2 / 210
    cosine, sine = np.cos(azimuth), np.sin(azimuth)
    place = np.stack([radius * cosine, radius * sine, height], axis=1)
    motion = np.stack([-speed * sine, speed * cosine, np.zeros(n)], axis=1) + heat
    mh = 0.25 - 0.07 * radius - 0.03 * age + 0.12 * rng.standard_normal(n)
    return Particles(place, motion, age, mh, np.zeros(n, dtype=int))


def _ball(n: int, size: float, heat: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Places and motions of a Plummer sphere of isotropic velocities."""
    radius = size / np.sqrt(rng.uniform(1e-3, 0.97, n) ** (-2 / 3) - 1 + 1e-9)
    direction = rng.standard_normal((n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    spread = heat / (1 + (radius / size) ** 2) ** 0.25
    return radius[:, None] * direction, spread[:, None] * rng.standard_normal((n, 3))


def _bulge(n: int, rng: np.random.Generator) -> Particles:
    place, motion = _ball(n, 0.7, 150.0, rng)
    mh = 0.2 + 0.2 * rng.standard_normal(n)
    return Particles(place, motion, np.clip(rng.normal(10, 1, n), 6, 13), mh, np.full(n, 1))


def _satellite(n: int, rng: np.random.Generator) -> Particles:
    """A small old galaxy that falls in."""
    place, motion = _ball(n, 0.5, 40.0, rng)
    azimuth = rng.uniform(0, 2 * np.pi)
    place = place + 4.0 * np.array([np.cos(azimuth), np.sin(azimuth), 0.3])
    motion = motion + np.array([-60.0, 40.0, 120.0])
    return Particles(place, motion, rng.uniform(8, 11, n), -0.9 + 0.15 * rng.standard_normal(n), np.full(n, 2))


def _clusters(n: int, setup: ParticleSetup, rng: np.random.Generator) -> Particles:
    """Stars of one age each, from 6 Myr to 0.5 Gyr, where one star of the disc is, and with its motion."""
    seeds = _disc(setup.clusters, rng, ages=(0.0, 0.01))
    which = rng.integers(0, setup.clusters, n)
    ages = 10 ** np.linspace(-2.2, -0.3, setup.clusters)
    place = seeds.place[which] + 0.12 * rng.standard_normal((n, 3))
    return Particles(
        place, seeds.motion[which] + 8 * rng.standard_normal((n, 3)), ages[which], seeds.mh[which], which + 3
    )


@dataclass(frozen=True, eq=False)
class _Light:
    """Particles that reach a spaxel, by what they show: each row a share of one particle's mass.

    spaxel, ssp, dust, velocity : (n_rows,) of int
    mass, bright : (n_rows,)   mass, and flux in the S/N window after dust
    """

    shape: tuple[int, int]
    spaxel: npt.NDArray[np.intp]
    ssp: npt.NDArray[np.intp]
    dust: npt.NDArray[np.intp]
    velocity: npt.NDArray[np.intp]
    bright: FloatArray
    ionising: BoolArray

    @classmethod
    def of(cls, stars: Particles, library: SspLibrary, setup: ParticleSetup, rng: np.random.Generator) -> _Light:
        ages, metals = library.log_ages, library.metallicities
        age = np.abs(np.log10(stars.age * 1e9)[:, None] - ages).argmin(axis=1)
        metal = np.abs(stars.mh[:, None] - metals).argmin(axis=1)
        a_v = 0.2 + 0.5 * (stars.place[:, 2] > 0) + 0.6 * (stars.age < 0.05)
        speed = np.clip(np.rint(stars.motion[:, 2] / _BIN), -_BINS, _BINS)
        radius = setup.seeing / 2 / np.sqrt(2 ** (1 / _MOFFAT) - 1)
        spread = radius * np.sqrt(rng.random((len(stars), _COPIES)) ** (1 / (1 - _MOFFAT)) - 1)
        turn = rng.uniform(0, 2 * np.pi, spread.shape)
        column = np.rint(setup.spaxels(stars.place[:, :1], 1) + spread * np.cos(turn)).astype(int)
        line = np.rint(setup.spaxels(stars.place[:, 1:2], 0) + spread * np.sin(turn)).astype(int)
        inside = (column >= 0) & (column < setup.shape[1]) & (line >= 0) & (line < setup.shape[0])
        who = np.nonzero(inside)[0]
        ssp, dust = (age * len(metals) + metal)[who], np.rint(a_v / _DUST).astype(int)[who]
        bright = library.light()[ssp] * _passed(np.array(np.mean(SNR_WINDOW)), dust * _DUST)
        spaxel = (line * setup.shape[1] + column)[inside]
        return cls(setup.shape, spaxel, ssp, dust, speed.astype(int)[who], bright, stars.age[who] < 0.012)

    def _sum(self, values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(self.spaxel, values, minlength=int(np.prod(self.shape))), dtype=float)

    def _mean(self, values: FloatArray, weight: FloatArray) -> FloatArray:
        """Weighted mean per spaxel; NaN where no particle is."""
        total = self._sum(weight)
        return np.asarray(
            np.divide(self._sum(weight * values), total, out=np.full(total.shape, np.nan), where=total > 0)
        )

    def spectra(self, library: SspLibrary, fine: FloatArray) -> FloatArray:
        """Sum of all spectra, shifted, on a grid even in ln λ at rest, (n_spaxels, n_fine)."""
        from scipy import sparse

        kinds, kind = np.unique(np.stack([self.ssp, self.dust]), axis=1, return_inverse=True)
        templates = library.at(fine).spectra[kinds[0]]
        templates *= np.stack([_passed(fine, np.array(dust * _DUST)) for dust in kinds[1]])
        total = np.zeros((int(np.prod(self.shape)), len(fine) - 2 * _BINS))
        for speed in np.unique(self.velocity):
            rows = self.velocity == speed
            places = (self.spaxel[rows], kind.ravel()[rows])
            counts = sparse.csr_array((np.ones(rows.sum()), places), shape=(len(total), kinds.shape[1]))
            start = _BINS - speed
            total += counts @ templates[:, start : start + total.shape[1]]
        return total

    def gas(self, rest: FloatArray, fwhm: FloatArray) -> FloatArray:
        """Lines of the gas about the youngest stars, (n_spaxels, n_pixels); the mean peak of Hα is 2."""
        strength = self._sum(self.ionising.astype(float))
        where = np.maximum(strength, 1e-9)
        centre = 1 + self._sum(self.ionising * self.velocity * _BIN) / where / SPEED_OF_LIGHT
        strength = 2 * strength / max(float(strength[strength > 0].mean()) if strength.any() else 1.0, 1e-9)
        lines = np.zeros((len(strength), len(rest)))
        for name, ratio in _RATIOS.items():
            wide = np.interp(EMISSION_LINES[name], rest, fwhm) / FWHM_PER_SIGMA
            offset = (rest - EMISSION_LINES[name] * centre[:, None]) / wide
            lines += ratio / _RATIOS["Halpha"] * strength[:, None] * np.exp(-0.5 * offset**2)
        return lines

    def labels(self, library: SspLibrary, fine: FloatArray) -> dict[str, FloatArray]:
        """Means by mass and by light before dust, attenuation, and motion, of each spaxel."""
        found = {}
        for kind, weight in (("mw", np.ones(len(self.ssp))), ("lw", library.light()[self.ssp])):
            for name, values in (("log_age", library.log_age), ("mh", library.metallicity)):
                found[f"{name}_{kind}"] = self._mean(values[self.ssp], weight)
        spectra = library.at(fine).spectra / library.light()[:, None]
        lines = line_strengths(spectra, np.eye(len(spectra)))[self.ssp]
        losvd = np.zeros((int(np.prod(self.shape)), 2 * _BINS + 1))
        np.add.at(losvd, (self.spaxel, self.velocity + _BINS), self.bright * lines)
        velocity, sigma = best_gaussian(_BIN * np.arange(-_BINS, _BINS + 1), losvd)
        return found | {"a_v": self._mean(self.dust * _DUST, self.bright), "velocity": velocity, "sigma": sigma}


def _passed(wavelength: FloatArray, a_v: FloatArray) -> FloatArray:
    """Transmission of a power-law screen (Charlot & Fall 2000, ApJ 539, 718)."""
    return np.asarray(10 ** (-0.4 * a_v * (wavelength / 5500.0) ** -0.7))


def _fine_grid(library: SspLibrary, setup: ParticleSetup) -> FloatArray:
    """Wavelengths at rest, in steps of 25 km/s, that hold all pixels with all shifts and the smoothing."""
    first, last, _ = setup.wavelengths
    low, high = 0.99 * first / (1 + setup.redshift), 1.01 * last / (1 + setup.redshift)
    low, high = max(low, float(library.wavelength[0])), min(high, float(library.wavelength[-1]))
    return np.asarray(np.exp(np.arange(np.log(low), np.log(high), _BIN / SPEED_OF_LIGHT)))


def _on_pixels(spectra: FloatArray, fine: FloatArray, width: float, setup: ParticleSetup) -> FloatArray:
    """Smooth, and average over the pixels; the mean of the brightest spaxel becomes 1."""
    from scipy.ndimage import gaussian_filter1d

    inner = fine[_BINS : len(fine) - _BINS]
    smooth = gaussian_filter1d(spectra, width, axis=1, mode="nearest")
    first, last, step = setup.wavelengths
    edges = (np.append(np.arange(first, last, step), np.arange(first, last, step)[-1] + step) - step / 2) / (
        1 + setup.redshift
    )
    middle = np.concatenate([[inner[0]], (inner[1:] + inner[:-1]) / 2, [inner[-1]]])
    total = np.concatenate([np.zeros((len(smooth), 1)), np.cumsum(smooth * np.diff(middle), axis=1)], axis=1)
    means = np.stack([np.diff(np.interp(edges, middle, row)) for row in total]) / np.diff(edges)
    return np.asarray(means / means.mean(axis=1).max())


def _errors(truth: FloatArray, wavelength: FloatArray, rest: FloatArray, snr: float) -> FloatArray:
    """1σ noise: the sky's, with two of its lines, and photons of the source, which halve it in the brightest spaxel."""
    sky = 1 + 0.6 * ((5500 - wavelength) / 2000) ** 2
    for line in (5577.3, 6300.3):
        sky = sky + 2.5 * np.exp(-0.5 * ((wavelength - line) / 4) ** 2)
    variance = sky + truth / truth.max()
    window = in_window(rest, SNR_WINDOW)
    best = int(np.argmax(truth.mean(axis=1)))
    now = truth[best, window].mean() / np.sqrt(variance)[best, window].mean()
    return np.asarray(np.sqrt(variance) * now / snr)


def _resampled_noise(shape: tuple[int, int, int], rng: np.random.Generator, exposures: int = 3) -> FloatArray:
    """Noise of unit variance, (ny, nx, n_pixels), averaged over exposures moved by fractions of a spaxel."""
    ny, nx, n_pixels = shape
    total = np.zeros(shape)
    for right, up in rng.uniform(0.15, 0.5, (exposures, 2)):
        white = rng.standard_normal((ny + 1, nx + 1, n_pixels))
        along = (1 - right) * white[:, :-1] + right * white[:, 1:]
        moved = (1 - up) * along[:-1] + up * along[1:]
        total += moved / np.sqrt(((1 - right) ** 2 + right**2) * ((1 - up) ** 2 + up**2))
    return np.asarray(total / np.sqrt(exposures))


def _regions(stars: Particles, setup: ParticleSetup) -> dict[str, BoolArray]:
    """Spaxels near clusters, the satellite and the border."""
    marked = {kind: np.zeros(setup.shape, dtype=bool) for kind in ("clump", "companion")}
    for group in np.unique(stars.group[stars.group > 1]):
        middle = np.median(stars.place[stars.group == group], axis=0)
        y, x = (int(np.rint(setup.spaxels(middle[1 - axis], axis))) for axis in (0, 1))
        if 0 <= y < setup.shape[0] and 0 <= x < setup.shape[1]:
            marked["companion" if group == 2 else "clump"][y, x] = True
    outside = np.pad(np.zeros(setup.shape, dtype=bool), 1, constant_values=True)
    reach = _NEAR * setup.seeing
    found = {kind: near(places, reach).ravel() for kind, places in marked.items()}
    return found | {"border": near(outside, reach)[1:-1, 1:-1].ravel()}
