"""A file that is shown: its maps, its spectra, and what is known about both."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray, IntArray
from quietspec.errors import QuietspecError, ReadError, ViewError
from quietspec.io.posterior import read_resolution
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.opened import OpenedFile
from quietspec.spectra import Spectra
from quietspec.statistics import median_snr
from quietspec.view.opened_spectra import OpenedSpectra
from quietspec.view.quantities import Quantity, image_quantities, table_quantities
from quietspec.view.words import name_of

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Document"]

_LIGHT_PLANES = 48  # wavelengths that make the map of white light
_TILE = 256  # spectra read at once where all are
_KEPT = 400  # maps kept in memory
_QUIET, _LONGEST_WAIT = 0.4, 1.0  # seconds without a question before work goes on in the background; the most it waits


class Document:
    """A denoised file, a file of measurements (MAPS), or spectra of any survey, opened to be looked at.

    Parameters
    ----------
    path : path
        The file.
    inputs : sequence of path
        Files that were denoised, where the file is denoised and they are not those that it names.
    **options
        Fields of `quietspec.io.ReadOptions`, for spectra that quietspec did not write, and for such inputs.

    Attributes
    ----------
    path : Path
        The file.
    kind : {'denoised', 'spectra', 'maps'}
        What it holds.
    shape : (ny, nx) or None
        Image that the spectra form.
    wcs : WCS or None
        Its celestial WCS.
    n_spectra : int
        Number of spectra.
    spectra : OpenedSpectra or None
        The spectra; None in a file of maps.
    file : FitsFile or None
        The file, where it is FITS.

    Raises
    ------
    ReadError
        If the file or the inputs cannot be read, or it holds neither spectra nor maps.

    Examples
    --------
    >>> import quietspec
    >>> document = Document(quietspec.demo_cube())
    >>> document.kind, document.shape, document.spectra.read([210]).input.shape
    ('spectra', (20, 20), (1, 2757))
    >>> document.close()
    """

    def __init__(self, path: str | PathLike[str], inputs: Sequence[str | PathLike[str]] = (), **options: Any) -> None:
        self.path = Path(path)
        self._inputs = [Path(each) for each in inputs]
        self._options = options
        with OpenedFile(self.path) as opened:
            is_fits = opened.is_fits()
        self.file = FitsFile(self.path, ignore_checksum=True) if is_fits else None
        self.spectra: OpenedSpectra | None = None
        self._stop, self._lock = Event(), Lock()
        self._asked = 0.0
        self._cache: dict[tuple[str, bool], FloatArray] = {}
        self._done = 1.0
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self._thread = Thread(target=self._prepare, daemon=True)

    def _open(self) -> None:
        names = set() if self.file is None else set(self.file.names)
        written = self.file is not None and "QSVERS" in self.file.primary
        self.kind = "denoised" if written and {"FLUX", "VAR", "SPECTRA"} <= names else "spectra"
        if written and self.kind != "denoised":
            return self._open_maps()
        try:
            denoised = self.kind == "denoised"
            self.spectra = OpenedSpectra(self.path, self.file, denoised=denoised, inputs=self._inputs, **self._options)
        except ReadError:
            if self.file is None or not self.file.images(2):
                raise
            return self._open_maps()
        if self._inputs and self.kind == "denoised" and (reason := self.spectra.no_data):
            raise ReadError(f"{self.path}: {reason}")
        source = self.spectra.source
        self.n_spectra, self.shape, self.wcs = source.n_spectra, source.spatial_shape, source.wcs
        self.quantities = dict(self._spectral_quantities())
        return None

    def _open_maps(self) -> None:
        from astropy.wcs import WCS

        self.kind, file = "maps", self.file
        if file is None:
            raise ReadError(f"{self.path}: holds neither spectra nor maps.")
        images = [hdu for hdu in file.images(2, 3) if hdu.shape[-2:] != (1, 1)]
        table = "POPULATIONS" if "POPULATIONS" in file else None
        if not images and table is None:
            raise ReadError(f"{self.path}: holds neither spectra nor maps.")
        self.shape, self.wcs = None, None
        if images:
            shape = images[-1].shape[-2:]
            self.shape = (int(shape[0]), int(shape[1]))
            self.n_spectra = int(np.prod(self.shape))
            header = next(hdu.header for hdu in images if hdu.shape[-2:] == self.shape)
            found: WCS = WCS(header).celestial
            self.wcs = found if found.has_celestial else None
            self.quantities = dict(image_quantities(file, self.shape))
        else:
            self.n_spectra = int(file["POPULATIONS"].header["NAXIS2"])
            self.quantities = dict(table_quantities(file["POPULATIONS"]))
        if not self.quantities:
            raise ReadError(f"{self.path}: holds neither spectra nor maps.")

    def _spectral_quantities(self) -> Mapping[str, Quantity]:
        found: dict[str, Quantity] = {"WHITE": Quantity("WHITE", name_of("WHITE"), self._white)}
        if self.kind == "denoised" and self.file is not None:
            of_file = table_quantities(self.file["SPECTRA"])
            if self.shape is not None:
                of_file = image_quantities(self.file, self.shape)
            return found | dict(of_file)
        self._measured = {name: np.full(self.n_spectra, np.nan) for name in ("WHITE", "SNR", "GOOD")}
        self._done = 0.0
        for name in ("SNR", "GOOD"):
            found[name] = Quantity(name, name_of(name), partial(self._measured.__getitem__, name))
        return found

    def _white(self) -> FloatArray:
        spectra = self._with_spectra()
        light = spectra.light(_LIGHT_PLANES)
        if light is not None:
            return light
        if self.kind == "spectra":
            return self._measured["WHITE"]
        rows = np.array_split(np.arange(self.n_spectra), max(1, self.n_spectra // _TILE))
        return np.concatenate([_mean(spectra.read(some).flux) for some in rows])

    @property
    def no_data(self) -> str:
        """Why the data of regions cannot be summed, in words; empty where they can."""
        if self.spectra is None or self.shape is None:
            return f"{self.path.name}: holds no spectra that form an image."
        if self.kind == "spectra" and not np.isfinite(self.spectra.source.redshift).any():
            return "The sum is not denoised, since the redshift is unknown. Give it: --redshift Z."
        if self.kind == "denoised" and (self.file is None or "POSTERIOR" not in self.file):
            return "The file is by a denoiser without a posterior."
        return self.spectra.no_data

    def data(self, rows: npt.NDArray[np.intp]) -> Spectra:
        """Read the data of some spectra, at the redshift and resolution at which they were denoised."""
        spectra = self._with_spectra()
        found = spectra.data(rows)
        if self.kind == "spectra" or self.file is None:
            return found
        if "LSF" in self.file:
            found = replace(found, fwhm=read_resolution(self.file["LSF"], self.file["LSF_OF"], rows))
        return replace(found, redshift=spectra.source.redshift[rows], ebv=spectra.source.ebv[rows])

    def _with_spectra(self) -> OpenedSpectra:
        if self.spectra is None:
            raise ViewError(f"{self.path.name}: holds maps, no spectra.")
        return self.spectra

    # --- what is prepared in the background ---

    def start(self) -> None:
        """Begin to prepare what makes answers fast, in the background."""
        self.asked()
        self._thread.start()

    def asked(self) -> None:
        """Note that somebody waits for an answer now, so that the background work waits a moment."""
        self._asked = time.monotonic()

    def _halted(self) -> bool:
        """Whether to end the work in the background; before that, let questions go first, up to a limit."""
        since = time.monotonic()
        while not self._stop.is_set() and time.monotonic() < min(self._asked + _QUIET, since + _LONGEST_WAIT):
            time.sleep(0.02)
        return self._stop.is_set()

    @property
    def done(self) -> float:
        """Fraction of the maps of spectra of other surveys that is measured; 1 for other files."""
        return self._done

    @property
    def prepared(self) -> bool:
        """Whether all copies are made, and all maps measured."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def _prepare(self) -> None:
        if self.spectra is None:
            return
        try:
            for columns in self.spectra.columns:
                columns.build(self._halted)
            if self.file is not None and not self._halted():
                self.spectra.check_input()
            if self.kind == "spectra":
                self._measure_all()
        except (QuietspecError, OSError, ValueError):  # what asks for the same data says what is wrong with it
            self._done = 1.0

    def _measure_all(self) -> None:
        spectra = self._with_spectra()
        for start in range(0, self.n_spectra, _TILE):
            if self._halted():
                return
            rows = slice(start, min(start + _TILE, self.n_spectra))
            found = spectra.read(np.arange(rows.start, rows.stop))
            if found.input is None or found.input_sigma is None:
                return
            good = np.isfinite(found.input)
            self._measured["WHITE"][rows] = _mean(found.input)
            self._measured["SNR"][rows] = median_snr(found.input, found.input_sigma, good)
            self._measured["GOOD"][rows] = 100 * good.mean(axis=1)
            self._done = rows.stop / self.n_spectra

    # --- maps ---

    def values(self, name: str) -> FloatArray:
        """Values of a quantity, (n_spectra,); a `ViewError` where there is none of this name."""
        return self._cached(name, errors=False)

    def errors(self, name: str) -> FloatArray | None:
        """Their 1σ errors; None where the file has none."""
        return None if self._quantity(name).errors is None else self._cached(name, errors=True)

    def _quantity(self, name: str) -> Quantity:
        if name not in self.quantities:
            raise ViewError(f"{self.path.name}: has no quantity {name!r}.")
        return self.quantities[name]

    def _cached(self, name: str, *, errors: bool) -> FloatArray:
        quantity, key = self._quantity(name), (name, errors)
        read = quantity.errors if errors else quantity.values
        if read is None or self._done < 1:
            return np.asarray(quantity.values(), dtype=np.float64)
        with self._lock:
            if key not in self._cache:
                if len(self._cache) >= _KEPT:
                    self._cache.pop(next(iter(self._cache)))
                kept = np.float64 if name.startswith("REDSHIFT") else np.float32
                with np.errstate(over="ignore"):
                    self._cache[key] = np.asarray(read(), dtype=np.float64).astype(kept)
            return self._cache[key]

    @property
    def flags(self) -> IntArray | None:
        """Bits of the flags, (n_spectra,); None where the file has none."""
        if self.kind == "spectra" or self.file is None:
            return None
        if "FLAGS" in self.file and self.file["FLAGS"].is_image:
            return np.asarray(self.file["FLAGS"].data, dtype=np.int32).ravel()
        table = "POPULATIONS" if "POPULATIONS" in self.file else "SPECTRA"
        if table not in self.file or "flags" not in self.file[table].columns.names:
            return None
        flags = np.asarray(self.file[table].data["flags"], dtype=np.int32)
        return flags if len(flags) == self.n_spectra else None

    def labels(self, row: int) -> list[dict[str, Any]]:
        """All quantities of one spectrum: name, value and error."""
        found = []
        for name in self.quantities:
            if ":" in name:
                continue
            errors = self.errors(name)
            error = None if errors is None else float(errors[row])
            found.append({"name": name, "value": float(self.values(name)[row]), "error": error})
        return found

    def redshift(self, row: int) -> float:
        """Redshift of one spectrum: the one used, else the one given; NaN where unknown."""
        if "REDSHIFT_USED" in self.quantities and np.isfinite(used := float(self.values("REDSHIFT_USED")[row])):
            return used
        return float("nan") if self.spectra is None else float(self.spectra.source.redshift[row])

    def row_at(self, row: Any) -> int:
        """Check the number of a spectrum; a `ViewError` where there is none of this number."""
        if not isinstance(row, int) or not 0 <= row < self.n_spectra:
            raise ViewError(f"{self.path.name}: has no spectrum {row}; there are {self.n_spectra}, counted from 0.")
        return row

    def close(self) -> None:
        """Stop what is going on in the background, and close the file."""
        self._stop.set()
        if getattr(self, "_thread", None) is not None and self._thread.is_alive():
            self._thread.join()
        if self.spectra is not None:
            self.spectra.close()
        if self.file is not None:
            self.file.close()


def _mean(flux: npt.NDArray[Any] | None) -> FloatArray:
    """Mean of the finite values of each spectrum; NaN where there are none."""
    values = np.zeros((0, 1)) if flux is None else flux
    good = np.isfinite(values)
    count = good.sum(axis=1)
    total = np.sum(values, axis=1, where=good, dtype=np.float64)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))
