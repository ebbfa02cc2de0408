"""Wavelengths on any axis, of any type and order, and what their header leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import read
from quietspec.io.reading.axes import header_wavelength, spectral_axis
from quietspec.io.reading.squeeze import SqueezedImage, n_axes

N, NY, NX = 60, 3, 4
WAVELENGTH = 4000.0 + 2.0 * np.arange(N)
CUBE = np.arange(1.0, 1 + N * NY * NX).reshape(N, NY, NX)
SKY = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": 150.0, "CRVAL2": 2.0,
    "CRPIX1": 2.0, "CRPIX2": 2.0, "CD1_1": -5e-5, "CD2_2": 5e-5,
}  # fmt: skip
SPECTRAL = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4000.0, "CRPIX3": 1.0, "CD3_3": 2.0}


def cube(cards=None, data=CUBE, sky=SKY, spectral=SPECTRAL, **more):
    header = fits.Header(sky | spectral)
    for key, value in ((cards or {}) | more).items():
        if value is None:
            header.pop(key, None)
        else:
            header[key] = value
    hdus = [fits.ImageHDU(data, header, name="FLUX"), fits.ImageHDU(np.full(data.shape, 0.1), header, name="ERR")]
    return fits.HDUList([fits.PrimaryHDU(), *hdus])


def same(found, wavelength=WAVELENGTH, data=CUBE):
    np.testing.assert_allclose(found.wavelength, wavelength, rtol=1e-9)
    assert found.spatial_shape == (NY, NX)
    np.testing.assert_allclose(found.flux, data.reshape(N, -1).T)


@pytest.mark.parametrize("ctype", ["AWAV", "WAVE", "LAMBDA", "LINEAR", "WAVELENGTH", "", "3"])
@pytest.mark.parametrize("spatial", ["LINEAR", "PIXEL", "", None])
def test_the_third_axis_of_a_cube_whatever_the_first_two_are_called(save, ctype, spatial):
    hdus = cube(CTYPE1=spatial, CTYPE2=spatial, CTYPE3=ctype, CUNIT1="arcsec", CUNIT2="arcsec", CD1_1=0.2, CD2_2=0.2)
    same(read(save(hdus), medium="air"))


def test_axes_without_any_unit(save):
    same(
        read(
            save(cube(CTYPE1="LINEAR", CTYPE2="LINEAR", CTYPE3="LINEAR", CUNIT1=None, CUNIT2=None, CUNIT3=None)),
            medium="air",
        )
    )


def test_one_sky_axis_among_linear_ones(save):
    same(read(save(cube(CTYPE2="LINEAR"))))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_wavelengths_along_any_axis(save, order):
    """Place in numpy's order of the axes λ, y, x of the cube."""
    numbers = {3 - place: old for place, old in zip(order, (3, 2, 1), strict=True)}  # new FITS number: old one
    header = {}
    for new, old in numbers.items():
        for key in ("CTYPE", "CUNIT", "CRVAL", "CRPIX"):
            header[f"{key}{new}"] = (SKY | SPECTRAL)[f"{key}{old}"]
        header[f"CD{new}_{new}"] = (SKY | SPECTRAL)[f"CD{old}_{old}"]
    data = np.moveaxis(CUBE, (0, 1, 2), order)
    same(read(save(cube(header, data, sky={}, spectral={}))))


@pytest.mark.parametrize(("place", "ctype"), [(0, "STOKES"), (1, "STOKES"), (0, "")])
@pytest.mark.parametrize("more", [0, 1])
def test_axes_of_one_pixel_are_passed_over(save, place, ctype, more):
    data = np.expand_dims(CUBE, place)
    number = data.ndim - place  # of the new axis; those from it on move up
    cards = {}
    for key, value in (SKY | SPECTRAL).items():
        old = int(key[-1])
        new = old + (old >= number)
        cards[f"CD{new}_{new}" if key.startswith("CD") else f"{key[:-1]}{new}"] = value
    cards |= {f"CTYPE{number}": ctype, f"CRVAL{number}": 1.0, f"CDELT{number}": 1.0}
    data = data.reshape((1,) * more + data.shape)
    found = read(save(cube(cards, data, sky={}, spectral={})))
    same(found)
    np.testing.assert_allclose(found.wcs.wcs_pix2world([[1, 1]], 0), [[150, 2]], atol=1e-9)


