"""The spectra of a file as a page shows them: input, estimate with its error, and what is masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray, IntArray
from quietspec.errors import QuietspecError, ViewError
from quietspec.hashing import file_sha256
from quietspec.io import SpectraSource, open_spectra
from quietspec.io.reading.bulk import Bulk, CubeBulk, Rows, StackBulk
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.hdu import Hdu
from quietspec.spectra import Spectra
from quietspec.view.columns import Columns, rearrange

__all__ = ["OpenedSpectra", "ShownSpectra"]


@dataclass(frozen=True)
class ShownSpectra:
    """Some spectra; what the file does not have is None.

    Parameters
    ----------
    flux, sigma : (n, n_pixels), optional
        Estimate and its 1σ error, NaN where there is none.
    input : (n, n_pixels), optional
        What was observed, NaN where masked.
    input_sigma : (n, n_pixels), optional
        Its quoted error.
    mask : (n, n_pixels) of uint8, optional
        Bits of the HDU MASK.
    """

    flux: FloatArray | None = None
    sigma: FloatArray | None = None
    input: FloatArray | None = None
    input_sigma: FloatArray | None = None
    mask: IntArray | None = None


class OpenedSpectra:
    """Spectra of an open file.

    Parameters
    ----------
    path : Path
        The file.
    file : FitsFile, optional
        The same, where it is FITS.
    denoised : bool
        Whether quietspec denoised it.
    inputs : sequence of path
        Files that were denoised, where they are not those that the file names.
    **options
        Fields of `quietspec.io.ReadOptions`, for spectra that were not denoised.

    Attributes
    ----------
    source : SpectraSource
        Axes, redshifts and units.
    columns : list of Columns
        Cubes that are read through copies, in the order in which they should be made.
    input_from : str
        Where the input comes from, or why there is none; in words.

    Raises
    ------
    ReadError
        If the file cannot be read.
    """

    def __init__(
        self, path: Path, file: FitsFile | None, *, denoised: bool, inputs: Sequence[Path] = (), **options: Any
    ) -> None:
        self.denoised = denoised
        self.columns: list[Columns] = []
        self._lock = RLock()
        self._input: SpectraSource | None = None
        self._data: Callable[[Rows], Spectra] | None = None
        self._originals: list[list[Path]] = []
        self._sha256 = ""
        self._no_data: str | None = None
        self._mask: Bulk | None = None
        self._residual: Bulk | None = None
        self._options = options
        self.source = self._opened(path, **({} if denoised else options))
        self.input_from = "the file"
        if denoised and file is not None:
            self._note_originals(path, file, list(inputs))
            self._open_beside(file)

    def _opened(self, *paths: Path, **options: Any) -> SpectraSource:
        source = open_spectra(*paths, **(options | {"ignore_checksum": True}))
        source.rearrange(lambda path: rearrange(path, self._lock, self.columns))
        return source

    def _note_originals(self, path: Path, file: FitsFile, given: list[Path]) -> None:
        """Note where the files that were denoised may lie: as given, where they were, or beside the output."""
        named = [Path(str(file.primary[key])) for key in ("QSINPUT", "QSINPUT2", "QSINPUT3") if key in file.primary]
        self._originals = [given] if given else [named, [path.parent / each.name for each in named]] if named else []
        self._sha256 = "" if given else str(file.primary.get("QSINSHA", ""))

    def _open_beside(self, file: FitsFile) -> None:
        """Open mask and residual, or the original file where there is no residual."""
        through = rearrange(file.path, self._lock, self.columns)
        if "MASK" in file:
            known = next((each for each in self.columns if each.name == "MASK"), None)
            self._mask = known or through(_bulk(file["MASK"], self.source))
        if "RESIDUAL" in file:
            self._residual = through(_bulk(file["RESIDUAL"], self.source))
            self.input_from = "estimate plus RESIDUAL"
            return
        self.input_from = self._open_input()

    def _open_input(self) -> str:
        """Open the files that were denoised; return their names, or why there are none."""
        here = self.source.paths[0].name
        advice = f"Say where it is (quietspec view {here} --input CUBE.fits), or denoise with --residual to keep it."
        if not self._originals:
            return f"The file does not name its input. {advice}"
        for places in self._originals:
            if all(place.is_file() for place in places):
                if self._take_input(places):
                    return ", ".join(place.name for place in places)
                return f"{places[0].name} is not as it was when it was denoised. {advice}"
        return f"The input {self._originals[0][0].name} was not found. {advice}"

    def _take_input(self, places: list[Path]) -> bool:
        """Open the input; whether it can be that of this file."""
        known = len(self.columns)
        with suppress(QuietspecError):
            found = self._opened(*places, **self._options)
            if self.fits(found):
                self._input = found
                return True
            found.close()
        for each in self.columns[known:]:
            each.close()
        del self.columns[known:]
        return False

    def check_input(self) -> None:
        """Give up the input if its file has another SHA-256 than the one that was denoised."""
        if self._input is None or not self._sha256 or file_sha256(self._input.paths[0]) == self._sha256:
            return
        with self._lock:
            name = self._input.paths[0].name
            self._input.close()
            self._input = None
            why = f"{name} has changed since it was denoised, and is not shown."
            self.input_from, self._no_data = (why if self._residual is None else self.input_from), why

    def take_data(self, read: Callable[[Rows], Spectra]) -> None:
        """Take the data that were denoised from elsewhere."""
        self._data = read

    @property
    def no_data(self) -> str:
        """Why `data` gives none, in words; empty where it does."""
        with self._lock:
            if not self.denoised or self._data is not None:
                return ""
            if self._input is None and self._residual is not None and self._no_data is None:
                found = self._open_input()
                self._no_data = "" if self._input is not None else found
            return "" if self._input is not None else self._no_data or self.input_from

    def data(self, rows: Rows) -> Spectra:
        """Read the data that were denoised, with their errors; a `ViewError` where they are not at hand."""
        if reason := self.no_data:
            raise ViewError(reason)
        with self._lock:
            if self._data is not None:
                return self._data(rows)
            return (self._input or self.source).read(rows)

    def fits(self, other: SpectraSource) -> bool:
        """Whether spectra can be those that were denoised: as many, on the same pixels."""
        here = self.source
        same = other.n_spectra == here.n_spectra and len(other.wavelength) == len(here.wavelength)
        return bool(same and np.allclose(other.wavelength, here.wavelength, rtol=1e-7))

    @property
    def has_input(self) -> bool:
        """Whether `read` gives the input."""
        return not self.denoised or self._input is not None or self._residual is not None

    def read(self, rows: npt.ArrayLike) -> ShownSpectra:
        """Read some spectra.

        Parameters
        ----------
        rows : (n,) of int
            Their numbers.

        Returns
        -------
        ShownSpectra
            Of these.

        Raises
        ------
        ReadError
            If the file changed meanwhile.
        """
        index = np.atleast_1d(np.asarray(rows, dtype=np.intp))
        with self._lock:
            flux, sigma = _flux_and_sigma(self.source, index)
            if not self.denoised:
                return ShownSpectra(input=flux, input_sigma=sigma)
            return ShownSpectra(flux=flux, sigma=sigma, **self._beside(index, flux))

    def _beside(self, index: Rows, flux: FloatArray) -> Mapping[str, Any]:
        mask = None if self._mask is None else np.asarray(self._mask.rows(index), dtype=np.uint8)
        if self._residual is not None:
            return {"mask": mask, "input": (flux + self._residual.rows(index)).astype(np.float32)}
        if self._input is not None:
            given, sigma = _flux_and_sigma(self._input, index)
            return {"mask": mask, "input": given, "input_sigma": sigma}
        return {"mask": mask}

    def light(self, n_planes: int) -> FloatArray | None:
        """Mean flux of each spaxel over some wavelengths, (n_spectra,); None where it would take reading them all."""
        if not self.columns or len(self.source.paths) > 1:
            return None
        flux = self.columns[0]
        numbers = np.unique(np.linspace(0, flux.shape[1] - 1, min(n_planes, flux.shape[1])).round().astype(int))
        planes = np.concatenate([flux.planes(slice(number, number + 1)) for number in numbers.tolist()])
        good = np.isfinite(planes) & (planes != 0)
        count = good.sum(axis=0)
        total = np.sum(planes, axis=0, where=good, dtype=np.float64)
        return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))

    def close(self) -> None:
        """Close the files and remove the copies."""
        for source in filter(None, (self.source, self._input)):
            source.close()
        for each in self.columns:
            each.close()


def _bulk(hdu: Hdu, source: SpectraSource) -> Bulk:
    """Values of FLUX and the like, by spectrum."""
    if source.spatial_shape is not None:
        return CubeBulk(hdu, hdu.where)
    return StackBulk(hdu, hdu.where)


def _flux_and_sigma(source: SpectraSource, index: Rows) -> tuple[FloatArray, FloatArray]:
    spectra = source.read(index)
    good = spectra.good
    return np.where(good, spectra.flux, np.nan), np.where(good, spectra.sigma, np.nan)
