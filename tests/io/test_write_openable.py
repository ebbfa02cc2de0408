"""Output that other programs open: standard FITS, checksums, the input's own WCS, and loaders."""

from __future__ import annotations

import shutil
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from quietspec.denoised import Flag
from quietspec.files import denoise_file, measure_file
from quietspec.io import read
from quietspec.io.checksums import ALL_ONES, UNSET, encoded_checksum, ones_complement_sum
from quietspec.io.writing.writer import write
from quietspec.populations import PopulationFlag

from ..files.test_measure import Levels
from . import layouts
from .test_write import N_PIXELS, NX, NY, denoised

PRODUCTS = ["cube", "spectra", "one", "populations"]


@pytest.fixture(params=PRODUCTS)
def product(request, tmp_path):
    """Path of each kind of output."""
    path = tmp_path / "out.fits"
    command = "quietspec denoise " + "a long 'name' " * 20
    if request.param == "populations":
        layouts.muse().writeto(tmp_path / "in.fits")
        measure_file([tmp_path / "in.fits"], path, Levels(), redshift=0.1, command=command)
        return path
    result = denoised(cube=request.param == "cube", meta={"warnings": ["σ is unknown"], "object": "A478"})
    write(result[:1] if request.param == "one" else result, path, command=command, residual=True)
    return path


def test_every_hdu_has_checksums_that_hold(product):
    """On 0.1.0 FLUX, VAR and MASK had no CHECKSUM."""
    with fits.open(product, checksum=True) as file:
        file.verify("exception")
        for hdu in file:
            assert {"CHECKSUM", "DATASUM"} <= set(hdu.header)
            assert hdu.verify_checksum() == 1
            assert hdu.verify_datasum() == 1


def test_the_standards_own_checker_has_nothing_to_say(product):
    program = shutil.which("fitsverify")
    if program is None:
        pytest.skip("needs fitsverify")
    done = subprocess.run([program, product], capture_output=True, text=True, check=False)
    assert "0 warning(s) and 0 error(s)" in done.stdout, done.stdout


