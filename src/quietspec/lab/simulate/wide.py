"""The recipe `wide`: the galaxies of `survey` with stars of several libraries, younger stars, and active nuclei."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.interpolate import CubicSpline

from quietspec.errors import TemplateError
from quietspec.lab.simulate.kinematics import log_wavelengths
from quietspec.lab.simulate.nucleus import NucleusPrior, NucleusRecipe, read_iron
from quietspec.lab.simulate.simulated import RestSpectra
from quietspec.lab.simulate.survey import SurveyRecipe
from quietspec.lab.simulate.survey_prior import SURVEY_HISTORIES, SurveyPrior
from quietspec.wavelengths import SNR_WINDOW, in_window

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.templates import SspLibrary

__all__ = ["LIBRARIES", "WIDE_LIMITS", "WIDE_PRIOR", "WideRecipe", "fetched_libraries"]

WIDE_LIMITS = (3440.0, 9440.0)  #: Å at rest
_VELOCITY_SCALE = 50.0  # km/s
_MARGIN = 0.008

#: Ranges of `wide`: stars from 2 Myr, A_V to 4, σ to 500 km/s.
WIDE_PRIOR = SurveyPrior(
    histories=replace(SURVEY_HISTORIES, burst_log_age=(6.4, 10.1), young_bursts=8.5, metallicity=(-2.2, 0.4)),
    sigma=(20.0, 500.0),
    a_v=(0.7, 4.0),
    dust_slope=0.25,
)

#: Share of the galaxies whose stars are of each library, by the names of `quietspec fetch`.
LIBRARIES: Mapping[str, float] = {
    "emiles": 0.5, "bc03-miles": 0.16, "m11-miles": 0.06, "m11-stelib": 0.06, "bc03": 0.08, "mastar": 0.09,
    "bpass": 0.05,
}  # fmt: skip
_METALLICITY = (-2.31, 0.41)  # [M/H] of the grid
_FAINTEST, _LARGEST = 1e-4, 1.0  # flux, of the mean, and ln of the ratio between libraries, where they are mixed
_FRACTION, _WANDERING, _KNOTS = 0.5, 0.4, (250.0, 1500.0)  # way between two libraries: mean, scatter; Å
_TRUSTED = {"bpass": (3650.0, 9400.0), "mastar": (3650.0, 9440.0), "bc03": (3500.0, 9250.0)}  # Å


def fetched_libraries(names: Sequence[str] = tuple(LIBRARIES)) -> dict[str, SspLibrary]:
    """Fetch libraries, and write each as a correction of E-MILES with the young stars of BC03.

    Parameters
    ----------
    names : sequence of str
        Names in `LIBRARIES`.

    Returns
    -------
    dict of str to SspLibrary
        All on one grid and the same wavelengths.
    """
    from quietspec.io.fetching import fetch
    from quietspec.templates import load_library, load_miles
    from quietspec.templates.blend import extended, like

    grid = log_wavelengths(WIDE_LIMITS[0] * (1 - 1.5 * _MARGIN), WIDE_LIMITS[1] * (1 + 1.5 * _MARGIN), _VELOCITY_SCALE)
    whole = load_miles(fetch("emiles"), ragged=True)
    keep = (whole.wavelength > grid[0] - 20) & (whole.wavelength < grid[-1] + 20)
    whole = replace(whole, wavelength=whole.wavelength[keep], spectra=whole.spectra[:, keep], fwhm=whole.fwhm[keep])
    young = load_library(fetch("bc03-miles"))
    reference = extended(whole, young, grid, _METALLICITY)
    found = {"emiles": reference}
    for name in names:
        if name == "emiles":
            continue
        library = young if name == "bc03-miles" else load_library(fetch(name))
        low, high = _TRUSTED.get(name, (0.0, np.inf))
        low, high = max(low, float(library.wavelength[0])), min(high, float(library.wavelength[-1]))
        found[name] = like(library.between(low, high), reference)
    return {name: found[name] for name in names}


class WideRecipe(SurveyRecipe):
    """Galaxies whose stars are of one of several libraries, some with an active nucleus.

    Parameters
    ----------
    library : SspLibrary
        The first library.
    others : mapping of str to (SspLibrary, float), optional
        Further ones on the same grid, and the share of galaxies of each.
    iron : mapping of str to (n_lines, 2), optional
        Fe II lines (`read_iron`); without them there are no nuclei.
    nuclei : NucleusPrior, optional
        Ranges of the nuclei.
    mixed : float, optional
        Share of the galaxies whose stars are like those of no library but mixed of two; by default `mixed_share`.
    **options
        As for `SurveyRecipe`.
    """

    name = "wide"
    #: Range of wavelengths (Å at rest) and of all draws; share of each library in galaxies that are of one; share of
    #: galaxies whose stars are mixed of two, since real ones need be like none.
    limits: ClassVar[tuple[float, float]] = WIDE_LIMITS
    ranges: ClassVar[SurveyPrior] = WIDE_PRIOR
    shares: ClassVar[Mapping[str, float]] = LIBRARIES
    mixed_share: ClassVar[float] = 0.5

    def __init__(
        self,
        library: SspLibrary,
        others: Mapping[str, tuple[SspLibrary, float]] | None = None,
        iron: Mapping[str, FloatArray] | None = None,
        nuclei: NucleusPrior | None = None,
        *,
        mixed: float | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("prior", self.ranges)
        options.setdefault("limits", self.limits)
        super().__init__(library, **options)
        self._others, self._iron = dict(others or {}), dict(iron or {})
        self._worlds = [SurveyRecipe(one, **options) for one, _ in self._others.values()]
        shares = np.array([share for _, share in self._others.values()])
        self._shares = np.concatenate([[1 - shares.sum()], shares])
        self._mixed = (self.mixed_share if mixed is None else mixed) if self._worlds else 0.0
        self._nuclei = NucleusRecipe(self.wavelength, self._iron, nuclei) if self._iron else None

    @classmethod
    def fetched(cls, left_out: Sequence[str] = (), **options: Any) -> Self:
        """Make it of all libraries but some.

        Parameters
        ----------
        left_out : sequence of str
            Names of libraries to leave out.
        **options
            As for `SurveyRecipe`.

        Returns
        -------
        WideRecipe
            Ready to draw from.
        """
        from quietspec.io.fetching import fetch

        if unknown := set(left_out) - set(cls.shares):
            raise TemplateError(f"left_out: {', '.join(sorted(unknown))} is none of {', '.join(cls.shares)}.")
        shares = {name: share for name, share in cls.shares.items() if name not in left_out}
        total = sum(shares.values())
        libraries = cls.fetched_libraries(tuple(shares))
        first, *rest = shares
        others = {name: (libraries[name], shares[name] / total) for name in rest}
        return cls(libraries[first], others, read_iron(fetch("iron")), **options)

    @staticmethod
    def fetched_libraries(names: Sequence[str]) -> dict[str, SspLibrary]:
        """Fetch libraries, all on one grid and the same wavelengths."""
        return fetched_libraries(names)

    @classmethod
    def data_sets(cls, left_out: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the names of all that `fetched` fetches, which goes into the galaxies."""
        always = ("emiles", "bc03-miles")  # the grid and the young stars of every library, even of those left out
        return (*(name for name in LIBRARIES if name in always or name not in left_out), "iron")

    @property
    def libraries(self) -> str:
        """Names of the libraries whose stars are mixed."""
        return ", ".join([self.library.name, *(one.name for one, _ in self._others.values())])

    def at_rest(self) -> SurveyRecipe:
        """Return the recipe without motions and calibration errors, over all wavelengths of its libraries."""
        still = dict.fromkeys(("velocity", "dispersion", "higher_moments", "calibration_error"), False)
        return type(self)(
            self._given,
            self._others,
            self._iron,
            self._nuclei.prior if self._nuclei else None,
            prior=self.prior,
            instruments=[one.name for one in self.instruments],
            limits=self._limits,
            mixed=self._mixed,
            margin=0.0,
            velocity_scale=self._velocity_scale,
            **asdict(self.switches) | still,
        )

    def rest(self, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw `n` noise-free spectra; parameters have ``nucleus``, its share of the light at 5000 Å."""
        n_mixed = rng.binomial(n, self._mixed)
        count = rng.multinomial(n - n_mixed, self._shares)
        parts = [self._stars(world, int(one), rng) for world, one in enumerate(count) if one]
        parts += [self._mixture(*pair, int(one), rng) for pair, one in self._pairs(n_mixed, rng)]
        rest = RestSpectra.stack(parts)[rng.permutation(n)]
        return rest if self._nuclei is None else self._with_nuclei(rest, rng)

    def _stars(self, world: int, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw galaxies of the stars of one library, by its number."""
        return self._worlds[world - 1].rest(n, rng) if world else super().rest(n, rng)

    def _pairs(self, n: int, rng: np.random.Generator) -> list[tuple[tuple[int, int], int]]:
        """Draw pairs of libraries, by their numbers, and how many galaxies each has."""
        if not n:
            return []
        size = len(self._shares)
        pairs = [(one, other) for one in range(size) for other in range(size) if one != other]
        chance = np.array([self._shares[one] / (size - 1) for one, _ in pairs])
        return [(pair, count) for pair, count in zip(pairs, rng.multinomial(n, chance), strict=True) if count]

    def _mixture(self, one: int, other: int, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw galaxies between two libraries, or beyond either, by a way that wanders with the wavelength."""
        seed = rng.integers(2**63)
        # The same histories, motions and dust in both: the libraries share their grid.
        first, second = (self._stars(world, n, np.random.default_rng(seed)) for world in (one, other))
        fraction = _wandering(self.wavelength, n, rng)
        floor = np.float32(_FAINTEST)
        ratio = np.log(np.maximum(second.flux, floor) / np.maximum(first.flux, floor))
        flux = first.flux * np.exp(fraction * np.clip(ratio, -_LARGEST, _LARGEST))
        flux /= flux[:, in_window(self.wavelength, SNR_WINDOW)].mean(axis=1, keepdims=True)
        return replace(first, flux=flux)

    def _with_nuclei(self, rest: RestSpectra, rng: np.random.Generator) -> RestSpectra:
        assert self._nuclei is not None
        nucleus, share = self._nuclei.draw(rest.flux, rng)
        flux = rest.flux + nucleus
        scale = flux[:, in_window(rest.wavelength, SNR_WINDOW)].mean(axis=1, keepdims=True)
        return replace(
            rest, flux=flux / scale, nucleus=nucleus / scale, parameters={**rest.parameters, "nucleus": share}
        )


def _wandering(wavelength: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw the way from one library to another at each wavelength, (n, n_pixels): 0 is the first, 1 the second."""
    way = np.empty((n, len(wavelength)), dtype=np.float32)
    mean = _FRACTION + _WANDERING * rng.standard_normal(n)
    for rows in np.array_split(np.arange(n), max(1, n // 64)):
        step = float(np.exp(rng.uniform(*np.log(_KNOTS))))
        knots = np.arange(wavelength[0] - rng.uniform(0, step), wavelength[-1] + step, step)
        values = mean[rows, None] + _WANDERING * rng.standard_normal((len(rows), len(knots)))
        way[rows] = CubicSpline(knots, values, axis=1)(wavelength)
    return way
