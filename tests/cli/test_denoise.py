"""`denoise`: files in, files out; what is wrong with either is said, with nothing harmed and nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from quietspec.denoised import Flag
from quietspec.denoisers import DENOISERS
from quietspec.io import read

from ..io import layouts

REPORT = {
    "inputs", "output", "n_spectra", "snr_before", "snr_after", "failed", "flags", "seconds", "warnings", "figure",
    "error", "noise", "model", "choice", "page",
}  # fmt: skip
_SMALL = 8000  # bytes, less than any output


def save(hdus: fits.HDUList, path: Path) -> Path:
    hdus.writeto(path)
    return path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content; folders are None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def denoise(run, model) -> Callable:
    return lambda *words: run("denoise", "--model", model, *words)


@pytest.fixture
def refused(denoise, tmp_path) -> Callable:
    """Whether `denoise` ends with status 1 and a message on the file, and leaves the folder as it was."""

    def check(path: Path, *words: object, says: str, out: Path | None = None, names: Path | None = None) -> None:
        before = snapshot(tmp_path)
        result = denoise(path, "-o", out or tmp_path / "out.fits", *words)
        assert result.exit_code == 1
        assert f"error: {names or path}" in result.stderr
        assert says in result.stderr
        assert snapshot(tmp_path) == before

    return check


@pytest.fixture
def muse(tmp_path) -> Path:
    return save(layouts.muse(), tmp_path / "muse.fits")


# Bad input


def test_missing_file(refused, tmp_path):
    refused(tmp_path / "none.fits", says="no such file")


def test_empty_file(refused, tmp_path):
    path = tmp_path / "empty.fits"
    path.touch()
    refused(path, says="the file is empty")


def test_truncated_fits(refused, muse):
    muse.write_bytes(muse.read_bytes()[:7000])
    refused(muse, says="truncated")


def test_not_fits(refused, tmp_path):
    path = tmp_path / "picture.fits"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    refused(path, says="is a picture (PNG)")


def test_no_noise(refused, denoise, tmp_path):
    path = save(fits.HDUList(layouts.generic()[:2]), tmp_path / "in.fits")
    refused(path, "--redshift", 0, says="--noise-hdu NAME")
    result = denoise(path, "-o", tmp_path / "out.fits", "--redshift", 0, "--noise-from-residuals")
    assert result.exit_code == 0
    assert "in.fits: the noise is estimated from the residuals" in result.stderr


def test_all_nan(refused, tmp_path):
    hdus = layouts.generic()
    hdus["FLUX"].data[:] = np.nan
    refused(save(hdus, tmp_path / "in.fits"), "--redshift", 0, says="no spectrum has a usable pixel")


@pytest.mark.parametrize(("value", "reason"), [(0.0, "variance zero"), (-1.0, "variance negative")])
def test_no_variance_above_zero(refused, tmp_path, value, reason):
    hdus = layouts.generic("VAR", "variance")
    hdus["VAR"].data[:] = value
    refused(save(hdus, tmp_path / "in.fits"), "--redshift", 0, says=reason)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_some_variances_not_above_zero(denoise, tmp_path, value):
    """The pixels are masked, and come out with an estimate and a bit that says so."""
    hdus = layouts.generic("VAR", "variance")
    hdus["VAR"].data[1, 3:5] = value
    result = denoise(save(hdus, tmp_path / "in.fits"), "-o", tmp_path / "out.fits", "--redshift", 0)
    assert result.exit_code == 0
    with fits.open(tmp_path / "out.fits") as out:
        assert np.argwhere(out["MASK"].data & 2).tolist() == [[1, 3], [1, 4]]
        assert np.isfinite(out["FLUX"].data).all()


@pytest.mark.parametrize(("hdu", "key"), [("FLUX", "CUNIT1"), ("FLUX", "BUNIT")])
def test_wrong_unit(refused, tmp_path, hdu, key):
    hdus = layouts.generic()
    hdus[hdu].header[key] = "mag"
    refused(save(hdus, tmp_path / "in.fits"), says="'mag' is not")


def test_wavelengths_in_micrometres_are_understood(denoise, tmp_path):
    micro = save(layouts.generic(CUNIT="um", CRVAL=0.4, CDELT=2e-4), tmp_path / "micro.fits")
    angstrom = save(layouts.generic(), tmp_path / "angstrom.fits")
    for path in (micro, angstrom):
        assert denoise(path, "-o", path.with_suffix(".out.fits"), "--redshift", 0).exit_code == 0
    one, other = (read(path.with_suffix(".out.fits")) for path in (micro, angstrom))
    np.testing.assert_allclose(one.wavelength, other.wavelength)
    np.testing.assert_allclose(one.flux, other.flux, rtol=1e-6)


def test_no_redshift_at_all(refused, denoise, muse, tmp_path):
    refused(muse, says="no spectrum has a redshift, which this model needs. Give it: --redshift Z.")
    assert denoise(muse, "-o", tmp_path / "out.fits", "--denoiser", "gaussian").exit_code == 0


def test_some_spectra_without_redshift_are_flagged(denoise, tmp_path):
    hdus = layouts.manga_spectra()
    hdus["Z"].data[:] = [np.nan, 0, 0]
    result = denoise(save(hdus, tmp_path / "in.fits"), "-o", tmp_path / "out.fits")
    assert result.exit_code == 0
    assert "1 no redshift" in result.stdout
    with fits.open(tmp_path / "out.fits") as out:
        assert np.isnan(out["FLUX"].data).all(axis=1).tolist() == [True, False, True]  # the last is empty
        assert out["SPECTRA"].data["flags"][0] == Flag.NO_REDSHIFT


def test_redshift_that_shifts_everything_out_of_range(refused, muse):
    refused(muse, "--redshift", 3, says="at redshift 3 none of the usable pixels of 4750–4799 Å lies within")


def test_impossible_redshift(refused, muse):
    refused(muse, "--redshift", -2, says="expected a finite number above -1", names="--redshift -2.0")


def test_one_pixel(refused, tmp_path):
    hdus = layouts.generic()
    for hdu in hdus[1:]:
        hdu.data = hdu.data[:, :1]
    refused(save(hdus, tmp_path / "in.fits"), says="1 wavelength pixel; at least 2 are needed")


def test_wavelengths_that_turn_back(refused, tmp_path):
    wave = 4000 + 2.0 * np.arange(layouts.N_PIXELS)
    wave[7] = wave[5]
    hdus = fits.HDUList([*layouts.generic(), fits.ImageHDU(wave, name="WAVE")])
    refused(save(hdus, tmp_path / "in.fits"), says="not monotonic at pixel 6")


def test_directory(refused, tmp_path):
    folder = tmp_path / "cubes"
    folder.mkdir()
    refused(folder, says="is a directory")


# Bad output


def test_unwritable_output(refused, muse, tmp_path):
    if os.geteuid() == 0:  # no folder is closed to root, but the kernel's
        folder = Path("/proc")
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o555)
    if not folder.is_dir():
        pytest.skip("needs a folder that nobody may write to")
    out = folder / "out.fits"
    refused(muse, "--redshift", 0.1, out=out, names=out, says="cannot be written")


def test_output_in_no_folder(refused, muse, tmp_path):
    out = tmp_path / "nowhere" / "out.fits"
    refused(muse, "--redshift", 0.1, out=out, names=out, says="there is no folder")


def test_output_that_looks_like_a_folder(refused, muse, tmp_path):
    out = tmp_path / "results"
    refused(muse, "--redshift", 0.1, out=out, names=out, says="results.fits?")


def test_output_exists(refused, denoise, muse, tmp_path):
    out = tmp_path / "out.fits"
    out.write_text("precious")
    refused(muse, "--redshift", 0.1, out=out, names=out, says="exists already")
    assert denoise(muse, "-o", out, "--redshift", 0.1, "--overwrite").exit_code == 0
    assert read(out).n_spectra == 12


def test_input_is_never_overwritten(refused, muse):
    refused(muse, "--redshift", 0.1, "--overwrite", out=muse, says="is an input of this run")


def test_disk_full(program, model, muse, tmp_path):
    out, before = tmp_path / "out.fits", snapshot(tmp_path)
    result = subprocess.run(
        [program, "denoise", muse, "-o", out, "--model", model, "--redshift", "0.1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_SMALL, _SMALL)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"error: {out}: " in result.stderr
    assert "bytes" in result.stderr
    assert "This file was not written" in result.stderr
    assert "Traceback" not in result.stderr
    assert snapshot(tmp_path) == before


def test_disk_full_leaves_the_file_that_was_to_be_replaced(refused, muse, tmp_path):
    out = tmp_path / "out.fits"
    out.write_text("precious")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_SMALL, limits[1]))
    try:
        refused(muse, "--redshift", 0.1, "--overwrite", out=out, names=out, says="This file was not written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_report_or_figure_that_exist(refused, muse, tmp_path):
    for option, name in (("--json", "report.json"), ("--figure", "figure.png")):
        path = tmp_path / name
        path.write_text("precious")
        refused(muse, "--redshift", 0.1, option, path, names=path, says="exists already")


def test_figure_of_an_unknown_kind_is_refused_before_the_work(refused, muse, tmp_path):
    path = tmp_path / "figure.bmp"
    refused(muse, "--redshift", 0.1, "--figure", path, names=path, says=".png")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "nothing"], "no model 'nothing'"),
        (["--model", "none.npz"], "none.npz: no such model file"),
        (["--denoiser", "magic"], "no denoiser 'magic'; there are gaussian"),
    ],
)
def test_unknown_model(denoise, muse, tmp_path, words, says):
    before = snapshot(tmp_path)
    result = denoise(muse, "-o", tmp_path / "out.fits", *words)
    assert result.exit_code == 1
    assert says in result.stderr
    assert snapshot(tmp_path) == before


def test_damaged_model(denoise, muse, model, tmp_path):
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(model.read_bytes()[:-100])
    result = denoise(muse, "-o", tmp_path / "out.fits", "--model", damaged, "--redshift", 0.1)
    assert result.exit_code == 1
    assert "error: " + str(damaged) in result.stderr


# What goes well


def test_one_cube(denoise, muse, tmp_path):
    before = muse.read_bytes()
    out = tmp_path / "out.fits"
    result = denoise(muse, "-o", out, "--redshift", 0.1)
    assert result.exit_code == 0
    assert muse.read_bytes() == before
    header, row = result.stdout.splitlines()[:2]
    assert header.split() == ["file", "spectra", "S/N", "before", "S/N", "after", "failed", "flagged", "seconds"]
    assert row.split()[:2] == ["muse.fits", "12"]
    assert str(out) in result.stdout
    assert "\r" not in result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    spectra = read(out)
    assert (spectra.n_spectra, spectra.spatial_shape) == (12, (3, 4))
    with fits.open(out) as hdus:
        assert hdus[0].header["QSINPUT"] == str(muse)
        assert hdus[0].header["QSCMD"].startswith("quietspec")


def test_the_other_files_are_done_where_one_is_corrupt(denoise, muse, tmp_path):
    bad, califa, out = tmp_path / "bad.fits", tmp_path / "califa.fits", tmp_path / "out"
    bad.write_bytes(muse.read_bytes()[:7000])
    save(layouts.califa(), califa)
    result = denoise(muse, bad, califa, "-o", out, "--redshift", 0, "--json", tmp_path / "report.json")
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()[1:4]] == ["muse.fits", "bad.fits", "califa.fits"]
    assert sum("not done" in line for line in result.stdout.splitlines()) == 1
    assert f"error: {bad}: truncated" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["califa_denoised.fits", "muse_denoised.fits"]
    reports = json.loads((tmp_path / "report.json").read_text())["files"]
    assert [bool(report["error"]) for report in reports] == [False, True, False]
    assert "truncated" in reports[1]["error"]
    assert reports[1]["output"] == ""


def test_report(denoise, tmp_path):
    hdus = layouts.manga_spectra()
    hdus["Z"].data[:] = 0
    path = save(hdus, tmp_path / "in.fits")
    result = denoise(path, "-o", tmp_path / "out.fits", "--json", "-")
    content = json.loads(result.stdout)
    assert content.keys() == {"model", "files"}
    assert content["model"].startswith("posterior ")
    (report,) = content["files"]
    assert report.keys() == REPORT
    assert report["inputs"] == [str(path)]
    assert report["output"] == str(tmp_path / "out.fits")
    assert (report["n_spectra"], report["failed"], report["flags"]["EMPTY"]) == (3, 1, 1)
    assert report["snr_after"] > report["snr_before"] > 0
    assert (report["error"], report["figure"]) == ("", "")


def test_inputs_of_one_name_are_refused(denoise, muse, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    twin = save(layouts.muse(), other / "muse.fits")
    result = denoise(muse, twin, "-o", tmp_path / "out", "--redshift", 0.1)
    assert result.exit_code == 1
    assert "two inputs have one name" in result.stderr


def test_arms_together(denoise, tmp_path):
    arms = [save(layouts.sami(arm), tmp_path / f"{arm}.fits") for arm in ("blue", "red")]
    result = denoise(*arms, "--together", "-o", tmp_path / "out.fits")
    assert result.exit_code == 0
    assert "blue.fits + red.fits" in result.stdout
    spectra = read(tmp_path / "out.fits")
    assert spectra.n_pixels == 2 * layouts.N_PIXELS
    np.testing.assert_allclose(spectra.wavelength[[0, -1]], [3650, 6240 + 0.596 * 39])
    with fits.open(tmp_path / "out.fits") as hdus:
        assert [hdus[0].header[key] for key in ("QSINPUT", "QSINPUT2")] == [str(path) for path in arms]


def test_arms_of_different_objects_are_refused(denoise, tmp_path):
    arms = [save(layouts.sami(arm, name=arm), tmp_path / f"{arm}.fits") for arm in ("blue", "red")]
    result = denoise(*arms, "--together", "-o", tmp_path / "out.fits")
    assert result.exit_code == 1
    assert f"{arms[0]} and {arms[1]}: are of different objects" in result.stderr
    assert not (tmp_path / "out.fits").exists()


@pytest.mark.parametrize("few", [0, 1000])  # spectra up to which workers are threads
def test_workers_change_nothing(denoise, muse, tmp_path, monkeypatch, few):
    monkeypatch.setattr("quietspec.files.settling.TILE", 4)
    monkeypatch.setattr("quietspec.files.crew.FEW", few)
    results = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.fits"
        assert denoise(muse, "-o", out, "--redshift", 0.1, "--workers", workers).exit_code == 0
        with fits.open(out) as hdus:
            results.append({hdu.name: hdu.data for hdu in hdus if hdu.name not in ("PRIMARY", "PROVENANCE")})
    assert results[0].keys() == results[1].keys()
    for name, values in results[0].items():
        for column in values.dtype.names or (...,):
            np.testing.assert_array_equal(values[column], results[1][name][column])


def test_figure(denoise, muse, tmp_path):
    result = denoise(muse, "-o", tmp_path / "out.fits", "--redshift", 0.1, "--figure", tmp_path / "figure.png")
    assert result.exit_code == 0
    assert str(tmp_path / "figure.png") in result.stdout
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("denoiser", DENOISERS)
def test_every_denoiser(denoise, muse, tmp_path, denoiser):
    assert denoise(muse, "-o", tmp_path / "out.fits", "--redshift", 0.1, "--denoiser", denoiser).exit_code == 0
    assert fits.getheader(tmp_path / "out.fits")["QSMODEL"].lower().startswith(denoiser[:3])


def test_the_installed_program(program, model, muse, tmp_path):
    words = [program, "denoise", muse, "-o", tmp_path / "out.fits", "--model", model, "--redshift", "0.1"]
    first = subprocess.run(words, capture_output=True, text=True, check=False)
    assert first.returncode == 0
    assert "muse.fits" in first.stdout
