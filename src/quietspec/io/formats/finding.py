"""What belongs together in a FITS file, by the names that HDUs and columns are usually given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import header_wavelength, spectral_axis
from quietspec.io.reading.columns import listed
from quietspec.io.reading.conventions import (
    FWHM_NAMES,
    REDSHIFT_NAMES,
    RESOLUTION_NAMES,
    find_name,
    find_role,
    is_stranger,
    named,
)
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.grids import Grid, hdu_grid
from quietspec.io.reading.images import Layout
from quietspec.io.reading.known import StatedResolution
from quietspec.io.reading.masks import choose_mask
from quietspec.io.reading.options import ReadOptions
from quietspec.io.reading.squeeze import squeezed
from quietspec.kinds import NoiseKind

__all__ = [
    "DIMENSIONS", "SKY", "flux_image", "flux_images", "has_noise", "has_wavelengths", "image_layout", "label",
    "the_one",
]  # fmt: skip

DIMENSIONS = (1, 2, 3, 4)  #: of images that may hold spectra
SKY = ("RA", "DEC", "GLON", "GLAT", "ELON", "ELAT")  #: how CTYPEs of the sky begin

_HDUCLAS3: dict[str, NoiseKind] = {"MSE": "variance", "RMSE": "sigma", "INVMSE": "ivar"}  # ESO's error types
_DIFFER = 0.1  # of a pixel: wavelengths that differ by more contradict each other


def label(file: FitsFile, hdu: Any) -> str:
    """Number and name of an HDU, with its version where it is not the first."""
    version = f",{hdu.ver}" if hdu.ver > 1 else ""
    return f"{file.number(hdu)} {hdu.name}{version}".rstrip()


def the_one(file: FitsFile, hdus: list[Any]) -> Any:
    """The only HDU of a list, or a `ReadError` that asks which."""
    if len(hdus) == 1:
        return hdus[0]
    could = listed(label(file, hdu) for hdu in hdus)
    raise ReadError(
        f"{file.path}: which HDU holds the flux? It could be {could or 'none'}; the file has {file.summary}. "
        f"Name it: flux_hdu={file.number(hdus[0]) if hdus else 'NAME'}."
    )


def flux_images(file: FitsFile, options: ReadOptions) -> list[Any]:
    """Find the images that are named as flux and have wavelengths."""
    told = (hdu for hdu in file.images(*DIMENSIONS) if 0 not in hdu.shape)
    flux = (hdu for hdu in told if (what := named(hdu.name)) is not None and what.role == "flux")
    return [hdu for hdu in flux if has_wavelengths(file, hdu, options)]


def flux_image(file: FitsFile, options: ReadOptions) -> Any:
    """Find the image that holds the flux.

    Parameters
    ----------
    file : FitsFile
        The file.
    options : ReadOptions
        What the user says.

    Returns
    -------
    HDU or None
        By name, among those with wavelengths the one of most dimensions; otherwise the primary image, or the only one
        that is nothing else. None where there is no image.

    Raises
    ------
    ReadError
        If several could be it.
    """
    images = [hdu for hdu in file.images(*DIMENSIONS) if 0 not in hdu.shape]
    known = [(hdu, what) for hdu in images if (what := named(hdu.name)) is not None and what.role == "flux"]
    with_wavelengths = flux_images(file, options)
    spectral = [(hdu, what) for hdu, what in known if any(hdu is other for other in with_wavelengths)] or known
    if spectral:
        deepest = max(len(hdu.shape) for hdu, _ in spectral)
        deep = [(hdu, len(what.affix), what.preference) for hdu, what in spectral if len(hdu.shape) == deepest]
        best = min(rank for _, *rank in deep)
        return the_one(file, [hdu for hdu, *rank in deep if rank == best])
    if images and images[0] is file.hdus[0]:
        return images[0]
    others = [hdu for hdu in images if named(hdu.name) is None]
    return the_one(file, others) if others else None


def has_wavelengths(file: FitsFile, flux: Any, options: ReadOptions) -> bool:
    """Whether the wavelengths of an image are known: by the user, its header, or something beside it."""
    return options.wave_hdu is not None or _own_axis(file, flux) or _wave_hdu(file, flux) is not None


def _axis(file: FitsFile, flux: Any) -> tuple[int, int]:
    """FITS number of the spectral axis, and its length."""
    image = squeezed(flux)
    header, shape = image.header, image.shape
    axis, n_axes = spectral_axis(header, shape), len(shape)
    if not any(f"{key}{number}" in header for key in ("CTYPE", "CUNIT") for number in range(1, n_axes + 1)):
        lengths = _numbers_of_wavelengths(file)
        like = [number for number in range(1, n_axes + 1) if shape[n_axes - number] in lengths]
        axis = like[0] if len(like) == 1 else axis
    return axis, shape[n_axes - axis]


def _numbers_of_wavelengths(file: FitsFile) -> set[int]:
    """How many wavelengths the images and columns hold that are named so and have one axis."""
    vectors = (hdu for hdu in file.images(1) if (what := named(hdu.name)) is not None and what.role == "wavelength")
    columns = ((hdu, find_role(hdu.columns.names, "wavelength")) for hdu in file.tables())
    return {hdu.shape[0] for hdu in vectors} | {np.size(hdu.data[name]) for hdu, name in columns if name is not None}


def _own_axis(file: FitsFile, flux: Any) -> bool:
    """Whether the header says what the wavelengths are."""
    header, (axis, n_pixels) = flux.header, _axis(file, flux)
    ctype = str(header.get(f"CTYPE{axis}", "")).upper()
    step = header.get(f"CD{axis}_{axis}") or header.get(f"CDELT{axis}")
    return bool(n_pixels > 1 and f"CRVAL{axis}" in header and step) and not ctype.startswith(SKY)


def _wave_hdu(file: FitsFile, flux: Any) -> str | None:
    """What holds the wavelengths beside the flux, as `wave_hdu` names it: an image, else a column of a table."""
    _, n_pixels = _axis(file, flux)
    images = {
        hdu.name: hdu
        for hdu in reversed(file.images(*DIMENSIONS))
        if hdu is not flux and _shape(hdu) in ((n_pixels,), _shape(flux))
    }
    name = find_role(images, "wavelength", _affix(flux))
    what = named(name or "")
    foreign = what is not None and what.affix not in (_affix(flux), frozenset())
    if name is not None and not (foreign and _own_axis(file, flux)):
        return str(file.number(images[name]))
    for hdu in file.tables():
        column = find_role(hdu.columns.names, "wavelength", _affix(flux))
        if column is not None and np.size(hdu.data[column]) == n_pixels:
            return f"{file.number(hdu)}:{column}"
    return None


def _affix(flux: Any) -> frozenset[str]:
    what = named(flux.name)
    return frozenset() if what is None else what.affix


def image_layout(file: FitsFile, flux: Any, options: ReadOptions) -> Layout:
    """Layout of a file, by the names of its HDUs.

    Parameters
    ----------
    file : FitsFile
        The file.
    flux : HDU
        The image that holds the flux.
    options : ReadOptions
        What the user says.

    Returns
    -------
    Layout
        To be completed by what a survey knows.
    """
    noise, kind = _noise(file, flux)
    mask, passed_over = _mask(file, flux, noise, options)
    redshift, redshift_by = _redshift(file)
    return Layout(
        survey="KCWI" if "KCWI" in str(file.primary.get("INSTRUME", "")) else "FITS",
        flux=file.number(flux),
        axis=_axis(file, flux)[0],
        noise=noise,
        noise_kind=kind,
        mask=mask,
        mask_good=None,
        wavelength=_grid(file, flux, options),
        fwhm=_fwhm(file),
        redshift=redshift,
        redshift_by=redshift_by,
        warnings=(*passed_over, *_other_wavelengths(file, flux)),
        meta={"object": str(file.primary.get("OBJECT", file.primary.get("TARGNAME", ""))).strip()},
    )


def has_noise(file: FitsFile, flux: Any) -> bool:
    """Whether an image has its noise beside it."""
    return _noise(file, flux)[0] is not None


def _beside(file: FitsFile, flux: Any) -> dict[str, Any]:
    """The other images by name: those of the flux's version, where it has any."""
    images = [hdu for hdu in file.images(*DIMENSIONS) if hdu is not flux]
    same = [hdu for hdu in images if hdu.ver == flux.ver] or images
    return {hdu.name or str(file.number(hdu)): hdu for hdu in reversed(same)}


