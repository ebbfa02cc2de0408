"""The page about a denoised file needs no other file, says what the file says, and stays small."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec import Denoised
from quietspec.errors import ViewError
from quietspec.hashing import file_sha256
from quietspec.view.bundle import script_of
from quietspec.view.report import _packed_steps, _sample, _thinning, write_report


@pytest.fixture(scope="module")
def page(output: Path) -> str:
    return write_report(output, output.with_suffix(".html")).read_text(encoding="utf-8")


def test_it_needs_nothing_else(page):
    assert not re.findall(r'(?:src|href)\s*=\s*"', page)
    assert "http://www.w3.org/2000/svg" not in page.split("<script")[0]
    assert len(page.encode()) < 5e6


def test_it_runs_its_own_script_only(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert policy is not None
    assert script is not None
    digest = b64encode(sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "unsafe-inline" not in policy[1].split("style-src")[0]


def test_it_says_what_the_file_says(page, output: Path, denoised: Denoised):
    assert file_sha256(output) in page
    assert "quietspec 0" in page
    assert "Kim, Lee &amp; Rey 2026" in page
    assert str(denoised.model.short_hash) in page
    clean = int(np.count_nonzero(denoised.flags == 0))
    assert f"{clean} of 48 spectra carry no flag" in page
    assert "no pixel has a finite flux" in page
    assert "a factor of" in page


def test_texts_of_the_file_are_no_markup(denoised: Denoised, tmp_path):
    from dataclasses import replace

    evil = replace(denoised, spectra=replace(denoised.spectra, meta={"object": "<script>alert(1)</script>"}))
    quietspec.write(evil, tmp_path / "out.fits", residual=True)
    page = write_report(tmp_path / "out.fits", tmp_path / "out.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize("name", ["savgol", "wiener"])
def test_every_denoiser_has_one(name, denoised: Denoised, tmp_path):
    some = quietspec.load_denoiser(name).denoise(denoised.spectra)
    quietspec.write(some, tmp_path / "out.fits")
    text = write_report(tmp_path / "out.fits", tmp_path / "out.html").read_text(encoding="utf-8")
    assert str(some.model.name) in text


def test_spectra_that_form_no_image_have_one(denoised: Denoised, tmp_path):
    quietspec.write(denoised[[20, 21]], tmp_path / "out.fits")
    assert "2 spectra" in write_report(tmp_path / "out.fits", tmp_path / "out.html").read_text(encoding="utf-8")


def test_other_files_have_none(maps, tmp_path):
    with pytest.raises(ViewError, match="not denoised"):
        write_report(maps, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()


def test_large_images_are_thinned_out(output, monkeypatch):
    from quietspec.view import Document

    document = Document(output)
    try:
        assert _thinning(document, 10) == 1
        document.n_spectra, document.shape = 1_000_000, (1000, 1000)
        step = _thinning(document, 10)
        assert (1000 / step) ** 2 * 10 * 2 < 2.1e6
    finally:
        document.close()


def test_the_sample_runs_from_bright_to_faint(output, denoised: Denoised):
    from quietspec.view import Document

    document = Document(output)
    try:
        rows = _sample(document)
    finally:
        document.close()
    snr = denoised.snr_before[rows[:12]]
    assert (np.diff(snr) <= 0).all()
    assert denoised.snr_before[rows[0]] == np.nanmax(denoised.snr_before)
    assert len(set(rows)) == len(rows)
    assert 3 not in rows  # it has no estimate


def test_maps_are_packed_to_a_part_in_60000():
    values = np.random.default_rng(0).normal(size=4000)
    values[7] = np.nan
    packed = _packed_steps(values)
    steps = np.frombuffer(b64decode(packed["data"]), "<u2").astype(float)
    assert steps[7] == 65535
    restored = packed["low"] + steps / 65534 * (packed["high"] - packed["low"])
    inside = (values > packed["low"]) & (values < packed["high"])
    assert inside.mean() > 0.99
    assert np.abs(restored - values)[inside].max() < (packed["high"] - packed["low"]) / 6e4


@pytest.mark.parametrize("main", ["main", "report"])
def test_modules_are_joined_whole(main):
    text = script_of(main)
    assert not re.findall(r"^(?:import|export) ", text.replace("//export", ""), re.MULTILINE)
    for used in set(re.findall(r"= (module_\w+);", text)):
        assert text.index(f"const {used} =") < text.index(f"= {used};")


def test_denoise_writes_one(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from quietspec.cli import app

    cube, out = quietspec.demo_cube(), tmp_path / "out.fits"
    words = ["denoise", str(cube), "-o", str(out), "--denoiser", "savgol", "--report", str(tmp_path / "out.html")]
    found = CliRunner().invoke(app, [*words, "--json", str(tmp_path / "out.json")])
    assert found.exit_code == 0, found.output
    text = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert fits.getheader(out)["QSVERS"] in text
    assert '"page": "' in (tmp_path / "out.json").read_text()
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 1
    assert "--overwrite" in again.output


@pytest.mark.parametrize(
    ("spatial", "says"), [(False, "for each spectrum by itself"), (True, "other spaxels of the galaxy")]
)
def test_methods_are_those_of_the_denoiser(spatial, says, denoised: Denoised, tmp_path):
    from quietspec import load_denoiser

    if spatial:
        denoised = load_denoiser("posterior", spatial=True).denoise(denoised.spectra)
    quietspec.write(denoised, tmp_path / "out.fits")
    text = write_report(tmp_path / "out.fits", tmp_path / "out.html").read_text(encoding="utf-8")
    assert says in text
