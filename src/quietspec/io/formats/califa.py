"""CALIFA cubes and row-stacked spectra (Sánchez et al. 2016, A&A 594, A36)."""

from __future__ import annotations

from quietspec.instruments import califa_fwhm
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions

__all__ = ["content", "matches"]


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
        fwhm=califa_fwhm,
        meta={"object": str(header.get("OBJECT", header.get("CALIFAID", ""))).strip()},
    )
    return image_content(file, options, layout)
