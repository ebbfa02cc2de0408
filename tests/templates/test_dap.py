"""BC03, BPASS, M11 and MaStar spectra as the MaNGA DAP ships them: tiny folders made here."""

import numpy as np
import pytest
from astropy.constants import L_sun
from astropy.io import fits

from quietspec.errors import TemplateError
from quietspec.templates import load_dap, load_library
from quietspec.wavelengths import vacuum_to_air


def write(folder, name, value=2.0, *, start=4000.0, step=1.0, n_pixels=40, sres=None, **header):
    hdus = fits.HDUList([fits.PrimaryHDU(np.full(n_pixels, value))])
    hdus[0].header.update({"CRPIX1": 1, "CRVAL1": start, "CDELT1": step} | header)
    if sres is not None:
        hdus.append(fits.ImageHDU(np.full(n_pixels, sres), name="SRES"))
    hdus.writeto(folder / name)


def mastar(folder, ages=("00.003", "09.000"), metals=("-1.35", "+0.35")):
    for age in ages:
        for metal in metals:
            name = f"MaStar-SSP-A{age}-Z{metal}.fits.gz"
            write(folder, name, start=3.6, step=1e-4, sres=1800.0, CTYPE1="WAVE-LOG")


@pytest.mark.parametrize(
    ("name", "names", "log_ages", "metallicities", "medium", "scale", "fwhm"),
    [
        (
            "BC03", [f"BC03_z{z}_a{age}.fits" for z in ("0.004", "0.020") for age in ("00.005", "10.000")],
            [6.699, 10], [-0.699, 0], "air", 1, 3.4,
        ),
        (
            "BPASS-2.2.1-imf135_300",
            [f"bin-imf135_300-z{z}-T{age}.fits" for z in ("008", "030") for age in ("-1.20", "0.00", "1.10")],
            [7.8, 9, 10.1], [-0.398, 0.176], "vacuum", 1e-6, 1.0,
        ),
        (
            "M11-MILES",
            [f"M11_MILES_res2.54_imf_ss_age_{age}_z_{z}.fits" for z in ("0.01", "0.04") for age in ("0.1000", "15.0")],
            [8, 10.176], [-0.33, 0.35], "air", 1 / L_sun.to_value("erg/s"), 2.54,
        ),
        (
            "M11-STELIB", [f"M11_STELIB_res3.40_imf_ss_age_{age}_z_0.02_s.fits" for age in ("0.0300", "1.0000000")],
            [7.477, 9], [0], "air", 1 / L_sun.to_value("erg/s"), 3.4,
        ),
        (
            "M11-MARCS", [f"M11_MARCS_res2.7_imf_ss_age_10.00_z_{z}_s.fits" for z in ("-2.2500", "0.3500")],
            [10], [-2.25, 0.35], "air", 1 / L_sun.to_value("erg/s"), 2.73,
        ),
    ],
    ids=["bc03", "bpass", "m11-miles", "m11-stelib", "m11-marcs"],
)  # fmt: skip
def test_each_library_is_known_by_its_names(tmp_path, name, names, log_ages, metallicities, medium, scale, fwhm):
    for file in names:
        write(tmp_path, file)
    (tmp_path / "README").write_text("about it")
    library = load_library(tmp_path)
    assert (library.name, library.medium, library.per_mass) == (name, "air", True)
    np.testing.assert_allclose(library.log_ages, log_ages, atol=6e-4)
    np.testing.assert_allclose(library.metallicities, metallicities, atol=6e-4)
    np.testing.assert_allclose(library.spectra, 2 * scale)
    np.testing.assert_allclose(library.fwhm, fwhm)
    wavelength = 4000.0 + np.arange(40)
    np.testing.assert_allclose(library.wavelength, vacuum_to_air(wavelength) if medium == "vacuum" else wavelength)


def test_each_spectrum_has_its_own_age_and_metallicity(tmp_path):
    for row, z in enumerate(("0.004", "0.050")):
        for column, age in enumerate(("00.025", "01.434", "10.000")):
            write(tmp_path, f"BC03_z{z}_a{age}.fits", value=10 * row + column)
    np.testing.assert_array_equal(load_dap(tmp_path).spectra[:, 0].reshape(3, 2), [[0, 10], [1, 11], [2, 12]])


