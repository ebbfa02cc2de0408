"""Files that the page shows: a small part of the example cube, denoised, measured and as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits

import quietspec
from quietspec import Denoised
from quietspec.files import denoise_file, measure_file
from quietspec.populations.methods import PosteriorMethod


@pytest.fixture(scope="session")
def denoised() -> Denoised:
    """Eight by six spaxels; one of them without a good pixel."""
    cube = quietspec.read(quietspec.demo_cube())[6:12, 5:13]
    ivar = cube.ivar.copy()
    ivar[3] = 0
    return quietspec.load_denoiser("posterior").denoise(replace(cube, ivar=ivar))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files lie."""
    return tmp_path_factory.mktemp("view")


@pytest.fixture(scope="session")
def output(denoised: Denoised, folder: Path) -> Path:
    """A denoised file with its residual."""
    path = folder / "out.fits"
    quietspec.write(denoised, path, residual=True)
    return path


@pytest.fixture(scope="session")
def together() -> Denoised:
    """The same spaxels denoised as a whole, one of them without a good pixel."""
    cube = quietspec.read(quietspec.demo_cube())[6:12, 5:13]
    ivar = cube.ivar.copy()
    ivar[3] = 0
    return quietspec.load_denoiser("posterior", spatial=True).denoise(replace(cube, ivar=ivar))


@pytest.fixture(scope="session")
def spatial(together: Denoised, folder: Path) -> Path:
    """Their file."""
    path = folder / "spatial.fits"
    quietspec.write(together, path)
    return path


@pytest.fixture(scope="session")
def part(folder: Path) -> Path:
    """The same spaxels as a file, all of them good."""
    cube = folder / "part.fits"
    with fits.open(quietspec.demo_cube()) as hdus:
        for hdu in hdus:
            if hdu.data is not None and hdu.data.ndim == 3:
                hdu.data = hdu.data[:, 6:12, 5:13].copy()
        del hdus["TRUTH"]
        hdus["SPECTRA"].data = hdus["SPECTRA"].data[:48]
        hdus.writeto(cube, checksum=True)
    return cube


@pytest.fixture(scope="session")
def beside(part: Path, folder: Path) -> Path:
    """A denoised file that names its input, which lies beside it."""
    path = folder / "beside.fits"
    denoise_file([part], path, quietspec.load_denoiser("posterior"), residual=True)
    return path


@pytest.fixture(scope="session")
def maps(folder: Path, part: Path) -> Path:
    """A file of measurements of the same spaxels."""
    path = folder / "maps.fits"
    measure_file([part], path, PosteriorMethod(quietspec.load_denoiser("posterior", emission="fit")))
    return path
