"""Each survey's layout is told from its content and read to the right numbers."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from quietspec.errors import ReadError
from quietspec.instruments import muse_fwhm
from quietspec.io import describe, open_spectra, read
from quietspec.wavelengths import FWHM_PER_SIGMA, SPEED_OF_LIGHT

from . import layouts
from .layouts import N_PIXELS, NX, NY, SIGMA

CUBES = {
    "SAMI": layouts.sami,
    "MaNGA": layouts.manga_cube,
    "CALIFA": layouts.califa,
    "MUSE": layouts.muse,
    "KCWI": layouts.kcwi,
}


@pytest.mark.parametrize("survey", CUBES)
def test_a_cube_keeps_its_spaxels_its_shape_and_its_sky(save, survey):
    spectra = read(save(CUBES[survey]()))
    assert spectra.meta["survey"] == survey
    assert spectra.spatial_shape == (NY, NX)
    good = spectra.good
    expected = layouts.spectra().reshape(N_PIXELS, -1).T
    np.testing.assert_allclose(spectra.flux[good], expected[good], rtol=1e-6)
    np.testing.assert_allclose(spectra.sigma[good], SIGMA, rtol=1e-5)
    assert good.mean() > 0.85
    assert spectra.flux.dtype.isnative
    assert spectra.wcs.pixel_to_world(0.5, 0.5).separation(spectra.wcs.pixel_to_world(1.5, 0.5)) < 1 * u.arcsec
    np.testing.assert_allclose([spectra.wcs.wcs.crval[0], spectra.wcs.wcs.crval[1]], [150, 2])


@pytest.mark.parametrize(
    ("hdus", "unit"),
    [
        (layouts.sami(), 1e-16),
        (layouts.manga_cube(), 1e-17),
        (layouts.califa(), 1e-16),
        (layouts.muse(), 1e-20),
        (layouts.sdss(), 1e-17),
        (layouts.legac(), 1e-19),
        (layouts.kcwi(), 1e-16),
    ],
)
def test_units_are_those_of_the_survey(save, hdus, unit):
    spectra = read(save(hdus))
    assert spectra.unit == u.Unit(unit * u.erg / (u.s * u.cm**2 * u.AA))
    assert "/" in spectra.meta["units"] or "erg" in spectra.meta["units"] or "FLAM" in spectra.meta["units"]


def test_sami_arm(save):
    spectra = read(save(layouts.sami("red", binned=True)))
    assert spectra.medium == "air"
    np.testing.assert_allclose(spectra.wavelength, 6240 + 0.596 * np.arange(N_PIXELS))
    np.testing.assert_array_equal(spectra.fwhm, 1.59)
    np.testing.assert_allclose(spectra.redshift, 0.01973)
    assert not spectra.good[0].any()
    assert spectra.good[1:].all()


def test_sami_arms_are_joined_in_either_order(save):
    paths = save(layouts.sami("blue"), "b"), save(layouts.sami("red"), "a")
    spectra, swapped = read(*paths), read(*reversed(paths))
    assert spectra.n_pixels == 2 * N_PIXELS
    assert np.all(np.diff(spectra.wavelength) > 0)
    np.testing.assert_array_equal(spectra.fwhm, [2.66] * N_PIXELS + [1.59] * N_PIXELS)
    np.testing.assert_array_equal(spectra.flux, swapped.flux)
    np.testing.assert_array_equal(spectra.flux[:, N_PIXELS:], read(paths[1]).flux)
    assert spectra.meta["path"] == [str(path) for path in paths]
    with open_spectra(*paths) as source:
        assert describe(source)["wavelength"]["gaps"] == [[3650 + 1.05 * (N_PIXELS - 1), 6240.0]]


def test_arms_of_different_galaxies_are_refused(save):
    paths = save(layouts.sami("blue"), "a"), save(layouts.sami("red", name="56140"), "b")
    with pytest.raises(ReadError, match="different objects, 230776 and 56140"):
        read(*paths)


def test_the_same_arm_twice_is_refused(save):
    with pytest.raises(ReadError, match="wavelengths overlap"):
        read(save(layouts.sami("blue"), "a"), save(layouts.sami("blue"), "b"))


def test_sami_bins_are_counted(save):
    with open_spectra(save(layouts.sami(binned=True))) as source:
        assert describe(source)["distinct_spectra"] == NX * NY // 2 - 1


def test_manga_cube(save):
    spectra = read(save(layouts.manga_cube()))
    assert spectra.medium == "vacuum"
    np.testing.assert_allclose(np.diff(np.log10(spectra.wavelength)), 1e-4)
    np.testing.assert_allclose(spectra.fwhm, spectra.wavelength / 1800)
    np.testing.assert_array_equal(spectra.good[0, :4], [False, False, True, True])
    assert np.isnan(spectra.redshift).all()
    assert any("redshift=" in warning for warning in spectra.meta["warnings"])


@pytest.mark.parametrize("lsf", ["LSFPOST", "DISP"])
def test_manga_resolution_from_the_line_spread_function(save, lsf):
    np.testing.assert_allclose(read(save(layouts.manga_cube(lsf=lsf))).fwhm, 0.9 * FWHM_PER_SIGMA, rtol=1e-6)


def test_manga_spectra(save):
    spectra = read(save(layouts.manga_spectra()))
    assert spectra.spatial_shape is None
    np.testing.assert_allclose(spectra.redshift, [0.0495, 0.0502, 0.0493])
    np.testing.assert_allclose(spectra.fwhm, np.broadcast_to(spectra.wavelength / 1800, (3, N_PIXELS)))
    np.testing.assert_array_equal(spectra.good.any(axis=1), [True, True, False])
    assert "SRES is not positive for 1 of 3" in " ".join(spectra.meta["warnings"])


@pytest.mark.parametrize("stacked", [False, True])
def test_califa(save, stacked):
    spectra = read(save(layouts.califa(stacked=stacked)))
    assert spectra.medium == "air"
    np.testing.assert_allclose(spectra.wavelength, 3701 + 2 * np.arange(N_PIXELS))
    np.testing.assert_array_equal(spectra.fwhm, 6.0)
    np.testing.assert_allclose(spectra.redshift, 3987.2 / SPEED_OF_LIGHT)
    assert not spectra.good[:, :2].any()  # BADPIX; error 1e10
    assert spectra.good[:, 2:].all()
    assert (spectra.spatial_shape is None) is stacked


def test_califa_v1200_has_its_own_resolution(save):
    hdus = layouts.califa()
    hdus[0].header["CDELT3"] = 0.7
    np.testing.assert_array_equal(read(save(hdus)).fwhm, 2.3)


def test_muse(save):
    spectra = read(save(layouts.muse()))
    assert spectra.medium == "air"
    np.testing.assert_allclose(spectra.wavelength, 4750 + 1.25 * np.arange(N_PIXELS))
    np.testing.assert_array_equal(np.argwhere(~spectra.good), [[1 * NX + 1, 5]])
    np.testing.assert_allclose(spectra.fwhm, muse_fwhm(spectra.wavelength))


def test_muse_resolution_is_that_of_the_paper():
    """Bacon et al. 2017: 3.0 Å at the blue end, 2.4 Å about 7500 Å."""
    np.testing.assert_allclose(muse_fwhm(np.array([4750.0, 7500.0])), [2.987, 2.455], atol=2e-3)


def test_sdss_coadd(save):
    spectra = read(save(layouts.sdss()))
    assert (spectra.n_spectra, spectra.medium) == (1, "vacuum")
    np.testing.assert_allclose(np.log10(spectra.wavelength), 3.58 + 1e-4 * np.arange(N_PIXELS), atol=1e-6)
    np.testing.assert_allclose(spectra.redshift, 0.00402)
    np.testing.assert_array_equal(np.argwhere(~spectra.good), [[0, 3]])
    np.testing.assert_allclose(spectra.fwhm, 0.9 * FWHM_PER_SIGMA * np.gradient(spectra.wavelength), rtol=1e-6)


def test_sdss_exposures_keep_their_own_pixels(save):
    spectra = read(save(layouts.sdss()), exposures=True)
    assert spectra.n_spectra == 2
    assert spectra.meta["exposures"] == ("B1-00042998", "R1-00042998")
    np.testing.assert_array_equal(spectra.good.sum(axis=1), N_PIXELS - 1)
    blue = spectra.flux[0, spectra.good[0]]
    np.testing.assert_allclose(blue, np.delete(layouts.rows(1)[0], 3)[::-1], rtol=1e-6)
    assert np.isfinite(spectra.fwhm).all()


def test_sdss_without_exposures_says_so(save):
    with pytest.raises(ReadError, match="no single exposures"):
        read(save(layouts.sdss(exposures=False)), exposures=True)


def test_legac(save):
    spectra = read(save(layouts.legac()))
    assert (spectra.meta["survey"], spectra.medium, spectra.n_spectra) == ("LEGA-C", "air", 1)
    np.testing.assert_array_equal(spectra.good[0], np.arange(N_PIXELS) >= 6)
    np.testing.assert_allclose(spectra.fwhm, spectra.wavelength / 2500)


def test_kcwi_mask(save):
    spectra = read(save(layouts.kcwi()))
    assert spectra.medium == "air"
    assert not spectra.good[:, 0].any()
    assert spectra.good[:, 1:].all()


@pytest.mark.parametrize("table", [False, True])
def test_jwst_is_converted_to_flux_per_angstrom(save, table):
    spectra = read(save(layouts.jwst(table=table)))
    assert (spectra.meta["survey"], spectra.medium) == ("JWST", "vacuum")
    wavelength = 1e4 * (1 + 4e-4 * np.arange(N_PIXELS) ** (1.1 if table else 1.0))
    np.testing.assert_allclose(spectra.wavelength, wavelength, rtol=1e-6)
    per_hertz = layouts.spectra().reshape(N_PIXELS, -1).T * u.MJy
    expected = per_hertz.to(u.erg / (u.s * u.cm**2 * u.AA), u.spectral_density(wavelength * u.AA)) / u.sr
    got = (spectra.flux * spectra.unit).to(expected.unit)
    np.testing.assert_allclose(got[spectra.good].value, expected[spectra.good].value, rtol=1e-5)
    snr = spectra.flux / spectra.sigma
    np.testing.assert_allclose(snr[:, 1:], per_hertz.value[:, 1:] / SIGMA, rtol=1e-5)
    np.testing.assert_array_equal(spectra.good.all(axis=0), np.arange(N_PIXELS) > 0)


@pytest.mark.parametrize("instrument", [None, "MUSE"])
def test_data_and_stat_are_read_whoever_made_them(save, instrument):
    spectra = read(save(layouts.muse(instrument=instrument)))
    assert spectra.meta["survey"] == ("MUSE" if instrument else "FITS")
    np.testing.assert_allclose(spectra.sigma[spectra.good], SIGMA, rtol=1e-5)


def test_options_override_the_file(save):
    spectra = read(save(layouts.sami()), redshift=0.5, fwhm=3.0, medium="vacuum")
    assert (spectra.medium, set(spectra.redshift), set(spectra.fwhm)) == ("vacuum", {0.5}, {3.0})


def test_the_name_of_a_file_says_nothing(save):
    assert read(save(layouts.muse(), "sami_manga.csv")).meta["survey"] == "MUSE"


def test_no_warnings_where_all_is_known(save):
    assert read(save(layouts.sdss())).meta["warnings"] == []


def test_weave_like_arms_take_the_noise_of_their_arm(save):
    hdus = layouts.generic("RED_IVAR", "ivar")
    hdus["FLUX"].name = "RED_DATA"
    hdus.append(fits.ImageHDU(np.full(layouts.rows().shape, 1e-9), name="BLUE_IVAR"))
    np.testing.assert_allclose(read(save(hdus), flux_hdu="RED_DATA").sigma, SIGMA)


@pytest.mark.parametrize("padded", [False, True])
def test_jwst_extracted_spectra(save, padded):
    spectra = read(save(layouts.jwst_x1d(padded=padded)))
    assert (spectra.meta["survey"], spectra.medium, spectra.n_spectra) == ("JWST", "vacuum", 2 if padded else 1)
    wavelength = 1e4 + 6 * np.arange(N_PIXELS)
    np.testing.assert_allclose(spectra.wavelength, wavelength)
    np.testing.assert_array_equal(spectra.good.all(axis=0), np.arange(N_PIXELS) > 0)  # DO_NOT_USE alone masks
    np.testing.assert_allclose((spectra.flux / spectra.sigma)[0, 1:], layouts.rows(1)[0, 1:] / SIGMA, rtol=1e-5)
    colour = spectra.flux[0, -1] / spectra.flux[0, 1] / (layouts.rows(1)[0, -1] / layouts.rows(1)[0, 1])
    np.testing.assert_allclose(colour, (wavelength[1] / wavelength[-1]) ** 2, rtol=1e-5)


def test_jwst_surface_brightness_has_errors_of_its_own(save):
    spectra = read(save(layouts.jwst_x1d()), flux_hdu="SURF_BRIGHT")
    np.testing.assert_allclose((spectra.flux / spectra.sigma)[0, 1:], layouts.rows(1)[0, 1:] / SIGMA, rtol=1e-5)
    assert spectra.unit.is_equivalent(u.erg / (u.s * u.cm**2 * u.AA * u.sr))


def test_jwst_sources_are_asked_about(save):
    path = save(layouts.jwst_x1d(sources=3))
    with pytest.raises(ReadError, match=r"holds 3 spectra, in HDUs 1, 2, 3. Name one: flux_hdu=1"):
        read(path)
    assert read(path, flux_hdu=2).n_spectra == 1


def test_manga_dap(save):
    spectra = read(save(layouts.manga_dap()))
    assert (spectra.meta["survey"], spectra.medium) == ("MaNGA DAP", "vacuum")
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good.all(axis=0)), [3, 4])
    np.testing.assert_allclose(spectra.fwhm, 1.1 * FWHM_PER_SIGMA, rtol=1e-6)
    np.testing.assert_allclose(spectra.redshift, 5996.0 / SPEED_OF_LIGHT)
    assert spectra.meta["distinct_spectra"] == NY * NX // 2


def test_pypeit_coadd(save):
    spectra = read(save(layouts.pypeit()))
    assert (spectra.meta["survey"], spectra.medium) == ("PypeIt", "vacuum")
    np.testing.assert_allclose(spectra.wavelength, 4004 + 2.0 * np.arange(N_PIXELS - 2))
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good[0]), [5])  # what was pixel 7
    assert spectra.unit == u.Unit(1e-17 * u.erg / (u.s * u.cm**2 * u.AA))


def test_pypeit_objects_are_asked_about(save):
    path = save(layouts.pypeit(extracted=2))
    with pytest.raises(ReadError, match=r"holds 2 objects: SPAT0000, SPAT0001. Name one: flux_hdu=SPAT0000"):
        read(path)
    assert read(path, flux_hdu="SPAT0001").good.sum() == N_PIXELS - 3


@pytest.mark.parametrize("table", [True, False])
def test_lamost(save, table):
    spectra = read(save(layouts.lamost(table=table)))
    assert (spectra.meta["survey"], spectra.medium, spectra.redshift[0]) == ("LAMOST", "vacuum", 0.05)
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good[0]), [0, 1, 2])
    np.testing.assert_allclose(spectra.sigma[0, 3:], SIGMA, rtol=1e-6)
    np.testing.assert_allclose(spectra.fwhm, spectra.wavelength / 1800)


def test_desi_arms_are_joined(save):
    spectra = read(save(layouts.desi()))
    assert (spectra.meta["survey"], spectra.medium, spectra.n_spectra) == ("DESI", "vacuum", 3)
    np.testing.assert_allclose(spectra.wavelength, 5772.0 + 0.8 * np.arange(2 * N_PIXELS - 5))
    np.testing.assert_allclose(spectra.flux[1], 2 * (1 + 1e-3 * (spectra.wavelength - 5772.0)), rtol=1e-6)
    expected = np.full(2 * N_PIXELS - 5, SIGMA)
    expected[35:40] /= np.sqrt(2)
    np.testing.assert_allclose(spectra.sigma[1], expected, rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good[0]), [10, 45])  # ALLBADPIX in either arm
    np.testing.assert_allclose(spectra.fwhm, 0.9 * 0.8 * FWHM_PER_SIGMA, rtol=1e-3)
    assert np.isnan(spectra.redshift).all()


def test_desi_takes_redshifts_from_redrock_by_target(save):
    path = save(layouts.desi(), "coadd-main.fits")
    save(layouts.redrock([100, 102, 999]), "redrock-main.fits")
    spectra = read(path)
    np.testing.assert_allclose(spectra.redshift, [0.1, np.nan, 0.102])
    warnings = " ".join(spectra.meta["warnings"])
    assert "redshifts are those of HDU REDSHIFTS of " in warnings
    assert "ZWARN is set for the redshifts of 1 of 3 spectra" in warnings
    np.testing.assert_allclose(read(path, redshift=0.3).redshift, 0.3)


def test_desi_redshifts_of_the_file_itself(save):
    np.testing.assert_allclose(
        read(save(fits.HDUList([*layouts.desi(), layouts.redrock([100, 101, 102])[1]]))).redshift, [0.1, 0.101, 0.102]
    )


def test_one_arm_of_desi(save):
    spectra = read(save(layouts.desi()), flux_hdu="R_FLUX")
    np.testing.assert_allclose(spectra.wavelength, 5800.0 + 0.8 * np.arange(N_PIXELS))
    np.testing.assert_allclose(spectra.sigma[1], SIGMA, rtol=1e-6)


def test_weave_counts_are_calibrated(save):
    spectra = read(save(layouts.weave()))
    assert (spectra.meta["survey"], spectra.medium) == ("WEAVE", "air")
    good = spectra.good
    np.testing.assert_array_equal(good.all(axis=0), np.arange(N_PIXELS) < N_PIXELS - 1)
    flux = spectra.flux * spectra.unit.to(1e-17 * u.erg / (u.s * u.cm**2 * u.AA))
    np.testing.assert_allclose(flux[good], layouts.rows()[good], rtol=1e-5)
    np.testing.assert_allclose((spectra.flux / spectra.sigma)[good], layouts.rows()[good] / SIGMA, rtol=1e-5)


def test_weave_without_subtraction_of_the_sky(save):
    spectra = read(save(layouts.weave()), flux_hdu="RED_DATA_NOSS")
    np.testing.assert_allclose(spectra.flux, layouts.rows() / 10 + 5, rtol=1e-6)


def test_deep2(save):
    spectra = read(save(layouts.deep2()))
    assert (spectra.meta["survey"], spectra.medium, spectra.n_pixels) == ("DEEP2", "air", 2 * N_PIXELS)
    assert spectra.fwhm is None  # the column FWHM is the width of the extraction
    np.testing.assert_allclose(spectra.flux[0], np.tile(layouts.rows(1)[0], 2), rtol=1e-6)
    assert read(save(layouts.deep2(), "b"), flux_hdu="Bxspf-R").n_pixels == N_PIXELS


@pytest.mark.parametrize("binned", [True, False])
def test_ngist(save, binned):
    spectra = read(save(layouts.ngist(binned=binned)), medium="air")
    assert spectra.meta["survey"] == "nGIST"
    np.testing.assert_allclose([spectra.wavelength[0], spectra.wavelength[-1]], [4800, 5000])
    np.testing.assert_allclose(spectra.sigma, SIGMA)
    np.testing.assert_array_equal(spectra.redshift, 0)


def test_every_decision_is_told(save):
    for layout in (*CUBES.values(), layouts.sdss, layouts.legac, layouts.desi, layouts.pypeit, layouts.lamost):
        path = save(layout(), layout.__name__)
        with open_spectra(path) as source:
            told = {what for what, _ in describe(source)["decisions"]}
        settled = {"flux", "noise", "mask", "wavelengths", "medium", "flux unit", "redshift", "resolution"}
        assert told == settled | {"foreground extinction"}


def test_weave_counts_that_say_so_are_calibrated(save):
    hdus = layouts.weave()
    hdus["RED_DATA"].header["BUNIT"] = "counts"
    hdus["RED_SENSFUNC"].header["BUNIT"] = "erg/s/cm^2/Angstrom"
    spectra = read(save(hdus))
    assert spectra.unit == u.Unit("erg / (s cm2 Angstrom)")
    assert not any("not calibrated" in note for note in spectra.meta["warnings"])