def _shape(hdu: Any) -> tuple[int, ...]:
    """Shape of an image without axes of one pixel beyond three."""
    return tuple(squeezed(hdu).shape)


def _noise(file: FitsFile, flux: Any) -> tuple[int | None, NoiseKind | None]:
    """Noise HDU and what it holds: as ERRDATA says, else by name (RED_IVAR for RED_DATA); one spectrum serves all."""
    beside, (_, n_pixels) = _beside(file, flux), _axis(file, flux)
    images = {name: hdu for name, hdu in beside.items() if _shape(hdu) == _shape(flux)}
    if find_role(images, "noise", _affix(flux)) is None:
        images |= {name: hdu for name, hdu in beside.items() if _without_ones(hdu.shape) == (n_pixels,)}
    stated = find_name(images, [str(flux.header.get("ERRDATA", "")).lower()])
    name = stated or find_role(images, "noise", _affix(flux))
    if name is None:
        return None, None
    return file.number(images[name]), _HDUCLAS3.get(images[name].header.get("HDUCLAS3", ""))


def _mask(file: FitsFile, flux: Any, noise: int | None, options: ReadOptions) -> tuple[int | None, list[str]]:
    """Mask HDU that fits the flux (pixel by pixel, spectrum by spectrum, or for all spectra), and those passed over."""
    given = [str(key).partition(":")[0] for key in (options.noise_hdu, options.wave_hdu) if key is not None]
    taken = {noise, *(file.number(file[key]) for key in given)}
    images = {name: hdu for name, hdu in _beside(file, flux).items() if file.number(hdu) not in taken}
    axis, n_pixels = _axis(file, flux)
    across = tuple(size for place, size in enumerate(_shape(flux)) if place != len(_shape(flux)) - axis)
    shapes = [_without_ones(shape) for shape in (_shape(flux), (n_pixels,), across)]
    fits = [name for name, hdu in images.items() if _without_ones(hdu.shape) in shapes]
    chosen, others = choose_mask(images, _affix(flux), fits)
    stated = find_name(fits, [str(flux.header.get("QUALDATA", "")).lower()])
    chosen = stated or chosen
    if options.mask_hdu is not None or options.no_mask:
        return None if chosen is None else file.number(images[chosen]), []
    notes = []
    for name in others:
        hdu = images[name]
        why = f"use it by mask_hdu={file.number(hdu)}" if name in fits else f"its shape {hdu.shape} does not fit"
        if name != chosen:
            notes.append(f"HDU {label(file, hdu)} looks like a mask and is passed over; {why}")
    if chosen is None:
        notes += _perhaps_masks(file, flux, images)
    return None if chosen is None else file.number(images[chosen]), notes


