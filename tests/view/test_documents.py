"""Files of every kind are opened, and read the same through copies as directly."""

from __future__ import annotations

import gzip
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec import Denoised
from quietspec.files import denoise_file
from quietspec.view import Document
from quietspec.view.columns import Columns

ARRAYS = ("flux", "sigma", "input", "input_sigma", "mask")


def prepared(document: Document) -> Document:
    document.start()
    deadline = time.monotonic() + 30
    while not document.prepared and time.monotonic() < deadline:
        time.sleep(0.01)
    assert document.prepared
    return document


def plain_cube(path: Path) -> Path:
    """The example cube, not compressed, as another program would write it."""
    with fits.open(quietspec.demo_cube()) as hdus:
        kept = [fits.PrimaryHDU(header=hdus[0].header)]
        kept += [fits.ImageHDU(hdus[name].data, hdus[name].header, name) for name in ("FLUX", "VAR", "MASK")]
        kept += [hdus[name] for name in ("FWHM", "WAVE", "SPECTRA")]
        fits.HDUList(kept).writeto(path)
    return path


@pytest.mark.parametrize("kind", ["denoised", "compressed", "plain", "gzip"])
def test_copies_hold_what_the_file_holds(kind, output, tmp_path):
    path = {"denoised": output, "compressed": quietspec.demo_cube()}.get(kind) or plain_cube(tmp_path / "cube.fits")
    if kind == "gzip":
        with path.open("rb") as given, gzip.open(tmp_path / "cube.fits.gz", "wb") as packed:
            shutil.copyfileobj(given, packed)
        path = tmp_path / "cube.fits.gz"
    document = Document(path)
    try:
        assert document.spectra is not None
        rows = [0, 3, document.n_spectra // 2, document.n_spectra - 1]
        before = [document.spectra.read([row]) for row in rows]
        prepared(document)
        for row, shown in zip(rows, before, strict=True):
            again = document.spectra.read([row])
            for name in ARRAYS:
                one, other = getattr(shown, name), getattr(again, name)
                assert (one is None) == (other is None)
                assert one is None or np.array_equal(one, other, equal_nan=True)
        together = document.spectra.read(rows)
        main = "flux" if kind == "denoised" else "input"
        assert np.array_equal(
            getattr(together, main), np.concatenate([getattr(one, main) for one in before]), equal_nan=True
        )
    finally:
        document.close()


def test_no_copy_is_made_on_a_full_disk(output, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    document = Document(output)
    try:
        assert document.spectra is not None
        before = document.spectra.read([20])
        prepared(document)
        assert all(columns._copy is None for columns in document.spectra.columns)
        assert np.array_equal(document.spectra.read([20]).flux, before.flux, equal_nan=True)
    finally:
        document.close()


def test_without_positioned_reads_the_file_itself_is_read(output, monkeypatch):
    from quietspec.view import columns

    usual = Document(output)
    monkeypatch.setattr(columns, "_PREAD", False)
    document = prepared(Document(output))
    try:
        assert document.spectra is not None
        assert usual.spectra is not None
        assert np.array_equal(document.spectra.read([20]).flux, usual.spectra.read([20]).flux, equal_nan=True)
        assert np.array_equal(document.values("WHITE"), usual.values("WHITE"), equal_nan=True)
    finally:
        document.close()
        usual.close()


def test_spectra_of_other_surveys_are_measured_in_the_background():
    document = Document(quietspec.demo_cube())
    try:
        assert document.kind == "spectra"
        assert document.flags is None
        prepared(document)
        assert document.done == 1
        cube = quietspec.read(quietspec.demo_cube())
        assert document.values("SNR") == pytest.approx(cube.snr, rel=1e-5, nan_ok=True)
        assert document.values("GOOD") == pytest.approx(100 * cube.good.mean(axis=1), rel=1e-5)
    finally:
        document.close()


def test_what_a_file_does_not_say_can_be_given():
    document = Document(quietspec.demo_cube(), redshift=0.05)
    try:
        assert document.redshift(7) == 0.05
    finally:
        document.close()


@pytest.mark.parametrize("residual", [True, False])
def test_the_input_comes_from_the_residual_or_the_original(residual, tmp_path):
    cube = plain_cube(tmp_path / "cube.fits")
    path = tmp_path / "out.fits"
    denoiser = quietspec.load_denoiser("savgol")
    denoise_file([cube], path, denoiser, residual=residual)
    document = Document(path)
    try:
        assert document.spectra is not None
        assert document.spectra.has_input
        assert document.spectra.input_from == ("estimate plus RESIDUAL" if residual else "cube.fits")
        good = quietspec.read(cube)
        shown = document.spectra.read([5]).input
        assert shown is not None
        seen = good.good[5] & np.isfinite(shown[0])
        assert seen.sum() > 2000
        assert shown[0, seen] == pytest.approx(good.flux[5, seen], rel=1e-4, abs=1e-5)
    finally:
        document.close()


def test_without_an_original_the_page_says_what_to_do(tmp_path):
    cube = plain_cube(tmp_path / "cube.fits")
    path = tmp_path / "out.fits"
    denoise_file([cube], path, quietspec.load_denoiser("savgol"))
    cube.unlink()
    document = Document(path)
    try:
        assert document.spectra is not None
        assert not document.spectra.has_input
        assert "--residual" in document.spectra.input_from
        assert document.spectra.read([0]).input is None
    finally:
        document.close()


def test_another_file_of_the_name_is_not_taken_for_the_original(tmp_path):
    cube = plain_cube(tmp_path / "cube.fits")
    path = tmp_path / "out.fits"
    denoise_file([cube], path, quietspec.load_denoiser("savgol"))
    with fits.open(cube) as hdus:
        for name in ("FLUX", "VAR", "MASK"):
            hdus[name].data = hdus[name].data[:, :5].copy()
        hdus.writeto(cube, overwrite=True)
    document = Document(path)
    try:
        assert document.spectra is not None
        assert not document.spectra.has_input
    finally:
        document.close()


def test_an_original_that_has_changed_is_given_up(tmp_path):
    cube = plain_cube(tmp_path / "cube.fits")
    path = tmp_path / "out.fits"
    denoise_file([cube], path, quietspec.load_denoiser("savgol"))
    with fits.open(cube, mode="update") as hdus:
        hdus["FLUX"].data[1000] *= 2
    document = Document(path)
    try:
        assert document.spectra is not None
        assert document.spectra.has_input
        prepared(document)
        assert not document.spectra.has_input
        assert "changed" in document.spectra.input_from
        assert document.spectra.read([0]).input is None
    finally:
        document.close()


def test_single_and_stacked_spectra_open(denoised: Denoised, tmp_path):
    for rows, name in (([20], "one.fits"), (list(range(10, 30)), "many.fits")):
        quietspec.write(denoised[rows], tmp_path / name, residual=True)
        document = prepared(Document(tmp_path / name))
        try:
            assert document.spectra is not None
            assert document.shape is None
            assert document.values("SIGMA") == pytest.approx(denoised.parameters["sigma"][0][rows], nan_ok=True)
            assert document.spectra.read([0]).flux[0] == pytest.approx(denoised.flux[rows[0]], nan_ok=True)
            assert len(document.values("WHITE")) == len(rows)
        finally:
            document.close()


def test_columns_know_their_size(output):
    document = Document(output)
    try:
        assert document.spectra is not None
        assert {columns.name for columns in document.spectra.columns} == {"FLUX", "VAR", "MASK", "RESIDUAL"}
        assert all(
            isinstance(columns, Columns) and columns.nbytes % (48 * 2757) == 0 for columns in document.spectra.columns
        )
    finally:
        document.close()
