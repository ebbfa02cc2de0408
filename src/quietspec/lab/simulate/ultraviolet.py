"""The recipe `ultraviolet`: the galaxies of `wide` from 2100 to 7000 Å, as seen at redshifts of 0.45 to 1.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quietspec.lab.simulate.kinematics import log_wavelengths
from quietspec.lab.simulate.wide import WIDE_PRIOR, WideRecipe
from quietspec.wavelengths import air_to_vacuum, in_window

if TYPE_CHECKING:
    from quietspec.lab.simulate.instruments import Instrument
    from quietspec.lab.simulate.survey_prior import SurveyPrior
    from quietspec.templates import SspLibrary

__all__ = ["UltravioletRecipe"]

_LIMITS = (2100.0, 7000.0)  # Å at rest: with Hα, to which gas and broad lines are normalised, and the V band
_VELOCITY_SCALE = 50.0  # km/s
_MARGIN = 0.008
_METALLICITY = (-2.31, 0.41)  # [M/H] of the grid
_VACUUM = (3061.0, 3541.0)  # Å, the section of E-MILES that is published at vacuum wavelengths among air
_REDSHIFTS = (0.45, 1.2)
_INSTRUMENTS = ("DESI", "MUSE", "SDSS", "WEAVE")  # those that look at such redshifts
#: Where each library that does not reach 2100 Å is trusted; elsewhere it has the stars of E-MILES.
_TRUSTED = {"bpass": (3650.0, 7060.0), "mastar": (3650.0, 7060.0), "bc03": (3500.0, 7060.0)}  # Å
#: Libraries between E-MILES and BC03 and beyond E-MILES, by the fraction of the way, since only these two reach the
#: ultraviolet: real galaxies need be like neither.
_BETWEEN = {"between": 0.5, "beyond": -0.25}


class UltravioletRecipe(WideRecipe):
    """Galaxies of several libraries, some with an active nucleus, from the near ultraviolet to Hα.

    Parameters
    ----------
    *given, **options
        As for `WideRecipe`.
    """

    name = "ultraviolet"
    limits: ClassVar[tuple[float, float]] = _LIMITS
    ranges: ClassVar[SurveyPrior] = replace(WIDE_PRIOR, dust_bump=4.0)
    mixed_share: ClassVar[float] = 0.0  # its libraries between and beyond others serve instead
    shares: ClassVar[Mapping[str, float]] = {
        "emiles": 0.36, "bc03-miles": 0.16, "between": 0.14, "beyond": 0.1, "m11-miles": 0.05, "m11-stelib": 0.05,
        "bc03": 0.05, "mastar": 0.05, "bpass": 0.04,
    }  # fmt: skip

    def __init__(self, *given: Any, **options: Any) -> None:
        options.setdefault("instruments", _INSTRUMENTS)
        super().__init__(*given, **options)

    @staticmethod
    def fetched_libraries(names: Sequence[str]) -> dict[str, SspLibrary]:
        """Fetch libraries, and write each as a correction of E-MILES with the young stars of BC03.

        Parameters
        ----------
        names : sequence of str
            Names in `shares`.

        Returns
        -------
        dict of str to SspLibrary
            All on one grid and the same wavelengths.
        """
        from quietspec.io.fetching import fetch
        from quietspec.templates import load_library
        from quietspec.templates.bc03_miles import load_bc03_miles
        from quietspec.templates.blend import between, extended, like

        low, high = _LIMITS
        grid = log_wavelengths(low * (1 - 1.5 * _MARGIN), high * (1 + 1.5 * _MARGIN), _VELOCITY_SCALE)
        old = _emiles(float(grid[0]) - 20, float(grid[-1]) + 20)
        sharp = load_bc03_miles(fetch("bc03-miles"), ultraviolet=True).between(
            float(grid[0]) - 20, float(grid[-1]) + 20
        )
        young = sharp.to_fwhm(np.maximum(sharp.fwhm, np.interp(sharp.wavelength, old.wavelength, old.fwhm)))
        found = {"emiles": extended(old, young, grid, _METALLICITY)}
        found["bc03-miles"] = like(young, found["emiles"])
        for name in names:
            if name in _BETWEEN:
                found[name] = between(found["emiles"], found["bc03-miles"], _BETWEEN[name])
            elif name not in found:
                library = load_library(fetch(name))
                first, last = _TRUSTED.get(name, (0.0, np.inf))
                trusted = max(first, float(library.wavelength[0])), min(last, float(library.wavelength[-1]))
                found[name] = like(library.between(*trusted), found["emiles"])
        return {name: found[name] for name in names}

    def redshifts(self, instrument: Instrument) -> tuple[float, float]:
        """Range of the redshifts of galaxies, which is that of all instruments."""
        return _REDSHIFTS


def _emiles(low: float, high: float) -> SspLibrary:
    """E-MILES between two wavelengths, all in air."""
    # Against BC03, M11-STELIB, M11-MARCS and MIUSCAT its lines at 3061–3541 Å, and only there, lie 0.9 ± 0.15 Å to the
    # red: that section, of NGSL stars, is at vacuum wavelengths.
    from quietspec.io.fetching import fetch
    from quietspec.templates import load_miles

    whole = load_miles(fetch("emiles"), ragged=True)
    keep = in_window(whole.wavelength, (low, high))
    whole = replace(whole, wavelength=whole.wavelength[keep], spectra=whole.spectra[:, keep], fwhm=whole.fwhm[keep])
    section = in_window(whole.wavelength, _VACUUM)
    shifted = whole.at(np.where(section, air_to_vacuum(whole.wavelength), whole.wavelength)[section]).spectra
    spectra = whole.spectra.copy()
    spectra[:, section] = shifted
    return replace(whole, spectra=spectra)