@pytest.mark.parametrize("beside", ["flux", "noise"])
def test_noise_with_or_without_an_axis_of_one_pixel_fits(save, beside):
    hdus = cube()
    number = 1 if beside == "flux" else 2
    hdus[number].data = hdus[number].data[None]
    same(read(save(hdus)))


def test_four_long_axes_are_refused(save):
    with pytest.raises(ReadError, match=r"HDU 1 FLUX: has 4 axes \(2 × 60 × 3 × 4 pixels\). Cut out a cube"):
        read(save(cube(data=np.stack([CUBE, CUBE]))), flux_hdu="FLUX")


@given(st.lists(st.sampled_from([1, 1, 2, 3]), min_size=4, max_size=6))
def test_squeezed_images_are_squeezed_arrays(shape):
    data = np.arange(np.prod(shape)).reshape(shape)
    hdu = fits.ImageHDU(data)
    hdu.contiguous = True
    if n_axes(shape) > 3:
        return
    image = SqueezedImage(hdu)
    assert len(image.shape) == 3
    np.testing.assert_array_equal(image.data, data.reshape(image.shape))
    np.testing.assert_array_equal(image.data.squeeze(), data.squeeze())
    assert [image.header[f"NAXIS{3 - i}"] for i in range(3)] == list(image.shape)


@pytest.mark.parametrize(("name", "used"), [("WAVE", True), ("WAVELENGTH", True), ("SENSITIVITY", False)])
def test_a_table_beats_the_axis_only_where_it_is_there_for_its_wavelengths(save, name, used):
    exact = WAVELENGTH + 1e-3 * np.sin(np.arange(N))
    hdus = cube()
    hdus.append(fits.BinTableHDU(Table({"wavelength": exact}), name=name))
    hdus[-1].header["TUNIT1"] = "Angstrom"
    np.testing.assert_array_equal(read(save(hdus)).wavelength, exact if used else WAVELENGTH)


LOG = 4000.0 * np.exp(5e-4 * np.arange(N))


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE3": "AWAV-LOG", "CD3_3": 2.0},
        {"CTYPE3": "AWAV-LOG", "CRPIX3": 11.0, "CRVAL3": LOG[10], "CD3_3": LOG[10] * 5e-4},
        {"CTYPE3": "AWAV-LOG", "CUNIT3": "um", "CRVAL3": 0.4, "CD3_3": 2e-4},
        {"CTYPE3": "LINEAR", "CRVAL3": np.log10(4000), "CD3_3": 5e-4 / np.log(10), "DC-FLAG": 1},
        {"CTYPE3": "LOGLAM", "CUNIT3": "log10(Angstrom)", "CRVAL3": np.log10(4000), "CD3_3": 5e-4 / np.log(10)},
        {"CTYPE3": "WAVE-LOG10", "CRVAL3": np.log10(4000), "CD3_3": 5e-4 / np.log(10)},
        {"CTYPE3": "AWAV-LOG", "CRVAL3": np.log10(4000), "CD3_3": 5e-4 / np.log(10)},
        {"CTYPE3": "LOGLAM", "CUNIT3": None, "CRVAL3": np.log10(4000), "CD3_3": 5e-4 / np.log(10)},
        {"CTYPE3": "LOGLAM", "CUNIT3": None, "CRVAL3": np.log(4000), "CD3_3": 5e-4},
        {"CTYPE3": "ln(wave)", "CUNIT3": "", "CRVAL3": np.log(4000), "CD3_3": 5e-4},
        {"CTYPE3": "WAVELENGTH", "CUNIT3": "ln(nm)", "CRVAL3": np.log(400), "CD3_3": 5e-4},
        {"CTYPE3": "LINEAR", "CRVAL3": np.log10(4000), "CD3_3": 5e-4 / np.log(10)},  # said to be Å
    ],
)
def test_logarithmic_axes(save, cards):
    same(read(save(cube(cards)), medium="air"), LOG)


