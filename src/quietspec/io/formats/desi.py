"""DESI: coadded and single spectra in arms B, R and Z that overlap (data model: desidatamodel, ``coadd``, ``spectra``).

Redshifts are those of Redrock: of an HDU of the file, or of the file ``redrock-…`` (``zbest-…`` once) beside it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.extinction import SFD_SCALE, scaled_ebv
from quietspec.instruments import DESI_BAD_BITS
from quietspec.io.reading.content import Content
from quietspec.io.reading.conventions import find_name
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content
from quietspec.io.reading.options import ReadOptions
from quietspec.wavelengths import FWHM_PER_SIGMA

__all__ = ["content", "matches"]

_ARMS = ("B", "R", "Z", "BRZ")
_MOST = 25  # fibres that the typical resolution is taken from
_REDSHIFTS = ("REDSHIFTS", "ZBEST", "ZCATALOG")
_PREFIXES = ("coadd-", "spectra-")
_REDROCK = ("redrock-", "zbest-")


def _arms(file: FitsFile) -> list[str]:
    return [arm for arm in _ARMS if {f"{arm}_WAVELENGTH", f"{arm}_FLUX", f"{arm}_IVAR"} <= set(file.names)]


def matches(file: FitsFile) -> bool:
    """Whether wavelengths, flux and inverse variance of several arms are there, or of one with the table of fibres."""
    arms = _arms(file)
    return len(arms) > 1 or (len(arms) == 1 and "FIBERMAP" in file)


def content(file: FitsFile, options: ReadOptions) -> tuple[Content, ...]:
    """Settle the content of every arm, or of the one whose flux is asked for."""
    arms = _arms(file)
    wanted = str(options.flux_hdu).upper()
    chosen = [arm for arm in arms if wanted == f"{arm}_FLUX" or wanted == str(file.number(file[f"{arm}_FLUX"]))]
    redshift, how = _redshifts(file)
    return tuple(_arm(file, arm, options, redshift, how) for arm in chosen or arms)


def _arm(file: FitsFile, arm: str, options: ReadOptions, redshift: FloatArray | None, how: tuple[str, ...]) -> Content:
    wavelength = file[f"{arm}_WAVELENGTH"].numbers().ravel()
    layout = Layout(
        survey="DESI",
        flux=f"{arm}_FLUX",
        noise=f"{arm}_IVAR",
        noise_kind="ivar",
        mask=f"{arm}_MASK" if f"{arm}_MASK" in file else None,
        bad_bits=DESI_BAD_BITS,
        medium="vacuum",
        unit="1e-17 erg/s/cm^2/Angstrom",
        wavelength=wavelength,
        fwhm=_fwhm(file, arm, wavelength),
        redshift=redshift,
        ebv=_ebv(file),
        ebv_by=f"{SFD_SCALE:g} × EBV of HDU FIBERMAP",
        warnings=how,
        meta={"targets": tuple(_targets(file))},
    )
    return image_content(file, options, layout)


def _fwhm(file: FitsFile, arm: str, wavelength: FloatArray) -> FloatArray | None:
    """Typical FWHM (Å): second moment of the resolution matrix's bands, the median of some fibres with data."""
    shape = file[f"{arm}_RESOLUTION"].shape if f"{arm}_RESOLUTION" in file else ()
    if len(shape) != 3 or shape[2] != len(wavelength) or 0 in shape:
        return None
    hdu = file[f"{arm}_RESOLUTION"]
    n_fibres, n_bands, _ = hdu.shape
    fibres = np.unique(np.linspace(0, n_fibres - 1, min(n_fibres, _MOST)).astype(int))
    bands = np.stack([np.asarray(hdu.section[fibre], dtype=np.float64) for fibre in fibres])
    offset = (np.arange(n_bands) - n_bands // 2)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = bands.sum(axis=1)
        mean = (bands * offset).sum(axis=1) / total
        variance = (bands * (offset - mean[:, None]) ** 2).sum(axis=1) / total
    known = np.where(np.isfinite(variance) & (variance > 0), variance, np.nan)
    filled = known[np.isfinite(known).any(axis=1)]
    if not len(filled):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that no fibre knows is filled in below
        typical = np.nanmedian(filled, axis=0)
    measured = np.flatnonzero(np.isfinite(typical))
    sigma = np.sqrt(np.interp(np.arange(len(typical)), measured, typical[measured]))
    return np.asarray(FWHM_PER_SIGMA * sigma * np.gradient(wavelength))


def _targets(file: FitsFile) -> list[int]:
    """TARGETID of each spectrum; empty where the file has none."""
    if "FIBERMAP" not in file or "TARGETID" not in file["FIBERMAP"].columns.names:
        return []
    return [int(target) for target in file["FIBERMAP"].data["TARGETID"]]


def _ebv(file: FitsFile) -> FloatArray | None:
    """E(B−V) in front of each target; None where the file has none."""
    if "FIBERMAP" not in file or "EBV" not in file["FIBERMAP"].columns.names:
        return None
    return scaled_ebv(file["FIBERMAP"].numbers("EBV"))


def _redshifts(file: FitsFile) -> tuple[FloatArray | None, tuple[str, ...]]:
    """Redshift of each target, NaN where Redrock has none, and what the user should know."""
    own = next((file[name] for name in _REDSHIFTS if name in file), None)
    if own is not None:
        return _matched(file, own, file.path)
    for path in _beside(file.path):
        with FitsFile(path) as other:
            table = next((other[name] for name in _REDSHIFTS if name in other), None)
            if table is not None:
                return _matched(file, table, path)
    return None, ()


def _beside(path: Path) -> list[Path]:
    """Files of Redrock that belong to this one by their names; what they hold is checked target by target."""
    prefix = next((prefix for prefix in _PREFIXES if path.name.startswith(prefix)), None)
    if prefix is None:
        return []
    return [
        found for redrock in _REDROCK if (found := path.with_name(redrock + path.name.removeprefix(prefix))).is_file()
    ]


def _matched(file: FitsFile, table: Any, path: Path) -> tuple[FloatArray | None, tuple[str, ...]]:
    names = table.columns.names
    target, redshift, warning = (find_name(names, [name]) for name in ("targetid", "z", "zwarn"))
    if target is None or redshift is None or not _targets(file):
        return None, ()
    known = dict(zip(table.data[target].tolist(), table.data[redshift].tolist(), strict=True))
    targets = _targets(file)
    values = np.array([known.get(each, np.nan) for each in targets], dtype=np.float64)
    doubtful = 0
    if warning is not None:
        unsure = dict(zip(table.data[target].tolist(), table.data[warning].tolist(), strict=True))
        doubtful = sum(bool(unsure.get(each, 0)) for each in targets)
    where = "" if path == file.path else f" of {path}"
    notes = [f"redshifts are those of HDU {table.name}{where}, by TARGETID"]
    if doubtful:
        notes.append(f"ZWARN is set for the redshifts of {doubtful} of {len(targets)} spectra")
    return values, tuple(notes)
