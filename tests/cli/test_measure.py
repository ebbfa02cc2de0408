"""`measure`: maps or a table by each method; what is wrong is said, and one bad spectrum is one flag."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from quietspec.populations import PopulationFlag

from ..io import layouts

REPORT = {
    "inputs", "output", "method", "n_spectra", "failed", "flags", "medians", "seconds", "warnings", "figure", "error",
    "model", "choice",
}  # fmt: skip


@pytest.fixture
def measure(run, model) -> Callable:
    return lambda *words: run("measure", "--model", model, *words)


@pytest.fixture
def muse(tmp_path) -> Path:
    layouts.muse().writeto(tmp_path / "muse.fits")
    return tmp_path / "muse.fits"


@pytest.fixture(scope="session")
def stack(tiny_library, tmp_path_factory) -> Path:
    """Two noisy spectra of single SSPs, and one without data between them."""
    rng = np.random.default_rng(0)
    wavelength = 4100 + 3.0 * np.arange(700)
    flux = np.array([np.interp(wavelength, tiny_library.wavelength, tiny_library.spectra[row]) for row in (4, 4, 13)])
    flux /= flux.mean(axis=1, keepdims=True)
    flux += 0.02 * rng.normal(size=flux.shape)
    flux[1] = np.nan
    hdus = layouts.generic(CRVAL=4100.0, CDELT=3.0)
    hdus["FLUX"].data = flux
    hdus["ERR"].data = np.full(flux.shape, 0.02)
    path = tmp_path_factory.mktemp("stack") / "stack.fits"
    hdus.writeto(path)
    return path


def test_maps_of_a_cube(measure, muse, tmp_path):
    out, figure, report = tmp_path / "out.fits", tmp_path / "out.png", tmp_path / "out.json"
    result = measure(muse, "-o", out, "--redshift", 0.1, "--figure", figure, "--json", report)
    assert result.exit_code == 0, result.stderr
    assert str(out) in result.stdout
    assert figure.read_bytes()[:4] == b"\x89PNG"
    with fits.open(out) as hdus:
        for name in ("LOG_AGE_MW", "LOG_AGE_MW_ERR", "MH_LW", "A_V", "SIGMA", "VELOCITY_ERR", "FLAGS", "CHI2"):
            assert hdus[name].data.shape == (layouts.NY, layouts.NX)
        assert hdus[0].header["QSCMD"].startswith("quietspec")
        assert (hdus["SIGMA_ERR"].data > 0).all()
    content = json.loads(report.read_text(encoding="utf-8"))
    assert content.keys() == {"model", "method", "files"}
    assert content["method"] == "posterior"
    (one,) = content["files"]
    assert one.keys() == REPORT
    assert one["n_spectra"] == 12
    assert len(one["medians"]["log_age_lw"]) == 2


def test_lines_and_indices_of_a_cube(run, muse, tmp_path):
    out, own = tmp_path / "out.fits", tmp_path / "mine.toml"
    own.write_text("[mine]\nkind = 'angstrom'\nblue = [4322, 4328]\nband = [4329, 4338]\nred = [4345, 4352]\n")
    result = run("measure", muse, "-o", out, "--redshift", 0.1, "--index", "Mg_b", "--index", own)
    assert result.exit_code == 0, result.stderr
    with fits.open(out) as hdus:
        names = {hdu.name for hdu in hdus}
        for name in ("FLUX_HGAMMA", "EW_HGAMMA", "GAS_VELOCITY", "GAS_SIGMA", "INDEX_MINE"):
            assert {name, f"{name}_ERR"} <= names
        assert hdus["FLUX_HGAMMA"].header["BUNIT"].endswith("erg s-1 cm-2")
        assert hdus["EW_HGAMMA"].header["BUNIT"] == "Angstrom"
        assert hdus["GAS_SIGMA"].header["BUNIT"] == "km s-1"
        known = np.isfinite(hdus["FLUX_HGAMMA"].data)
        assert known.any()
        assert (hdus["FLUX_HGAMMA_ERR"].data[known] > 0).all()
        assert "flux_Hgamma" in hdus["POPULATIONS"].columns.names


def test_lines_can_be_left_out(run, muse, tmp_path):
    result = run("measure", muse, "-o", tmp_path / "out.fits", "--redshift", 0.1, "--no-lines")
    assert result.exit_code == 0, result.stderr
    with fits.open(tmp_path / "out.fits") as hdus:
        assert not any(hdu.name.startswith("FLUX_") for hdu in hdus)


@pytest.mark.parametrize("few", [0, 1000])  # spectra up to which workers are threads
@pytest.mark.parametrize("layout", ["native", "dap"])
def test_workers_change_nothing(measure, muse, tmp_path, monkeypatch, few, layout):
    monkeypatch.setattr("quietspec.files.settling.TILE", 4)
    monkeypatch.setattr("quietspec.files.crew.FEW", few)
    results = []
    for workers in (1, 2):
        out = tmp_path / f"{workers}.fits"
        words = "-o", out, "--redshift", 0.1, "--layout", layout, "--workers", workers
        assert measure(muse, *words).exit_code == 0
        with fits.open(out) as hdus:
            results.append({hdu.name: hdu.data for hdu in hdus if hdu.data is not None and hdu.name != "PROVENANCE"})
    assert results[0].keys() == results[1].keys()
    for name, values in results[0].items():
        for column in set(values.dtype.names or (...,)) - {"seconds"}:
            np.testing.assert_array_equal(values[column], results[1][name][column])


def test_arms_together(measure, tmp_path):
    for arm in ("blue", "red"):
        layouts.sami(arm).writeto(tmp_path / f"{arm}.fits")
    result = measure(tmp_path / "blue.fits", tmp_path / "red.fits", "--together", "-o", tmp_path / "out.fits")
    assert result.exit_code == 0, result.stderr
    with fits.open(tmp_path / "out.fits") as hdus:
        assert hdus["FLAGS"].data[0, 0] == int(PopulationFlag.NO_DATA)
        assert np.isnan(hdus["LOG_AGE_MW"].data[0, 0])
        assert np.isfinite(hdus["LOG_AGE_MW"].data[1:]).all()
        assert [hdus[0].header[key] for key in ("QSINPUT", "QSINPUT2")] == [
            str(tmp_path / f"{arm}.fits") for arm in ("blue", "red")
        ]


@pytest.mark.parametrize("method", ["ppxf", "denoised"])
def test_fits_of_a_table_of_spectra(measure, stack, library_file, tmp_path, method):
    pytest.importorskip("ppxf")
    out = tmp_path / "out.fits"
    result = measure(
        stack, "-o", out, "--redshift", 0, "--method", method, "--library", library_file, "--fwhm", 2.51,
        "--ppxf", "multiplicative=0", "--ppxf", "regularisation=0", "--figure", tmp_path / "out.png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    with fits.open(out) as hdus:
        table = hdus["POPULATIONS"].data
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "POPULATIONS", "PROVENANCE"]
        np.testing.assert_array_equal(table["flags"] & int(PopulationFlag.NO_DATA) != 0, [False, True, False])
        assert table["reason"][1]
        assert np.isnan(table["log_age_mw"][1])
        if method == "ppxf":
            np.testing.assert_allclose(table["log_age_lw"][[0, 2]], [8.28, 9.72], atol=0.3)
    assert "1" in result.stdout.splitlines()[3]


def test_the_other_files_are_done_where_one_is_corrupt(measure, muse, tmp_path):
    bad, out, report = tmp_path / "bad.fits", tmp_path / "out", tmp_path / "report.json"
    bad.write_bytes(muse.read_bytes()[:7000])
    result = measure(bad, muse, "-o", out, "--redshift", 0.1, "--json", report)
    assert result.exit_code == 1
    assert f"error: {bad}: truncated" in result.stderr
    assert [path.name for path in out.iterdir()] == ["muse_populations.fits"]
    first, second = json.loads(report.read_text(encoding="utf-8"))["files"]
    assert "truncated" in first["error"]
    assert not second["error"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no spectrum has a redshift"),
        (("--redshift", 5), "Is the redshift right?"),
        (("--redshift", 0.1, "--figure", "x.doc"), "a figure's name ends in"),
        (("--redshift", 0.1, "--method", "ppxf", "--library", "none"), "quietspec fetch miles"),
    ],
)
def test_refusals_leave_nothing(measure, muse, tmp_path, words, says):
    result = measure(muse, "-o", tmp_path / "out.fits", *words)
    assert result.exit_code == 1
    assert says in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["muse.fits"]
