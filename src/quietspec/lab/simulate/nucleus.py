"""Light of active nuclei: power laws, Fe II, the Balmer continuum and broad lines.

Shapes are drawn wide rather than computed from the physics of broad-line regions: a prior must hold what occurs.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quietspec.errors import TemplateError
from quietspec.lab.simulate.histories import log_uniform
from quietspec.lab.simulate.kinematics import FourierLibrary, Losvd
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT, in_window, vacuum_to_air

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray

__all__ = ["NucleusPrior", "NucleusRecipe", "read_iron"]

PIVOT = (4980.0, 5020.0)  #: Å, where shares of the light are counted
_MARGIN = 15000.0  # km/s beyond either end, for lines that reach in
_NARROW = 100.0  # km/s, σ of a line before it is broadened
_RYDBERG = 911.7633  # Å, vacuum: series limit over n² of hydrogen
#: Case B, 10⁴ K, relative to Hβ (Osterbrock & Ferland 2006, Table 4.4); ∝ n⁻³ beyond H10.
_BALMER = {3: 2.86, 4: 1.0, 5: 0.468, 6: 0.259, 7: 0.159, 8: 0.105, 9: 0.073, 10: 0.053}
_LAST_BALMER = 40
#: Other broad lines, air Å, and their typical strengths relative to Hβ (Vanden Berk et al. 2001, AJ 122, 549, Table 2).
_OTHERS = {"HeII": (4685.7, 0.06), "HeI": (5875.6, 0.12), "HeI7065": (7065.2, 0.06), "OI": (8446.4, 0.12)}
#: Strength of the lines of each upper term of Fe II against those of b4F; 0.15 where none is given. Ours, in the middle
#: of what fits of nuclei find (Kovačević et al. 2010, ApJS 189, 15).
_IRON = {"b4F": 1.0, "a6S": 0.8, "a4G": 0.9, "b4P": 0.5, "a4H": 0.2, "a2D2": 0.15, "b4D": 0.3}
_IRON_USUAL = 0.15
_ULTRAVIOLET_ENDS = 3000.0  # Å, below which a spectrum must begin for these lines to be drawn
#: Mg II, C II], [Ne IV] and O III, and groups of lines of Fe II (air Å): members, and typical strength of the whole
#: relative to Hβ (Vanden Berk et al. 2001, Table 2; of Fe II by the equivalent widths in Vestergaard & Wilkes 2001,
#: ApJS 134, 1). Where blends have no name (low, high) stands for lines every 10 Å, strongest in the
#: middle.
_ULTRAVIOLET: dict[str, tuple[tuple[float, ...] | tuple[tuple[float, float]], float]] = {
    "MgII": ((2795.5, 2802.7), 1.7), "CII]": ((2325.0,), 0.25), "[NeIV]": ((2423.5,), 0.15), "OIII": ((3132.8,), 0.1),
    "UV 1, 64": ((2562.5, 2585.9, 2593.7, 2598.4, 2599.4, 2607.1, 2611.9, 2617.6, 2621.7, 2625.7, 2628.3, 2631.0), 0.7),
    "UV 2, 3, 36": ((2332.8, 2338.0, 2343.5, 2348.3, 2359.1, 2364.8, 2373.7, 2382.0, 2388.6, 2395.6, 2404.9, 2410.5),
                    0.8),
    "UV 62, 63": ((2714.4, 2724.9, 2730.7, 2736.9, 2739.5, 2743.2, 2746.5, 2749.3, 2755.7, 2761.8, 2768.9), 0.7),
    "UV 60, 78": ((2926.6, 2944.4, 2953.8, 2964.6, 2970.5, 2984.8, 2997.3, 3002.6), 0.3),
    "blends, 2170–2370": (((2170.0, 2370.0),), 0.5), "blends, 2380–2600": (((2380.0, 2600.0),), 0.7),
    "blends, 2600–2760": (((2600.0, 2760.0),), 0.3), "blends, 2740–2960": (((2740.0, 2960.0),), 0.4),
    "blends, 2980–3520": (((2980.0, 3520.0),), 0.5),
}  # fmt: skip
_ULTRAVIOLET_IRON = 4  # entries of this table before those of iron
_EDGE = 3646.0  # Å, the Balmer edge
_BALMER_TEMPERATURE = 15000.0  # K (Grandi 1982, ApJ 255, 25)
_SECOND_RADIATION = 1.43877e8  # Å K


def read_iron(path: Path) -> dict[str, FloatArray]:
    """Read Fe II lines from ``feII_model.csv`` of fantasy_agn: by upper term, (n_lines, 2) of air Å and strength."""
    found: dict[str, list[tuple[float, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                found.setdefault(row["ime"], []).append((float(row["wav"]), float(row["Int"])))
    except (OSError, KeyError, ValueError) as error:
        raise TemplateError(f"{path}: no list of Fe II lines ({error}). `quietspec fetch iron` brings one.") from error
    return {term: np.array(lines) for term, lines in found.items()}


@dataclass(frozen=True)
class NucleusPrior:
    """Ranges from which nuclei are drawn.

    Parameters
    ----------
    fraction : float
        Fraction of galaxies that have one.
    share : (low, high)
        Share of the light at 5000 Å; its logit is uniform.
    slope : (mean, standard deviation)
        Exponent of the power law f_λ ∝ λ^slope.
    lineless : float
        Fraction of nuclei that are power laws alone.
    hidden : float
        Fraction that have lines and no continuum.
    width : (low, high)
        FWHM of the broad lines, km/s; log-uniform.
    shift : float
        Standard deviation of their velocity, km/s.
    ew_hbeta : (low, high)
        Equivalent width of broad Hβ against the power law, Å; log-uniform.
    iron : (low, high)
        Strength of Fe II (b4F) over Hβ; log-uniform.
    balmer_continuum : (low, high)
        Balmer continuum at the edge over the power law there; uniform.
    ew_hidden : (low, high)
        Equivalent width of broad Hα against the stars where the continuum is hidden, Å; log-uniform.
    """

    fraction: float = 0.12
    share: tuple[float, float] = (0.01, 0.85)
    slope: tuple[float, float] = (-1.3, 0.7)
    lineless: float = 0.25
    hidden: float = 0.25
    width: tuple[float, float] = (1200.0, 12000.0)
    shift: float = 250.0
    ew_hbeta: tuple[float, float] = (8.0, 150.0)
    iron: tuple[float, float] = (0.01, 0.6)
    balmer_continuum: tuple[float, float] = (0.0, 0.6)
    ew_hidden: tuple[float, float] = (3.0, 200.0)


class NucleusRecipe:
    """Draws spectra of nuclei.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air Å, even in ln λ.
    iron : mapping of str to (n_lines, 2)
        From `read_iron`.
    prior : NucleusPrior, optional
        Ranges of all draws.
    """

    def __init__(self, wavelength: FloatArray, iron: dict[str, FloatArray], prior: NucleusPrior | None = None) -> None:
        self.prior = prior or NucleusPrior()
        self.wavelength = wavelength
        self._iron = iron
        step = float(np.log(wavelength[-1] / wavelength[0])) / (len(wavelength) - 1)
        margin = int(_MARGIN / SPEED_OF_LIGHT / step)
        self._inside = slice(margin, margin + len(wavelength))
        place = np.arange(-margin, len(wavelength) + margin)
        self._grid = wavelength[0] * np.exp(step * place)
        self._step = step * SPEED_OF_LIGHT

    @property
    def _ultraviolet(self) -> Mapping[str, tuple[Any, float]]:
        return _ULTRAVIOLET if self.wavelength[0] < _ULTRAVIOLET_ENDS else {}

    @cached_property
    def _lines(self) -> FourierLibrary:
        """Unit flux (per Å) of Hα … H10, higher Balmer lines, the other lines, terms of Fe II, and the ultraviolet."""
        groups = [[(centre, 1.0)] for centre in (_balmer(n) for n in _BALMER)]
        groups.append([(_balmer(n), (10 / n) ** 3) for n in range(11, _LAST_BALMER + 1)])
        groups += [[(centre, 1.0)] for centre, _ in _OTHERS.values()]
        groups += [[tuple(line) for line in lines] for lines in self._iron.values()]
        groups += [_lines_of(members) for members, _ in self._ultraviolet.values()]
        flux = np.zeros((len(groups), len(self._grid)))
        for row, group in zip(flux, groups, strict=True):
            for centre, strength in group:
                sigma = _NARROW / SPEED_OF_LIGHT * centre
                row += strength * np.exp(-0.5 * ((self._grid - centre) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
        return FourierLibrary(flux, self._step)

    def _strengths(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Fluxes of the groups of lines relative to Hβ, (n, n_groups)."""
        reddened = np.exp(-0.5 * np.abs(rng.standard_normal((n, 1))) * np.linspace(-1, 1, len(_BALMER)))
        balmer = np.array(list(_BALMER.values())) * reddened * np.exp(0.1 * rng.standard_normal((n, len(_BALMER))))
        balmer /= balmer[:, 1:2]
        higher = balmer[:, -1:] * np.exp(0.2 * rng.standard_normal((n, 1)))
        usual = np.array([strength for _, strength in _OTHERS.values()])
        others = usual * np.exp(0.6 * rng.standard_normal((n, len(usual))))
        terms = np.array([_IRON.get(term, _IRON_USUAL) for term in self._iron])
        iron = log_uniform(rng, self.prior.iron, n)[:, None] * terms
        iron = iron * np.exp(0.35 * rng.standard_normal((n, len(terms))))
        return np.concatenate([balmer, higher, others, iron, self._ultraviolet_strengths(n, rng)], axis=1)

    def _ultraviolet_strengths(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Fluxes of the lines of the ultraviolet relative to Hβ, (n, n_groups); those of iron rise together."""
        usual = np.array([strength for _, strength in self._ultraviolet.values()])
        if not usual.size:
            return np.empty((n, 0))
        drawn = usual * np.exp(0.5 * rng.standard_normal((n, len(usual))))
        drawn[:, _ULTRAVIOLET_IRON:] *= np.exp(0.7 * rng.standard_normal((n, 1)))
        return np.asarray(drawn)

    def _broadened(self, strengths: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Lines with profiles of two Gaussians, (n, n_pixels)."""
        n = len(strengths)
        sigma = log_uniform(rng, self.prior.width, n) / FWHM_PER_SIGMA
        shift = self.prior.shift * rng.standard_normal(n)
        wing = rng.uniform(0, 0.5, n)[:, None]
        wider = np.minimum(sigma * rng.uniform(1.5, 3.0, n), 6000.0)
        none = np.zeros(n)
        narrow = self._lines.mix(strengths * (1 - wing), Losvd(shift, sigma, none, none))
        broad = self._lines.mix(strengths * wing, Losvd(shift, wider, none, none))
        return np.asarray(np.maximum((narrow + broad)[:, self._inside], 0))

    def draw(self, stars: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draw the nuclei of galaxies.

        Parameters
        ----------
        stars : (n, n_pixels)
            Flux of their stars.
        rng : numpy.random.Generator
            Source of all draws.

        Returns
        -------
        nucleus : (n, n_pixels) of float32
            Flux of the nuclei, 0 where there is none.
        share : (n,)
            Their share of the light at 5000 Å.
        """
        prior = self.prior
        nucleus = np.zeros(stars.shape, dtype=np.float32)
        rows = np.flatnonzero(rng.random(len(stars)) < prior.fraction)
        n = len(rows)
        pivot, halpha = in_window(self.wavelength, PIVOT), in_window(self.wavelength, (6400.0, 6700.0))
        kind = rng.random(n)
        hidden, lineless = kind < prior.hidden, kind > 1 - prior.lineless
        low, high = (np.log(share / (1 - share)) for share in prior.share)
        share = 1 / (1 + np.exp(-rng.uniform(low, high, n)))
        slope = prior.slope[0] + prior.slope[1] * rng.standard_normal(n)
        continuum = np.exp(slope[:, None] * np.log(self.wavelength / 5000.0)) + self._balmer_continuum(n, rng) * (
            ~lineless[:, None]
        )
        lines = self._broadened(self._strengths(n, rng), rng)
        strength = log_uniform(rng, prior.ew_hbeta, n)
        strength[lineless] = 0
        flux = continuum + strength[:, None] * lines
        starlight = stars[rows][:, pivot].mean(axis=1)
        size = starlight * share / (1 - share) / flux[:, pivot].mean(axis=1)
        flux *= size[:, None]
        red = stars[rows][:, halpha].mean(axis=1) if halpha.any() else starlight
        width = log_uniform(rng, prior.ew_hidden, n) / _BALMER[3]
        flux[hidden] = (width * red)[hidden, None] * lines[hidden]
        nucleus[rows] = flux
        total = nucleus[:, pivot].mean(axis=1)
        return nucleus, total / (total + stars[:, pivot].mean(axis=1))

    def _balmer_continuum(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Balmer continuum at optical depth 1 at the edge (Grandi 1982), over the power law at 5000 Å."""
        place = np.minimum(self.wavelength, _EDGE)
        planck = place**-5 / np.expm1(_SECOND_RADIATION / _BALMER_TEMPERATURE / place)
        shape = planck * -np.expm1(-((place / _EDGE) ** 3))
        edge = 1 / (1 + np.exp((self.wavelength - _EDGE) / 12.0))  # blurred by the broad lines that crowd there
        return np.asarray(rng.uniform(*self.prior.balmer_continuum, n)[:, None] * 1.5 * (shape / shape.max() * edge))


def _balmer(n: int) -> float:
    """Air wavelength (Å) of the Balmer line from level n."""
    vacuum = _RYDBERG / (0.25 - 1 / n**2)
    return float(vacuum_to_air(np.array([vacuum]))[0])


def _lines_of(members: tuple[Any, ...]) -> list[tuple[float, float]]:
    """Lines of unit flux together: equal ones, or those of a blend."""
    if not isinstance(members[0], tuple):
        return [(float(centre), 1 / len(members)) for centre in members]
    low, high = members[0]
    centres = np.arange(low, high, 10.0)
    strength = np.sin(np.pi * (np.arange(len(centres)) + 0.5) / len(centres))
    return list(zip(centres.tolist(), (strength / strength.sum()).tolist(), strict=True))
