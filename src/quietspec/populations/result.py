"""`Populations`: what a method finds about the stars of each spectrum, with intervals and flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quietspec.arrays import SHARED, BySpectrum

if TYPE_CHECKING:
    import numpy.typing as npt
    from astropy.table import Table

    from quietspec.arrays import FloatArray

__all__ = ["CENTRAL", "UNITS", "PopulationFlag", "Populations"]

CENTRAL = 0.6827  #: probability of the intervals

#: Units of the parameters that methods may give.
UNITS: dict[str, str] = {
    "log_age_mw": "dex(yr)",
    "mh_mw": "dex",
    "log_age_lw": "dex(yr)",
    "mh_lw": "dex",
    "log_t50": "dex(yr)",
    "log_t90": "dex(yr)",
    "log_ml_v": "dex(solMass/solLum)",
    "a_v": "mag",
    "velocity": "km/s",
    "sigma": "km/s",
    "h3": "",
    "h4": "",
    "nucleus": "",
}


class PopulationFlag(IntFlag):
    """Why a spectrum has no populations, or doubtful ones; bits combine.

    No bit means something else in `quietspec.Flag`, so that both can be read by one table.
    """

    OK = 0
    POOR_FIT = 16  #: reduced χ² above 2
    PRIOR_LABELS = 2048  #: as in `quietspec.Flag`: some parameter is little more than the prior
    ULTRAVIOLET = 16384  #: as in `quietspec.Flag`: by the model `ultraviolet`
    NO_DATA = 1 << 16  #: too few usable pixels, or no redshift
    FAILED = 1 << 17  #: the fit raised an error, given as the reason
    AT_LIMIT = 1 << 18  #: velocity or dispersion is at the end of its range
    DOUBTFUL = 1 << 19  #: the denoiser flagged the spectrum; see its own flags


@dataclass(frozen=True, kw_only=True, eq=False)
class Populations(BySpectrum):
    """Stellar populations of spectra.

    Parameters
    ----------
    method : str
        How they were found.
    values : mapping of str to (n_spectra,)
        Parameters by the names of `UNITS`: mass- (mw) and light-weighted (lw) mean log10(age/yr) and [M/H], log10 of
        the lookback times (yr) by which 50 % and 90 % of the mass had formed, log10 of M*/L_V, attenuation,
        kinematics; NaN where there is no result.
    low, high : mapping of str to (n_spectra,)
        Ends of the central 68.27 % intervals.
    flags : (n_spectra,) of int
        Bits of `PopulationFlag`.
    reasons : (n_spectra,) of str
        Why a spectrum has no populations, or doubtful ones; empty where all is well.
    chi2 : (n_spectra,)
        Reduced χ²; NaN where the method has none.
    seconds : (n_spectra,)
        Processor time per spectrum, s; NaN where it was not measured.
    meta : mapping
        What the populations rest on, for headers: ``LIBRARY``.
    further : mapping of str to ((n_spectra,), (n_spectra,))
        What else was measured, emission lines and indices: value and 1σ error, by name.
    """

    method: str = field(metadata=SHARED)
    values: Mapping[str, FloatArray]
    low: Mapping[str, FloatArray]
    high: Mapping[str, FloatArray]
    flags: npt.NDArray[np.integer[Any]]
    reasons: npt.NDArray[np.str_]
    chi2: FloatArray
    seconds: FloatArray
    meta: Mapping[str, Any] = field(default_factory=dict, metadata=SHARED)
    further: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reasons", np.asarray(self.reasons, dtype=np.str_))

    def __len__(self) -> int:
        return len(self.flags)

    def __getitem__(self, rows: Any) -> Self:
        """Select spectra by number, slice, list or mask."""
        return super().__getitem__(np.atleast_1d(np.arange(len(self))[rows]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.values)

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Spectra without a result, (n_spectra,)."""
        return np.asarray((self.flags & int(PopulationFlag.NO_DATA | PopulationFlag.FAILED)) != 0)

    def error(self, name: str) -> FloatArray:
        """Half-width of a parameter's central interval, (n_spectra,)."""
        return np.asarray((self.high[name] - self.low[name]) / 2)

    def to_table(self) -> Table:
        """Convert to an astropy table.

        Returns
        -------
        astropy.table.Table
            One row per spectrum: each parameter with its ``_low`` and ``_high``, then ``chi2``, ``flags``, ``reason``.
            Columns of logarithms have no unit, since FITS has none for them; their descriptions give it.
        """
        from astropy.table import Column, Table

        table = Table()
        for name in self.names:
            unit = UNITS.get(name, "")
            plain = unit if unit and "dex" not in unit else None
            for suffix, values in (("", self.values), ("_low", self.low), ("_high", self.high)):
                column = np.asarray(values[name], dtype=np.float32)
                table[name + suffix] = Column(column, unit=plain, description=unit or None)
        for name, pair in self.further.items():
            for suffix, column in zip(("", "_err"), pair, strict=True):
                table[name + suffix] = Column(np.asarray(column, dtype=np.float32), unit=UNITS.get(name))
        table["chi2"] = self.chi2.astype(np.float32)
        table["flags"] = self.flags.astype(np.int32)
        table["reason"] = np.array(self.reasons.tolist(), dtype=np.str_)  # no wider than the longest
        table.meta |= {"METHOD": self.method, **self.meta}
        return table
