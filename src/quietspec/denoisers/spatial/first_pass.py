"""The first pass over a cube, tile by tile: the usual posterior, of which only what a second pass needs is kept."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import FAILURES, Denoised, Flag
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.spatial.refit import Kept
from quietspec.denoisers.spatial.stack import Stack
from quietspec.noise import residual_signs
from quietspec.spectra import Spectra

__all__ = ["FirstPass", "Keeping", "tile_rows"]

_STRANGE = (
    Flag.STAR | Flag.WRONG_REDSHIFT | Flag.UNLIKE_PRIOR | Flag.NOT_GALAXY | Flag.POOR_FIT | Flag.NUCLEUS | FAILURES
)


def tile_rows(tile: Spectra) -> slice:
    """Which spaxels of the cube a tile holds; all of them if it does not say."""
    rows: slice = tile.meta.get("rows", slice(0, len(tile)))
    return rows


class Keeping(Accumulator):
    """An accumulator that keeps what a second pass needs."""

    def __init__(self, spectra: Spectra, label_names: tuple[str, ...]) -> None:
        super().__init__(spectra, label_names)
        self.kept: list[Kept] = []
        self.batches: list[Batch[KinematicGrid]] = []

    def keep(self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], fit: BatchFit) -> None:
        """Keep what is needed of the fit of a batch."""
        self.kept.append(Kept.of(rows, batch, fit, self.estimates.ignored[rows, batch.grid.pixels]))
        self.batches.append(batch)


class FirstPass:
    """What the first pass over n spaxels leaves.

    Parameters
    ----------
    redshift : (n,)
        Redshifts of all spaxels.

    Attributes
    ----------
    flags, p_value, evidence, noise_scale, snr : (n,)
        Of the first pass.
    kept : list of Kept
        What it knows of spaxels of the most frequent redshift, `rows` counted over all spaxels.
    members : (n,) of bool
        Spaxels that belong to the galaxy for all that is known.
    stack : Stack or None
        Sum of the members; None without any.
    """

    def __init__(self, redshift: FloatArray) -> None:
        n = len(redshift)
        self._usual = _usual(redshift)
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

    def add(self, keeping: Keeping, denoised: Denoised) -> None:
        """Take what is needed of a tile."""
        tile, place = keeping.spectra, tile_rows(keeping.spectra)
        self.flags[place] = denoised.flags
        self.p_value[place], self.evidence[place] = denoised.p_value, denoised.evidence
        self.noise_scale[place] = keeping.estimates.noise_scale
        self.snr[place] = np.where(denoised.valid.any(axis=1), tile.snr, np.nan)
        signs = residual_signs(denoised)
        self._signs.append((place, np.packbits(np.stack([signs > 0, signs < 0], axis=1), axis=2)))
        member = np.asarray(denoised.flags & int(_STRANGE)) == 0
        # Spaxels that were moved to another redshift are left out.
        alike = (tile.redshift == self._usual) & (keeping.estimates.redshift == self._usual)
        for kept, batch in zip(keeping.kept, keeping.batches, strict=True):
            if not alike[kept.rows].any():
                continue
            self._stack(kept, batch, (alike & member)[kept.rows])
            self.kept.append(kept.taken(alike[kept.rows]).shifted(place.start))
        self.members[place] = member

    def signs(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Signs of what denoising left of some spaxels (`residual_signs`), and zeros beyond their pixels."""
        found = []
        for place, bits in self._signs:
            inside = rows[(rows >= place.start) & (rows < place.stop)] - place.start
            up, down = np.moveaxis(np.unpackbits(bits[inside], axis=2), 1, 0).astype(np.float32)
            found.append(up - down)
        return np.concatenate(found)

    def _stack(self, kept: Kept, batch: Batch[KinematicGrid], which: BoolArray) -> None:
        if self.stack is None:
            self.stack = Stack(batch.grid)
        scale = np.array([state.scale for state in kept.states])
        weight = kept.weight(batch)
        self.stack.add(batch.flux[which], weight[which], scale[which], kept.signal[which])

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
