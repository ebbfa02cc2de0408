"""Simulated spectra: their FITS form, and selecting and joining them."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from quietspec.lab.simulate import RestSpectra, get_recipe


@pytest.mark.parametrize("name", ["paper", "survey"])
def test_fits_holds_everything(tiny_library, tmp_path, name):
    simulated = get_recipe(name, tiny_library).simulate(7, np.random.default_rng(1), 10.0)
    simulated.to_hdulist().writeto(tmp_path / "simulated.fits")
    observed = simulated.observed
    with fits.open(tmp_path / "simulated.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "FLUX", "VAR", "MASK", "TRUTH", "WAVE", "SPECTRA"]
        bad = hdus["MASK"].data.astype(bool)
        np.testing.assert_array_equal(bad, ~observed.good)
        np.testing.assert_array_equal(np.isnan(hdus["VAR"].data), bad)
        np.testing.assert_allclose(1 / hdus["VAR"].data[~bad], observed.ivar[~bad], rtol=1e-6)
        np.testing.assert_array_equal(hdus["FLUX"].data, observed.flux)
        np.testing.assert_array_equal(hdus["TRUTH"].data, simulated.truth)
        assert hdus["FLUX"].header["MEDIUM"] == observed.medium
        wave, table = Table(hdus["WAVE"].data), Table(hdus["SPECTRA"].data)
    np.testing.assert_array_equal(wave["wavelength"], observed.wavelength)
    np.testing.assert_array_equal(table["redshift"], observed.redshift)
    for parameter, values in simulated.parameters.items():
        np.testing.assert_array_equal(table[parameter], values)


def test_rows_can_be_selected_and_joined(tiny_library):
    rest = get_recipe("paper", tiny_library).rest(6, np.random.default_rng(2))
    some = rest[2:4]
    assert len(some) == 2
    np.testing.assert_array_equal(some.flux, rest.flux[2:4])
    np.testing.assert_array_equal(some.parameters["mh_mw"], rest.parameters["mh_mw"][2:4])
    again = RestSpectra.stack([rest[:2], some, rest[[4, 5]]])
    np.testing.assert_array_equal(again.wavelength, rest.wavelength)
    np.testing.assert_array_equal(again.flux, rest.flux)
    for name, values in rest.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], values)
