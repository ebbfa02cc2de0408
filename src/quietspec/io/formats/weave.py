"""WEAVE L1: spectra of one arm in counts, with the function that calibrates them (Jin et al. 2024, MNRAS 530, 2688)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.io.reading.bulk import Bulk, Rows
from quietspec.io.reading.content import Content
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.images import Layout, image_content, values_beside
from quietspec.io.reading.options import ReadOptions

__all__ = ["content", "matches"]

_ARMS = ("BLUE", "GREEN", "RED")


def _arms(file: FitsFile) -> list[str]:
    return [arm for arm in _ARMS if {f"{arm}_DATA", f"{arm}_IVAR"} <= set(file.names)]


def matches(file: FitsFile) -> bool:
    """Whether an arm's data and inverse variance are there with its sensitivity, or the table of fibres."""
    names = set(file.names)
    return any(f"{arm}_SENSFUNC" in names or "FIBTABLE" in names for arm in _arms(file))


def content(file: FitsFile, options: ReadOptions) -> tuple[Content, ...]:
    """Settle the content of every arm in the file, calibrated, or of the one whose flux is asked for."""
    wanted = str(options.flux_hdu).upper()
    arms = _arms(file)
    chosen = [arm for arm in arms if wanted == f"{arm}_DATA" or wanted == str(file.number(file[f"{arm}_DATA"]))]
    other = options.flux_hdu is not None and not chosen
    return tuple(_arm(file, arm, options, calibrated=not other) for arm in chosen or arms[: 1 if other else None])


def _arm(file: FitsFile, arm: str, options: ReadOptions, *, calibrated: bool) -> Content:
    sensitivity = f"{arm}_SENSFUNC"
    calibrated = calibrated and sensitivity in file
    unit = str(file[sensitivity].header.get("BUNIT", "")).strip() if calibrated else ""
    layout = Layout(
        survey="WEAVE",
        flux=f"{arm}_DATA",
        noise=f"{arm}_IVAR",
        noise_kind="ivar",
        unit=unit or ("erg/s/cm^2/Angstrom" if calibrated else "count"),
        warnings=(f"counts are multiplied by {sensitivity}",) if calibrated else ("the flux is in counts",),
        meta={"object": str(file.primary.get("OBJECT", "")).strip(), "arm": arm},
    )
    if calibrated:  # BUNIT is that of the counts
        options = replace(options, flux_unit=options.flux_unit or layout.unit)
    found = image_content(file, options, layout)
    if not calibrated or found.noise is None:
        return found
    factor = values_beside(file, sensitivity, layout.flux, found.flux)
    return replace(
        found,
        flux=_Calibrated(found.flux, factor, 1),
        noise=_Calibrated(found.noise, factor, {"sigma": 1, "variance": 2, "ivar": -2}[found.noise_kind]),
    )


@dataclass(frozen=True)
class _Calibrated:
    """Values times a power of the sensitivity function; 0 where that is not positive."""

    values: Bulk
    sensitivity: Bulk
    power: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spectra and of pixels."""
        return self.values.shape

    def rows(self, index: Rows) -> npt.NDArray[Any]:
        """Return the spectra of these numbers."""
        factor = np.asarray(self.sensitivity.rows(index), dtype=np.float64)
        usable = np.isfinite(factor) & (factor > 0)
        return np.where(usable, self.values.rows(index) * np.where(usable, factor, 1.0) ** self.power, 0.0)
