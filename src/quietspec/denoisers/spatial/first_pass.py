"""The first pass over a cube, tile by tile: the usual posterior, of which only what a second pass needs is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.denoised import FAILURES, Denoised, Flag
from quietspec.denoisers.outliers import gross_outliers
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_fit import KinematicGrid
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.spatial.gas import ScanningFit
from quietspec.denoisers.spatial.refit import Kept
from quietspec.denoisers.spatial.stack import Stack
from quietspec.noise import residual_signs
from quietspec.spectra import Spectra

__all__ = ["FirstPass", "Keeping", "TilePass", "knowledge_of", "masked", "tile_rows", "with_knowledge"]

_STRANGE = (
    Flag.STAR | Flag.WRONG_REDSHIFT | Flag.UNLIKE_PRIOR | Flag.NOT_GALAXY | Flag.POOR_FIT | Flag.NUCLEUS | FAILURES
)


_KNOWLEDGE = "known of its spaxels"


def masked(tile: Spectra) -> Spectra:
    """Mask the gross outliers of a tile."""
    outliers = gross_outliers(tile)
    return replace(tile, ivar=np.where(outliers, 0, tile.ivar)) if outliers.any() else tile


def tile_rows(tile: Spectra) -> slice:
    """Which spaxels of the cube a tile holds; all of them if it does not say."""
    rows: slice = tile.meta.get("rows", slice(0, len(tile)))
    return rows


def with_knowledge(tile: Spectra, knowledge: Any) -> Spectra:
    """Let a tile carry what is known of its spaxels, so that it can be computed where the cube is not."""
    return replace(tile, meta={**tile.meta, _KNOWLEDGE: knowledge})


def knowledge_of(tile: Spectra) -> tuple[Spectra, Any]:
    """Return a tile without what it carries, and that; None if nothing."""
    meta = dict(tile.meta)
    knowledge = meta.pop(_KNOWLEDGE, None)
    return replace(tile, meta=meta), knowledge


class Keeping(Accumulator):
    """An accumulator that keeps what a second pass needs."""

    def __init__(self, spectra: Spectra, label_names: tuple[str, ...]) -> None:
        super().__init__(spectra, label_names)
        self.kept: list[Kept] = []
        self.batches: list[Batch[KinematicGrid]] = []

    def keep(self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], fit: ScanningFit) -> None:
        """Keep what is needed of the fit of a batch."""
        self.kept.append(Kept.of(rows, batch, fit, self.estimates.ignored[rows, batch.grid.pixels]))
        self.batches.append(batch)


@dataclass(frozen=True, eq=False)
class TilePass:
    """What the first pass leaves of the n spaxels of a tile; it can be sent to another process.

    Parameters
    ----------
    place : slice
        Which spaxels of the cube they are.
    flags, p_value, evidence, noise_scale, snr : (n,)
        Of the first pass.
    signs : (n, 2, n_bytes) of uint8
        Signs of what denoising left, as bits: whether above, whether below.
    kept : list of Kept
        What it knows of spaxels of the usual redshift, `rows` counted over all spaxels of the cube.
    members : (n,) of bool
        Spaxels that belong to the galaxy for all that is known.
    stack : Stack or None
        Sum of the members; None where nothing is kept.
    """

    place: slice
    flags: IntArray
    p_value: FloatArray
    evidence: FloatArray
    noise_scale: FloatArray
    snr: FloatArray
    signs: npt.NDArray[np.uint8]
    kept: list[Kept]
    members: BoolArray
    stack: Stack | None

    @classmethod
    def of(cls, keeping: Keeping, denoised: Denoised, usual: float) -> Self:
        """Take what is needed of a tile, where the galaxy has this redshift."""
        tile, place, signs = keeping.spectra, tile_rows(keeping.spectra), residual_signs(denoised)
        members = np.asarray(denoised.flags & int(_STRANGE)) == 0
        # Spaxels that were moved to another redshift are left out.
        alike = (tile.redshift == usual) & (keeping.estimates.redshift == usual)
        some = [pair for pair in zip(keeping.kept, keeping.batches, strict=True) if alike[pair[0].rows].any()]
        return cls(
            place=place,
            flags=denoised.flags,
            p_value=denoised.p_value,
            evidence=denoised.evidence,
            noise_scale=keeping.estimates.noise_scale,
            snr=np.where(denoised.valid.any(axis=1), tile.snr, np.nan),
            signs=np.packbits(np.stack([signs > 0, signs < 0], axis=1), axis=2),
            kept=[kept.taken(alike[kept.rows]).shifted(place.start) for kept, _ in some],
            members=members,
            stack=_stacked(some, alike & members),
        )


def _stacked(some: Sequence[tuple[Kept, Batch[KinematicGrid]]], which: BoolArray) -> Stack | None:
    """Sum those spectra of batches of a tile that are wanted, (n_tile,) of bool."""
    if not some:
        return None
    stack = Stack(some[0][1].flux.shape[1])
    for kept, batch in some:
        wanted, scale = which[kept.rows], np.array([state.scale for state in kept.states])
        stack.add(batch.flux[wanted], kept.weight(batch)[wanted], scale[wanted], kept.signal[wanted])
    return stack


class FirstPass:
    """What the first pass over n spaxels leaves.

    Parameters
    ----------
    redshift : (n,)
        Redshifts of all spaxels.

    Attributes
    ----------
    usual : float
        Redshift of the galaxy, the most frequent one; NaN without any.
    flags, p_value, evidence, noise_scale, snr, members : (n,)
        As in `TilePass`.
    kept : list of Kept
        Of all tiles.
    stack : Stack or None
        Sum of the members; None without any.
    """

    def __init__(self, redshift: FloatArray) -> None:
        n = len(redshift)
        self.usual = _usual(redshift)
        self.flags = np.zeros(n, dtype=np.int64)
        self.p_value, self.evidence, self.noise_scale, self.snr = np.full((4, n), np.nan)
        self.members: BoolArray = np.zeros(n, dtype=bool)
        self.kept: list[Kept] = []
        self._signs: list[tuple[slice, npt.NDArray[np.uint8]]] = []
        self.stack: Stack | None = None

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """Spaxels of which something is kept, in that order."""
        return np.concatenate([np.empty(0, dtype=np.intp), *(one.rows for one in self.kept)])

    def add(self, part: TilePass) -> None:
        """Add a tile, in order."""
        for name in ("flags", "p_value", "evidence", "noise_scale", "snr", "members"):
            getattr(self, name)[part.place] = getattr(part, name)
        self._signs.append((part.place, part.signs))
        self.kept += part.kept
        if self.stack is None:
            self.stack = part.stack
        elif part.stack is not None:
            self.stack.join(part.stack)

    def signs(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Signs of what denoising left of some spaxels (`residual_signs`), and zeros beyond their pixels."""
        found = []
        for place, bits in self._signs:
            inside = rows[(rows >= place.start) & (rows < place.stop)] - place.start
            up, down = np.moveaxis(np.unpackbits(bits[inside], axis=2), 1, 0).astype(np.float32)
            found.append(up - down)
        return np.concatenate(found)

    def of_tile(self, rows: slice) -> Iterable[tuple[slice, Kept]]:
        """What is kept of the spaxels of a tile, counted within it, and its place among all that is kept."""
        done = 0
        for kept in self.kept:
            inside = (kept.rows >= rows.start) & (kept.rows < rows.stop)
            place = slice(done, done + len(kept.rows))
            done = place.stop
            if inside.all():
                yield place, kept.shifted(-rows.start)


def _usual(redshift: FloatArray) -> float:
    """The most frequent redshift; NaN without any."""
    values, counts = np.unique(redshift[np.isfinite(redshift)], return_counts=True)
    return float(values[counts.argmax()]) if values.size else float("nan")