@given(st.lists(st.binary(min_size=4, max_size=40).map(lambda part: part[: len(part) // 4 * 4]), max_size=5))
def test_checksum_makes_the_sum_all_ones(parts):
    rest = ones_complement_sum(parts)
    card = f"CHECKSUM= '{UNSET}'".ljust(80)
    total = ones_complement_sum([rest.to_bytes(4, "big"), card.encode()])
    done = card.replace(UNSET, encoded_checksum(total))
    assert encoded_checksum(total).isalnum()
    assert ones_complement_sum([rest.to_bytes(4, "big"), done.encode()]) == ALL_ONES


@pytest.mark.parametrize("form", ["CD", "PC"])
def test_wcs_keeps_the_form_of_the_input(tmp_path, form):
    """Programs that look for CD alone took PC with CDELT of 1 for degrees."""
    sky = WCS(naxis=2)
    sky.wcs.ctype, sky.wcs.crval, sky.wcs.crpix = ["RA---TAN", "DEC--TAN"], [63.36, 10.47], [2, 3]
    matrix = np.array([[-5e-5, 1e-5], [1e-5, 5e-5]])
    if form == "CD":
        sky.wcs.cd = matrix
    else:
        sky.wcs.pc, sky.wcs.cdelt = matrix / 5e-5, [5e-5, 5e-5]
    result = denoised()
    object.__setattr__(result.spectra, "wcs", sky)
    write(result, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as file:
        for name in ("FLUX", "VAR", "MASK", "FLAGS"):
            header = file[name].header
            assert ("CD1_1" in header) == (form == "CD")
            assert ("CDELT1" in header) == (form == "PC")
            assert not ("CD1_1" in header and any(key.startswith(("CDELT", "PC1", "PC2")) for key in header))
            np.testing.assert_allclose(WCS(header).celestial.pixel_scale_matrix, matrix, rtol=1e-12)
        metres = WCS(file["FLUX"].header).pixel_to_world_values(0, 0, np.arange(N_PIXELS))[2]
        np.testing.assert_allclose(metres * 1e10, result.spectra.wavelength, rtol=1e-10)


def test_one_spectrum_has_one_dimension(tmp_path):
    result = denoised(cube=False)[:1]
    write(result, tmp_path / "out.fits", residual=True)
    with fits.open(tmp_path / "out.fits") as file:
        for name in ("FLUX", "VAR", "MASK", "RESIDUAL"):
            assert file[name].shape == (N_PIXELS,)
    back = read(tmp_path / "out.fits")
    np.testing.assert_array_equal(back.flux[back.good], result.flux[result.valid])


def test_bits_of_flags_mean_the_same_in_every_product(tmp_path):
    """On 0.1.0 bit 8 was NO_SIGNAL in one product and POOR_FIT in the other."""
    names: dict[int, str] = {}
    for flag in (*Flag, *PopulationFlag):
        assert names.setdefault(flag.value, flag.name) == flag.name
    assert len(set(names.values())) == len(names)
    write(denoised(), tmp_path / "a.fits")
    layouts.muse().writeto(tmp_path / "in.fits")
    measure_file([tmp_path / "in.fits"], tmp_path / "b.fits", Levels(), redshift=0.1)
    for name, kinds in (("a.fits", Flag), ("b.fits", PopulationFlag)):
        with fits.open(tmp_path / name) as file:
            assert file["FLAGS"].data.dtype.kind == "i"
            said = list(file["FLAGS"].header["COMMENT"])
            assert {f"{flag.value}: {flag.name}" for flag in kinds} <= set(said)


@pytest.mark.parametrize("cube", [True, False])
def test_residual_is_written_where_it_is_wanted(tmp_path, cube):
    result = denoised(cube=cube)
    write(result, tmp_path / "without.fits")
    write(result, tmp_path / "with.fits", residual=True)
    with fits.open(tmp_path / "without.fits") as file:
        assert "RESIDUAL" not in file
    with fits.open(tmp_path / "with.fits") as file:
        data = file["RESIDUAL"].data
        rows = data.reshape(N_PIXELS, -1).T if cube else data
        np.testing.assert_array_equal(rows, np.where(result.valid, result.residual, np.nan).astype(np.float32))
        assert u.Unit(file["RESIDUAL"].header["BUNIT"]) == result.spectra.unit


@pytest.mark.parametrize("redshift", [0.05, None])
def test_redshift_is_in_the_header(tmp_path, redshift):
    layouts.muse().writeto(tmp_path / "in.fits")
    from quietspec.denoisers import load_denoiser

    denoise_file([tmp_path / "in.fits"], tmp_path / "out.fits", load_denoiser("gaussian"), redshift=redshift)
    for hdu in (0, "FLUX"):
        assert fits.getheader(tmp_path / "out.fits", hdu).get("REDSHIFT") == redshift


def test_every_large_image_has_a_unit_and_three_axes(tmp_path):
    """Cubeviz asks for both."""
    write(denoised(), tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as file:
        for name in ("FLUX", "VAR", "MASK"):
            assert "BUNIT" in file[name].header
            assert WCS(file[name].header).naxis == 3


@pytest.mark.parametrize("shape", ["cube", "spectra", "one"])
def test_specutils_opens_even_wavelengths_without_a_loader_of_ours(tmp_path, shape):
    """As Specviz does; on 0.1.0 "Format could not be identified"."""
    result = denoised(cube=shape == "cube")
    result = result[:1] if shape == "one" else result
    write(result, tmp_path / "out.fits")
    code = (
        "import sys; from specutils import Spectrum; s = Spectrum.read(sys.argv[1]); print(s.shape, s.spectral_axis[1])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, tmp_path / "out.fits"], capture_output=True, text=True, check=True
    )
    shapes = {"spectra": (12, N_PIXELS), "one": (N_PIXELS,), "cube": (N_PIXELS, NY, NX)}
    assert done.stdout.startswith(f"{shapes[shape]} 4.75125e-07")


@pytest.mark.parametrize("axis", ["linear", "two arms"])
@pytest.mark.parametrize("shape", ["cube", "spectra", "one"])
def test_specutils_opens_what_was_written_without_being_told_how(tmp_path, axis, shape):
    """On 0.1.0: "Format could not be identified", or several formats that fit."""
    from specutils import Spectrum

    import quietspec.io.loaders  # noqa: F401

    result = denoised(axis, cube=shape == "cube")
    result = result[:1] if shape == "one" else result
    write(result, tmp_path / "out.fits")
    spectrum = Spectrum.read(tmp_path / "out.fits")
    np.testing.assert_allclose(spectrum.spectral_axis.to_value(u.AA), result.spectra.wavelength, rtol=1e-10)
    want = {"spectra": (12, N_PIXELS), "one": (N_PIXELS,), "cube": (N_PIXELS, NY, NX)}[shape]
    if (shape, axis) == ("cube", "two arms"):
        want = (NY, NX, N_PIXELS)
    assert spectrum.shape == want
    rows = spectrum.flux.value
    rows = rows.reshape(N_PIXELS, -1).T if want[0] == N_PIXELS and len(want) == 3 else rows.reshape(-1, N_PIXELS)
    np.testing.assert_array_equal(rows[result.valid], result.flux[result.valid])


def test_mpdaf_opens_a_cube(tmp_path):
    objects = pytest.importorskip("mpdaf.obj", reason="needs mpdaf")
    result = denoised()
    write(result, tmp_path / "out.fits")
    cube = objects.Cube(str(tmp_path / "out.fits"), ext=("FLUX", "VAR"))
    assert cube.shape == (N_PIXELS, NY, NX)
    np.testing.assert_allclose(cube.wave.coord(), result.spectra.wavelength)
