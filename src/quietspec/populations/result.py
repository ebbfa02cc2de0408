"""`Populations`: what a method says about the stars of each spectrum, with errors, intervals and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from astropy.table import Table

    from quietspec.arrays import FloatArray

__all__ = ["CENTRAL", "UNITS", "PopulationFlag", "Populations"]

CENTRAL = 0.6827  #: probability of the intervals

#: Parameters that methods may give, with their units.
UNITS: dict[str, str] = {
    "log_age_mw": "dex(yr)",
    "mh_mw": "dex",
    "log_age_lw": "dex(yr)",
    "mh_lw": "dex",
    "log_ml_v": "dex(solMass/solLum)",
    "a_v": "mag",
    "velocity": "km/s",
    "sigma": "km/s",
    "h3": "",
    "h4": "",
}

_MAPPINGS = ("values", "low", "high")


class PopulationFlag(IntFlag):
    """Why a spectrum has no populations, or doubtful ones. Bits combine."""

    OK = 0
    NO_DATA = 1  #: too few usable pixels, or no redshift
    FAILED = 2  #: the fit raised an error; the reason says which
    AT_LIMIT = 4  #: velocity or dispersion stopped at the end of its range
    POOR_FIT = 8  #: reduced χ² above 2
    DOUBTFUL = 16  #: the denoiser flagged the spectrum: see its flags


@dataclass(frozen=True, kw_only=True, eq=False)
class Populations:
    """Stellar populations of spectra.

    Parameters
    ----------
    method : str
        How they were found.
    values : mapping of str to (n_spectra,)
        Parameters by the names of `UNITS`: mass- (mw) and light-weighted (lw) mean log10(age/yr) and [M/H], log10 of
        M*/L_V, attenuation, kinematics; NaN where there are none.
    low, high : mapping of str to (n_spectra,)
        Ends of the central 68.27 % interval.
    flags : (n_spectra,) of int
        Bits of `PopulationFlag`.
    reasons : (n_spectra,) of str
        Why there are no populations, or doubtful ones; empty where all is well.
    chi2 : (n_spectra,)
        Reduced χ²; NaN where the method has none.
    seconds : (n_spectra,)
        Time of each.
    """

    method: str
    values: Mapping[str, FloatArray]
    low: Mapping[str, FloatArray]
    high: Mapping[str, FloatArray]
    flags: npt.NDArray[np.integer[Any]]
    reasons: tuple[str, ...]
    chi2: FloatArray
    seconds: FloatArray
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.flags)

    def __getitem__(self, rows: Any) -> Self:
        """Select spectra by number, slice, list or mask."""
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        mappings = {name: {key: array[chosen] for key, array in getattr(self, name).items()} for name in _MAPPINGS}
        return type(self)(
            method=self.method,
            flags=self.flags[chosen],
            reasons=tuple(self.reasons[row] for row in chosen),
            chi2=self.chi2[chosen],
            seconds=self.seconds[chosen],
            meta=self.meta,
            **mappings,
        )

    @classmethod
    def stack(cls, parts: Sequence[Self]) -> Self:
        """Join the populations of several batches of spectra."""
        first = parts[0]
        mappings = {
            name: {key: np.concatenate([getattr(part, name)[key] for part in parts]) for key in getattr(first, name)}
            for name in _MAPPINGS
        }
        return cls(
            method=first.method,
            flags=np.concatenate([part.flags for part in parts]),
            reasons=tuple(reason for part in parts for reason in part.reasons),
            chi2=np.concatenate([part.chi2 for part in parts]),
            seconds=np.concatenate([part.seconds for part in parts]),
            meta=first.meta,
            **mappings,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.values)

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Spectra without a result, (n_spectra,)."""
        return np.asarray((self.flags & int(PopulationFlag.NO_DATA | PopulationFlag.FAILED)) != 0)

    def error(self, name: str) -> FloatArray:
        """Half the width of a parameter's central interval, (n_spectra,)."""
        return np.asarray((self.high[name] - self.low[name]) / 2)

    def to_table(self) -> Table:
        """Arrange as an astropy table.

        Returns
        -------
        astropy.table.Table
            A row a spectrum: each parameter with ``_low`` and ``_high`` beside it, ``chi2``, ``flags``, ``reason``.
            Logarithms have no unit, since FITS knows none for them; their columns' descriptions have it.
        """
        from astropy.table import Column, Table

        table = Table()
        for name in self.names:
            unit = UNITS.get(name, "")
            plain = unit if unit and "dex" not in unit else None
            for suffix, values in (("", self.values), ("_low", self.low), ("_high", self.high)):
                column = np.asarray(values[name], dtype=np.float32)
                table[name + suffix] = Column(column, unit=plain, description=unit or None)
        table["chi2"] = self.chi2.astype(np.float32)
        table["flags"] = self.flags.astype(np.int16)
        table["reason"] = np.array(self.reasons, dtype=str) if len(self) else np.array([], dtype="U1")
        table.meta |= {"METHOD": self.method, **self.meta}
        return table