def test_a_logarithm_that_nothing_tells_is_asked_for_and_the_cure_works(save):
    path = save(cube(CTYPE3="LINEAR", CUNIT3=None, CRVAL3=np.log10(4000), CD3_3=5e-4 / np.log(10)))
    with pytest.raises(ReadError, match=r"could be log10\(Angstrom\) or um. Give the unit: wavelength_unit="):
        read(path, medium="air")
    same(read(path, medium="air", wavelength_unit="log10(Angstrom)"), LOG)


@pytest.mark.parametrize(
    ("cards", "backwards"),
    [
        ({"CRPIX3": 31.0, "CRVAL3": 4060.0}, False),
        ({"CD3_3": None, "CDELT3": 2.0}, False),  # CD for the sky, CDELT for the wavelength
        ({"CD3_3": None, "CD1_1": None, "CD2_2": None, "PC1_1": 1.0, "CDELT1": -5e-5, "CDELT2": 5e-5, "PC3_3": 2.0,
          "CDELT3": 1.0}, False),
        ({"CRVAL3": WAVELENGTH[-1], "CD3_3": -2.0}, True),
        ({"CRVAL3": "4000.0", "CRPIX3": "1", "CD3_3": "2.0D0"}, False),
        ({"CD3_3": None, "CDELT3": "2.0"}, False),
        ({"CRPIX3": ""}, False),
        ({"CRPIX3": None}, False),
    ],
)  # fmt: skip
def test_linear_axes(save, cards, backwards):
    found = read(save(cube(cards)))
    same(found, data=CUBE[::-1] if backwards else CUBE)
    odd = any(value == "" or isinstance(value, str) for value in cards.values()) or cards == {"CRPIX3": None}
    assert any("read as a number" in note or "taken as 1" in note for note in found.meta["warnings"]) is odd


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ({"CRVAL3": "unknown"}, "CRVAL3 is 'unknown', not a number"),
        ({"CD3_3": "two"}, "CD3_3 is 'two', not a number"),
        ({"CRVAL3": True}, "CRVAL3 is True, not a number"),
        ({"CRVAL3": None}, "has no wavelengths"),
        ({"CD3_3": 0.0}, "has no wavelengths"),
        ({"CUNIT3": 1.0}, "CUNIT3 is 1.0, not a unit"),
        ({"CUNIT3": "pixel"}, "'pixel' is not a unit of wavelength"),
        ({"CTYPE3": "VOPT", "CUNIT3": "km/s"}, "the axis is a velocity"),
        ({"CTYPE3": "WAVE-GRI"}, "wavelengths of type WAVE-GRI are not read"),
    ],
)
def test_headers_that_are_not_understood_are_refused_with_the_cure(save, cards, reason):
    path = save(cube(cards))
    with pytest.raises(ReadError, match=f"{reason}.*(wave_hdu|wavelength_unit)="):
        read(path, medium="air")


@pytest.mark.parametrize("unit", [1.0, "pixel"])
def test_a_unit_given_overrides_that_of_the_header(save, unit):
    same(read(save(cube(CUNIT3=unit)), wavelength_unit="Angstrom"))


@given(
    st.sampled_from(["AWAV", "WAVE", "FREQ", "LAMBDA", "WAVE-LOG", "WAVELENGTH"]),
    st.integers(1, 3),
    st.sampled_from(["LINEAR", "RA---TAN", "", "STOKES"]),
)
def test_an_axis_called_one_of_wavelength_is_it(ctype, axis, others):
    header = {f"CTYPE{number}": others for number in (1, 2, 3)} | {f"CTYPE{axis}": ctype}
    assert spectral_axis(header, (5, 6, 7)) == axis


