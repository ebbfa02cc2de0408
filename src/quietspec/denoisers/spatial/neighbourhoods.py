r"""Gaussian-process regression on the sky by neighbourhoods: what the nearest spaxels say of each.

A mode of unit variance is a field with Matérn-3/2 correlation and a nugget, ⟨s_a s_b⟩ = (1 − ν) M(|a − b|/L) + ν δ_ab.
Each spaxel's measurement has noise of its own precision, correlated between neighbours. For every spaxel the posterior
of its own s given itself and its neighbours is divided by what it says itself: nothing is used twice, and where noise
is correlated neighbours count for less.

References
----------
Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section 5.4.2 (leaving one out). Datta et al. 2016,
Journal of the American Statistical Association 111, 800 (nearest-neighbour Gaussian processes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from quietspec.arrays import BoolArray, FloatArray
from quietspec.noise import NoiseCorrelation

__all__ = ["FieldLaw", "Mode", "Neighbourhoods"]

_NEIGHBOURS = 32
_TOGETHER = 256  # spaxels worked on at a time
_LENGTHS = (1.0, 1.7, 3.0, 6.0, 12.0, 24.0)  # spaxels, that are tried
_NUGGET, _NUGGETS = 0.03, (0.003, 0.01, 0.03, 0.1, 0.3)  # with which lengths are tried; then these
_TRIED = 120  # spaxels by which they are judged
_WORTHWHILE = 4.0  # ln likelihood that a field must gain
_TELLING = 0.05  # mean precision of a mode below which no field would be seen


@dataclass(frozen=True)
class FieldLaw:
    """Correlation of a mode between spaxels.

    Parameters
    ----------
    length : float
        L, spaxels.
    nugget : float
        Share ν of the variance that is each spaxel's own; 1 where there is no field.
    """

    length: float = 1.0
    nugget: float = 1.0

    def __call__(self, distance: FloatArray) -> FloatArray:
        """Covariance at distances in spaxels."""
        return self.of(matern(distance, self.length), distance < 0.5)

    def of(self, correlation: FloatArray, same: BoolArray) -> FloatArray:
        """Covariance where the field is correlated so much, and where it is the same spaxel."""
        return np.asarray((1 - self.nugget) * correlation + self.nugget * same)


def matern(distance: FloatArray, length: float) -> FloatArray:
    """Matérn-3/2 correlation at distances in spaxels."""
    reduced = 3**0.5 * distance / length
    return np.asarray((1 + reduced) * np.exp(-reduced))


class Mode(NamedTuple):
    """Measurements of a mode by all n spaxels.

    Parameters
    ----------
    value, precision : (n,)
        Measurements and their precisions, > 0.
    laws : sequence of FieldLaw
        Laws that the mode may have.
    """

    value: FloatArray
    precision: FloatArray
    laws: Sequence[FieldLaw]


class Neighbourhoods:
    """The nearest members of each spaxel.

    Parameters
    ----------
    places : (n, 2)
        Places of spaxels on the sky, in spaxels.
    members : (n,) of bool
        Those that may inform others.
    noise : NoiseCorrelation
        Correlation of the noise.
    apart : bool
        Whether the noise of each spaxel counts as independent of its neighbours', as where one says very much more than
        others: what they say of its noise would come back as their own.

    Attributes
    ----------
    others : (n, m) of int
        The members nearest to each, itself left out.
    """

    def __init__(self, places: FloatArray, members: BoolArray, noise: NoiseCorrelation, *, apart: bool = False) -> None:
        self._places, self._noise, self._apart = places, noise, apart
        known = np.flatnonzero(members)
        count = min(_NEIGHBOURS, len(known) - 1)
        found = known[cKDTree(places[known]).query(places, k=count + 1)[1]]
        # A member finds itself first; of the others the last, farthest one is dropped.
        itself = found == np.arange(len(places))[:, None]
        itself[~itself.any(axis=1), -1] = True
        self.others = found[~itself].reshape(len(places), count)
        self._members = members

    def without_own(self, modes: Sequence[Mode]) -> list[tuple[FloatArray, FloatArray]]:
        """What others say of modes.

        Parameters
        ----------
        modes : sequence of Mode
            Measurements of the modes, and laws that they may have.

        Returns
        -------
        list of (mean, variance), (n_laws, n) each
            Of each mode before each spaxel's own data; the variance is at most 1.
        """
        return _over(self._blocks(np.arange(len(self._places))), modes)

    def _blocks(self, rows: npt.NDArray[np.intp]) -> Iterator[_Block]:
        """Spaxels with their neighbours, itself first."""
        for start in range(0, len(rows), _TOGETHER):
            some = rows[start : start + _TOGETHER]
            ids = np.concatenate([some[:, None], self.others[some]], axis=1)
            offset = self._places[ids][:, :, None] - self._places[ids][:, None]
            noise = self._noise.between(offset[..., 0], offset[..., 1])
            if self._apart:
                noise[:, 0, 1:] = noise[:, 1:, 0] = 0
            yield _Block(ids, np.hypot(offset[..., 0], offset[..., 1]), noise)

    @cached_property
    def _tried(self) -> tuple[npt.NDArray[np.intp], list[_Block]]:
        """Members by which laws are judged, spread evenly, and their neighbourhoods."""
        members = np.flatnonzero(self._members)
        rows = members[np.linspace(0, len(members) - 1, min(_TRIED, len(members))).astype(np.intp)]
        return rows, list(self._blocks(rows))

    def law_of(self, value: FloatArray, precision: FloatArray) -> FieldLaw:
        """Find the law of a mode by how well it predicts members from the others.

        Parameters
        ----------
        value, precision : (n,)
            Measurements of all spaxels and their precisions.

        Returns
        -------
        FieldLaw
            The best of a few lengths and nuggets; none where no field is worth while.
        """
        if precision[self._members].mean() < _TELLING:
            return FieldLaw()
        rows, blocks = self._tried

        def best_of(laws: list[FieldLaw]) -> tuple[float, FieldLaw]:
            ((mean, variance),) = _over(blocks, [Mode(value, precision, laws)])
            total = variance + 1 / precision[rows]
            scores = -0.5 * np.sum(np.log(total) + (value[rows] - mean) ** 2 / total, axis=1)
            return float(scores.max()), laws[int(scores.argmax())]

        none = FieldLaw()
        score = nothing = best_of([none])[0]
        best = FieldLaw(0.0, _NUGGET)  # of a length that is not tried
        for _ in range(2):
            before, best = best, best_of([FieldLaw(length, best.nugget) for length in _LENGTHS])[1]
            if best == before:
                break
            score, best = best_of([FieldLaw(best.length, nugget) for nugget in _NUGGETS])
        return best if score > nothing + _WORTHWHILE else none


def _over(blocks: Iterable[_Block], modes: Sequence[Mode]) -> list[tuple[FloatArray, FloatArray]]:
    """As `Neighbourhoods.without_own`, of the spaxels of some blocks."""
    parts: list[list[FloatArray]] = [[] for _ in modes]
    for block in blocks:
        for found, mode in zip(parts, modes, strict=True):
            found.append(np.array([block.without_own(mode.value, mode.precision, law) for law in mode.laws]))
    joined = (np.concatenate(found, axis=2) for found in parts)
    return [(both[:, 0], both[:, 1]) for both in joined]


@dataclass(frozen=True, eq=False)
class _Block:
    """m spaxels with their neighbours.

    Parameters
    ----------
    ids : (m, k) of int
        Each spaxel and its neighbours.
    distance, noise : (m, k, k)
        Distances between these, and the correlation of their noise.
    """

    ids: npt.NDArray[np.intp]
    distance: FloatArray
    noise: FloatArray
    _correlations: dict[float, FloatArray] = field(default_factory=dict)

    def _covariance(self, law: FieldLaw) -> FloatArray:
        # Modes share their lengths.
        if law.length not in self._correlations:
            self._correlations[law.length] = matern(self.distance, law.length)
        return law.of(self._correlations[law.length], self.distance < 0.5)

    def without_own(self, value: FloatArray, precision: FloatArray, law: FieldLaw) -> tuple[FloatArray, FloatArray]:
        """Mean and variance (m,) of a mode before each spaxel's own data."""
        value, precision = value[self.ids], precision[self.ids]
        size, covariance = np.sqrt(precision), self._covariance(law)
        system = size[:, :, None] * covariance * size[:, None] + self.noise
        across = covariance[:, 0] * size
        solved = np.linalg.solve(system, np.stack([across, size * value], axis=2))
        variance = np.maximum(1 - np.vecdot(across, solved[:, :, 0]), 1e-9)
        mean = np.vecdot(across, solved[:, :, 1])
        alone = np.maximum(1 / variance - precision[:, 0], 1.0)
        return (mean / variance - precision[:, 0] * value[:, 0]) / alone, 1 / alone