def _perhaps_masks(file: FitsFile, flux: Any, images: dict[str, Any]) -> list[str]:
    """Images of whole numbers, one per pixel, whose names say nothing."""
    if flux.header.get("BITPIX", 8) > 0:
        return []
    return [
        f"HDU {label(file, hdu)} holds a whole number for every pixel and is passed over; if it is a mask, use it by "
        f"mask_hdu={file.number(hdu)}"
        for name, hdu in images.items()
        if named(name) is None
        and not is_stranger(name)
        and _shape(hdu) == _shape(flux)
        and hdu.header.get("BITPIX", -32) > 0
    ]


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _other_wavelengths(file: FitsFile, flux: Any) -> list[str]:
    """Images of wavelengths that do not fit the flux."""
    _, n_pixels = _axis(file, flux)
    return [
        f"HDU {label(file, hdu)} has {hdu.shape[-1]} wavelengths for {n_pixels} pixels and is passed over"
        for name, hdu in _beside(file, flux).items()
        if (what := named(name)) is not None
        and (what.role, what.affix) == ("wavelength", _affix(flux))
        and n_pixels not in hdu.shape
    ]


def _grid(file: FitsFile, flux: Any, options: ReadOptions) -> Callable[[], Grid] | None:
    """What settles wavelengths of an HDU beside the flux; None where its own header has them."""
    axis, _ = _axis(file, flux)
    header, beside = flux.header, _wave_hdu(file, flux)
    tabulated = str(header.get(f"CTYPE{axis}", "")).upper().endswith("-TAB")
    if options.wave_hdu is not None or beside is None or (tabulated and f"PS{axis}_0" in header):
        return None
    if ":" in beside and _own_axis(file, flux) and not tabulated and not _of_wavelengths(file, beside):
        return None  # the table may be about something else

    def settle() -> Grid:
        grid = hdu_grid(file, beside, options, len(_shape(flux)) - axis)
        against = [] if tabulated or not _own_axis(file, flux) else _contradiction(file, flux, grid)
        return replace(grid, warnings=(*grid.warnings, *against))

    return settle


def _of_wavelengths(file: FitsFile, beside: str) -> bool:
    """Whether a table is there for its wavelengths, by its name."""
    what = named(file[int(beside.partition(":")[0])].name)
    return what is not None and what.role == "wavelength"


def _contradiction(file: FitsFile, flux: Any, grid: Grid) -> list[str]:
    """What the header says against wavelengths of an HDU of their own."""
    try:
        theirs, _ = header_wavelength(flux.header, _axis(file, flux)[0], None, "")
    except ReadError:
        return []
    kept = theirs if grid.pixels is None else theirs[grid.pixels]
    apart = float(np.max(np.abs(kept - grid.wavelength)))
    if len(kept) < 2 or apart <= _DIFFER * float(np.median(np.abs(np.diff(grid.wavelength)))):
        return []
    return [f"the wavelengths of {grid.how} differ from the header's by up to {apart:.3g} Å; the former are used"]


def _fwhm(file: FitsFile) -> StatedResolution | None:
    """Resolution in an image of its own."""
    images = _of_dimensions(file, 1, 2)
    fwhm, power = find_name(images, FWHM_NAMES), find_name(images, RESOLUTION_NAMES)
    name = fwhm or power
    if name is None:
        return None
    hdu = images[name]
    what: Literal["fwhm", "resolving power"] = "resolving power" if fwhm is None else "fwhm"
    return StatedResolution(values=hdu.data, what=what, unit=hdu.header.get("BUNIT"), who=f"HDU {label(file, hdu)}")


def _redshift(file: FitsFile) -> tuple[FloatArray | None, str | None]:
    """Redshifts in an image of their own, and which it is."""
    images = _of_dimensions(file, 1)
    name = find_name(images, REDSHIFT_NAMES)
    if name is None:
        return None, None
    return images[name].numbers(), f"HDU {label(file, images[name])}"


def _of_dimensions(file: FitsFile, *dimensions: int) -> dict[str, Any]:
    return {hdu.name: hdu for hdu in reversed(file.images(*dimensions))}
