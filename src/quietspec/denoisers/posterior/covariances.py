"""Covariances between the pixels of spectra, from their compact posteriors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.compact import CODES, CompactPosterior, log_snr_of, pack_root, unpack_root
from quietspec.denoisers.posterior.gas import GasState
from quietspec.denoisers.posterior.kinematics import MOTIONS, State
from quietspec.denoisers.posterior.linearised import Marginalised
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.second_gas import unpacked

__all__ = ["CompactCovariances", "compact_one", "stacked"]

_GAS_FIRST = 3  # columns of the gas before its fluxes


def compact_one(
    state: State, change: FloatArray, half: FloatArray, weight: FloatArray, unit: float
) -> dict[str, npt.NDArray[Any]]:
    """Fields of the compact posterior of one spectrum.

    Parameters
    ----------
    state : State
        Where its model is linearised.
    change : (d,)
        Mean of its populations less those of the state.
    half : (m, m)
        Square root of the covariance of motions and populations, a lower triangle.
    weight : (n_pixels,)
        Inverse variances of the data.
    unit : float
        Flux unit of the spectrum.

    Returns
    -------
    dict of str to array
        By name, without the row that `CompactPosterior` adds to each.
    """
    scale = np.float32(state.scale)
    size = np.ones(len(half))
    size[MOTIONS:] = scale
    root, root_size = pack_root(half / size[:, None])
    gas = state.gas
    motion = [] if gas is None else [gas.velocity, gas.width, float(gas.moves)]
    further = np.empty(0) if gas is None or gas.further is None else gas.further.packed()
    return {
        "unit": np.asarray(unit),
        "scale": np.asarray(scale),
        "motions": np.array([state.velocity, state.width], dtype=np.float32),
        "populations": (state.populations / scale).astype(np.float32),
        "change": (change / scale).astype(np.float32),
        "moments": state.shape.astype(np.float32),
        "calibration": CODES["calibration"].encode(state.calibration),
        "gas": np.concatenate([motion, [] if gas is None else gas.flux / scale, further]).astype(np.float32),
        "root": root,
        "log_root_size": root_size,
        "log_snr": log_snr_of(weight, float(scale)),
        "sky": np.asarray(np.float32(state.sky)),
    }


def stacked(rows: Sequence[Mapping[str, npt.NDArray[Any]]]) -> dict[str, Any]:
    """Join what `compact_one` gave for several spectra; zeros fill rows of gas with fewer motions."""
    widest = max(len(row["gas"]) for row in rows)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["gas"] = [np.pad(gas, (0, widest - len(gas))) for gas in columns["gas"]]
    return {name: np.stack(column) for name, column in columns.items()}


@dataclass(frozen=True, eq=False)
class CompactCovariances:
    """Square roots of the pixel covariances of spectra of one grid, in the `unit` of each.

    Parameters
    ----------
    model : PixelModel
        On the grid.
    compact : CompactPosterior
        Of the spectra.
    """

    model: PixelModel
    compact: CompactPosterior

    def __call__(self, number: int) -> FloatArray:
        """F of one spectrum, (n_pixels, n_factors)."""
        data, half = self._data(number)
        return data.linearised.factor(half, data.response, data.inner_half)

    def nucleus(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Flux of its active nucleus, (n_pixels,), and a square root of the covariance of that in the columns of F."""
        data, half = self._data(number)
        compact = self.compact
        change = compact.change[number].astype(np.float64) * float(compact.scale[number])
        populations = data.linearised.state.populations + change
        return data.linearised.nucleus(populations, half, data.response, data.inner_half)

    def _data(self, number: int) -> tuple[Marginalised, FloatArray]:
        linearised = self.model.linearise(self.state(number))
        weight = self.compact.weight(number, self.model.basis.n_pixels)
        half = unpack_root(self.compact.root[number], self.compact.log_root_size[number])
        half[MOTIONS:] *= float(self.compact.scale[number])
        return linearised.marginalise(np.zeros_like(linearised.model), weight), half

    def state(self, number: int) -> State:
        """Where the model of one spectrum is linearised."""
        compact, scale = self.compact, float(self.compact.scale[number])
        velocity, width = compact.motions[number].astype(np.float64)
        return State(
            velocity=float(velocity),
            width=float(width),
            populations=compact.populations[number].astype(np.float64) * scale,
            shape=compact.moments[number].astype(np.float64),
            calibration=CODES["calibration"].decode(compact.calibration[number])[: self.model.knots.n_knots],
            scale=scale,
            gas=self._gas(compact.gas[number].astype(np.float64), scale),
            sky=float(compact.sky[number]),
        )

    def _gas(self, row: FloatArray, scale: float) -> GasState | None:
        lines = self.model.lines
        if lines is None or not len(row):
            return None
        velocity, width, moves = (float(value) for value in row[:_GAS_FIRST])
        first, rest = np.split(row[_GAS_FIRST:], [lines.size])
        return GasState(velocity, width, first * scale, velocity, moves=bool(moves), further=unpacked(rest))
