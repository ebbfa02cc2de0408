"""`measure --layout`: the demo cube as MAPS of the MaNGA DAP and as a run of nGIST, from one and the same result."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec.cli.measure import LayoutName
from quietspec.files.layouts import LAYOUTS
from quietspec.io.writing import options

from ..io import layouts


@pytest.fixture(scope="module")
def cube(tmp_path_factory) -> Path:
    """The middle nine spaxels of the demo cube."""
    path = tmp_path_factory.mktemp("demo") / "demo.fits"
    with fits.open(quietspec.demo_cube()) as hdus:
        parts = [fits.PrimaryHDU(header=hdus[0].header)]
        for name in ("FLUX", "VAR", "MASK"):
            image = fits.ImageHDU(hdus[name].data[:, 8:11, 8:11], name=name)
            for key, value in hdus[name].header.items():
                if key.startswith(("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "BUNIT", "REDSHIFT", "AIRORVAC")):
                    image.header[key] = value
            image.header["CRPIX1"] -= 8
            image.header["CRPIX2"] -= 8
            parts.append(image)
        fits.HDUList([*parts, hdus["WAVE"].copy(), hdus["FWHM"].copy()]).writeto(path)
    return path


@pytest.fixture(scope="module")
def outputs(run, cube) -> dict[str, Path]:
    """The same measurements in each layout."""
    ends = {"native": "out.fits", "dap": "maps.fits", "nGIST": "run"}
    for name, end in ends.items():
        words = ("measure", cube, "-o", cube.parent / end, "--layout", name, "--index", "Mg_b", "--redshift", 0.03)
        result = run(*words)
        assert result.exit_code == 0, result.stderr
        assert str(cube.parent / end) in result.stdout.replace("\n", "")
    return {name: cube.parent / end for name, end in ends.items()}


def test_all_layouts_hold_the_same_numbers(outputs):
    gas, kinematics = (fits.getdata(outputs["nGIST"] / f"run_{end}.fits", 1) for end in ("gas_bin", "kin"))
    with fits.open(outputs["native"]) as native, fits.open(outputs["dap"]) as dap:
        channel = [dap["EMLINE_GFLUX"].header[f"C{k:02d}"] for k in range(1, 36)].index("Ha-6564")
        flux = native["FLUX_HALPHA"].data
        assert np.isfinite(flux).all()
        np.testing.assert_allclose(dap["EMLINE_GFLUX"].data[channel], flux, rtol=1e-6)
        np.testing.assert_allclose(gas["Ha6562_FLUX"], flux.ravel(), rtol=1e-6)
        np.testing.assert_allclose(
            dap["EMLINE_GFLUX_IVAR"].data[channel] ** -0.5, native["FLUX_HALPHA_ERR"].data, rtol=1e-5
        )
        np.testing.assert_allclose(dap["STELLAR_SIGMA"].data, native["SIGMA"].data, rtol=1e-6)
        np.testing.assert_allclose(kinematics["V"], native["VELOCITY"].data.ravel(), rtol=1e-5)
        np.testing.assert_allclose(dap["STELLAR_VEL"].data, native["VELOCITY"].data, rtol=1e-3)
        index = [dap["SPECINDEX"].header[f"C{k:02d}"] for k in range(1, 47)].index("Mgb")
        np.testing.assert_allclose(dap["SPECINDEX"].data[index], native["INDEX_MG_B"].data, rtol=1e-6)
        np.testing.assert_array_equal(dap["POPULATIONS"].data["velocity"], native["POPULATIONS"].data["velocity"])
        assert dap[0].header["QSCMD"].startswith("quietspec")


def test_what_was_measured_is_no_input(run, outputs):
    for path in (outputs["dap"], outputs["nGIST"] / "run_kin_maps.fits"):
        result = run("info", path)
        assert result.exit_code == 1
        assert "holds what quietspec measured, no spectra" in result.stderr.replace("\n", " ")


def test_several_inputs_get_names_of_their_own(run, tmp_path, model):
    for name in ("a", "b"):
        layouts.muse().writeto(tmp_path / f"{name}.fits")
    inputs = tmp_path / "a.fits", tmp_path / "b.fits"
    common = "--redshift", 0.1, "--model", model
    for layout, names in (("dap", {"a_MAPS.fits", "b_MAPS.fits"}), ("ngist", {"a", "b"})):
        result = run("measure", *inputs, "-o", tmp_path / layout, "--layout", layout, *common)
        assert result.exit_code == 0, result.stderr
        assert {path.name for path in (tmp_path / layout).iterdir()} == names
    assert (tmp_path / "ngist" / "a" / "a_kin.fits").exists()


def test_spectra_without_an_image_get_the_cure(run, tmp_path, model):
    layouts.generic().writeto(tmp_path / "rows.fits")
    for layout in ("dap", "nGIST"):
        out = tmp_path / ("out.fits" if layout == "dap" else "out")
        result = run(
            "measure", tmp_path / "rows.fits", "-o", out, "--layout", layout, "--redshift", 0.1, "--model", model
        )
        assert result.exit_code == 1
        assert "--layout native" in result.stderr.replace("\n", " ")
        assert not out.exists()


def test_names_of_layouts_are_the_same_everywhere():
    assert get_args(LayoutName) == get_args(options.LayoutName) == tuple(LAYOUTS)
