"""specutils data loaders for what specutils cannot read itself: "quietspec", "MUSE cube" and "CALIFA cube".

specutils looks for no entry points: loaders exist once their module is imported. ``import quietspec.io`` imports this
one where specutils is in use already; otherwise write ``import quietspec.io.loaders``, once and for all in a file in
``~/.specutils``, the folder that specutils imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import StdDevUncertainty
from specutils import Spectrum
from specutils.io.registers import data_loader

from quietspec.errors import ReadError
from quietspec.io.formats import Format, califa, muse, own
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.sky import cube_wcs
from quietspec.io.reading.source import read

__all__ = ["califa_cube", "muse_cube", "own_spectra"]

_EXTENSIONS = ["fits", "fits.gz"]


def _path(source: Any) -> Path:
    """Path of what astropy's registry hands over: a path, an open file, or an HDUList."""
    name = source.filename() if isinstance(source, fits.HDUList) else getattr(source, "name", source)
    if not isinstance(name, str | Path):
        raise ReadError("only files on disk can be read; give a path.")
    return Path(name)


def _is(known: Format, source: Any, dimensions: tuple[int, ...] = (3,)) -> bool:
    with FitsFile(_path(source), ignore_checksum=True) as file:
        return known.matches(file) and bool(file.images(*dimensions))


def _is_own(origin: str, path: Any, source: Any, *_: Any, **__: Any) -> bool:
    return _is(own, path if source is None else source, (1, 2, 3))


def _is_muse(origin: str, path: Any, source: Any, *_: Any, **__: Any) -> bool:
    return _is(muse, path if source is None else source)


def _is_califa(origin: str, path: Any, source: Any, *_: Any, **__: Any) -> bool:
    return _is(califa, path if source is None else source)


@data_loader("quietspec", identifier=_is_own, extensions=_EXTENSIONS, priority=20)  # type: ignore[untyped-decorator]
def own_spectra(file_obj: Any, **options: Any) -> Spectrum:
    """Read what quietspec wrote.

    Parameters
    ----------
    file_obj : path, file or HDUList
        Denoised or simulated spectra.
    **options
        Fields of `quietspec.io.ReadOptions`.

    Returns
    -------
    specutils.Spectrum
        Of shape (n_pixels, ny, nx) for a cube with its 3-D WCS, (ny, nx, n_pixels) where its wavelengths are uneven,
        (n_pixels,) for one spectrum, otherwise (n_spectra, n_pixels); with 1σ uncertainty and mask (True = bad).
    """
    path = _path(file_obj)
    with FitsFile(path, ignore_checksum=True) as file:
        even = str(file["FLUX"].header.get("CTYPE3", "PIXEL")) != "PIXEL"
    if even:
        return _cube(path, "FLUX", options)
    spectra = read(path, **options)  # with wavelengths that no WCS describes, or no cube
    converted = spectra.to_specutils()
    return converted if len(spectra) > 1 else converted[0]


@data_loader("MUSE cube", identifier=_is_muse, extensions=_EXTENSIONS, priority=10)  # type: ignore[untyped-decorator]
def muse_cube(file_obj: Any, **options: Any) -> Spectrum:
    """Read a MUSE cube.

    Parameters
    ----------
    file_obj : path, file or HDUList
        The cube.
    **options
        Fields of `quietspec.io.ReadOptions`.

    Returns
    -------
    specutils.Spectrum
        Of shape (n_pixels, ny, nx), with 1σ uncertainty, mask (True = bad) and the 3-D WCS.
    """
    return _cube(_path(file_obj), "DATA", options)


@data_loader("CALIFA cube", identifier=_is_califa, extensions=_EXTENSIONS, priority=10)  # type: ignore[untyped-decorator]
def califa_cube(file_obj: Any, **options: Any) -> Spectrum:
    """Read a CALIFA cube.

    Parameters
    ----------
    file_obj : path, file or HDUList
        The cube.
    **options
        Fields of `quietspec.io.ReadOptions`.

    Returns
    -------
    specutils.Spectrum
        Of shape (n_pixels, ny, nx), with 1σ uncertainty, mask (True = bad) and the 3-D WCS.
    """
    return _cube(_path(file_obj), 0, options)


def _cube(path: Path, flux_hdu: str | int, options: dict[str, Any]) -> Spectrum:
    spectra = read(path, **options)
    if spectra.spatial_shape is None:
        raise ReadError(f"{path}: is not a cube.")
    with FitsFile(path) as file:
        wcs, header = cube_wcs(file[flux_hdu].header, spectra.medium), file.primary.copy()
    shape = (*spectra.spatial_shape, spectra.n_pixels)
    cube = [np.moveaxis(values.reshape(shape), -1, 0) for values in (spectra.flux, spectra.sigma, ~spectra.good)]
    flux, sigma, mask = cube
    redshift = spectra.redshift[0] if np.isfinite(spectra.redshift[0]) else None
    return Spectrum(
        flux=u.Quantity(flux, spectra.unit),
        wcs=wcs,
        uncertainty=StdDevUncertainty(np.where(mask, 0, sigma), unit=spectra.unit),
        mask=mask,
        redshift=redshift,
        meta={**spectra.meta, "header": header},
    )
