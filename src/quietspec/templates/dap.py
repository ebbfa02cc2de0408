"""SSP libraries as the MaNGA data analysis pipeline (DAP) ships them: BC03, BPASS, M11 and MaStar.

Sources: mangadap 4.5.0, the READMEs in ``data/spectral_templates`` and the settings in ``config/spectral_templates``.
Media and resolutions were checked by pPXF fits of solar SSPs with those of M11-ELODIE
(``benchmarks/library_resolution.py``). In air all agree within 10 km/s, except those of STELIB stars (BC03 to 22, M11
to 37), where a wrong medium would give 83; and the widths agree with those below to 0.25 Å. For BC03 the measured width
is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.constants import L_sun

from quietspec.errors import TemplateError
from quietspec.templates.library import SspLibrary
from quietspec.templates.spectrum_files import read_spectra
from quietspec.wavelengths import in_window, vacuum_to_air

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import FloatArray
    from quietspec.kinds import Medium

__all__ = ["is_dap", "load_dap"]

_PER_ERG = float(1 / L_sun.to_value("erg/s"))


@dataclass(frozen=True, kw_only=True)
class _Form:
    """How the files of one library are named, and what they contain."""

    name: str
    files: re.Pattern[str]  # pattern of whole names, with the groups `age` and `metal`
    log_age: Callable[[str], float]
    metallicity: Callable[[str], float]
    medium: Medium
    scale: float | None  # turns the flux into L☉/Å per M☉ formed; None if each spectrum has its own scale
    fwhm: float | None  # Å; None if HDU SRES gives it
    valid: tuple[float, float] = (0.0, np.inf)  # Å, in `medium`


def _from_gyr(age: str) -> float:
    """Convert an age in Gyr to log10 of years."""
    return 9 + float(np.log10(float(age)))


def _over_solar(z: str) -> float:
    """Convert a metal fraction to [M/H], for tracks whose Sun has Z = 0.02."""
    return round(float(np.log10(float(z) / 0.02)), 3)


def _m11(library: str, ending: str, *, fwhm: float, valid: tuple[float, float] = (0.0, np.inf)) -> _Form:
    """Maraston & Strömbäck 2011: erg/s/Å per M☉ formed (as Maraston 2005), Salpeter IMF, [Z/H] as they assign it."""
    assigned = {"0.01": -0.33, "0.02": 0.0, "0.04": 0.35}
    return _Form(
        name=f"M11-{library}",
        files=re.compile(rf"M11_{library}_res[\d.]+_imf_ss_age_(?P<age>[\d.]+)_z_(?P<metal>-?\d\.\d+){ending}\.fits"),
        log_age=_from_gyr,
        metallicity=lambda z: assigned[z] if z in assigned else float(z),  # MARCS files are named by [Z/H] itself
        medium="air",
        scale=_PER_ERG,
        fwhm=fwhm,
        valid=valid,
    )


_MASTAR_ROUNDED = {"00.003": "0.00316228", "00.032": "0.03162278"}  # ages in names and in the README, Gyr

_FORMS = (
    _Form(  # L☉/Å per M☉: not stated, but M/L_V (3.6 at 5 Gyr, solar) is that of a Salpeter IMF
        name="BC03",
        files=re.compile(r"BC03_z(?P<metal>\d\.\d+)_a(?P<age>\d+\.\d+)\.fits"),
        log_age=_from_gyr,
        metallicity=_over_solar,
        medium="air",
        scale=1.0,
        fwhm=3.4,  # the README "thinks" 2.3; 3.2–3.6 are measured, as for the same stars (STELIB) in M11-STELIB
    ),
    _Form(
        name="BPASS-2.2.1-imf135_300",
        files=re.compile(r"bin-imf135_300-z(?P<metal>\d{3})-T(?P<age>-?\d\.\d+)\.fits"),
        log_age=lambda log_gyr: 9 + float(log_gyr),
        metallicity=lambda z: _over_solar(f"0.{z}"),
        medium="vacuum",
        scale=1e-6,  # L☉/Å of a burst of 10⁶ M☉: BPASS manual
        fwhm=1.0,
    ),
    _m11("MILES", "", fwhm=2.54, valid=(3550.0, 7400.0)),
    _m11("ELODIE", "", fwhm=0.55, valid=(0.0, 6795.0)),
    _m11("STELIB", "_s", fwhm=3.4),  # _s: sampled at 1 Å, and all metallicities cut to where all are usable
    _m11("MARCS", "_s", fwhm=2.73),
    _Form(  # each spectrum is divided by its median
        name="MaStar-v1.0",
        files=re.compile(r"MaStar-SSP-A(?P<age>\d+\.\d+)-Z(?P<metal>[+-]\d\.\d+)\.fits\.gz"),
        log_age=lambda age: _from_gyr(_MASTAR_ROUNDED.get(age, age)),
        metallicity=float,
        medium="vacuum",
        scale=None,
        fwhm=None,
    ),
)


def is_dap(folder: Path) -> bool:
    """Whether a folder holds a library that `load_dap` knows."""
    return any(_form_of(path) is not None for path in folder.iterdir())


def load_dap(folder: str | Path) -> SspLibrary:
    """Load a folder of SSP spectra as the MaNGA DAP ships them: BC03, BPASS, M11 or MaStar.

    Ages and metallicities are taken from the names. Where these do not form a full grid, the largest full grid is kept:
    among all sets of metallicities with the ages they have in common, the one with the most spectra.

    Parameters
    ----------
    folder : path
        Folder with the spectra of one library.

    Returns
    -------
    SspLibrary
        The library in air, per solar mass formed; for MaStar, whose files are normalised, ``per_mass`` is False.

    Raises
    ------
    TemplateError
        If the folder holds no such spectra, those of several libraries, or spectra on different wavelengths.

    References
    ----------
    Bruzual & Charlot 2003, MNRAS 344, 1000; Stanway & Eldridge 2018, MNRAS 479, 75 (BPASS 2.2); Maraston & Strömbäck
    2011, MNRAS 418, 2785 (M11); Maraston et al. 2020, MNRAS 496, 2962 (MaStar); Westfall et al. 2019, AJ 158, 231 (the
    DAP).
    """
    folder = Path(folder)
    form, paths, log_age, metallicity = _listed(folder)
    keep = _largest_grid(log_age, metallicity)
    wavelength, spectra, resolving_power = read_spectra([paths[row] for row in keep])
    if form.fwhm is None and resolving_power is None:
        raise TemplateError(f"{paths[0]}: no HDU SRES, which gives the resolution. Download the folder again.")
    fwhm = np.full(wavelength.shape, form.fwhm) if resolving_power is None else wavelength / resolving_power
    valid = in_window(wavelength, form.valid)
    return SspLibrary(
        name=form.name,
        wavelength=(wavelength if form.medium == "air" else vacuum_to_air(wavelength))[valid],
        medium="air",
        spectra=spectra[:, valid] * (form.scale or 1.0),
        log_age=log_age[keep],
        metallicity=metallicity[keep],
        fwhm=fwhm[valid],
        per_mass=form.scale is not None,
    )


def _form_of(path: Path) -> _Form | None:
    return next((form for form in _FORMS if form.files.fullmatch(path.name)), None)


def _listed(folder: Path) -> tuple[_Form, list[Path], FloatArray, FloatArray]:
    """List the library in a folder: its form, its files, their log ages and [M/H]."""
    found = [(form, path) for path in sorted(folder.iterdir()) if (form := _form_of(path)) is not None]
    names = sorted({form.name for form, _ in found})
    if len(names) != 1:
        raise TemplateError(
            f"{folder}: {'mixes ' + ', '.join(names) if names else 'no BC03, BPASS, M11 or MaStar spectra'}. Give the "
            "folder of one library, such as `quietspec fetch bc03` brings."
        )
    form, paths = found[0][0], [path for _, path in found]
    parts = [match for path in paths if (match := form.files.fullmatch(path.name))]
    log_age = np.array([form.log_age(match["age"]) for match in parts])
    metallicity = np.array([form.metallicity(match["metal"]) for match in parts])
    return form, paths, log_age, metallicity


def _largest_grid(log_age: FloatArray, metallicity: FloatArray) -> npt.NDArray[np.intp]:
    """Find the rows of the largest full grid of age and metallicity."""
    ages_of = {float(metal): set(log_age[metallicity == metal].tolist()) for metal in np.unique(metallicity)}
    sets = (chosen for size in range(1, len(ages_of) + 1) for chosen in combinations(ages_of, size))
    best = max(sets, key=lambda chosen: len(chosen) * len(set.intersection(*(ages_of[metal] for metal in chosen))))
    common = list(set.intersection(*(ages_of[metal] for metal in best)))
    return np.flatnonzero(np.isin(metallicity, best) & np.isin(log_age, common))