@given(st.floats(1000, 20000), st.floats(0.1, 5), st.floats(-50, 50), st.sampled_from([1.0, 0.1, 1e-4, 1e-10]))
def test_linear_axes_are_linear_in_any_unit(start, step, reference, size):
    unit = {1.0: "Angstrom", 0.1: "nm", 1e-4: "um", 1e-10: "m"}[size]
    header = {"NAXIS1": 20, "CRVAL1": start * size, "CDELT1": step * size, "CRPIX1": reference, "CUNIT1": unit}
    wavelength, notes = header_wavelength(header, 1, None, "file")
    np.testing.assert_allclose(wavelength, start + step * (np.arange(1, 21) - reference), rtol=1e-9)
    assert notes == ()


@pytest.mark.parametrize("column", ["wave", "flux", "err"])
def test_columns_of_numbers_written_as_text(save, column):
    table = Table({"wave": WAVELENGTH, "flux": CUBE[:, 0, 0], "err": np.full(N, 0.1)})
    table[column] = [f" {value:.4f} " for value in table[column]]
    hdu = fits.BinTableHDU(table)
    hdu.header["AIRORVAC"] = "air"
    found = read(save(fits.HDUList([fits.PrimaryHDU(), hdu])))
    np.testing.assert_allclose(found.wavelength, WAVELENGTH)
    np.testing.assert_allclose(found.flux[0], CUBE[:, 0, 0])
    np.testing.assert_allclose(found.sigma, 0.1)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (1, 0, 2)])
def test_without_a_word_of_the_header_the_wavelengths_tell_the_axis(save, order):
    flux = fits.ImageHDU(CUBE.transpose(order), name="FLUX")
    more = [fits.ImageHDU(np.ones(flux.shape), name="ERR"), fits.ImageHDU(WAVELENGTH, name="WAVE")]
    spectra = read(save(fits.HDUList([fits.PrimaryHDU(), flux, *more])), medium="air")
    np.testing.assert_array_equal(spectra.wavelength, WAVELENGTH)
    np.testing.assert_array_equal(spectra.flux, CUBE.reshape(N, -1).T)


def test_images_of_wavelengths_at_rest_ask_for_the_redshift_left_in_them(save):
    flux = fits.ImageHDU(CUBE[:, 0].T, name="FLUX")
    more = [fits.ImageHDU(np.ones(flux.shape), name="ERR"), fits.ImageHDU(WAVELENGTH, name="WAVE_REST")]
    path = save(fits.HDUList([fits.PrimaryHDU(), flux, *more]))
    with pytest.raises(ReadError, match="at rest, as their name says"):
        read(path, medium="air")
    assert (read(path, medium="air", redshift=0.0).redshift == 0).all()


@pytest.mark.parametrize(
    ("values", "unit"), [(WAVELENGTH / 1e4, "um"), (WAVELENGTH * 1e-10, "m"), (WAVELENGTH / 10, "nm")]
)
def test_the_likely_unit_comes_first(save, values, unit):
    flux = fits.ImageHDU(CUBE[:, 0].T, name="FLUX")
    more = [fits.ImageHDU(np.ones(flux.shape), name="ERR"), fits.ImageHDU(values, name="WAVE")]
    path = save(fits.HDUList([fits.PrimaryHDU(), flux, *more]))
    with pytest.raises(ReadError, match=f'Give the unit: wavelength_unit="{unit}" or'):
        read(path, medium="air")
    np.testing.assert_allclose(read(path, medium="air", wavelength_unit=unit).wavelength, WAVELENGTH)


@pytest.mark.parametrize("name", ["WAVEDISP", "WAVE_CORR", "WAVE_OF_THE_LAMP"])
def test_other_images_about_wavelengths_do_not_beat_the_headers_own(save, name):
    hdus = [fits.PrimaryHDU(CUBE[:, 0].T), fits.ImageHDU(np.ones((NX, N)), name="IVAR")]
    hdus[0].header.update(CTYPE1="AWAV", CUNIT1="Angstrom", CRVAL1=4000.0, CDELT1=2.0, CRPIX1=1.0)
    spectra = read(save(fits.HDUList([*hdus, fits.ImageHDU(np.full((NX, N), 1.1), name=name)])))
    np.testing.assert_allclose(spectra.wavelength, WAVELENGTH)
