"""`quietspec demo`: the example cube, and what is written and printed about it."""

import re
from importlib.resources import files

import numpy as np
import pytest
from typer.testing import CliRunner

from quietspec.cli import app
from quietspec.cli.demo import Truth
from quietspec.denoisers import model_cards
from quietspec.io import read

CUBE = files("quietspec.models") / "demo.fits"
OWN = ["demo_denoised.fits", "demo_gain.png", "demo_maps.png"]


@pytest.fixture(scope="module")
def cube():
    return read(CUBE), Truth.read(CUBE)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run into a folder that holds an older result and a file of the user's."""
    if "survey" not in model_cards():
        pytest.skip("needs the shipped model 'survey': train it with `quietspec train posterior`")
    out = tmp_path_factory.mktemp("demo")
    (out / OWN[0]).write_text("older")
    (out / "notes.txt").write_text("mine")
    result = CliRunner().invoke(app, ["demo", "--out", str(out)])
    return result, out


def test_the_cube_is_small_and_its_snr_runs_from_30_to_2(cube):
    spectra, truth = cube
    assert CUBE.stat().st_size < 3 * 2**20
    assert spectra.spatial_shape == (20, 20)
    assert spectra.wcs is not None
    assert spectra.fwhm is not None
    assert spectra.medium == "vacuum"
    assert np.all(spectra.redshift == 0.03)
    assert spectra.meta["warnings"] == []
    snr = truth.parameters["snr"]
    assert snr.max() == pytest.approx(30)
    assert 1.8 < snr.min() < 2.4


def test_the_truth_beside_it_is_that_of_the_cube(cube):
    spectra, truth = cube
    assert truth.flux.shape == spectra.flux.shape
    pull = np.where(spectra.good, (spectra.flux - truth.flux) * np.sqrt(spectra.ivar), np.nan)
    clear = (spectra.wavelength / 1.03 > 5300) & (spectra.wavelength / 1.03 < 5700)
    low, middle, high = np.nanpercentile(pull[:, clear], (16, 50, 84))
    assert abs(middle) < 0.01
    assert (high - low) / 2 == pytest.approx(1, abs=0.02)
    halpha = np.abs(spectra.wavelength / 1.03 - 6564.6) < 3
    assert np.nanmean(pull[:, halpha]) > 1


def test_it_writes_its_files_and_leaves_others_alone(run):
    result, out = run
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [*OWN, "notes.txt"]
    assert (out / "notes.txt").read_text() == "mine"
    assert all((out / name).stat().st_size > 20_000 for name in OWN)
    assert read(out / OWN[0]).spatial_shape == (20, 20)
    assert all(str(out / name) in result.stdout.replace("\n", "") for name in OWN)


def test_it_says_what_was_gained(run):
    rows = dict(re.findall(r"^ *(2–4|4–8|8–16|16–32|all) +(\d.*)$", run[0].stdout, flags=re.MULTILINE)[:5])
    assert list(rows) == ["2–4", "4–8", "8–16", "16–32", "all"]
    numbers = np.array([[float(number) for number in re.findall(r"[\d.]+", row)] for row in rows.values()])
    spaxels, snr_before, snr_after, before, after, savgol, wiener, posterior, within = numbers.T
    assert spaxels[:4].sum() == spaxels[4] == 400
    assert np.all(snr_after > 5 * snr_before)
    assert np.all(after < before / 5)
    assert np.all((savgol < wiener) & (wiener < posterior + 0.5))
    assert posterior[4] > 90
    assert 60 < within[4] < 80


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "taken").write_text("a file")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "taken")])
    assert result.exit_code == 1
    assert "cannot be made a folder" in result.stderr
