"""`Indices`: measured spectral indices with their joint covariance, and why some have no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quietspec.arrays import SHARED, BySpectrum, FloatArray, IntArray, require_shape
from quietspec.errors import IndexDefinitionError
from quietspec.indices.definitions import IndexDefinition, find_definition
from quietspec.indices.grids import IndexFlag

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Indices"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Indices(BySpectrum):
    """Spectral indices of spectra.

    Parameters
    ----------
    definitions : tuple of IndexDefinition
        What was measured.
    values : (n_spectra, n_indices)
        In the unit of each index; NaN where there is no value.
    covariance : (n_spectra, n_indices, n_indices)
        Covariance between the indices of a spectrum to first order; NaN where an index has no value or the errors of
        the flux are unknown.
    flags : (n_spectra, n_indices) of int
        Bits of `IndexFlag`.
    meta : mapping
        How they were measured, for headers: ``RESOLUTN``.

    Raises
    ------
    SpectraError
        If shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from quietspec.indices import FactoredCovariance, measure_indices
    >>> wavelength, flux = np.arange(4800.0, 5400.0), np.ones((2, 600))
    >>> noise = FactoredCovariance(remainder=0.02 * flux)
    >>> found = measure_indices(["Hbeta", "Mg_b", "Na_D"], wavelength, flux, noise)
    >>> found.names, found[:1].error("mgb").round(2), found.reasons[0, 2].item()
    (('Hbeta', 'Mg_b', 'Na_D'), array([0.15]), 'a band is not covered by the wavelengths')
    """

    definitions: tuple[IndexDefinition, ...] = field(metadata=SHARED)
    values: FloatArray
    covariance: FloatArray
    flags: IntArray
    meta: Mapping[str, Any] = field(default_factory=dict, metadata=SHARED)

    def __post_init__(self) -> None:
        count = len(self.definitions)
        require_shape("Indices.values", self.values, (len(self.values), count))
        require_shape("Indices.covariance", self.covariance, (len(self.values), count, count))
        require_shape("Indices.flags", self.flags, (len(self.values), count))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Self:
        """Select spectra by number, slice, list or mask."""
        return super().__getitem__(np.atleast_1d(np.arange(len(self))[rows]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the indices."""
        return tuple(definition.name for definition in self.definitions)

    @property
    def errors(self) -> FloatArray:
        """1σ errors to first order, (n_spectra, n_indices)."""
        return np.asarray(np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2)))

    @property
    def reasons(self) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
        """Why indices have no value, (n_spectra, n_indices); empty where they have one."""
        texts = {int(flag): IndexFlag(int(flag)).reason for flag in np.unique(self.flags)}
        return np.array([[texts[int(flag)] for flag in row] for row in self.flags], dtype=np.str_).reshape(
            self.flags.shape
        )

    def value(self, name: str | IndexDefinition) -> FloatArray:
        """Values of one index, (n_spectra,)."""
        return np.asarray(self.values[:, self._column(name)])

    def error(self, name: str | IndexDefinition) -> FloatArray:
        """1σ errors of one index, (n_spectra,)."""
        return np.asarray(self.errors[:, self._column(name)])

    def _column(self, name: str | IndexDefinition) -> int:
        if name not in self.names:
            name = find_definition(name).name
        if name not in self.names:
            raise IndexDefinitionError(f"index {name!r} was not measured; {', '.join(self.names)} were.")
        return self.names.index(name)

    def to_table(self) -> Table:
        """Convert to an astropy table.

        Returns
        -------
        astropy.table.Table
            One row per spectrum: each index with its ``_err`` and ``_flag``, without the covariance between indices.
        """
        from astropy.table import Column, Table

        table = Table()
        for number, definition in enumerate(self.definitions):
            name, unit = definition.name, definition.unit or None
            table[name] = Column(self.values[:, number].astype(np.float32), unit=unit, description=definition.source)
            table[f"{name}_err"] = Column(self.errors[:, number].astype(np.float32), unit=unit)
            table[f"{name}_flag"] = Column(self.flags[:, number].astype(np.int16))
        table.meta |= dict(self.meta)
        return table
