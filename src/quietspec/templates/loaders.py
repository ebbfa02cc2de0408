"""SSP libraries from files: folders of MILES and E-MILES FITS spectra, and pPXF's ``spectra_*.npz``."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quietspec.errors import TemplateError
from quietspec.templates.library import SspLibrary
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

if TYPE_CHECKING:
    from quietspec.spectra import FloatArray, Medium

__all__ = ["load_library", "load_miles", "load_ppxf"]

#: ``Mun1.30Zm0.40T00.0631_iPp0.00_baseFe_linear_FWHM_2.51.fits``: family, IMF and slope, [M/H], age in Gyr, the rest.
_MILES_NAME = re.compile(
    r"(?P<family>[ME])(?P<imf>[a-z]{2}\d\.\d{2})Z(?P<sign>[mp])(?P<metal>\d\.\d{2})T(?P<age>\d{2}\.\d{4})"
    r"(?P<rest>.*)\.fits(\.gz)?"
)
_MASS_TABLES = "*ssp_mass*baseFe*"


class _MilesFile(NamedTuple):
    path: Path
    kind: str
    log_age: float
    metallicity: float


def load_library(path: str | Path) -> SspLibrary:
    """Load an SSP library: a folder of MILES FITS spectra, or a pPXF ``spectra_*.npz``.

    Parameters
    ----------
    path : path
        Folder or file.

    Returns
    -------
    SspLibrary
        The whole library, as it stands in the files.

    Raises
    ------
    TemplateError
        If nothing is there, or it is neither of the two.
    """
    path = Path(path)
    if path.is_dir():
        return load_miles(path)
    if path.suffix == ".npz" and path.is_file():
        return load_ppxf(path)
    raise TemplateError(
        f"{path}: {'neither a folder nor an .npz file' if path.exists() else 'not found'}. Give a folder of MILES FITS "
        "spectra or a pPXF spectra_*.npz file; `quietspec fetch miles` brings the MILES models."
    )


def load_miles(folder: str | Path) -> SspLibrary:
    """Load a folder of MILES or E-MILES SSP spectra, named as miles.iac.es names them.

    Ages and [M/H] are taken from the names, wavelengths from the headers, the remaining mass from the table of
    Vazdekis et al. 2012 (``*ssp_mass*baseFe*``) where it lies beside the spectra.

    Parameters
    ----------
    folder : path
        With one kind of spectra: one IMF, one set of isochrones, one abundance pattern.

    Returns
    -------
    SspLibrary
        In air, per solar mass formed.

    Raises
    ------
    TemplateError
        If the folder holds no such spectra, several kinds, spectra on different wavelengths, or no full grid.

    References
    ----------
    Vazdekis et al. 2010, MNRAS 404, 1639 (MILES); 2016, MNRAS 463, 3409 (E-MILES).
    """
    folder = Path(folder)
    files = _miles_files(folder)
    wavelength = _linear_wavelength(files[0].path)[0]
    spectra = np.empty((len(files), len(wavelength)))
    for row, file in enumerate(files):
        own, spectra_row = _linear_wavelength(file.path)
        if own.shape != wavelength.shape or not np.allclose(own, wavelength, rtol=0, atol=1e-3):
            raise TemplateError(
                f"{file.path}: wavelengths {own[0]:.2f}–{own[-1]:.2f} Å ({len(own)} px) differ from those of "
                f"{files[0].path.name}. Keep spectra of one range and sampling in a folder."
            )
        spectra[row] = spectra_row
    log_age = np.array([file.log_age for file in files])
    metallicity = np.array([file.metallicity for file in files])
    library = SspLibrary(
        name=files[0].kind,
        wavelength=wavelength,
        medium="air",
        spectra=spectra,
        log_age=log_age,
        metallicity=metallicity,
        fwhm=_miles_fwhm(files[0].kind, wavelength),
    )
    return replace(library, remaining_mass=_remaining_mass(folder, files[0].kind, library))


def _miles_files(folder: Path) -> list[_MilesFile]:
    files = []
    for path in sorted(folder.iterdir()):
        if match := _MILES_NAME.fullmatch(path.name):
            metallicity = float(match["metal"]) * (1 if match["sign"] == "p" else -1)
            kind = match["family"] + match["imf"] + match["rest"]
            files.append(_MilesFile(path, kind, 9 + float(np.log10(float(match["age"]))), metallicity))
    if not files:
        raise TemplateError(
            f"{folder}: no MILES spectra in this folder (names like Mun1.30Zm0.40T00.0631_….fits). "
            "`quietspec fetch miles` brings them, or give the folder where yours are."
        )
    kinds = sorted({file.kind for file in files})
    if len(kinds) > 1:
        raise TemplateError(
            f"{folder}: mixes {len(kinds)} kinds of spectra ({', '.join(kinds[:4])}). Keep one kind in a folder."
        )
    return files


def _linear_wavelength(path: Path) -> tuple[FloatArray, FloatArray]:
    """Wavelengths (Å) and flux of one MILES file."""
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            header, flux = hdus[0].header, np.array(hdus[0].data, dtype=np.float64)
        step = header["CDELT1"] if "CDELT1" in header else header["CD1_1"]
        start = header["CRVAL1"] + step * (1 - header.get("CRPIX1", 1))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TemplateError(f"{path}: not a MILES spectrum ({error}). Download this file again.") from error
    if flux.ndim != 1:
        raise TemplateError(f"{path}: HDU 0 has shape {flux.shape}; a MILES spectrum has one axis.")
    return start + step * np.arange(flux.size), flux


def _miles_fwhm(kind: str, wavelength: FloatArray) -> FloatArray:
    """FWHM in Å: as the file name says, 2.51 Å for MILES, and the sections of Vazdekis et al. 2016 for E-MILES."""
    if match := re.search(r"FWHM_(\d+\.\d+)", kind):
        return np.full(wavelength.shape, float(match[1]))
    if kind.startswith("M"):
        return np.full(wavelength.shape, 2.51)
    infrared = FWHM_PER_SIGMA * 60 / SPEED_OF_LIGHT * wavelength
    conditions = [wavelength < 3060, wavelength < 3541, wavelength < 8950]
    return np.select(conditions, [3.0, 5.0, 2.51], default=infrared)


def _remaining_mass(folder: Path, kind: str, library: SspLibrary) -> FloatArray | None:
    """Fraction of the formed mass in stars and remnants, (n_ssp,), or None where no table covers the library."""
    tables = sorted(folder.glob(_MASS_TABLES))
    if not tables:
        return None
    masses: dict[tuple[int, int], float] = {}
    for line in tables[0].read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()  # IMF, slope, [M/H], age (Gyr), M total, M(stars + remnants), …
        if len(words) > 5 and words[0].lower() == kind[1:3] and float(words[1]) == float(kind[3:7]):
            masses[round(100 * float(words[2])), round(1e4 * float(words[3]))] = float(words[5])
    keys = [
        (round(100 * metal), round(10 ** (age - 5)))
        for metal, age in zip(library.metallicity, library.log_age, strict=True)
    ]
    if any(key not in masses for key in keys):
        return None
    return np.array([masses[key] for key in keys])


def load_ppxf(path: str | Path, medium: Medium = "air") -> SspLibrary:
    """Load an SSP library in the form pPXF 9 uses, ``spectra_*.npz``.

    Parameters
    ----------
    path : path
        A file with the arrays templates (n_pixels, n_ages, n_metals), lam (Å), ages (Gyr), metals (dex), fwhm (Å,
        number or (n_pixels,)) and, where known, masses (n_ages, n_metals).
    medium : {'air', 'vacuum'}
        What ``lam`` is measured in; the file does not say. pPXF's E-MILES file is in air.

    Returns
    -------
    SspLibrary
        Named after the file.

    Raises
    ------
    TemplateError
        If an array is missing, has another shape, or is a pickled object (which is never opened).
    """
    path = Path(path)
    arrays = _plain_arrays(path)
    missing = {"templates", "lam", "ages", "metals", "fwhm"} - set(arrays)
    if missing:
        raise TemplateError(f"{path}: lacks {', '.join(sorted(missing))}; a pPXF spectra_*.npz has these arrays.")
    ages, metals = arrays["ages"], arrays["metals"]
    grid = (ages.size, metals.size)
    if arrays["templates"].shape != (arrays["lam"].size, *grid) or arrays.get("masses", np.empty(grid)).shape != grid:
        raise TemplateError(
            f"{path}: templates of shape {arrays['templates'].shape} for {arrays['lam'].size} wavelengths, "
            f"{ages.size} ages and {metals.size} metallicities."
        )
    log_age, metallicity = np.meshgrid(9 + np.log10(ages), metals, indexing="ij")
    return SspLibrary(
        name=path.stem,
        wavelength=arrays["lam"],
        medium=medium,
        spectra=arrays["templates"].reshape(len(arrays["lam"]), -1).T,
        log_age=log_age.ravel(),
        metallicity=metallicity.ravel(),
        fwhm=arrays["fwhm"],
        remaining_mass=arrays["masses"].ravel() if "masses" in arrays else None,
    )


def _plain_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an .npz by name; nothing pickled is opened."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream):  # before numpy, which takes any file for a pickle
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                return {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TemplateError(f"{path}: not an .npz of plain arrays ({error}).") from error
