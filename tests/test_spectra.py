"""`Spectra` and `Denoised`: validation, slicing, conversion."""

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra
from quietspec.statistics import masked_median

WAVELENGTH = np.linspace(4000.0, 5000.0, 11)


def make(n=6, **fields):
    rng = np.random.default_rng(0)
    arrays = {
        "wavelength": WAVELENGTH,
        "flux": rng.normal(5, 1, (n, 11)),
        "ivar": rng.uniform(0.5, 2, (n, 11)),
        "medium": "air",
    }
    return Spectra(**(arrays | fields))


def cube(**fields):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (10.0, 20.0), (1, 1), (-1e-4, 1e-4)
    return make(spatial_shape=(2, 3), wcs=wcs, **fields)


def denoised(spectra, **fields):
    n = len(spectra)
    factor = np.random.default_rng(1).normal(size=(n, spectra.n_pixels, 2))
    values = {
        "flux": spectra.flux + 0.1,
        "sigma": np.sqrt((factor**2).sum(axis=2)),
        "flags": np.arange(n) % 2 * int(Flag.NO_SIGNAL),
        "ignored": np.zeros(spectra.flux.shape, dtype=bool),
        "chi2": np.arange(n) + 0.5,
        "dof": np.full(n, 9.0),
        "evidence": -np.arange(n, dtype=float),
        "parameters": {"log_age": (np.arange(n) + 9.0, np.full(n, 0.1))},
        "factor_of": lambda row: factor[row],
    }
    return Denoised(spectra=spectra, model=ModelId("test"), **(values | fields))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("wavelength", np.ones((2, 2)), "Spectra.wavelength: expected 1 dimension"),
        ("wavelength", WAVELENGTH[::-1], "Spectra.wavelength: not strictly increasing at pixel 0"),
        ("wavelength", WAVELENGTH - 5000, "Spectra.wavelength: values must be finite and positive"),
        ("wavelength", ["a"] * 11, "Spectra.wavelength: expected numbers"),
        ("flux", np.ones((6, 10)), r"Spectra.flux: shape \(6, 10\) does not match \(6, 11\)"),
        ("flux", np.full((6, 11), np.nan), "Spectra.flux: nan at spectrum 0, pixel 0 whose ivar is not 0"),
        ("ivar", -np.ones((6, 11)), "Spectra.ivar: -1.0 at spectrum 0, pixel 0"),
        ("ivar", np.ones((5, 11)), "Spectra.ivar: shape"),
        ("redshift", np.zeros(5), "Spectra.redshift: shape"),
        ("redshift", -2.0, "Spectra.redshift: must be > -1"),
        ("medium", "water", "Spectra.medium"),
        ("fwhm", np.ones(3), "Spectra.fwhm: shape"),
        ("fwhm", -np.ones(11), "Spectra.fwhm: negative"),
        ("spatial_shape", (2, 2), "Spectra.spatial_shape"),
    ],
)
def test_bad_field_is_named(field, value, message):
    with pytest.raises(SpectraError, match=message):
        make(**{field: value})


def test_one_pixel_is_refused():
    with pytest.raises(SpectraError, match="at least 2"):
        Spectra(wavelength=[5000.0], flux=[[1.0]], ivar=[[1.0]], medium="air")


def test_big_endian_comes_out_native_and_float32_stays():
    spectra = make(flux=np.ones((6, 11), dtype=">f4"), ivar=np.ones((6, 11), dtype=">f4"))
    assert spectra.flux.dtype == np.float32
    assert spectra.flux.dtype.isnative
    assert spectra.ivar.dtype.isnative


def test_masked_pixels_may_hold_anything():
    ivar = np.ones((6, 11))
    flux = np.ones((6, 11))
    ivar[2, 3], flux[2, 3] = 0, np.nan
    spectra = make(flux=flux, ivar=ivar)
    assert not spectra.good[2, 3]
    assert np.isinf(spectra.sigma[2, 3])
    assert spectra.snr[2] == pytest.approx(1.0)


def test_snr_of_an_empty_spectrum_is_nan():
    ivar = np.ones((6, 11))
    ivar[1] = 0
    snr = make(ivar=ivar).snr
    assert np.isnan(snr[1])
    assert np.isfinite(np.delete(snr, 1)).all()


