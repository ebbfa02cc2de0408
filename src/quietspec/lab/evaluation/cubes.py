"""Scores of denoised cubes against a simulated galaxy: shape, labels, coverage, movement, maps, and strangers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import FAILURES, Denoised, Flag
from quietspec.lab.evaluation.maps import MapScores, score_map
from quietspec.lab.evaluation.scores import coverage
from quietspec.lab.simulate.galaxy_cube import GalaxyCube
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = [
    "BRIGHT",
    "CUBE_LABELS",
    "FAINT",
    "SHAPE",
    "CubeScores",
    "StrangerScores",
    "score_cube",
    "shape_errors",
    "spaxel_groups",
]

#: Labels that are scored.
CUBE_LABELS = ("log_age_lw", "mh_lw", "log_age_mw", "mh_mw", "velocity", "sigma")
SHAPE, FAINT, BRIGHT = "S/N 1.5–8", "S/N 2–5", "S/N > 15"  #: groups of spaxels for which errors are asked
_LEVEL = 0.6827
_BRIGHT = 15.0  # S/N above which an estimate must not move
_MOSTLY = 0.5  # share of the light of a stranger from which a spaxel is its
_STRANGE = (
    Flag.STAR
    | Flag.WRONG_REDSHIFT
    | Flag.UNLIKE_PRIOR
    | Flag.NOT_GALAXY
    | Flag.POOR_FIT
    | Flag.NUCLEUS
    | Flag.UNLIKE_NEIGHBOURS
    | FAILURES
)


@dataclass(frozen=True)
class StrangerScores:
    """What became of a star in front of the galaxy or of a companion, in the spaxels that are mostly its.

    Parameters
    ----------
    count : int
        Such spaxels.
    flagged : float
        Share of them with a flag that says that they are no galaxy at this redshift or unlike it, or with no estimate.
    shape : float
        Error of the shape over the noise.
    velocity : float
        Root mean square of the velocity's error, km/s; NaN for a star.
    velocity_pull : float
        The same in stated errors.
    """

    count: int
    flagged: float
    shape: float
    velocity: float
    velocity_pull: float


@dataclass(frozen=True, kw_only=True)
class CubeScores:
    """How well one cube was denoised. Groups of spaxels are those of `spaxel_groups`; strangers are in none of them.

    Parameters
    ----------
    answered : float
        Share of the spaxels with data that have an estimate.
    error, shape : mapping of str to float
        Root mean square by group of estimate − truth over the noise: as it is, and with the estimate scaled to match
        the truth best.
    labels, bias, pulls : mapping of str to (mapping of str to float)
        By label and group: root mean square and mean of estimate − truth, and root mean square of that over the error.
    flux_coverage : mapping of str to float
        Share of pixels whose truth is within 1σ, by group.
    label_coverage : mapping of str to (mapping of str to float)
        Share of spaxels whose truth is within the central 68.27 %, by label and group.
    moved : mapping of str to float
        Root mean square of the move from the reference in spaxels of S/N > 15, in the reference's σ, by label and for
        ``flux``; empty without a reference.
    maps : mapping of str to MapScores
        Scores of the maps of labels; strangers' spaxels have no value.
    strangers : mapping of str to StrangerScores
        ``star`` and ``companion`` where there are any.
    """

    answered: float
    error: Mapping[str, float]
    shape: Mapping[str, float]
    labels: Mapping[str, Mapping[str, float]]
    bias: Mapping[str, Mapping[str, float]]
    pulls: Mapping[str, Mapping[str, float]]
    flux_coverage: Mapping[str, float]
    label_coverage: Mapping[str, Mapping[str, float]]
    moved: Mapping[str, float] = field(default_factory=dict)
    maps: Mapping[str, MapScores] = field(default_factory=dict)
    strangers: Mapping[str, StrangerScores] = field(default_factory=dict)


def score_cube(cube: GalaxyCube, denoised: Denoised, reference: Denoised | None = None) -> CubeScores:
    """Score one denoised cube.

    Parameters
    ----------
    cube : GalaxyCube
        The galaxy.
    denoised : Denoised
        Its spaxels, denoised.
    reference : Denoised, optional
        The same, each spaxel by itself.

    Returns
    -------
    CubeScores
        All scores.
    """
    truth, counted = cube.simulated.truth, _counted(denoised)
    answered = np.asarray(counted.any(axis=1))
    groups = spaxel_groups(cube)
    labels = {name: _Label.of(cube, denoised, name) for name in CUBE_LABELS if name in denoised.parameters}
    inside = coverage(truth, denoised.flux, denoised.sigma, _LEVEL, counted)
    scaled = shape_errors(denoised, truth)
    plain = _over_noise(denoised.flux - truth, denoised)
    return CubeScores(
        answered=float(answered[cube.observed_spaxels].mean()),
        error={name: _rms(plain[rows]) for name, rows in groups.items()},
        shape={name: _rms(scaled[rows]) for name, rows in groups.items()},
        labels={name: {group: _rms(one.error[rows]) for group, rows in groups.items()} for name, one in labels.items()},
        bias={name: {group: _mean(one.error[rows]) for group, rows in groups.items()} for name, one in labels.items()},
        pulls={name: {group: _rms(one.pull[rows]) for group, rows in groups.items()} for name, one in labels.items()},
        flux_coverage={name: _mean(inside[rows]) for name, rows in groups.items()},
        label_coverage={
            name: {group: _mean(one.inside[rows]) for group, rows in groups.items()} for name, one in labels.items()
        },
        moved={} if reference is None else _moved(cube, denoised, reference),
        maps={name: _map(cube, one) for name, one in labels.items()},
        strangers=_strangers(cube, denoised, scaled, labels),
    )


def spaxel_groups(cube: GalaxyCube) -> dict[str, BoolArray]:
    """Groups of spaxels of a galaxy by S/N and place; strangers and spaxels without data are in none.

    Parameters
    ----------
    cube : GalaxyCube
        The galaxy.

    Returns
    -------
    dict of str to (n_spaxels,) of bool
        ``all``, ``S/N < 4``, ``S/N 1.5–8``, ``S/N 2–5``, ``S/N > 15``, and ``near`` every kind of feature.
    """
    own = cube.observed_spaxels & ~cube.foreign()
    snr = cube.simulated.parameters["snr"]
    by_snr = {
        "all": own,
        "S/N < 4": own & (snr < 4),
        SHAPE: own & (snr > 1.5) & (snr < 8),
        FAINT: own & (snr > 2) & (snr < 5),
    }
    by_snr[BRIGHT] = own & (snr > _BRIGHT)
    return by_snr | {f"near {name}": own & inside for name, inside in cube.regions.items()}


def shape_errors(denoised: Denoised, truth: FloatArray) -> FloatArray:
    """Error of the estimate's shape over the noise, brightness apart.

    Parameters
    ----------
    denoised : Denoised
        Estimates.
    truth : (n_spectra, n_pixels)
        Noise-free flux.

    Returns
    -------
    (n_spectra,)
        Root mean square of (a·estimate − truth)/noise over good pixels, where a makes it least; NaN without estimate.
    """
    weight = np.where(_counted(denoised), denoised.spectra.ivar, 0.0).astype(np.float64)
    flux = np.where(weight > 0, denoised.flux, 0.0)
    product, square = np.vecdot(weight * flux, np.nan_to_num(truth)), np.vecdot(weight * flux, flux)
    scale = np.divide(product, square, out=np.zeros(len(flux)), where=square > 0)
    return _over_noise(scale[:, None] * denoised.flux - truth, denoised)


def _counted(denoised: Denoised) -> BoolArray:
    return np.asarray(denoised.valid & denoised.spectra.good)


def _over_noise(difference: FloatArray, denoised: Denoised) -> FloatArray:
    """Root mean square of a difference over the noise, per spectrum."""
    counted = _counted(denoised)
    square = np.where(counted, np.nan_to_num(difference) ** 2 * denoised.spectra.ivar, 0.0).sum(axis=1, dtype=float)
    count = counted.sum(axis=1)
    return np.asarray(np.sqrt(np.divide(square, count, out=np.full(len(count), np.nan), where=count > 0)))


def _rms(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.mean(known)) if known.size else float("nan")


@dataclass(frozen=True, eq=False)
class _Label:
    """One label of all spaxels against the truth, each (n_spaxels,).

    value, sigma, truth   as estimated, and as true (velocities relative to the cube's redshift)
    inside                1 where the truth lies within the central 68.27 %, 0 elsewhere, NaN without estimate
    """

    value: FloatArray
    sigma: FloatArray
    truth: FloatArray
    inside: FloatArray

    @classmethod
    def of(cls, cube: GalaxyCube, denoised: Denoised, name: str) -> _Label:
        value, sigma = denoised.parameters[name]
        shift = np.zeros(len(value))
        if name == "velocity" and denoised.redshift is not None:
            given = cube.simulated.observed.redshift
            shift = SPEED_OF_LIGHT * (np.log1p(denoised.redshift) - np.log1p(given))
        truth = cube.simulated.parameters[name]
        known = denoised.parameter_posterior
        if known is None or name not in known.names:
            inside = (np.abs(value + shift - truth) <= sigma).astype(float)
        else:
            inside = (np.abs(known.cdf(name, truth - shift) - 0.5) <= _LEVEL / 2).astype(float)
        return cls(value + shift, sigma, truth, np.where(np.isfinite(value), inside, np.nan))

    @property
    def error(self) -> FloatArray:
        return self.value - self.truth

    @property
    def pull(self) -> FloatArray:
        return self.error / np.where(self.sigma > 0, self.sigma, np.nan)


def _moved(cube: GalaxyCube, denoised: Denoised, reference: Denoised) -> dict[str, float]:
    rows = spaxel_groups(cube)[BRIGHT]
    found = {
        name: _rms(((denoised.parameters[name][0] - value) / np.where(sigma > 0, sigma, np.nan))[rows])
        for name, (value, sigma) in reference.parameters.items()
        if name in CUBE_LABELS and name in denoised.parameters
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        flux = (denoised.flux[rows] - reference.flux[rows]) / reference.sigma[rows]
    return found | {"flux": _rms(flux)}


def _map(cube: GalaxyCube, label: _Label) -> MapScores:
    own, image = spaxel_groups(cube)["all"], cube.simulated.observed.image
    light = np.nan_to_num(cube.simulated.truth).mean(axis=1)
    value = np.where(own, label.value, np.nan)
    return score_map(image(value), image(label.truth), light=image(light), error=image(label.sigma))


def _strangers(
    cube: GalaxyCube, denoised: Denoised, shape: FloatArray, labels: Mapping[str, _Label]
) -> dict[str, StrangerScores]:
    found = {}
    for name, share in cube.shares.items():
        rows = (share > _MOSTLY) & cube.observed_spaxels
        moving = labels.get("velocity") if name == "companion" else None
        found[name] = StrangerScores(
            count=int(rows.sum()),
            flagged=_mean((denoised.flags[rows] & int(_STRANGE) != 0).astype(float)),
            shape=_rms(shape[rows]),
            velocity=float("nan") if moving is None else _rms(moving.error[rows]),
            velocity_pull=float("nan") if moving is None else _rms(moving.pull[rows]),
        )
    return found
