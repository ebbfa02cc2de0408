"""Spectra in groups of one redshift, or of one instrumental resolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import FloatArray, groups

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Grouped"]


class Grouped:
    """Base of what holds spectra that have a redshift each, and one or more resolutions."""

    redshift: FloatArray  #: (n_spectra,), NaN where unknown
    fwhm: FloatArray | None  #: (n_pixels,) or (n_spectra, n_pixels)

    def by_redshift(self, rows: npt.ArrayLike | None = None) -> Iterator[tuple[float, npt.NDArray[np.intp]]]:
        """Group spectra that share a redshift, by increasing redshift.

        Parameters
        ----------
        rows : (n_rows,) of int or (n_spectra,) of bool, optional
            Spectra to group; all by default. Those of unknown redshift belong to no group.

        Yields
        ------
        redshift : float
            Redshift of the group.
        rows : (n_group,) of int
            Its spectra.

        Examples
        --------
        >>> import quietspec
        >>> spectra = quietspec.read(quietspec.demo_cube())
        >>> [(redshift, len(rows)) for redshift, rows in spectra.by_redshift()]
        [(0.03, 400)]
        """
        chosen = np.arange(len(self.redshift)) if rows is None else np.arange(len(self.redshift))[np.asarray(rows)]
        for redshift, group in groups(self.redshift[chosen]):
            yield float(redshift), chosen[group]

    def by_resolution(self, rows: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
        """Split some spectra into groups of one instrumental resolution.

        Parameters
        ----------
        rows : (n_rows,) of int
            The spectra.

        Yields
        ------
        (n_group,) of int
            Spectra of one group.

        Examples
        --------
        >>> import quietspec
        >>> spectra = quietspec.read(quietspec.demo_cube())
        >>> [len(rows) for rows in spectra.by_resolution(np.arange(400))]
        [400]
        """
        if self.fwhm is None or self.fwhm.ndim == 1:
            yield rows
            return
        _, kind = np.unique(self.fwhm[rows], axis=0, return_inverse=True)
        for number in range(kind.max() + 1 if len(rows) else 0):
            yield rows[kind.ravel() == number]
