"""What a first pass over spaxels leaves for a second one, and the fits of the second, about given states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoisers.posterior.fitted import Fitted, Motions, Pixels, as_scanned
from quietspec.denoisers.posterior.gas_scan import LineScan, MotionLaw
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.posterior.sky_size import NoiseLevels
from quietspec.denoisers.spatial.gas import GasLikelihoods, GasMotions, ScanningFit
from quietspec.denoisers.spatial.motions import MotionLikelihoods
from quietspec.lines.results import FittedLines
from quietspec.spectra import Spectra

__all__ = ["Kept", "Refit"]


_NONE = np.empty(0)


@dataclass(frozen=True, eq=False)
class Kept:
    """What the first pass leaves of the spaxels of a batch.

    Parameters
    ----------
    rows : (n,) of int
        Which spectra they are.
    states : list of State
        Where each was linearised, without the coordinates of populations and calibration.
    unused, ignored : (n, n_bytes) of uint8
        Pixels that were not used, and good pixels that were left out, as bits.
    noise : NoiseLevels
        Their noise.
    signal : (n,)
        Squared S/N of all pixels together.
    shapes : (n, d) of float32
        Posterior means of ξ.
    weights : (n, n_mixture) of float32
        Posterior weights of the prior's components.
    motions : MotionLikelihoods
        What the data say of the motions.
    gas : GasLikelihoods
        What they say of the motions of gas.
    information : (d, d)
        Sum of the spaxels' precisions of ξ, each divided by its trace.
    """

    rows: npt.NDArray[np.intp]
    states: list[State]
    unused: npt.NDArray[np.uint8]
    ignored: npt.NDArray[np.uint8]
    noise: NoiseLevels
    signal: FloatArray
    shapes: FloatArray
    weights: FloatArray
    motions: MotionLikelihoods
    gas: GasLikelihoods
    information: FloatArray

    @classmethod
    def of(cls, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], fit: ScanningFit, ignored: BoolArray) -> Self:
        """Keep what is needed of a fit, and which good pixels it left out, (n, n_pixels)."""
        gram = fit.projections.gram
        trace = np.einsum("nii->n", gram)
        weight = np.where(fit.used, batch.weight, 0) / fit.noise_scale[:, None] ** 2
        return cls(
            rows=rows,
            states=[replace(state, populations=_NONE, calibration=_NONE) for state in fit.states],
            unused=np.packbits(~fit.used, axis=1),
            ignored=np.packbits(ignored, axis=1),
            noise=fit.noise,
            signal=fit.scale**2 * weight.sum(axis=1),
            shapes=(fit.posterior.mean / fit.scale[:, None]).astype(np.float32),
            weights=fit.posterior.weights.astype(np.float32),
            motions=MotionLikelihoods.of(fit),
            gas=GasLikelihoods.of(fit),
            information=np.einsum("nij,n->ij", gram, 1 / np.maximum(trace, 1e-30)),
        )

    def taken(self, which: BoolArray | slice) -> Self:
        """Keep some of the spaxels, (n,) of bool or a slice; `information` stays that of all."""
        states = [self.states[number] for number in np.arange(len(self.states))[which].tolist()]
        arrays = ("rows", "unused", "ignored", "noise", "signal", "shapes", "weights", "motions", "gas")
        return replace(self, states=states, **{name: getattr(self, name)[which] for name in arrays})

    def shifted(self, by: int) -> Self:
        """Count the spectra from another one."""
        return replace(self, rows=self.rows + by)

    def batch(self, tool: KinematicPosterior, tile: Spectra) -> Batch[KinematicGrid]:
        """Take the spectra from their tile again."""
        first = int(self.rows[0])
        grid = tool.grid(tile, float(tile.redshift[first]), first)
        if grid is None:
            raise ValueError("the model covers none of the pixels")
        return tool.batch(tile, self.rows, grid)

    def weight(self, batch: Batch[KinematicGrid]) -> FloatArray:
        """Weights of the last fit, (n, n_pixels): noise as measured, and what the basis leaves out."""
        unused = np.unpackbits(self.unused, axis=1, count=batch.weight.shape[1]).astype(bool)
        scale = np.array([state.scale for state in self.states])
        return self.noise.weighted(np.where(unused, 0, batch.weight), batch.grid, batch.grid.model.sky, scale)

    def moved(self, shapes: FloatArray, n_knots: int) -> list[State]:
        """States at other ξ (n, d), of the same scale and gas, without calibration errors."""
        velocity, width = KinematicCoordinates.motions(shapes[:, :MOTIONS]).T
        return [
            replace(
                state,
                velocity=float(v),
                width=float(u),
                populations=state.scale * shape[MOTIONS:].astype(np.float64),
                calibration=np.zeros(n_knots),
            )
            for state, shape, v, u in zip(self.states, shapes, velocity, width, strict=True)
        ]


class Refit(BatchFit):
    """The fit of a batch about given states.

    Parameters
    ----------
    batch : Batch
        The spectra.
    kept : Kept
        Of the same spectra.
    shapes : (n_spectra, d)
        ξ about which the model is linearised.
    gas : GasMotions, optional
        What the others say of the motions of gas.
    """

    def __init__(
        self, batch: Batch[KinematicGrid], kept: Kept, shapes: FloatArray, gas: GasMotions | None = None
    ) -> None:
        self.grid, self._flux, self._weight, self._unit = batch.grid, batch.flux, batch.weight, batch.scale
        self.noise, self._bright = kept.noise, batch.inflation > 1
        self._ignored = np.unpackbits(kept.ignored, axis=1, count=batch.weight.shape[1]).astype(bool)
        self.flags = np.zeros(len(batch.flux), dtype=np.int64)
        self.evidence = np.full(len(batch.flux), np.nan)
        self._used = kept.weight(batch)
        states = kept.moved(shapes, self.grid.model.knots.n_knots)
        self._gas = gas
        states = states if gas is None else gas.placed(states)
        self._fitted = [self._about(*one) for one in zip(states, self._flux, self._used, strict=True)]
        self._scale = np.array([state.scale for state in states])

    def _about(self, state: State, flux: FloatArray, weight: FloatArray) -> Fitted:
        linearised = self.grid.model.linearise(state)
        data = linearised.marginalise(linearised.lines.left(flux - linearised.model), weight)
        return Fitted(data, faint=False, nodes=np.empty(0), log_likelihood=np.empty(0))

    def conclude(self, projections: Projections, motions: tuple[FloatArray, FloatArray]) -> None:
        """Infer the posterior from the data and what else is known.

        Parameters
        ----------
        projections : Projections
            The data and what else is known (`Projections.informed`).
        motions : ((n_spectra, 2), (n_spectra, 2, 2))
            Means and covariances of velocity (km/s) and u after all.
        """
        self._known_motions = motions
        self._infer(projections)

    def _motions(self, row: int, one: Fitted) -> Motions:
        posterior, scale = self._posterior, self._scale[row]
        joint = posterior.mean[row] / scale, posterior.covariance[row] / scale**2
        mean, covariance = self._known_motions
        return as_scanned(joint, mean[row], covariance[row])

    def _motion_of_gas(self, row: int, scan: LineScan) -> MotionLaw | None:
        return None if self._gas is None else self._gas.law(row)

    def _lines_of(self, row: int, found: Pixels) -> FittedLines | None:
        lines = super()._lines_of(row, found)
        return lines if lines is None or self._gas is None else self._gas.added(row, lines)
