"""`info`: what a user learns of a file, on the terminal and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..io import layouts

if TYPE_CHECKING:
    from astropy.io import fits


FACTS = {
    "survey", "paths", "object", "n_spectra", "n_pixels", "spatial_shape", "wavelength", "medium", "fwhm", "unit",
    "redshift", "ebv", "snr", "fraction_masked", "empty_spectra", "sampled_spectra", "distinct_spectra", "warnings",
    "decisions",
}  # fmt: skip


def save(hdus: fits.HDUList, path: Path) -> Path:
    hdus.writeto(path)
    return path


@pytest.fixture
def muse(tmp_path) -> Path:
    return save(layouts.muse(), tmp_path / "muse.fits")


def test_info_tells_what_the_reader_sees(run, muse):
    result = run("info", muse)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == str(muse)
    assert "survey MUSE, object Abell 478" in lines
    assert "spectra 12 (3 × 4 spaxels), 40 pixels each" in lines
    assert "wavelengths 4750.0–4798.8 Å in air, linear, step 1.25 Å" in lines
    assert "redshift unknown (12 unknown)" in lines
    assert "warning no redshift for 12 spectra; give it: --redshift Z" in lines


def test_info_as_json(run, muse, tmp_path):
    result = run("info", muse, "--json", "-", "--redshift", 0.088)
    (facts,) = json.loads(result.stdout)
    assert facts.keys() == FACTS
    assert facts["paths"] == [str(muse)]
    assert facts["redshift"] == {"low": 0.088, "high": 0.088, "unknown": 0}
    assert facts["wavelength"].keys() == {"low", "high", "step", "sampling", "gaps"}
    assert run("info", muse, "--json", tmp_path / "facts.json", "--redshift", 0.088).exit_code == 0
    assert json.loads((tmp_path / "facts.json").read_text()) == [facts]


def test_info_of_empty_spectra_holds_no_nan(run, tmp_path):
    hdus = layouts.generic()
    hdus["FLUX"].data[:] = float("nan")
    result = run("info", save(hdus, tmp_path / "empty.fits"), "--json", "-")
    assert result.exit_code == 0
    (facts,) = json.loads(result.stdout, parse_constant=pytest.fail)
    assert set(facts["snr"].values()) == {None}


def test_info_of_arms_together(run, tmp_path):
    arms = [save(layouts.sami(arm), tmp_path / f"{arm}.fits") for arm in ("blue", "red")]
    result = run("info", "--together", *arms, "--json", "-")
    (facts,) = json.loads(result.stdout)
    assert facts["paths"] == [str(path) for path in arms]
    assert len(facts["wavelength"]["gaps"]) == 1


def test_info_goes_on_after_a_bad_file(run, muse, tmp_path):
    result = run("info", tmp_path / "none.fits", muse)
    assert result.exit_code == 1
    assert f"error: {tmp_path / 'none.fits'}: no such file" in result.stderr
    assert "Abell 478" in result.stdout


def test_info_prints_brackets_as_they_are(run, tmp_path):
    hdus = layouts.muse()
    hdus[0].header["OBJECT"] = "[bold]NGC[/] 1"
    path = save(hdus, tmp_path / "a[b].fits")
    result = run("info", path)
    assert "[bold]NGC[/] 1" in result.stdout
    assert result.stdout.startswith(str(path))


def test_info_refuses_a_folder_that_is_missing_before_it_reads(run, muse, tmp_path):
    result = run("info", muse, "--json", tmp_path / "nowhere" / "facts.json")
    assert result.exit_code == 1
    assert "the folder" in result.stderr
