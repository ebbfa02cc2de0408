"""Real files: what `info` says of them is right."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.errors import ReadError
from quietspec.io import describe, open_spectra, read
from quietspec.wavelengths import EMISSION_LINES, rest_air


def told(*paths, **options):
    with open_spectra(*paths, **options) as source:
        return describe(source)


@pytest.mark.shared
def test_sami_pair(shared):
    facts = told(*(shared / "sami" / f"56140_B_sectors_{arm}.fits.gz" for arm in ("blue", "red")))
    assert (facts["survey"], facts["spatial_shape"], facts["n_pixels"]) == ("SAMI", [50, 50], 4096)
    assert facts["distinct_spectra"] == 36
    np.testing.assert_allclose([facts["wavelength"]["low"], facts["wavelength"]["high"]], [3650, 7460])
    np.testing.assert_allclose(facts["wavelength"]["gaps"], [[5800, 6240]])
    np.testing.assert_allclose(facts["redshift"]["low"], 0.07985, atol=1e-6)
    np.testing.assert_allclose(facts["snr"]["95"], 57, atol=2)
    assert facts["fwhm"] == {"low": 1.59, "high": 2.66}
    assert facts["empty_spectra"] == 1628


@pytest.mark.shared
def test_sami_bins_carry_one_spectrum(shared):
    spectra = read(shared / "sami" / "230776_A_sectors_blue.fits.gz")
    filled = spectra.flux[spectra.good.any(axis=1)]
    assert len(np.unique(np.nan_to_num(filled), axis=0)) == spectra.meta["distinct_spectra"]


@pytest.mark.shared
def test_manga_spectra(shared):
    spectra = read(shared / "MaNGA_test_spectra.fits.gz")
    assert (spectra.meta["survey"], spectra.n_spectra, spectra.medium) == ("MaNGA", 8, "vacuum")
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good.any(axis=1)), [5])
    np.testing.assert_allclose([np.nanmin(spectra.snr), np.nanmax(spectra.snr)], [1.2, 153], rtol=0.5)
    np.testing.assert_allclose(spectra.redshift[[0, 7]], [0.0495282, 0.0181699])


@pytest.mark.shared
def test_califa_stack(shared):
    spectra = read(shared / "NGC2691.COMB.RSS.fits", redshift=0.0133)
    assert (spectra.meta["survey"], spectra.medium) == ("CALIFA", "air")
    np.testing.assert_allclose(spectra.snr, [75, 14.6, 0.8], rtol=0.05)
    assert_line(spectra[:1], "Na D", 5893.0, width=40)


@pytest.mark.fetched
def test_muse_cube(fetched):
    facts = told(fetched("muse-a478"), redshift=0.0858)
    assert (facts["survey"], facts["object"], facts["n_spectra"]) == ("MUSE", "Abell 478", 1600)
    assert facts["spatial_shape"] == [40, 40]
    assert 1 < facts["snr"]["5"] < facts["snr"]["95"] < 8
    assert facts["empty_spectra"] == 0


@pytest.mark.fetched
def test_muse_emission_lies_where_it_belongs(fetched):
    """Hα and [N II] of Abell 478's brightest galaxy, at z = 0.0858."""
    spectra = read(fetched("muse-a478"), redshift=0.0858)
    rest = rest_air(spectra.wavelength, 0.0858, spectra.medium)
    total = np.where(spectra.good, spectra.flux, 0).sum(axis=0)
    for line in ("Halpha", "[NII]6583"):
        window = np.abs(rest - EMISSION_LINES[line]) < 8
        assert abs(rest[window][np.argmax(total[window])] - EMISSION_LINES[line]) < 2


@pytest.mark.fetched
def test_sdss(fetched):
    path = fetched("ngc3522")
    spectra = read(path)
    assert (spectra.meta["survey"], spectra.medium, spectra.n_spectra) == ("SDSS", "vacuum", 1)
    np.testing.assert_allclose(spectra.snr, 47.8, atol=0.1)
    np.testing.assert_allclose(spectra.redshift, 0.004018, atol=1e-6)
    exposures = read(path, exposures=True)
    assert len(exposures) == 6
    assert exposures.snr.max() < spectra.snr[0]
    assert_line(spectra, "Na D", 5893.0, width=15)


@pytest.mark.fetched
def test_legac(fetched):
    spectra = read(fetched("legac"), redshift=0.669)
    assert (spectra.meta["survey"], spectra.medium, spectra.n_pixels) == ("LEGA-C", "air", 6166)
    np.testing.assert_allclose(spectra.snr, 47.4, atol=0.1)  # the header's SNR
    assert_line(spectra, "Ca II K", 3933.66, width=15)


@pytest.mark.fetched
def test_legac_asks_nothing_but_the_redshift(fetched):
    warnings = read(fetched("legac")).meta["warnings"]
    assert "no redshift; give it: redshift=Z" in warnings


def assert_line(spectra, name, centre, width):
    """The deepest absorption within `width` of a line's rest wavelength is within half a per mille of it."""
    rest = rest_air(spectra.wavelength, float(spectra.redshift[0]), spectra.medium)
    near = (np.abs(rest - centre) < width) & spectra.good[0]
    flux = np.convolve(spectra.flux[0], np.ones(5) / 5, mode="same")[near]
    depth = np.clip(np.median(flux) - flux, 0, None)
    found = np.sum(rest[near] * depth**2) / np.sum(depth**2)
    assert abs(found - centre) < 1e-3 * centre, f"{name} at {found:.2f}"


@pytest.mark.shared
def test_califa_is_asked_nothing(shared):
    with pytest.raises(ReadError, match="has no HDU"):
        read(shared / "NGC2691.COMB.RSS.fits", noise_hdu="VARIANCE")


@pytest.mark.shared
def test_desi_coadd(shared):
    facts = told(shared / "desi" / "coadd-5-169-thru20210419.fits", redshift=0.1)
    assert (facts["survey"], facts["n_spectra"], facts["n_pixels"]) == ("DESI", 5, 7781)
    assert (facts["empty_spectra"], facts["wavelength"]["sampling"]) == (4, "linear")
    np.testing.assert_allclose([facts["wavelength"]["low"], facts["wavelength"]["high"]], [3600, 9824])
    assert 1.2 < facts["fwhm"]["low"] < facts["fwhm"]["high"] < 2.2


@pytest.mark.shared
def test_maps_of_the_manga_pipeline(shared):
    with pytest.raises(ReadError, match="no spectra"):
        read(next((shared / "dap").glob("*MAPS*.gz")))


@pytest.mark.shared
def test_red_muse_cube_is_asked_for_the_medium_alone(shared):
    path = shared / "muse" / "CUBE_red.fits"
    with pytest.raises(ReadError, match="in air or vacuum") as caught:
        read(path)
    assert len(str(caught.value).splitlines()) == 2
    assert read(path, medium="air").spatial_shape == (10, 20)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "ebv"), [("spec-0412-51871-0308.fits", 0), ("spec-7340-56837-0726.fits", 0.0088)])
def test_sdss_spectra(shared, name, ebv):
    spectra = read(shared / "sdss" / name)
    assert (spectra.meta["survey"], spectra.medium) == ("SDSS", "vacuum")
    assert spectra.ebv[0] == pytest.approx(ebv, abs=1e-4)
    assert len(spectra.meta["warnings"]) == (ebv > 0)
