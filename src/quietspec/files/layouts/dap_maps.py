"""Map extensions as the MaNGA DAP writes them: a measurement, its inverse variance and its mask, tied by keywords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.arrays import FloatArray, IntArray
from quietspec.files.layouts.sky import map_header

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["Channels", "DapBit", "MapMaker", "masked"]

_MASK_NAME = "MANGA_DAPPIXMASK"


class DapBit(IntFlag):
    """Bits of MANGA_DAPPIXMASK that measurements of ours may set."""

    NOVALUE = 1 << 4  #: not measured
    UNRELIABLE = 1 << 5  #: POOR_FIT or DOUBTFUL
    FITFAILED = 1 << 7  #: FAILED
    NEARBOUND = 1 << 8  #: AT_LIMIT
    DONOTUSE = 1 << 30  #: beside any of the above but UNRELIABLE


@dataclass(frozen=True)
class Channels:
    """Names of the images that are stacked in an extension, and their units where these differ.

    Parameters
    ----------
    names : tuple of str
        Names, for the keywords C1, C2 and so on.
    units : tuple of str, optional
        Units, for the keywords U1, U2 and so on.
    """

    names: tuple[str, ...]
    units: tuple[str, ...] = ()

    def cards(self, *, inverse: bool = False) -> list[tuple[str, str, str]]:
        """Keyword, value and comment of each name and unit; `inverse` for units of an inverse variance."""
        width = len(str(len(self.names)))
        cards = []
        for number, name in enumerate(self.names, start=1):
            cards.append((f"C{number:0{width}}", name, f"Data in channel {number}"))
            if self.units:
                unit = _inverse(self.units[number - 1]) if inverse else self.units[number - 1]
                cards.append((f"U{number:0{width}}", unit, f"Units of data in channel {number}"))
        return cards


def _inverse(unit: str) -> str:
    return f"({unit})^{{-2}}" if unit else ""


def masked(value: FloatArray, error: FloatArray, mask: IntArray) -> IntArray:
    """Mark, in a copy of a mask, what was not measured.

    Parameters
    ----------
    value, error : (n_spectra,)
        A quantity and its 1σ error.
    mask : (n_spectra,) of int
        Bits of `DapBit` that hold for the whole spectrum.

    Returns
    -------
    (n_spectra,) of int
        NOVALUE and DONOTUSE added where a number is missing.
    """
    missing = ~(np.isfinite(value) & np.isfinite(error) & (error > 0)) & (mask & DapBit.DONOTUSE == 0)
    return np.where(missing, mask | int(DapBit.NOVALUE | DapBit.DONOTUSE), mask)


class MapMaker:
    """Collects extensions whose images all have one shape and WCS.

    Parameters
    ----------
    shape : (ny, nx)
        Shape of the images.
    wcs : astropy.wcs.WCS or None
        Their celestial WCS.

    Attributes
    ----------
    hdus : list of astropy.io.fits.ImageHDU
        The extensions, in the order in which they were added.
    """

    def __init__(self, shape: tuple[int, int], wcs: WCS | None) -> None:
        self._shape, self._wcs = shape, wcs
        self.hdus: list[fits.ImageHDU] = []

    def add(
        self, name: str, data: npt.NDArray[np.generic], unit: str = "", channels: Channels | None = None
    ) -> fits.Header:
        """Add an extension that has no error.

        Parameters
        ----------
        name : str
            EXTNAME.
        data : (n_spectra,) or (n_channels, n_spectra)
            Values; floats are written in single precision, integers with 32 bits.
        unit : str
            BUNIT.
        channels : Channels, optional
            Names of the channels, where there are several.

        Returns
        -------
        astropy.io.fits.Header
            Its header, to which keywords may be added.
        """
        cards = [*(channels.cards() if channels else ()), ("HDUCLAS2", "DATA", "")]
        return self._append(name, data, unit, channels, cards)

    def add_measured(
        self,
        name: str,
        values: Sequence[tuple[FloatArray, FloatArray]],
        mask: IntArray,
        unit: str = "",
        channels: Channels | None = None,
    ) -> fits.Header:
        """Add a measurement as three extensions: NAME, NAME_IVAR, NAME_MASK.

        Parameters
        ----------
        name : str
            EXTNAME of the first.
        values : sequence of ((n_spectra,), (n_spectra,))
            Value and 1σ error of each channel; NaN where there is none.
        mask : (n_spectra,) of int
            Bits of `DapBit` that hold for the whole spectrum.
        unit : str
            BUNIT of the first.
        channels : Channels, optional
            Names of the channels; without, there is one image.

        Returns
        -------
        astropy.io.fits.Header
            Header of the first.
        """
        masks = np.array([masked(value, error, mask) for value, error in values])
        usable = masks & int(DapBit.DONOTUSE) == 0
        data, errors = (np.array(each, dtype=np.float64) for each in zip(*values, strict=True))
        ivar = np.divide(1.0, errors**2, out=np.zeros_like(errors), where=usable)
        data = np.where(usable, data, np.nan)
        if channels is None:
            data, ivar, masks = data[0], ivar[0], masks[0]
        named, squared = (channels.cards(inverse=power) if channels else [] for power in (False, True))
        plain = Channels(channels.names).cards() if channels else []
        first = self._append(name, data, unit, channels, [
            *named, ("HDUCLAS2", "DATA", ""), ("ERRDATA", f"{name}_IVAR", "Associated inv. variance extension"),
            ("QUALDATA", f"{name}_MASK", "Associated quality extension"),
        ])  # fmt: skip
        self._append(f"{name}_IVAR", ivar, _inverse(unit), channels, [
            *squared, ("HDUCLAS2", "ERROR", ""), ("HDUCLAS3", "INVMSE", "Value is inverse mean-square error"),
            ("SCIDATA", name, "Associated data extension"),
            ("QUALDATA", f"{name}_MASK", "Associated quality extension"),
        ])  # fmt: skip
        self._append(f"{name}_MASK", masks, "", channels, [
            *plain, ("HDUCLAS2", "QUALITY", ""), ("HDUCLAS3", "FLAG32BIT", "32-bit mask"),
            ("SCIDATA", name, "Associated data extension"),
            ("ERRDATA", f"{name}_IVAR", "Associated inv. variance extension"),
        ])  # fmt: skip
        return first

    def _append(
        self,
        name: str,
        data: npt.NDArray[np.generic],
        unit: str,
        channels: Channels | None,
        cards: Sequence[tuple[str, str, str]],
    ) -> fits.Header:
        stacked = channels is not None
        shape = (len(data), *self._shape) if stacked else self._shape
        dtype = np.float32 if data.dtype.kind == "f" else np.int32
        hdu = fits.ImageHDU(data.astype(dtype).reshape(shape), map_header(self._wcs, channels=stacked), name=name)
        header = hdu.header
        header["MASKNAME"] = (_MASK_NAME, "Bits of the mask extensions")
        if unit:
            header["BUNIT"] = (unit, "Unit of pixel value")
        header["HDUCLASS"] = ("SDSS", "SDSS format class")
        header["HDUCLAS1"] = ("CUBE" if stacked else "IMAGE", "Data format")
        for keyword, value, comment in cards:
            header[keyword] = (value, comment)
        self.hdus.append(hdu)
        return header
