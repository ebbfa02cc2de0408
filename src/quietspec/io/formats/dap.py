"""The MaNGA data analysis pipeline (DAP): its model LOGCUBE, and MAPS, which hold no spectra (Westfall et al. 2019)."""

from __future__ import annotations

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ReadError
from quietspec.extinction import SFD_SCALE, scaled_ebv
from quietspec.instruments import MANGA_DAP_BAD_BITS
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["content", "matches"]


def matches(file: FitsFile) -> bool:
    """Whether the DAP wrote it, as its keywords, or those of its mask, say."""
    by_primary = any(key in file.primary for key in ("DAPTYPE", "DAPFRMT", "VERSDAP"))
    return by_primary or ("MASK" in file and "DAP" in str(file["MASK"].header.get("MASKNAME", "")).upper())


def content(file: FitsFile, options: ReadOptions) -> Content:
    """Settle the content of a LOGCUBE: the binned spectra that the DAP fitted."""
    header = file.primary
    if options.flux_hdu is None and not {"FLUX", "IVAR", "WAVE"} <= set(file.names):
        raise ReadError(
            f"{file.path}: holds maps that the MaNGA DAP measured ({header.get('DAPTYPE', 'MAPS')}), no spectra. "
            "Give the LOGCUBE of the same galaxy."
        )
    wavelength = file["WAVE"].numbers().ravel()
    bins, warnings = _bins(file)
    velocity = header.get("SCINPVEL")
    layout = Layout(
        survey="MaNGA DAP",
        flux="FLUX",
        noise="IVAR",
        noise_kind="ivar",
        mask="MASK" if "MASK" in file else None,
        bad_bits=MANGA_DAP_BAD_BITS,
        medium="vacuum",
        unit="1e-17 erg/s/cm^2/Angstrom",
        wavelength=wavelength,
        fwhm=_fwhm(file, len(wavelength)),
        redshift=float(velocity) / SPEED_OF_LIGHT if isinstance(velocity, int | float) else None,
        ebv=scaled_ebv(header.get("EBVGAL")) if "REDCORR" in file else None,
        ebv_by=f"{SFD_SCALE:g} × EBVGAL",  # REDCORR holds the factor that would correct the flux
        warnings=warnings,
        meta={"object": str(header.get("PLATEIFU", header.get("MANGAID", ""))).strip(), "distinct_spectra": bins},
    )
    return image_content(file, options, layout)


def _fwhm(file: FitsFile, n_pixels: int) -> FloatArray | None:
    """FWHM (Å) of LSF (1σ in Å) in the middle of the field."""
    if "LSF" not in file or len(file["LSF"].shape) != 3 or file["LSF"].shape[0] != n_pixels:
        return None
    _, ny, nx = file["LSF"].shape
    centre = file["LSF"].section[:, max(0, ny // 2 - 1) : ny // 2 + 2, max(0, nx // 2 - 1) : nx // 2 + 2]
    return np.asarray(FWHM_PER_SIGMA * np.median(centre.reshape(n_pixels, -1), axis=1), dtype=np.float64)


def _bins(file: FitsFile) -> tuple[int | None, tuple[str, ...]]:
    """Number of distinct spectra, where some spaxels share one."""
    if "BINID" not in file:
        return None, ()
    numbers = file["BINID"].numbers()
    first = numbers[0] if numbers.ndim == 3 else numbers  # the first channel is that of the binned spectra
    counted = first[first >= 0]
    distinct = len(np.unique(counted))
    if distinct == counted.size:
        return None, ()
    return distinct, (f"binned product: all spaxels of a bin carry one spectrum; {distinct} are distinct",)
