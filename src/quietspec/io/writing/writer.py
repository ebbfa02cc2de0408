"""Write denoised spectra to FITS files, all at once or tile by tile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.arrays import FloatArray
from quietspec.compact import CompactPosterior
from quietspec.denoised import Denoised, ModelId
from quietspec.errors import WriteError
from quietspec.io.posterior import posterior_hdu, resolution_hdu
from quietspec.io.writing import hdus
from quietspec.io.writing.atomic import claim_outputs, os_errors_named, require_fits_name, whole_file
from quietspec.io.writing.hdus import IGNORED, INPUT_MASKED, NO_ESTIMATE, OutputAxes
from quietspec.io.writing.mapped import MappedImages
from quietspec.io.writing.options import WriteOptions
from quietspec.io.writing.provenance import Provenance, input_paths, provenance

if TYPE_CHECKING:
    import astropy.units as u

__all__ = ["DenoisedWriter", "WritableTile", "write"]

_FLOAT32_VARIANCE = (1e-30, 1e30)  # beyond, float32 underflows or overflows
_FLOAT32_FLUX = (1e-30, 1e30)  # typical fluxes that float32 holds, faint pixels included


def write(
    denoised: Denoised,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    command: str | None = None,
    history: Sequence[str] = (),
    residual: bool = False,
) -> None:
    """Write denoised spectra to a FITS file, which appears whole or not at all.

    Parameters
    ----------
    denoised : Denoised
        The result of a denoiser.
    path : path
        The file to write.
    overwrite : bool
        Replace the file if it exists; it stays as it is until the new one is complete.
    command : str, optional
        The command that made it, for the header.
    history : sequence of str
        Lines to add to the header's HISTORY.
    residual : bool
        Write the input minus the estimate as well.

    Raises
    ------
    WriteError
        If the file exists, cannot be written or the disk is full. Nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("savgol").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     quietspec.write(denoised, Path(folder) / "out.fits")
    ...     quietspec.read(Path(folder) / "out.fits").n_spectra
    4
    """
    options = WriteOptions(overwrite=overwrite, command=command, history=history, residual=residual)
    with DenoisedWriter(path, denoised.spectra, **vars(options)) as writer:
        writer.add(denoised, slice(None))


class DenoisedWriter:
    """Write denoised spectra tile by tile, for outputs larger than memory.

    A context manager: the file appears when its block ends, and nothing is left behind if the block raises.

    Parameters
    ----------
    path : path
        The file to write.
    axes : Spectra or SpectraSource
        The whole input, from which the output takes wavelengths, unit, number of spectra, spatial shape and WCS.
    **options
        Fields of `WriteOptions`.

    Raises
    ------
    WriteError
        If the file exists, cannot be written, the disk is full, or a spectrum was not added.
    """

    def __init__(self, path: str | os.PathLike[str], axes: OutputAxes, **options: Any) -> None:
        self._path = Path(path)
        self._axes = axes
        self._options = WriteOptions(**options)
        self._stack = ExitStack()
        self._partial: Path | None = None
        self._provenance: Provenance = {}
        self._found: Provenance = {}
        self._images: MappedImages | None = None
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._compact: list[tuple[npt.NDArray[np.intp], CompactPosterior]] = []
        self._added = np.zeros(axes.n_spectra, dtype=bool)

    def __enter__(self) -> Self:
        inputs = input_paths(self._axes.meta)
        claim_outputs([self._path], inputs)
        require_fits_name(self._path)
        self._partial = self._stack.enter_context(
            whole_file(self._path, overwrite=self._options.overwrite, inputs=inputs)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._stack.__exit__(kind, error, traceback)
            elif self._partial is not None:
                with self._stack:
                    self._finish(self._partial)
        finally:
            if self._images is not None:
                self._images.close()
            self._partial = self._images = None

    @property
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """The values of which each spectrum has one, (n_spectra,) each, by name; undefined where none was added."""
        return self._columns

    def add(self, denoised: Denoised, rows: slice | npt.ArrayLike) -> None:
        """Add the spectra of these row numbers.

        Parameters
        ----------
        denoised : Denoised
            A tile, with the wavelengths and unit of the whole.
        rows : slice or (len(denoised),) of int
            Where its spectra stand in the whole.

        Raises
        ------
        WriteError
            If the tile does not fit the whole, a row was added before, or the disk is full.
        """
        self.put(WritableTile.of(denoised, residual=self._options.residual), rows)

    def put(self, tile: WritableTile, rows: slice | npt.ArrayLike) -> None:
        """Add spectra that were prepared elsewhere.

        Parameters
        ----------
        tile : WritableTile
            The prepared spectra.
        rows : slice or (len(tile),) of int
            Where they stand in the whole.

        Raises
        ------
        WriteError
            As `add`.
        """
        if self._partial is None:
            raise WriteError(f"{self._path}: is not open; use the writer in a with statement.")
        try:
            index = np.arange(self._axes.n_spectra)[rows if isinstance(rows, slice) else np.asarray(rows)]
        except IndexError as error:
            raise WriteError(f"{self._path}: {error}.") from error
        self._require_fitting(tile, index)
        if self._images is None:
            with os_errors_named(self._path):
                self._images = self._lay_out(self._partial, tile)
            n = self._axes.n_spectra
            self._columns = {name: np.empty(n, column.dtype) for name, column in tile.columns.items()}
        ordered = bool(np.all(np.diff(index) == 1))
        where: Any = slice(index[0], index[-1] + 1) if ordered else index  # a slice is written much faster
        for name, values in tile.bulk.items():
            image = self._images.arrays[name]
            rows = self._axes.n_spectra, len(self._axes.wavelength)
            by_spectrum = image.reshape(rows) if self._axes.spatial_shape is None else image.reshape(rows[::-1]).T
            by_spectrum[where] = values
        self._images.release()
        for name, column in tile.columns.items():
            self._columns[name][where] = column
        if tile.compact is not None:
            self._compact.append((index[tile.compact.known], tile.compact[tile.compact.known]))
        self._added[where] = True

    def record(self, facts: Mapping[str, tuple[str, str]]) -> None:
        """Add facts found while denoising, value and comment by keyword, to the PROVENANCE table."""
        self._found.update(facts)

    def _require_fitting(self, tile: WritableTile, index: npt.NDArray[np.intp]) -> None:
        wrong = None
        if not np.array_equal(tile.wavelength, self._axes.wavelength):
            wrong = "the tile has other wavelengths than the whole"
        elif tile.unit != self._axes.unit:
            wrong = f"the tile is in {tile.unit}, the whole in {self._axes.unit}"
        elif index.shape != (len(tile),) or not len(index):
            wrong = f"{len(tile)} spectra for {index.size} rows"
        elif self._added[index].any() or len(np.unique(index)) < len(index):
            wrong = f"a row among {index.min()}-{index.max()} was added before"
        elif self._columns and set(tile.columns) != set(self._columns):
            wrong = "the tile has other parameters than the tiles before"
        if wrong is not None:
            raise WriteError(f"{self._path}: {wrong}.")

    def _lay_out(self, partial: Path, tile: WritableTile) -> MappedImages:
        self._provenance = provenance(tile.model, self._options.command, self._axes.meta)
        history = [*_history(tile.model, self._axes.meta), *self._options.history]
        dtypes: dict[str, npt.DTypeLike] = {"FLUX": _flux_dtype(tile), "VAR": _variance_dtype(tile), "MASK": np.uint8}
        if self._options.residual:
            dtypes["RESIDUAL"] = dtypes["FLUX"]
        headers = {name: hdus.bulk_header(name, dtype, self._axes) for name, dtype in dtypes.items()}
        return MappedImages(partial, hdus.primary_header(self._provenance, history, self._axes), headers, self._path)

    def _finish(self, partial: Path) -> None:
        """Complete the images and add the small HDUs."""
        if self._images is None or not self._added.all():
            missing = np.flatnonzero(~self._added)
            raise WriteError(
                f"{self._path}: {len(missing)} of {len(self._added)} spectra were never added, "
                f"the first of them is number {missing[0]}. Nothing was written."
            )
        self._images.complete()
        self._images.close()
        small = [
            *hdus.spectrum_images(self._columns, self._axes),
            hdus.wave_table(self._axes),
            hdus.spectra_table(self._columns),
            hdus.provenance_table({**self._provenance, **self._found}),
            *self._posterior(),
        ]
        with os_errors_named(self._path), fits.open(partial, mode="append") as file:
            for hdu in small:
                hdu.add_checksum()
                file.append(hdu)

    def _posterior(self) -> list[fits.hdu.base.ExtensionHDU]:
        """HDUs from which the covariances follow."""
        table = posterior_hdu(self._compact)
        fwhm = self._axes.fwhm
        return [] if table is None else [table, *([] if fwhm is None or fwhm.ndim == 1 else resolution_hdu(fwhm))]


@dataclass(frozen=True, eq=False)
class WritableTile:
    """Denoised spectra in the form in which the file holds them.

    Parameters
    ----------
    bulk : mapping of str to (n_spectra, n_pixels)
        FLUX, VAR, MASK, and RESIDUAL if wanted.
    columns : mapping of str to (n_spectra,)
        Values of which each spectrum has one.
    wavelength : (n_pixels,)
        Å.
    unit : astropy unit
        Unit of the flux.
    model : ModelId
        The denoiser.
    compact : CompactPosterior, optional
        What the covariances follow from.
    """

    bulk: Mapping[str, npt.NDArray[Any]]
    columns: Mapping[str, npt.NDArray[Any]]
    wavelength: FloatArray
    unit: u.UnitBase
    model: ModelId
    compact: CompactPosterior | None = None

    def __len__(self) -> int:
        return len(self.bulk["FLUX"])

    @classmethod
    def of(cls, denoised: Denoised, *, residual: bool = False) -> Self:
        """Prepare a tile, with its residual if that is wanted."""
        spectra, bulk = denoised.spectra, _bulk(denoised)
        if residual:
            bulk["RESIDUAL"] = np.where(denoised.valid, denoised.residual, np.nan)
        return cls(bulk, _columns(denoised), spectra.wavelength, spectra.unit, denoised.model, denoised.compact)


def _bulk(denoised: Denoised) -> dict[str, npt.NDArray[Any]]:
    """FLUX, VAR and MASK of a tile, (n_spectra, n_pixels) each."""
    valid = denoised.valid
    mask = np.where(valid, 0, NO_ESTIMATE).astype(np.uint8)
    mask |= np.where(denoised.spectra.good, 0, INPUT_MASKED).astype(np.uint8)
    mask |= np.where(denoised.ignored, IGNORED, 0).astype(np.uint8)
    sigma = np.where(valid, denoised.sigma, np.nan)
    low, high = _FLOAT32_VARIANCE
    known = sigma[valid & (sigma > 0)]
    narrow = known.size and known.min() > low**0.5 and known.max() < high**0.5
    variance = np.square(sigma, dtype=sigma.dtype if narrow else np.float64)
    return {"FLUX": np.where(valid, denoised.flux, np.nan), "VAR": variance, "MASK": mask}


def _flux_dtype(tile: WritableTile) -> type[np.floating[Any]]:
    """Single precision where the typical flux of the first tile fits: always, unless it is a luminosity in erg/s/Å."""
    size = np.abs(tile.bulk["FLUX"])
    known = size[np.isfinite(size) & (size > 0)]
    low, high = _FLOAT32_FLUX
    return np.float32 if not known.size or low < np.median(known) < high else np.float64


def _variance_dtype(tile: WritableTile) -> type[np.floating[Any]]:
    """Single precision where the variances of the first tile fit: always, unless fluxes are in plain erg/s/cm²/Å."""
    variance = tile.bulk["VAR"]
    known = variance[variance > 0]
    low, high = _FLOAT32_VARIANCE
    return np.float32 if known.size and low < known.min() and known.max() < high else np.float64


def _columns(denoised: Denoised) -> dict[str, npt.NDArray[Any]]:
    """Values of which each spectrum has one, (n_spectra,) each."""
    columns: dict[str, Any] = {
        "redshift": denoised.spectra.redshift,
        "ebv": denoised.spectra.ebv,
        "flags": np.asarray(denoised.flags, dtype=np.int32),
        "snr_in": denoised.snr_before,
        "snr_out": denoised.snr,
        "chi2": denoised.chi2,
        "dof": denoised.dof,
        "evidence": denoised.evidence,
        "noise_scale": denoised.noise_scale,
        "p_value": denoised.p_value,
        "redshift_used": denoised.redshift,
    }
    of_cube = {"n_spaxels": denoised.n_spaxels, "of_galaxy": denoised.of_galaxy}
    columns |= {name: column for name, column in of_cube.items() if column is not None}
    for name, (mean, sigma) in denoised.parameters.items():
        columns |= {name: mean, f"{name}_err": sigma}
    return {name: column if name == "flags" else np.asarray(column, np.float64) for name, column in columns.items()}


def _history(model: ModelId, meta: Mapping[str, Any]) -> list[str]:
    return [
        f"Denoised by quietspec {version('quietspec')}, {model}",
        *(f"Input: {warning}" for warning in meta.get("warnings", ())),
    ]
