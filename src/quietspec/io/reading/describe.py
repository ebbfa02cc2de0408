"""What the readers see in a file, for people: the facts behind ``quietspec info``."""

from __future__ import annotations

from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.io.reading.bulk import Rows
from quietspec.io.reading.source import SpectraSource

__all__ = ["describe"]

_SAMPLE_VALUES = 2**24  # float32 fluxes: 64 MB
_GAP, _GAP_STEPS = 10.0, 20  #: what counts as a gap in the wavelengths: Å, and pixels
_PERCENTILES = (5, 16, 50, 84, 95)


def describe(source: SpectraSource) -> dict[str, Any]:
    """Summarise an open source.

    Parameters
    ----------
    source : SpectraSource
        What is open.

    Returns
    -------
    dict
        Plain values (JSON can hold them): ``survey``, ``paths``, ``object``, ``n_spectra``, ``n_pixels``,
        ``spatial_shape``, ``wavelength`` (range, sampling, gaps, in Å), ``medium``, ``fwhm`` (range, Å), ``unit``,
        ``redshift`` (range, number unknown), ``ebv`` (range, mag), ``snr`` (percentiles per pixel over the spectra
        that are not empty), ``fraction_masked`` (of the pixels of these), ``empty_spectra``, ``sampled_spectra`` (how
        many the last three rest on), ``distinct_spectra`` (of a binned cube; None otherwise), ``decisions`` (pairs:
        what was settled, such as ``"medium"``, and how it is known) and ``warnings``.
    """
    rows = _sample(source)
    spectra = source.read(rows)
    filled = spectra.good.any(axis=1)
    snr = spectra.snr[filled]
    percentiles = np.percentile(snr, _PERCENTILES) if snr.size else np.full(len(_PERCENTILES), np.nan)
    warnings = list(spectra.meta["warnings"])
    if not filled.any():
        warnings.append("none of the spectra looked at has a usable pixel")
    return {
        "survey": source.survey,
        "paths": [str(path) for path in source.paths],
        "object": source.meta.get("object") or None,
        "n_spectra": source.n_spectra,
        "n_pixels": len(source.wavelength),
        "spatial_shape": None if source.spatial_shape is None else list(source.spatial_shape),
        "wavelength": _wavelengths(source.wavelength),
        "medium": source.medium,
        "fwhm": None if source.fwhm is None else _range(source.fwhm),
        "unit": str(source.unit),
        "redshift": {**_range(source.redshift), "unknown": int(np.isnan(source.redshift).sum())},
        "ebv": _range(source.ebv),
        "snr": {str(p): _number(value) for p, value in zip(_PERCENTILES, percentiles, strict=True)},
        "fraction_masked": _number(1 - spectra.good[filled].mean()) if filled.any() else 1.0,
        "empty_spectra": int(np.sum(~filled)),
        "sampled_spectra": len(rows),
        "distinct_spectra": source.meta.get("distinct_spectra"),
        "decisions": [[what, how] for what, how in _decisions(source, rows)],
        "warnings": warnings,
    }


def _decisions(source: SpectraSource, rows: Rows) -> list[tuple[str, str]]:
    """What the reader settled, with how many pixels the file's mask takes away."""
    total, masked = len(rows) * len(source.wavelength), source.masked(rows)
    counted = f" ({masked} of {total} pixels looked at)"
    return [(what, how + (counted if what == "mask" and masked else "")) for what, how in source.meta["decisions"]]


def _sample(source: SpectraSource) -> Rows:
    """Numbers of evenly spread spectra (whole lines of an image), at most some tens of millions of values."""
    line = source.spatial_shape[1] if source.spatial_shape else 1
    n_lines = source.n_spectra // line
    most = max(1, _SAMPLE_VALUES // (line * len(source.wavelength)))
    lines = np.unique(np.linspace(0, n_lines - 1, min(most, n_lines)).round().astype(int))
    return np.asarray((lines[:, None] * line + np.arange(line)).ravel())


def _wavelengths(wavelength: FloatArray) -> dict[str, Any]:
    steps = np.diff(wavelength)
    gaps = np.flatnonzero(steps > max(_GAP_STEPS * float(np.median(steps)), _GAP))
    return {
        "low": float(wavelength[0]),
        "high": float(wavelength[-1]),
        "step": float(np.median(steps)),
        "sampling": _sampling(wavelength, np.delete(steps, gaps)),
        "gaps": [[float(wavelength[i]), float(wavelength[i + 1])] for i in gaps],
    }


def _sampling(wavelength: FloatArray, steps: FloatArray) -> str:
    if np.ptp(steps) < 1e-2 * np.median(steps):
        return "linear"
    ratios = np.diff(np.log(wavelength))
    return "logarithmic" if np.ptp(ratios) < 1e-2 * np.median(ratios) else "irregular"


def _range(values: FloatArray) -> dict[str, float | None]:
    finite = values[np.isfinite(values)]
    return {"low": _number(finite.min()), "high": _number(finite.max())} if finite.size else {"low": None, "high": None}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
