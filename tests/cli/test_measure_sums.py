"""`measure --bin-snr` and `--aperture`: sums of the demo cube's spaxels, and what is said where they cannot be made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec.binning import NoiseCorrelation, find_spikes, sum_spectra

from ..io import layouts


@pytest.fixture
def measure(run, model):
    return lambda *words: run("measure", "--model", model, *words)


@pytest.fixture
def regions(tmp_path) -> Path:
    pytest.importorskip("regions")
    path = tmp_path / "two.reg"
    path.write_text("image\ncircle(10.5,10.5,3) # text={core}\nbox(5,5,4,2,0)\n")
    return path


def test_bins_of_the_demo_cube(measure, tmp_path):
    pytest.importorskip("powerbin")
    out, report = tmp_path / "out.fits", tmp_path / "report.json"
    words = ("--bin-snr", 30, "--noise-correlation", 1.2, "--index", "Mg_b", "--figure", tmp_path / "out.png")
    result = measure(quietspec.demo_cube(), "-o", out, *words, "--json", report)
    assert result.exit_code == 0, result.stderr
    with fits.open(out, checksum=True) as hdus:
        number, table = hdus["BINID"].data, hdus["POPULATIONS"].data
        inside = number >= 0
        assert 5 < len(table) == len(set(number[inside])) < 100
        np.testing.assert_allclose(np.median(table["snr_in"]), 30, rtol=0.2)
        np.testing.assert_allclose(hdus["INDEX_MG_B"].data[inside], table["index_Mg_b"][number[inside]], rtol=1e-6)
        facts = dict(zip(hdus["PROVENANCE"].data["keyword"], hdus["PROVENANCE"].data["value"], strict=True))
        assert "neighbours" in facts["QSNCORR"]
        assert json.loads(report.read_text())["files"][0]["n_spectra"] == len(table)
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_apertures_of_the_demo_cube(measure, regions, tmp_path):
    out = tmp_path / "out.fits"
    result = measure(
        quietspec.demo_cube(), "-o", out, "--aperture", regions, "--noise-correlation", "none", "--figure",
        tmp_path / "out.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    table = fits.getdata(out, "POPULATIONS")
    assert list(table["name"]) == ["core", "2"]
    np.testing.assert_allclose(table["n_spaxels"], [9 * np.pi, 8], rtol=1e-5)
    cube = quietspec.read(quietspec.demo_cube())
    weights = [fits.getdata(out, f"APERTURE_{number}").ravel() for number in (1, 2)]
    spikes = find_spikes(cube)
    wanted = sum_spectra(spikes.masked(cube), weights, NoiseCorrelation())
    np.testing.assert_allclose(table["snr_in"], wanted.snr, rtol=1e-4)
    np.testing.assert_array_equal(
        table["n_spikes"], [np.isin(spikes.row, np.flatnonzero(each)).sum() for each in weights]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--bin-snr", "20", "--aperture", "REGIONS"), "give one of them"),
        (("--bin-snr", "0"), "must be above 0"),
        (("--bin-snr", "20", "--noise-correlation", "wide"), "expected measured, none, manga"),
        (("--bin-snr", "20", "--noise-correlation", "50"), "0 to 20 spaxels"),
        (("--aperture", "nowhere.reg"), "no such file"),
        (("--aperture", "REGIONS", "--layout", "dap"), "--layout native"),
        (("--noise-correlation", "none"), "--bin-snr"),
        (("--no-clean",), "--bin-snr"),
    ],
)
def test_what_makes_no_sense_is_said(measure, regions, tmp_path, words, message):
    words = [str(regions) if word == "REGIONS" else word for word in words]
    result = measure(quietspec.demo_cube(), "-o", tmp_path / "out.fits", *words)
    assert result.exit_code != 0
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out.fits").exists()


def test_spectra_without_an_image_have_no_bins(measure, tmp_path):
    layouts.generic().writeto(tmp_path / "rows.fits")
    result = measure(tmp_path / "rows.fits", "-o", tmp_path / "out.fits", "--redshift", 0.1, "--bin-snr", 5)
    assert result.exit_code == 1
    assert "form no image" in " ".join(result.stderr.split())


def test_a_cube_too_small_to_measure_its_noise_names_the_option(measure, tmp_path):
    layouts.muse().writeto(tmp_path / "muse.fits")
    result = measure(tmp_path / "muse.fits", "-o", tmp_path / "out.fits", "--redshift", 0.1, "--bin-snr", 5)
    assert result.exit_code == 1
    assert "--noise-correlation none" in " ".join(result.stderr.split())
