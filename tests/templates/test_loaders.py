"""Loading MILES folders and pPXF npz files."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

from quietspec.errors import TemplateError
from quietspec.templates import load_library, load_miles, load_ppxf
from quietspec.wavelengths import vacuum_to_air

AGES, METALS = (0.1, 1.0, 10.0), ("m0.40", "p0.22")
SUFFIX = "_iPp0.00_baseFe_linear_FWHM_2.51.fits"


def write_spectrum(path, value=1.0, n_pixels=50, start=3540.5, **header):
    hdu = fits.PrimaryHDU(np.full(n_pixels, value, dtype=np.float32))
    hdu.header.update({"CRVAL1": start, "CDELT1": 0.9, "CRPIX1": 1} | header)
    hdu.writeto(path)


@pytest.fixture
def folder(tmp_path):
    for i, metal in enumerate(METALS):
        for j, age in enumerate(AGES):
            write_spectrum(tmp_path / f"Mun1.30Z{metal}T{age:07.4f}{SUFFIX}", value=10 * i + j)
    return tmp_path


def test_ages_and_metallicities_come_from_the_names(folder):
    library = load_library(folder)
    np.testing.assert_allclose(library.log_ages, 9 + np.log10(AGES))
    np.testing.assert_allclose(library.metallicities, [-0.40, 0.22])
    np.testing.assert_allclose(library.spectra[:, 0].reshape(3, 2), [[0, 10], [1, 11], [2, 12]])
    np.testing.assert_allclose(library.wavelength, 3540.5 + 0.9 * np.arange(50))
    assert library.medium == "air"
    assert library.name.startswith("Mun1.30")
    np.testing.assert_array_equal(library.fwhm, 2.51)
    assert library.remaining_mass is None


def test_the_mass_table_beside_the_spectra_is_read(folder):
    rows = [
        f"UN {slope} {metal} {age:.4f} 1.0000 {0.9 - 0.1 * j + 0.05 * i + (slope == '0.30'):.4f} 0.5 0.1 0.3"
        for slope in ("0.30", "1.30")
        for i, metal in enumerate(("-0.3960", "0.2223"))
        for j, age in enumerate(AGES)
    ]
    (folder / "Vazdekis2012_ssp_mass_Padova00_UN_baseFe_v10.0.txt").write_text("#IMF slope [M/H]\n" + "\n".join(rows))
    expected = [[0.9, 0.95], [0.8, 0.85], [0.7, 0.75]]
    np.testing.assert_allclose(load_library(folder).remaining_mass.reshape(3, 2), expected)


def test_a_mass_table_that_lacks_an_ssp_is_left_aside(folder):
    (folder / "ssp_mass_UN_baseFe.txt").write_text("UN 1.30 -0.3960 0.1000 1.0 0.9 0.5\n")
    assert load_library(folder).remaining_mass is None


def test_emiles_has_its_resolution_by_section(tmp_path):
    for age in ("00.1000", "01.0000"):
        path = tmp_path / f"Ebi1.30Zp0.06T{age}_iTp0.00_baseFe.fits"
        write_spectrum(path, n_pixels=10_000, start=1680.2)
    library = load_library(tmp_path)
    np.testing.assert_allclose(np.interp([2000, 3300, 5000], library.wavelength, library.fwhm), [3.0, 5.0, 2.51])
    assert np.interp(10_000, library.wavelength, library.fwhm) == pytest.approx(4.71, abs=0.01)  # 60 km/s
    np.testing.assert_allclose(library.metallicities, [0.06])


def test_the_library_ends_where_its_first_spectrum_ends(tmp_path):
    for age in ("00.1000", "01.0000"):
        write_spectrum(tmp_path / f"Ebi1.30Zp0.06T{age}_iTp0.00_baseFe.fits")
    with fits.open(tmp_path / "Ebi1.30Zp0.06T00.1000_iTp0.00_baseFe.fits", mode="update") as hdus:
        hdus[0].data[30:] = 0
    assert len(load_library(tmp_path).wavelength) == 30
    old = load_miles(tmp_path, log_age=(8.5, 11))
    assert len(old.wavelength) == 50
    np.testing.assert_allclose(old.log_age, [9])
    with pytest.raises(TemplateError, match="no spectrum has a log age in"):
        load_miles(tmp_path, log_age=(11, 12))


def test_miuscat_is_cut_to_its_valid_range(tmp_path):
    for age in ("00.1000", "01.0000"):
        write_spectrum(tmp_path / f"Iun1.30Zm0.40T{age}.fits", n_pixels=6672, start=3464.9)
    library = load_library(tmp_path)
    assert library.name == "Iun1.30"
    assert library.wavelength[0] >= 3480
    assert library.wavelength[-1] <= 9430
    np.testing.assert_array_equal(library.fwhm, 2.51)


def test_an_empty_folder_says_how_to_get_templates(tmp_path):
    with pytest.raises(TemplateError, match="quietspec fetch miles"):
        load_library(tmp_path)


def test_a_path_that_is_not_there_says_so(tmp_path):
    with pytest.raises(TemplateError, match="not found"):
        load_library(tmp_path / "nowhere")


def test_a_file_that_is_no_library_says_so(tmp_path):
    (tmp_path / "library.txt").write_text("nothing")
    with pytest.raises(TemplateError, match="neither a folder nor"):
        load_library(tmp_path / "library.txt")


def test_two_kinds_in_a_folder_are_refused(folder):
    shutil.copy(next(folder.glob("*.fits")), folder / f"Mbi1.30Zm0.40T00.1000{SUFFIX}")
    with pytest.raises(TemplateError, match="mixes 2 kinds"):
        load_library(folder)


def test_spectra_on_other_wavelengths_are_refused(folder):
    path = folder / f"Mun1.30Zm0.40T01.0000{SUFFIX}"
    path.unlink()
    write_spectrum(path, n_pixels=49)
    with pytest.raises(TemplateError, match="differ from those of"):
        load_library(folder)


def test_a_missing_spectrum_is_noticed(folder):
    (folder / f"Mun1.30Zm0.40T01.0000{SUFFIX}").unlink()
    with pytest.raises(TemplateError, match=r"full grid of 6: that of log age \d+\.000, \[M/H\] .* is missing"):
        load_library(folder)


def test_a_broken_file_is_named(folder):
    path = folder / f"Mun1.30Zm0.40T01.0000{SUFFIX}"
    path.write_bytes(b"SIMPLE")
    with pytest.raises(TemplateError, match=path.name):
        load_library(folder)


def ppxf_arrays():
    rng = np.random.default_rng(3)
    return {
        "templates": rng.uniform(1, 2, (40, 3, 2)),
        "lam": np.linspace(4000, 4100, 40),
        "ages": np.array(AGES),
        "metals": np.array([-0.4, 0.22]),
        "fwhm": np.full(40, 2.0),
        "masses": rng.uniform(0.5, 1, (3, 2)),
    }


def test_ppxf_files_load_with_every_axis_in_place(tmp_path):
    arrays = ppxf_arrays()
    np.savez_compressed(tmp_path / "spectra_made_9.0.npz", **arrays)
    library = load_library(tmp_path / "spectra_made_9.0.npz")
    assert library.name == "spectra_made_9.0"
    np.testing.assert_allclose(library.spectra.reshape(3, 2, 40), np.moveaxis(arrays["templates"], 0, -1))
    np.testing.assert_allclose(library.remaining_mass.reshape(3, 2), arrays["masses"])
    np.testing.assert_allclose(10 ** (library.log_age.reshape(3, 2)[:, 0] - 9), AGES)
    assert load_ppxf(tmp_path / "spectra_made_9.0.npz", medium="vacuum").medium == "vacuum"


def test_own_files_may_state_medium_and_scale(tmp_path):
    path, arrays = tmp_path / "spectra_own.npz", ppxf_arrays()
    np.savez(path, **arrays, medium="vacuum", per_mass=False)
    assert load_ppxf(path).medium == "vacuum"
    library = load_library(path)
    assert (library.medium, library.per_mass) == ("air", False)
    np.testing.assert_allclose(library.wavelength, vacuum_to_air(arrays["lam"]))
    assert library.in_air() is library


def test_a_medium_that_does_not_exist_is_refused(tmp_path):
    np.savez(tmp_path / "spectra_own.npz", **ppxf_arrays(), medium="water")
    with pytest.raises(TemplateError, match=r"medium is 'water'\. Write 'air' or 'vacuum'"):
        load_library(tmp_path / "spectra_own.npz")


def test_ppxf_file_without_an_array_is_refused(tmp_path):
    arrays = ppxf_arrays()
    del arrays["metals"]
    np.savez(tmp_path / "spectra.npz", **arrays)
    with pytest.raises(TemplateError, match="lacks metals"):
        load_library(tmp_path / "spectra.npz")


def test_ppxf_file_of_wrong_shape_is_refused(tmp_path):
    np.savez(tmp_path / "spectra.npz", **(ppxf_arrays() | {"templates": np.ones((40, 2, 3))}))
    with pytest.raises(TemplateError, match="3 ages and 2 metallicities"):
        load_library(tmp_path / "spectra.npz")


def test_pickled_objects_are_never_opened(tmp_path):
    np.savez(tmp_path / "spectra.npz", **(ppxf_arrays() | {"ages": np.array([{}, {}, {}], dtype=object)}))
    with pytest.raises(TemplateError, match="of plain arrays"):
        load_library(tmp_path / "spectra.npz")


def test_a_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / "spectra.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(TemplateError, match="of plain arrays"):
        load_library(tmp_path / "spectra.npz")