def test_mastar_is_logarithmic_in_vacuum_and_has_no_masses(tmp_path):
    mastar(tmp_path)
    library = load_library(tmp_path)
    vacuum = 10 ** (3.6 + 1e-4 * np.arange(40))
    assert library.per_mass is False
    np.testing.assert_allclose(library.wavelength, vacuum_to_air(vacuum))
    np.testing.assert_allclose(library.fwhm, vacuum / 1800)
    np.testing.assert_allclose(
        library.log_ages, [6.5, 9 + np.log10(9)]
    )  # 10^6.5 yr is rounded to 0.003 Gyr in the name
    np.testing.assert_allclose(library.metallicities, [-1.35, 0.35])


def test_mastar_without_its_resolution_is_refused(tmp_path):
    write(tmp_path, "MaStar-SSP-A09.000-Z+0.00.fits.gz", start=3.6, step=1e-4, CTYPE1="WAVE-LOG")
    with pytest.raises(TemplateError, match=r"A09\.000-Z\+0\.00\.fits\.gz: no HDU SRES"):
        load_library(tmp_path)


@pytest.mark.parametrize(
    ("ages", "kept_ages", "kept_metallicities"),
    [
        ({"0.01": "12345", "0.02": "123456", "0.04": "345"}, "12345", [-0.33, 0]),  # 10 spectra; all three have 9
        ({"0.01": "12345", "0.02": "123456", "0.04": "2345"}, "2345", [-0.33, 0, 0.35]),  # 12; the first two have 10
        ({"0.01": "12", "0.02": "345678"}, "345678", [0]),
    ],
)
def test_of_a_grid_with_holes_the_largest_full_one_is_kept(tmp_path, ages, kept_ages, kept_metallicities):
    for z, own in ages.items():
        for age in own:
            write(tmp_path, f"M11_MILES_res2.54_imf_ss_age_{age}.0000_z_{z}.fits")
    library = load_library(tmp_path)
    np.testing.assert_allclose(10 ** (library.log_ages - 9), [float(age) for age in kept_ages])
    np.testing.assert_allclose(library.metallicities, kept_metallicities)


def test_pixels_outside_the_valid_range_are_cut(tmp_path):
    write(tmp_path, "M11_MILES_res2.54_imf_ss_age_1.0_z_0.02.fits", start=3545.0)
    assert load_library(tmp_path).wavelength[0] == 3550


def test_resampled_files_are_taken_for_the_originals_beside_them(tmp_path):
    write(tmp_path, "M11_MARCS_res2.7_imf_ss_age_10.00_z_0.0000.fits", value=1.0, step=0.2)
    write(tmp_path, "M11_MARCS_res2.7_imf_ss_age_10.00_z_0.0000_s.fits", value=3.0)
    library = load_library(tmp_path)
    assert library.n_ssp == 1
    np.testing.assert_allclose(library.spectra, 3 / L_sun.to_value("erg/s"))


def test_two_libraries_in_a_folder_are_refused(tmp_path):
    write(tmp_path, "BC03_z0.020_a10.000.fits")
    mastar(tmp_path)
    with pytest.raises(TemplateError, match=r"mixes BC03, MaStar-v1\.0"):
        load_library(tmp_path)


def test_a_folder_without_such_spectra_is_refused(tmp_path):
    with pytest.raises(TemplateError, match="no BC03, BPASS, M11 or MaStar"):
        load_dap(tmp_path)


def test_spectra_on_other_wavelengths_are_refused(tmp_path):
    write(tmp_path, "BC03_z0.020_a10.000.fits")
    write(tmp_path, "BC03_z0.020_a05.000.fits", start=4001.0)
    with pytest.raises(TemplateError, match="differ from those of"):
        load_library(tmp_path)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "BC03_z0.020_a10.000.fits").write_bytes(b"SIMPLE")
    with pytest.raises(TemplateError, match=r"BC03_z0\.020_a10\.000\.fits: not a template spectrum"):
        load_library(tmp_path)
