"""Maps of stellar populations against the truth of a simulated galaxy: error, resolution, and bias in its regions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import SpectraError
from quietspec.progress import Progress
from quietspec.statistics import robust_scatter
from quietspec.wavelengths import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.lab.simulate import Galaxy, Simulated
    from quietspec.populations import Populations
    from quietspec.populations.methods import PopulationMethod

__all__ = ["MAPPED", "MapComparison", "MapScores", "RecoveredMaps", "compare_maps", "galaxy_regions", "score_map"]

MAPPED = ("log_age_mw", "mh_mw", "log_age_lw", "mh_lw")  #: parameters that are scored
_DETAIL = 6.0  # spaxels: FWHM of the Gaussian blur; what a map has beyond it is detail
_WIDEST = 24.0  # spaxels: largest FWHM tried for the effective resolution
_SAME = 1e-9  # correlations that differ by less are equal
_REGION = 1.5  # σ from the centre of clump and ring within which spaxels belong to them


@dataclass(frozen=True, kw_only=True)
class MapScores:
    """How well one map follows the truth. Statistics are over spaxels that have a value.

    Parameters
    ----------
    count : int
        Spaxels with a value.
    rms, rms_light : float
        Root mean square of recovered minus true, with equal weights and weighted by light.
    bias : float
        Mean of recovered minus true.
    region_bias : mapping of str to float
        The bias in parts of the galaxy.
    slope : float
        Slope of recovered against true values: 1 if contrasts are kept, less if they are shrunk.
    detail : float
        The slope after both maps were reduced by their blur of 6 spaxels FWHM: the share of fine structure kept.
    detail_correlation : float
        Pearson correlation of these details.
    fwhm : float
        FWHM in spaxels of the Gaussian blur of the truth that correlates best with the map: what the method adds to
        the seeing; at most 24.
    pulls : float
        Robust scatter of recovered minus true over the stated error; 1 if errors are right, NaN without errors.
    """

    count: int
    rms: float
    rms_light: float
    bias: float
    region_bias: Mapping[str, float]
    slope: float
    detail: float
    detail_correlation: float
    fwhm: float
    pulls: float


@dataclass(frozen=True, eq=False)
class RecoveredMaps:
    """Populations of one cube by one method, and their scores.

    Parameters
    ----------
    populations : Populations
        One row per spaxel.
    seconds : float
        Wall time, including binning and denoising.
    scores : mapping of str to MapScores
        Scores by parameter.
    """

    populations: Populations
    seconds: float
    scores: Mapping[str, MapScores]


@dataclass(frozen=True, eq=False)
class MapComparison:
    """Several methods on one simulated galaxy.

    Parameters
    ----------
    simulated : Simulated
        The galaxy, with its spatial shape and true parameters.
    regions : mapping of str to (n_spaxels,) of bool
        Parts of the galaxy.
    methods : mapping of str to RecoveredMaps
        Results by name of the method.
    """

    simulated: Simulated
    regions: Mapping[str, BoolArray]
    methods: Mapping[str, RecoveredMaps] = field(default_factory=dict)


def compare_maps(
    simulated: Simulated,
    methods: Mapping[str, PopulationMethod],
    regions: Mapping[str, BoolArray] | None = None,
    *,
    progress: Progress | None = None,
    known: Mapping[str, tuple[Populations, float]] | None = None,
) -> MapComparison:
    """Run methods on one simulated cube and score their maps.

    Parameters
    ----------
    simulated : Simulated
        Spectra with a spatial shape.
    methods : mapping of str to PopulationMethod
        Methods by name; each gets the whole cube.
    regions : mapping of str to (n_spaxels,) of bool, optional
        Parts of the galaxy whose biases are reported.
    progress : callable, optional
        Called by each method with the number of spectra done and their total.
    known : mapping of str to (Populations, float), optional
        Populations and seconds of methods that ran before on the same cube; these are only scored.

    Returns
    -------
    MapComparison
        Scores in the order of `methods`.

    Raises
    ------
    SpectraError
        If the spectra form no image.
    """
    if simulated.observed.spatial_shape is None:
        raise SpectraError("compare_maps: these simulated spectra form no image.")
    known, regions = known or {}, regions or {}
    light = np.mean(simulated.truth, axis=1, where=np.isfinite(simulated.truth))
    recovered = {}
    for name, method in methods.items():
        populations, seconds = known.get(name) or _timed(method, simulated, progress)
        scores = {
            parameter: score_map(
                simulated.observed.image(populations.values[parameter]),
                simulated.observed.image(simulated.parameters[parameter]),
                light=simulated.observed.image(light),
                error=simulated.observed.image(populations.error(parameter)),
                regions={region: simulated.observed.image(inside) for region, inside in regions.items()},
            )
            for parameter in MAPPED
            if parameter in populations.values
        }
        recovered[name] = RecoveredMaps(populations, seconds, scores)
    return MapComparison(simulated, regions, recovered)


def _timed(method: PopulationMethod, simulated: Simulated, progress: Progress | None) -> tuple[Populations, float]:
    start = time.perf_counter()
    populations = method(simulated.observed, progress)
    return populations, time.perf_counter() - start


def score_map(
    recovered: FloatArray,
    truth: FloatArray,
    *,
    light: FloatArray | None = None,
    error: FloatArray | None = None,
    regions: Mapping[str, BoolArray] | None = None,
) -> MapScores:
    """Score one map.

    Parameters
    ----------
    recovered : (ny, nx)
        Recovered values; NaN where there is none.
    truth : (ny, nx)
        True values, as blurred by the seeing.
    light : (ny, nx), optional
        Weights of `MapScores.rms_light`; equal if not given.
    error : (ny, nx), optional
        Stated 1σ errors.
    regions : mapping of str to (ny, nx) of bool, optional
        Parts whose biases are reported.

    Returns
    -------
    MapScores
        Scores of the map; NaN if fewer than two spaxels have a value.
    """
    good = np.isfinite(recovered) & np.isfinite(truth)
    light = np.ones(truth.shape) if light is None else light
    difference = np.where(good, recovered - truth, 0.0)
    detail, detail_correlation = _line(_details(recovered, good)[good], _details(truth, good)[good])
    return MapScores(
        count=int(good.sum()),
        rms=_mean(difference**2, good) ** 0.5,
        rms_light=_mean(difference**2, good * light) ** 0.5,
        bias=_mean(difference, good),
        region_bias={name: _mean(difference, good & inside) for name, inside in (regions or {}).items()},
        slope=_line(recovered[good], truth[good])[0],
        detail=detail,
        detail_correlation=detail_correlation,
        fwhm=_added_blur(recovered, truth, good),
        pulls=float("nan") if error is None else _pulls(difference, error, good),
    )


def _mean(values: FloatArray, weight: FloatArray | BoolArray) -> float:
    total = float(np.sum(weight))
    return float(np.sum(values * weight)) / total if total > 0 else float("nan")


def _pulls(difference: FloatArray, error: FloatArray, good: BoolArray) -> float:
    counted = good & (np.nan_to_num(error) > 0)
    pulls = np.divide(difference, error, out=np.zeros(difference.shape), where=counted)
    return float(robust_scatter(pulls.reshape(1, -1), counted.reshape(1, -1))[0])


def _line(values: FloatArray, truth: FloatArray) -> tuple[float, float]:
    """Slope of values against truth and their correlation; NaN if the truth or the values are constant."""
    if len(values) < 2:
        return float("nan"), float("nan")
    offset, true_offset = values - values.mean(), truth - truth.mean()
    product, power, true_power = offset @ true_offset, offset @ offset, true_offset @ true_offset
    slope = product / true_power if true_power > 0 else np.nan
    return float(slope), float(product / np.sqrt(power * true_power)) if power * true_power > 0 else float("nan")


def _blurred(values: FloatArray, good: BoolArray, fwhm: float) -> FloatArray:
    """Gaussian blur over the spaxels that count, (ny, nx)."""
    from scipy.ndimage import gaussian_filter

    if fwhm == 0:
        return np.where(good, values, 0.0)
    sigma = fwhm / FWHM_PER_SIGMA
    weight = gaussian_filter(good.astype(float), sigma, mode="constant")
    total = gaussian_filter(np.where(good, values, 0.0), sigma, mode="constant")
    return np.asarray(np.divide(total, weight, out=np.zeros(weight.shape), where=good & (weight > 0)))


def _details(values: FloatArray, good: BoolArray) -> FloatArray:
    return np.asarray(np.where(good, values, 0.0) - _blurred(values, good, _DETAIL))


def _added_blur(recovered: FloatArray, truth: FloatArray, good: BoolArray) -> float:
    """FWHM of the blur of the truth that correlates best with the map."""
    from scipy.optimize import minimize_scalar

    everywhere = np.isfinite(truth)

    def unlikeness(fwhm: float) -> float:
        return -float(np.nan_to_num(_line(recovered[good], _blurred(truth, everywhere, fwhm)[good])[1]))

    if good.sum() < 2 or not np.isfinite(_line(recovered[good], truth[good])[1]):
        return float("nan")
    tried = np.linspace(0, _WIDEST, 25)
    best = int(np.argmin([unlikeness(fwhm) for fwhm in tried]))
    bounds = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    found = minimize_scalar(unlikeness, bounds=bounds, method="bounded", options={"xatol": 0.01})
    return float(found.x) if found.fun < unlikeness(tried[best]) - _SAME else float(tried[best])


def galaxy_regions(galaxy: Galaxy, shape: tuple[int, int]) -> dict[str, BoolArray]:
    """Spaxels of a simulated galaxy's clump, its ring without the clump, and the rest.

    Parameters
    ----------
    galaxy : Galaxy
        The galaxy as given to `quietspec.lab.simulate.simulate_galaxy`.
    shape : (ny, nx)
        Shape of its field.

    Returns
    -------
    dict of str to (n_spaxels,) of bool
        ``clump`` and ``ring`` (within 1.5σ of their light distribution before seeing), ``elsewhere``.
    """
    geometry = galaxy.geometry
    radius, _ = geometry.plane(shape)
    y, x = np.indices(shape)
    half = max(shape) / 2
    right = (x - (shape[1] - 1) / 2) / half - geometry.clump_place[0]
    above = (y - (shape[0] - 1) / 2) / half - geometry.clump_place[1]
    clump = np.hypot(right, above) < _REGION * geometry.clump_size
    ring = (np.abs(radius - geometry.ring_radius) < _REGION * geometry.ring_width) & ~clump
    return {"clump": clump.ravel(), "ring": ring.ravel(), "elsewhere": ~(clump | ring).ravel()}
