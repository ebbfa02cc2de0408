"""MUSE cubes (Weilbacher et al. 2020, A&A 641, A28)."""

from __future__ import annotations

import numpy as np

from quietspec.io.content import Content
from quietspec.io.fitsfile import FitsFile
from quietspec.io.images import Layout, image_content
from quietspec.io.options import ReadOptions
from quietspec.spectra import FloatArray

__all__ = ["content", "line_spread_fwhm", "matches"]


def matches(file: FitsFile) -> bool:
    """Whether DATA and STAT are there and the instrument is MUSE."""
    if not {"DATA", "STAT"} <= set(file.names):
        return False
    return any("MUSE" in str(header.get("INSTRUME", "")).upper() for header in (file.primary, file["DATA"].header))


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of a cube, or of a spectrum extracted from one."""
    layout = Layout(
        survey="MUSE",
        flux="DATA",
        noise="STAT",
        noise_kind="variance",
        mask="DQ" if "DQ" in file else None,
        fwhm=line_spread_fwhm,
        warnings=("STAT leaves out the covariance between pixels that resampling brings: true errors are larger",),
        meta={"object": str(file.primary.get("OBJECT", "")).strip()},
    )
    return image_content(file, options, layout)


def line_spread_fwhm(wavelength: FloatArray) -> FloatArray:
    """FWHM (Å) of MUSE's line-spread function at wavelengths (Å); Bacon et al. 2017, A&A 608, A1, equation 8."""
    return np.asarray(np.polyval([5.835e-8, -9.080e-4, 5.983], wavelength))
