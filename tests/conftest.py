"""Fixtures shared by all tests: the MILES library and real spectra where they are at hand, a synthetic library."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from quietspec.templates import SspLibrary, load_library

settings.register_profile("untimed", deadline=None)  # how long an example takes is no property of the code
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def miles() -> SspLibrary:
    """The MILES SSPs from the fetch cache; skips where they have not been fetched."""
    from quietspec.io.fetching import cached

    folder = cached("miles")
    if folder is None:
        pytest.skip("needs the MILES models: run `quietspec fetch miles` once")
    return load_library(folder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real spectra beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real spectra in ../shared/data")
    return folder


@pytest.fixture
def hangup_heeded() -> Iterator[None]:
    """SIGHUP as in a terminal: where tests run under ``nohup``, it is ignored, by their child processes too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def tiny_library() -> SspLibrary:
    """6 ages × 3 metallicities of black bodies with absorption lines, 3540–7410 Å at 0.9 Å, FWHM 2.51 Å; needs no data.

    Hydrogen lines grow with temperature, metal lines with metallicity and towards old ages, and the light per mass
    falls with age as in real populations, so that labels can be told from the spectra.
    """
    wavelength = 3540.5 + 0.9 * np.arange(4300)
    log_age, metallicity = np.meshgrid(np.linspace(7.8, 10.2, 6), [-1.5, -0.6, 0.2], indexing="ij")
    log_age, metallicity = log_age.ravel(), metallicity.ravel()
    age_rank = (log_age - 7.8) / 2.4
    temperature = (12000 - 6500 * age_rank - 900 * (metallicity + 0.6))[:, None]
    body = 1 / (wavelength**5 * np.expm1(1.43878e8 / (wavelength * temperature)))
    spectra = body / body.mean(axis=1, keepdims=True) * 10 ** (-1.8 * age_rank)[:, None]

    def absorb(centre: float, depth: np.ndarray, width: float) -> np.ndarray:
        return 1 - depth[:, None] * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)

    hydrogen, metals = 0.45 * (1 - age_rank), 0.2 + 0.35 * age_rank + 0.15 * metallicity
    for centre in (3835.4, 3889.1, 4101.7, 4340.5, 4861.3, 6562.8):
        spectra = spectra * absorb(centre, hydrogen, 6.0)
    rng = np.random.default_rng(7)
    for centre, strength in zip(rng.uniform(3600, 7380, 120), rng.uniform(0.1, 0.9, 120), strict=True):
        spectra = spectra * absorb(centre, strength * metals, 1.07)
    for centre in (3933.7, 3968.5, 4300.0, 4383.5, 5175.0, 5892.9):
        spectra = spectra * absorb(centre, metals, 5.0)
    return SspLibrary(
        name="tiny", wavelength=wavelength, medium="air", spectra=spectra, log_age=log_age, metallicity=metallicity,
        fwhm=np.array(2.51),
    )  # fmt: skip