def test_rows_and_cutouts_keep_what_belongs_to_them():
    spectra = cube(redshift=np.linspace(0, 0.5, 6), fwhm=np.arange(66.0).reshape(6, 11))
    row = spectra[4]
    assert row.flux.shape == (1, 11)
    assert row.redshift[0] == pytest.approx(0.4)
    assert row.spatial_shape is None
    part = spectra[:, 1:]
    assert part.spatial_shape == (2, 2)
    np.testing.assert_array_equal(part.flux, spectra.flux[[1, 2, 4, 5]])
    np.testing.assert_array_equal(part.fwhm, spectra.fwhm[[1, 2, 4, 5]])
    assert part.wcs.pixel_to_world(0, 0).ra == spectra.wcs.pixel_to_world(1, 0).ra
    np.testing.assert_array_equal(spectra[np.arange(6) > 3].flux, spectra.flux[4:])
    with pytest.raises(SpectraError, match="two slices"):
        make()[0:1, 0:1]


def test_between_cuts_every_array():
    spectra = make(fwhm=np.arange(11.0)).between(4200, 4600)
    np.testing.assert_allclose(spectra.wavelength, [4200, 4300, 4400, 4500, 4600])
    np.testing.assert_array_equal(spectra.fwhm, [2, 3, 4, 5, 6])
    assert spectra.ivar.shape == (6, 5)


def test_image_arranges_values_on_the_sky():
    np.testing.assert_array_equal(cube().image(np.arange(6)), [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(SpectraError, match="no image"):
        make().image(np.arange(6))


@pytest.mark.parametrize("spectra", [make(1), make(6, redshift=0.02, medium="vacuum"), cube(redshift=0.02)])
def test_specutils_round_trip(spectra):
    back = Spectra.from_specutils(spectra.to_specutils())
    np.testing.assert_allclose(back.flux, spectra.flux)
    np.testing.assert_allclose(back.ivar, spectra.ivar)
    np.testing.assert_allclose(back.redshift, spectra.redshift, rtol=1e-12)
    assert (back.spatial_shape, back.medium) == (spectra.spatial_shape, spectra.medium)


def test_denoised_needs_matching_shapes():
    with pytest.raises(SpectraError, match=r"Denoised\.sigma"):
        denoised(make(), sigma=np.ones((6, 3)))


def test_covariance_is_the_factor_squared_plus_the_remainder():
    spectra = make()
    plain, more = denoised(spectra), denoised(spectra, remainder=np.full((6, 11), 2.0))
    np.testing.assert_allclose(np.diag(plain.covariance(3)), plain.sigma[3] ** 2)
    np.testing.assert_allclose(more.covariance(3) - plain.covariance(3), 4 * np.eye(11), atol=1e-12)
    with pytest.raises(SpectraError, match="no covariance"):
        denoised(spectra, factor_of=None).covariance(0)


def test_slices_and_stack_of_denoised_agree():
    whole = denoised(cube())
    tiles = [whole[:2], whole[2:5], whole[5:]]
    again = Denoised.stack(tiles, whole.spectra)
    for name in ("flux", "sigma", "flags", "chi2", "evidence"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    np.testing.assert_array_equal(again.parameters["log_age"][0], whole.parameters["log_age"][0])
    for row in range(6):
        np.testing.assert_array_equal(again.covariance(row), whole.covariance(row))
    cutout = whole[1:, 1:]
    np.testing.assert_array_equal(cutout.flux, whole.flux[4:])
    np.testing.assert_array_equal(cutout.covariance(1), whole.covariance(5))


def test_snr_before_and_after_count_the_same_pixels():
    flux = np.full((6, 11), 4.0)
    flux[:, 6:] = np.nan
    result = denoised(make(flux=np.full((6, 11), 3.0), ivar=np.ones((6, 11))), flux=flux, sigma=np.full((6, 11), 0.5))
    np.testing.assert_allclose(result.snr, 8.0)
    np.testing.assert_allclose(result.snr_before, 3.0)
    assert not result.valid[:, 6:].any()
    masked = result.to_specutils().mask
    assert masked[:, 6:].all()
    assert not masked[:, :6].any()


def test_flags_that_fail():
    assert Flag.EMPTY.failed
    assert (Flag.NO_REDSHIFT | Flag.POOR_FIT).failed
    assert not (Flag.POOR_FIT | Flag.UNLIKE_PRIOR | Flag.NO_SIGNAL).failed


@given(hnp.arrays(float, (4, 7), elements=st.floats(-1e6, 1e6)), hnp.arrays(bool, (4, 7)))
def test_masked_median_is_the_median_of_the_good(values, good):
    expected = [np.median(row[keep]) if keep.any() else np.nan for row, keep in zip(values, good, strict=True)]
    np.testing.assert_allclose(masked_median(values, good), expected)


def test_rows_without_any_value_have_no_median():
    np.testing.assert_array_equal(masked_median(np.zeros((2, 0)), np.zeros((2, 0), dtype=bool)), [np.nan, np.nan])
