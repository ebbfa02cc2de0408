"""Real spectra for the studies: data sets in the cache of `quietspec fetch`, and files of SAMI and CALIFA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from quietspec.io import read
from quietspec.io.fetching import cached
from quietspec.spectra import Spectra

__all__ = ["REDSHIFTS", "RealSpectra", "distinct_bright", "one_per_bin"]

#: Redshifts of the data sets whose files hold none.
REDSHIFTS: dict[str, float] = {"muse-a478": 0.0858, "legac": 0.669, "NGC2691": 0.0133}


@dataclass(frozen=True)
class RealSpectra:
    """Real spectra as far as they are on this machine; what is missing is reported and left out.

    Parameters
    ----------
    folder : Path, optional
        Folder of the files that cannot be fetched: ``sami/GALAXY_CUBE_sectors_ARM.fits.gz``,
        ``sdss/spec-PLATE-MJD-FIBRE.fits``, ``udf/udf10_NUMBER.fits`` with ``udf/platefit-results-selected.fits``, and
        ``NGC2691.COMB.RSS.fits``.
    log : callable
        Called with a line of text for each data set that is left out.
    """

    folder: Path | None = None
    log: Callable[[str], None] = lambda _: None

    def fetched_file(self, name: str) -> Path | None:
        """File of a data set in the cache; None if it was not fetched."""
        path = cached(name)
        if path is None:
            self.log(f"{name} left out: run `quietspec fetch {name}` first")
        return path

    def fetched(self, name: str, *, exposures: bool = False) -> Spectra | None:
        """Spectra (or single exposures) of a data set in the cache; None if it was not fetched."""
        path = self.fetched_file(name)
        return None if path is None else read(path, redshift=REDSHIFTS.get(name), exposures=exposures)

    def sami_files(self, cube: str) -> list[Path] | None:
        """Files of the blue and the red arm of a SAMI cube such as ``56140_B``; None if they are not in the folder."""
        return self._files(f"SAMI {cube}", [f"sami/{cube}_sectors_{arm}.fits.gz" for arm in ("blue", "red")])

    def sami(self, cube: str) -> Spectra | None:
        """Spectra of a SAMI cube such as ``56140_B``, both arms; None if they are not in the folder."""
        files = self.sami_files(cube)
        return None if files is None else read(*files)

    def sdss(self, name: str) -> Spectra | None:
        """Coadd of an SDSS file such as ``spec-0332-52367-0639.fits``; None if it is not in the folder."""
        files = self._files(f"SDSS {name}", [f"sdss/{name}"])
        return None if files is None else read(*files)

    def califa(self) -> Spectra | None:
        """Row-stacked spectra of CALIFA's NGC 2691; None if they are not in the folder."""
        files = self._files("CALIFA NGC2691", ["NGC2691.COMB.RSS.fits"])
        return None if files is None else read(*files, redshift=REDSHIFTS["NGC2691"])

    def udf(self, number: int) -> Spectra | None:
        """Spectrum of a galaxy of MUSE-UDF, ``udf/udf10_NUMBER.fits``, at the redshift published with its lines."""
        files = self._files(f"UDF {number}", [f"udf/udf10_{number:05d}.fits", "udf/platefit-results-selected.fits"])
        if files is None:
            return None
        lines = Table.read(files[1], hdu=1)
        return read(files[0], redshift=float(lines["Z"][lines["ID"] == number][0]))

    def _files(self, name: str, files: list[str]) -> list[Path] | None:
        paths = [] if self.folder is None else [self.folder / file for file in files]
        if paths and all(path.exists() for path in paths):
            return paths
        where = "no folder of real spectra was given" if self.folder is None else f"not in {self.folder}"
        self.log(f"{name} left out: {where}")
        return None


def distinct_bright(spectra: Spectra, least: float) -> Spectra:
    """Select distinct spectra above an S/N: all spaxels of a SAMI bin carry the same spectrum.

    Parameters
    ----------
    spectra : Spectra
        Any spectra.
    least : float
        Median S/N to exceed.

    Returns
    -------
    Spectra
        The first of each set of equal spectra, in the order of the input.
    """
    bright = np.flatnonzero(np.nan_to_num(spectra.snr) > least)
    values = np.where(spectra.good[bright], spectra.flux[bright], 0)
    return spectra[bright[np.sort(np.unique(values, axis=0, return_index=True)[1])]]


def one_per_bin(spectra: Spectra, number: npt.NDArray[np.integer[Any]]) -> Spectra:
    """Keep one spaxel of each bin of a cube whose spaxels carry the spectra of their bins.

    Parameters
    ----------
    spectra : Spectra
        A cube that forms an image.
    number : (n_spectra,) of int
        Bin of each spaxel, from 1; 0 for none.

    Returns
    -------
    Spectra
        The same image, in which only the spaxel nearest to the middle of each bin has data.
    """
    places = np.stack(np.unravel_index(np.arange(len(spectra)), spectra.spatial_shape or (1, len(spectra))), axis=1)
    kept = np.zeros(len(spectra), dtype=bool)
    seen = spectra.good.any(axis=1)
    for one in np.unique(number[(number > 0) & seen]).tolist():
        rows = np.flatnonzero((number == one) & seen)
        kept[rows[np.linalg.norm(places[rows] - places[rows].mean(axis=0), axis=1).argmin()]] = True
    return replace(spectra, ivar=np.where(kept[:, None], spectra.ivar, 0))
