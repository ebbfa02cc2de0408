"""Fixtures of the command-line tests: a runner, a tiny SSP library in a file, and a tiny model trained on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from quietspec.cli import app
from quietspec.lab.simulate import RestSpectra, get_recipe
from quietspec.lab.training import MixtureSettings, PriorSettings, fit_prior
from quietspec.templates import SspLibrary

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command within this process; ``exit_code``, ``stdout`` and ``stderr`` tell how it went."""

    def invoke(*words: object) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # a traceback is never what a user should see
        return result

    return invoke


@pytest.fixture(scope="session")
def program() -> str:
    """Path of the installed `quietspec`."""
    path = shutil.which("quietspec", path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip("needs the installed command: pip install -e .")
    return path


@pytest.fixture(scope="session")
def library_file(tiny_library: SspLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny library as pPXF stores one, a third of its pixels."""
    ages, metals = np.unique(tiny_library.log_age), np.unique(tiny_library.metallicity)
    path = tmp_path_factory.mktemp("library") / "spectra_tiny.npz"
    np.savez(
        path,
        templates=tiny_library.spectra.T[::3].reshape(-1, len(ages), len(metals)),
        lam=tiny_library.wavelength[::3],
        ages=10 ** (ages - 9),
        metals=metals,
        fwhm=np.array(2.51),
    )
    return path


@pytest.fixture(scope="session")
def model(tiny_library: SspLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in the manner of the shipped 'survey', but one that knows little."""
    path = tmp_path_factory.mktemp("model") / "tiny.npz"
    rng = np.random.default_rng(1)
    fine = get_recipe("survey", tiny_library).rest(300, rng)
    rest = RestSpectra(wavelength=fine.wavelength[::4], flux=fine.flux[:, ::4], parameters=fine.parameters)
    settings = PriorSettings(n_components=5, mixture=MixtureSettings(n_mixture=3, max_iter=3))
    flat, fwhm = np.ones(rest.wavelength.size), np.full(rest.wavelength.size, 2.51)
    fit_prior(rest, flat, fwhm, rng, settings, card={"pca_components": 3}).save(path)
    return path
