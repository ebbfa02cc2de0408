"""CALIFA cubes and row-stacked spectra (Sánchez et al. 2016, A&A 594, A36)."""

from __future__ import annotations

import numpy as np

from quietspec.io.content import Content
from quietspec.io.fitsfile import FitsFile
from quietspec.io.images import Layout, image_content
from quietspec.io.options import ReadOptions
from quietspec.spectra import FloatArray

__all__ = ["content", "matches"]

_COARSE_STEP = 1.5  #: Å; V500 and COMB have 2 Å a pixel, V1200 has 0.7 Å
_FWHM_V500, _FWHM_V1200 = 6.0, 2.3  #: Å; Sánchez et al. 2016, Table 1


def matches(file: FitsFile) -> bool:
    """Whether flux is in the primary HDU with ERROR and BADPIX beside it, as CALIFA's pipeline writes."""
    return len(file.hdus[0].shape) in (2, 3) and {"ERROR", "BADPIX"} <= set(file.names)


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of a cube or of row-stacked spectra."""
    header = file.primary
    layout = Layout(
        survey="CALIFA",
        flux=0,
        noise="ERROR",
        noise_kind="sigma",
        mask="BADPIX",
        medium="air",
        unit=str(header.get("PIPE UNITS", "1e-16 erg/s/cm^2/Angstrom")),
        fwhm=_fwhm,
        meta={"object": str(header.get("OBJECT", header.get("CALIFAID", ""))).strip()},
    )
    return image_content(file, options, layout)


def _fwhm(wavelength: FloatArray) -> FloatArray:
    coarse = np.median(np.abs(np.diff(wavelength))) > _COARSE_STEP if len(wavelength) > 1 else True
    return np.full(len(wavelength), _FWHM_V500 if coarse else _FWHM_V1200)
