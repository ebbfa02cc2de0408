"""MUSE cubes (Weilbacher et al. 2020, A&A 641, A28)."""

from __future__ import annotations

from quietspec.instruments import muse_fwhm
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions

__all__ = ["content", "matches"]


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
        fwhm=muse_fwhm,
        warnings=("STAT leaves out the covariance between pixels that resampling brings: true errors are larger",),
        meta={"object": str(file.primary.get("OBJECT", "")).strip()},
    )
    return image_content(file, options, layout)
