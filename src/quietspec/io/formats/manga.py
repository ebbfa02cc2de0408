"""MaNGA: LOGCUBE and LOGRSS files, and stacks of spectra with SRES and Z (Law et al. 2016, AJ 152, 83)."""

from __future__ import annotations

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.extinction import SFD_SCALE, scaled_ebv
from quietspec.instruments import MANGA_BAD_BITS
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.wavelengths import FWHM_PER_SIGMA

__all__ = ["content", "matches"]

_KEYWORDS = ("VERSDRP3", "DRPVER", "MANGAID", "PLATEIFU")


def matches(file: FitsFile) -> bool:
    """Whether this is a MaNGA product, by its HDU names and a keyword of the survey's pipeline."""
    if not {"FLUX", "IVAR", "WAVE"} <= set(file.names):
        return False
    headers = (file.primary, file["FLUX"].header)
    return any(key in header for header in headers for key in _KEYWORDS) or any(
        "MANGA" in str(header.get("INSTRUME", "")).upper() for header in headers
    )


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of a cube or a stack of spectra."""
    wavelength = file["WAVE"].numbers().ravel()
    fwhm, warning = _fwhm(file, wavelength)
    layout = Layout(
        survey="MaNGA",
        flux="FLUX",
        noise="IVAR",
        noise_kind="ivar",
        mask="MASK" if "MASK" in file else None,
        bad_bits=MANGA_BAD_BITS,
        medium="vacuum",
        unit="1e-17 erg/s/cm^2/Angstrom",
        wavelength=wavelength,
        fwhm=fwhm,
        redshift=file["Z"].numbers() if "Z" in file else None,
        ebv=scaled_ebv(file.primary.get("EBVGAL")),
        ebv_by=f"{SFD_SCALE:g} × EBVGAL",
        warnings=() if warning is None else (warning,),
        meta={"object": str(file.primary.get("PLATEIFU", file.primary.get("MANGAID", ""))).strip()},
    )
    return image_content(file, options, layout)


def _fwhm(file: FitsFile, wavelength: FloatArray) -> tuple[FloatArray | None, str | None]:
    """FWHM in Å: from SRES (each spectrum), SPECRES (the field's median), or the line-spread function at its centre."""
    for name in ("SRES", "SPECRES"):
        if name in file:
            return _from_resolution(file[name].numbers(), wavelength, name)
    for name in ("LSFPOST", "DISP"):  # 1σ in Å, pixel-integrated as templates sampled at pixel centres need
        if name in file and len(file[name].shape) == 3 and 0 not in file[name].shape:
            n_pixels, ny, nx = file[name].shape
            if n_pixels != len(wavelength):
                raise ReadError(f"HDU {name}: {n_pixels} widths for {len(wavelength)} wavelengths.")
            centre = file[name].section[:, max(0, ny // 2 - 1) : ny // 2 + 2, max(0, nx // 2 - 1) : nx // 2 + 2]
            sigma = np.median(centre.reshape(len(wavelength), -1), axis=1)
            return FWHM_PER_SIGMA * sigma.astype(np.float64), None
    return None, "the file says nothing of its resolution; give it: fwhm="


def _from_resolution(resolution: FloatArray, wavelength: FloatArray, name: str) -> tuple[FloatArray | None, str | None]:
    if resolution.shape[-1] != len(wavelength) or resolution.ndim > 2:
        raise ReadError(f"HDU {name}: {resolution.shape} resolutions for {len(wavelength)} wavelengths.")
    bad = ~(np.isfinite(resolution) & (resolution > 0))
    if not bad.any():
        return wavelength / resolution, None
    rows = np.atleast_2d(np.where(bad, np.nan, resolution))
    whole = np.isfinite(rows).all(axis=1)
    if not whole.any():
        return None, f"{name} holds no usable resolution; give it: fwhm="
    rows[~whole] = np.median(rows[whole], axis=0)
    warning = f"{name} is not positive for {int(np.sum(~whole))} of {len(rows)} spectra; the others' median is used"
    return (wavelength / rows).reshape(resolution.shape), warning
