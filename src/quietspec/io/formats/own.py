"""Files that quietspec itself wrote."""

from __future__ import annotations

from typing import Any

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.io.reading.axes import header_medium
from quietspec.io.reading.content import Content
from quietspec.io.reading.conventions import FWHM_NAMES, REDSHIFT_NAMES, WAVELENGTH_NAMES, find_name
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.io.writing.hdus import NO_ESTIMATE

__all__ = ["content", "matches"]


def matches(file: FitsFile) -> bool:
    """Whether quietspec wrote it: denoised or measured (keyword QSVERS), or simulated (QSRECIPE)."""
    return "QSVERS" in file.primary or ("QSRECIPE" in file.primary and {"FLUX", "VAR"} <= set(file.names))


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content: the denoised or simulated spectra with their variance and mask."""
    denoised = "QSVERS" in file.primary
    if not {"FLUX", "VAR"} <= set(file.names):
        raise ReadError(
            f"{file.path}: holds what quietspec measured, no spectra. Give the file that was measured: "
            f"{file.primary.get('QSINPUT', 'unknown')}."
        )
    layout = Layout(
        survey="quietspec" if denoised else str(file.primary.get("SURVEY", "simulated")),
        flux="FLUX",
        noise="VAR",
        noise_kind="variance",
        mask="MASK" if "MASK" in file else None,
        bad_bits=NO_ESTIMATE,
        medium=None if "WAVE" not in file else header_medium(file["WAVE"].header),
        wavelength=_column(file, "WAVE", WAVELENGTH_NAMES),
        fwhm=_column(file, "WAVE", FWHM_NAMES),
        redshift=_column(file, "SPECTRA", REDSHIFT_NAMES),
        ebv=_column(file, "SPECTRA", ("ebv",)),
        ebv_by="column ebv of HDU SPECTRA",
        warnings=("denoised by quietspec: errors of neighbouring pixels are strongly correlated",) if denoised else (),
        meta={"object": str(file.primary.get("OBJECT", "")).strip(), "denoised": denoised},
    )
    return image_content(file, options, layout)


def _column(file: FitsFile, hdu: str, names: tuple[str, ...]) -> FloatArray | None:
    """One column of a table HDU (or a 1-D image, where wavelengths are stored so); None if there is none."""
    if hdu not in file:
        return None
    found: Any = file[hdu]
    if found.is_image:
        return found.numbers() if hdu.lower() in names else None
    name = find_name(found.columns.names, names)
    return None if name is None else found.numbers(name).ravel()
