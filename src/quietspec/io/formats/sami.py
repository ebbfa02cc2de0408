"""SAMI cubes and spectra: one arm per file (Croom et al. 2021, MNRAS 505, 991)."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietspec.instruments import SAMI_FWHM
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions

__all__ = ["content", "matches"]


def matches(file: FitsFile) -> bool:
    """Whether this is a SAMI product: flux in the primary HDU, VARIANCE beside it."""
    return "SAMI" in str(file.primary.get("INSTRUME", "")) and "VARIANCE" in file and bool(file.hdus[0].shape)


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of one arm."""
    fwhm = SAMI_FWHM.get(str(file.primary.get("GRATID", "")).strip())
    warnings = [] if fwhm or options.fwhm else ["the resolution of this grating is not known; give it: fwhm="]
    meta: dict[str, Any] = {
        "object": str(file.primary.get("NAME", "")).strip(),
        "arm": str(file.primary.get("GRATID", "")).strip(),
    }
    bins = _bins(file)
    if bins is not None:
        meta["distinct_spectra"] = bins
        warnings.append(f"binned product: all spaxels of a bin carry one spectrum; {bins} are distinct")
    dust = file["DUST"].header if "DUST" in file else {}
    layout = Layout(
        survey="SAMI",
        flux=0,
        noise="VARIANCE",
        noise_kind="variance",
        medium="air",
        fwhm=fwhm,
        ebv=dust.get("EBVPLNCK"),
        ebv_by="EBVPLNCK of HDU DUST",  # that HDU holds the factor that would correct the flux
        warnings=tuple(warnings),
        meta=meta,
    )
    return image_content(file, options, layout)


def _bins(file: FitsFile) -> int | None:
    """Count the bins of a binned cube; the BIN_MASK of an aperture spectrum is something else."""
    if "BIN_MASK" not in file or len(file.hdus[0].shape) != 3:
        return None
    numbers = np.unique(file["BIN_MASK"].numbers())
    return int(np.sum(numbers > 0))
