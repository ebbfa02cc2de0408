"""An open file (or the arms of one object) as spectra that are read when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError, SpectraError
from quietspec.io.formats import fits_content
from quietspec.io.reading.arms import Arms
from quietspec.io.reading.bulk import Bulk, Rows
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.hdu import faults_named, require_memory
from quietspec.io.reading.magnitude import in_32_bits, in_one_unit
from quietspec.io.reading.noise import contradicted_errors
from quietspec.io.reading.opened import OpenedFile
from quietspec.io.reading.options import ReadKeywords, ReadOptions
from quietspec.io.reading.tables import TableLayout, table_content
from quietspec.io.reading.text import read_text_table
from quietspec.keywords import shows_keywords
from quietspec.kinds import Medium
from quietspec.medium import contradicted_medium
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    import astropy.units as u
    from astropy.wcs import WCS

__all__ = ["TILE", "SpectraSource", "open_spectra", "read"]

TILE = 512  #: spectra read and computed at once where the caller does not say; some tens of MB
_COPIES = 6  # arrays of one tile, as float64, that are held at once


class SpectraSource:
    """Spectra in one file, or in the arms of one object, read only when asked for.

    Parameters
    ----------
    parts : sequence of Content
        One per arm. Where they overlap, they are joined by inverse variance.
    resources : contextlib.ExitStack
        What to close in the end.
    files : sequence of OpenedFile
        The files of the parts, held open.

    Attributes
    ----------
    survey : str
        Name of the format.
    paths : tuple of Path
        The files, by increasing wavelength.
    wavelength : (n_pixels,)
        Å, strictly increasing.
    medium : {'air', 'vacuum'}
        What they are measured in.
    n_spectra : int
        Number of spectra.
    redshift : (n_spectra,)
        NaN where unknown.
    ebv : (n_spectra,)
        E(B−V) of the Milky Way for which the flux is not corrected, mag; 0 for none.
    fwhm : (n_pixels,) or (n_spectra, n_pixels) or None
        Instrumental FWHM in Å.
    unit : astropy unit
        Of the flux.
    spatial_shape : (ny, nx) or None
        Image the spectra form.
    wcs : astropy.wcs.WCS or None
        Its celestial WCS.
    meta : dict
        ``survey``, ``path``, ``warnings``, ``decisions`` (what was settled, and how), ``units`` (as the file writes
        it), and what the format adds.

    Raises
    ------
    ReadError
        If the parts are not arms of one object.
    """

    def __init__(self, parts: Sequence[Content], resources: ExitStack, files: Sequence[OpenedFile] = ()) -> None:
        self._arms = Arms(parts)
        self._files = {file.path: file for file in files}
        self._resources = resources
        first = self._arms.parts[0]
        self.survey = first.survey
        self.paths = tuple(dict.fromkeys(part.path for part in self._arms.parts))
        self.wavelength: FloatArray = self._arms.wavelength
        self.medium: Medium = first.medium
        self.n_spectra = first.n_spectra
        self.redshift = self._arms.redshift
        self.ebv = self._arms.ebv
        self.fwhm = self._arms.fwhm
        self.unit: u.UnitBase = first.unit
        self.spatial_shape = first.spatial_shape
        self.wcs: WCS | None = first.wcs
        self.meta = self._joint_meta()
        self._checked = False

    def _joint_meta(self) -> dict[str, Any]:
        parts = self._arms.parts
        meta: dict[str, Any] = {}
        for part in reversed(parts):
            meta |= part.meta
        warnings = list(dict.fromkeys(note for part in parts for note in part.warnings))
        if not np.isfinite(self.redshift).all():
            missing = "" if self.n_spectra == 1 else f" for {np.isnan(self.redshift).sum()} spectra"
            warnings.append(f"no redshift{missing}; give it: redshift=Z")
        if self.fwhm is None and not any("fwhm=" in note for note in warnings):
            warnings.append("the instrumental resolution is unknown; give it: fwhm=")
        warnings += self._arms.warnings
        if any(part.noise is None for part in parts):
            warnings.append("the noise is estimated from the residuals of each spectrum")
        paths = [str(path) for path in self.paths]
        return meta | {
            "survey": self.survey,
            "path": paths[0] if len(paths) == 1 else paths,
            "units": parts[0].units,
            "warnings": warnings,
            "decisions": list(dict.fromkeys(decision for part in parts for decision in part.decisions)),
        }

    def __len__(self) -> int:
        return self.n_spectra

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what was read stays."""
        self._resources.close()

    def hash_inputs(self) -> None:
        """Record the SHA-256 of each file in ``meta["sha256"]``; a `ReadError` if one changed since it was opened."""
        self.meta["sha256"] = tuple(self._files[path].sha256() for path in self.paths if path in self._files)

    def require_unchanged(self) -> None:
        """Raise `ReadError` if a file was written to since it was opened."""
        for file in self._files.values():
            file.require_unchanged()

    def read(self, rows: slice | npt.ArrayLike | None = None) -> Spectra:
        """Read spectra.

        Parameters
        ----------
        rows : slice or array of int or bool, optional
            Which; all by default, as an image where they form one.

        Returns
        -------
        Spectra
            Its ``meta["warnings"]`` also says what was masked, and why.

        Raises
        ------
        ReadError
            If the file changed, or all spectra were asked for and none has a usable pixel.
        """
        whole = rows is None
        index = np.arange(self.n_spectra)
        if isinstance(rows, slice):
            index = index[rows]
        elif rows is not None:
            index = np.atleast_1d(index[np.asarray(rows)])
        shape = (len(index), len(self.wavelength))
        flux, ivar = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        counts: Counter[str] = Counter()
        for start in range(0, len(index), TILE):
            tile = slice(start, start + TILE)
            some_flux, some_ivar, some_counts = self._rows(index[tile])
            if some_ivar.dtype != ivar.dtype and ivar.dtype == np.float32:
                flux, ivar = flux.astype(np.float64), ivar.astype(np.float64)
            flux[tile], ivar[tile] = some_flux, some_ivar
            counts += some_counts
        if whole and not (ivar > 0).any():
            raise self._unusable(counts)
        self.require_unchanged()
        if whole:
            self.hash_inputs()
        image = {"spatial_shape": self.spatial_shape, "wcs": self.wcs} if whole else {}
        return self._spectra(index, flux, ivar, counts, **image)

    def tiles(self, n: int = TILE) -> Iterator[Spectra]:
        """Read all spectra, some at a time.

        Parameters
        ----------
        n : int
            About how many at a time; whole lines of an image.

        Yields
        ------
        Spectra
            In order; without an image shape of their own. ``meta["rows"]`` is the slice they come from.

        Raises
        ------
        ReadError
            After the last, if none had a usable pixel.
        """
        line = self.spatial_shape[1] if self.spatial_shape else 1
        size = max(1, n // line) * line
        usable, counts = False, Counter[str]()
        for start in range(0, self.n_spectra, size):
            index = np.arange(start, min(start + size, self.n_spectra))
            flux, ivar, some = self._rows(index)
            usable = usable or bool((ivar > 0).any())
            counts += some
            yield self._spectra(index, flux, ivar, some, rows=(start, int(index[-1]) + 1))
        self.require_unchanged()
        if not usable:
            raise self._unusable(counts)

    def _rows(self, index: Rows) -> tuple[FloatArray, FloatArray, Counter[str]]:
        with faults_named(", ".join(map(str, self.paths))):
            return self._arms.rows(index)

    def rearrange(self, replaced: Callable[[Path], Callable[[Bulk], Bulk]]) -> None:
        """Read through other bulks, such as copies in which the pixels of a spectrum lie together.

        Parameters
        ----------
        replaced : callable
            For a file, a function from a bulk to the one to read instead, of the same values.
        """
        parts = self._arms.parts
        self._arms = Arms([part.through(replaced(part.path)) for part in parts])

    def masked(self, index: Rows) -> int:
        """Count the pixels of some spectra that the masks of the files mark as bad."""
        with faults_named(", ".join(map(str, self.paths))):
            return self._arms.masked(index)

    def _spectra(self, index: Rows, flux: FloatArray, ivar: FloatArray, counts: Counter[str], **extra: Any) -> Spectra:
        self._check(flux, ivar)
        masked = [f"{number} pixel(s) masked: {reason}" for reason, number in counts.most_common()]
        meta = self.meta | {"warnings": [*self.meta["warnings"], *masked]}
        if "rows" in extra:
            meta["rows"] = slice(*extra.pop("rows"))
        fwhm = self.fwhm if self.fwhm is None or self.fwhm.ndim == 1 else self.fwhm[index]
        try:
            return Spectra(
                wavelength=self.wavelength,
                flux=flux,
                ivar=ivar,
                redshift=self.redshift[index],
                ebv=self.ebv[index],
                medium=self.medium,
                fwhm=fwhm,
                unit=self.unit,
                meta=meta,
                **extra,
            )
        except SpectraError as error:
            raise ReadError(f"{', '.join(map(str, self.paths))}: {error}") from error

    def _check(self, flux: FloatArray, ivar: FloatArray) -> None:
        """Warn, once, where the first spectra contradict the errors or the medium that they are said to have."""
        if self._checked or not (ivar > 0).any():
            return
        self._checked = True
        stated = all(part.noise is not None for part in self._arms.parts)
        errors = contradicted_errors(flux, ivar) if stated else None
        medium = contradicted_medium(self.wavelength, ivar, self.medium)
        found = [errors, None if medium is None else f"{medium}; give it: medium="]
        self.meta["warnings"] += [note for note in found if note]

    def _unusable(self, counts: Counter[str]) -> ReadError:
        why = ", ".join(reason for reason, _ in counts.most_common()) or "all fluxes are NaN or masked"
        return ReadError(
            f"{', '.join(map(str, self.paths))}: no spectrum has a usable pixel ({why}). "
            "Is this the right HDU? flux_hdu=, noise_hdu=, noise_kind= and mask_hdu= name others; no_mask=True."
        )


@shows_keywords(ReadOptions)
def open_spectra(*paths: str | PathLike[str], **options: Unpack[ReadKeywords]) -> SpectraSource:
    """Open a file of spectra, or the arms of one object, without reading the spectra.

    Parameters
    ----------
    *paths : path
        SAMI, MaNGA (also its DAP), CALIFA, MUSE, KCWI, JWST, SDSS, DESI, LAMOST, WEAVE, DEEP2, LEGA-C (ESO Phase 3),
        PypeIt, nGIST, IRAF or any other FITS file, a text table (ECSV, CSV, IPAC, columns of numbers), or a file that
        quietspec wrote. Several are joined along the wavelength.
    **options
        Fields of `ReadOptions`: what the file does not say, or says wrongly.

    Returns
    -------
    SpectraSource
        To be closed, or used as a context manager.

    Raises
    ------
    ReadError
        If a file is damaged or something cannot be settled; the message names the option that would.

    Examples
    --------
    >>> import quietspec
    >>> with quietspec.open_spectra(quietspec.demo_cube()) as source:
    ...     source.n_spectra, source.read(slice(0, 3)).flux.shape
    (400, (3, 2757))
    """
    if not paths:
        raise ReadError("no file given.")
    settled = ReadOptions(**options)
    resources = ExitStack()
    try:
        files = [resources.enter_context(OpenedFile(Path(path))) for path in paths]
        parts: list[Content] = []
        for file in files:
            with faults_named(str(file.path)):
                parts += _content(file, settled, resources)
        with faults_named(", ".join(map(str, paths))):
            return SpectraSource(in_32_bits(in_one_unit(parts)), resources, files)
    except BaseException:
        resources.close()
        raise


def _content(opened: OpenedFile, options: ReadOptions, resources: ExitStack) -> tuple[Content, ...]:
    if not opened.is_fits():
        return (table_content(read_text_table(opened.path, opened.file), options, TableLayout()),)
    file = FitsFile(opened, max_memory=options.max_memory, ignore_checksum=options.ignore_checksum)
    contents = fits_content(resources.enter_context(file), options)
    for content in contents:
        n_spectra, n_pixels = content.flux.shape
        line = content.spatial_shape[1] if content.spatial_shape else 1
        tile = min(n_spectra, max(TILE, line))
        require_memory(_COPIES * 8.0 * tile * n_pixels, options.max_memory, str(opened.path))
    return tuple(replace(content, warnings=(*content.warnings, *file.notes)) for content in contents)


@shows_keywords(ReadOptions)
def read(*paths: str | PathLike[str], **options: Unpack[ReadKeywords]) -> Spectra:
    """Read all spectra of a file, or of the arms of one object.

    Parameters
    ----------
    *paths : path
        As for `open_spectra`.
    **options
        Fields of `ReadOptions`: what the file does not say, or says wrongly.

    Returns
    -------
    Spectra
        On the file's own pixels.

    Raises
    ------
    ReadError
        If a file is damaged, something cannot be settled, or no pixel is usable.

    Examples
    --------
    >>> import quietspec
    >>> quietspec.read(quietspec.demo_cube(), redshift=0.0301)
    <Spectra: 400 spectra (20 × 20), 2757 pixels, 3710–6998 Å in vacuum, z 0.0301, median S/N 5.3, FITS>
    """
    with open_spectra(*paths, **options) as source:
        return source.read()
