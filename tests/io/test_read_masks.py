"""Masks of any usual name, shape, polarity and kind."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import describe, open_spectra, read
from quietspec.io.reading.masks import MaskRule

from . import layouts
from .layouts import N_PIXELS, NX, NY


def cube(mask, name="MASK", *more):
    """A MUSE-like cube of no survey, with a mask beside it."""
    hdus = layouts.muse(instrument=None)[:3]
    beside = [fits.ImageHDU(values, name=key) for key, values in ((name, mask), *more)]
    return fits.HDUList([*hdus, *beside])


def bad_line():
    mask = np.zeros((N_PIXELS, NY, NX), dtype=np.uint8)
    mask[5] = 1
    return mask


@pytest.mark.parametrize(
    "name", ["MASK", "DQ", "BADPIX", "BPM", "FLUX_MASK", "bad_pixels", "QUALITY", "DATA_FLAG", "SPECMASK", "MASK3D"]
)
def test_any_usual_name(save, name):
    good = read(save(cube(bad_line(), name)), redshift=0.1).good
    assert not good[:, 5].any()
    assert np.delete(good, 5, axis=1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64])
def test_any_number_type(save, dtype):
    assert not read(save(cube(bad_line().astype(dtype)))).good[:, 5].any()


@pytest.mark.parametrize("shape", [(N_PIXELS,), (N_PIXELS, 1, 1)])
def test_mask_of_the_pixels_of_every_spectrum(save, shape):
    line = np.zeros(shape, dtype=np.uint8)
    line[7] = 1
    good = read(save(cube(line))).good
    np.testing.assert_array_equal(np.flatnonzero(~good.all(axis=0)), [7])
    assert not good[:, 7].any()


def test_mask_of_whole_spectra(save):
    image = np.zeros((NY, NX), dtype=np.uint8)
    image[0] = 1
    good = read(save(cube(image))).good
    np.testing.assert_array_equal(good.any(axis=1), np.arange(NY * NX) >= NX)


@pytest.mark.parametrize("name", ["GPM", "GOODPIX", "good_pixels"])
def test_masks_that_mark_good_pixels_by_name(save, name):
    good = read(save(cube(1 - bad_line(), name))).good
    assert not good[:, 5].any()
    assert np.delete(good, 5, axis=1).all()


def test_a_mask_that_leaves_next_to_nothing_is_questioned(save):
    path = save(cube(1 - bad_line()))
    with pytest.raises(ReadError, match=r"HDU 3 MASK would mask 97.5 % of the pixels with data(?s:.)*mask_good=True"):
        read(path)
    assert not read(path, mask_good=True).good[:, 5].any()
    assert read(path, mask_good=True).good[:, 6].all()
    assert read(path, no_mask=True).good.all()
    only_line = read(path, mask_good=False).good
    np.testing.assert_array_equal(only_line.all(axis=0), np.arange(N_PIXELS) == 5)


def test_a_mask_of_pixels_without_data_is_not_questioned(save):
    hdus = cube(bad_line())
    hdus["DATA"].data[:, :2] = np.nan  # two thirds of the field
    hdus["MASK"].data[:, :2] = 1
    assert read(save(hdus)).good.any()


def test_informing_bits_are_questioned_and_named(save):
    mask = np.full((N_PIXELS, NY, NX), 4, dtype=np.int32)
    mask[5] |= 1 << 10
    path = save(cube(mask, "DQ"))
    with pytest.raises(ReadError, match="mask_bits=0,3"):
        read(path)
    good = read(path, mask_bits="10").good
    np.testing.assert_array_equal(good.all(axis=0), np.arange(N_PIXELS) != 5)


def test_bits_of_a_survey_may_be_overridden(save):
    path = save(layouts.manga_cube())
    np.testing.assert_array_equal(read(path).good[0, :4], [False, False, True, True])
    np.testing.assert_array_equal(read(path, mask_bits="1").good[0, :4], [True, True, False, True])


def test_what_is_passed_over_is_said(save):
    odd, other = np.ones((2, 2), dtype=np.uint8), np.zeros((N_PIXELS, NY, NX), dtype=np.uint8)
    warnings = " ".join(read(save(cube(bad_line(), "MASK", ("DQ", other), ("BPM", odd)))).meta["warnings"])
    assert "HDU 4 DQ looks like a mask and is passed over; use it by mask_hdu=4" in warnings
    assert "HDU 5 BPM looks like a mask and is passed over; its shape (2, 2) does not fit" in warnings


def test_info_counts_the_masked_pixels(save):
    with open_spectra(save(cube(bad_line()))) as source:
        decisions = dict(describe(source)["decisions"])
    assert (
        decisions["mask"]
        == f"HDU 3 MASK: values that are not 0 mark bad pixels (12 of {12 * N_PIXELS} pixels looked at)"
    )


@pytest.mark.parametrize(("name", "bad"), [("mask", 1), ("gpm", 0), ("FLAG", 1), ("andmask", 1)])
def test_columns(tmp_path, name, bad):
    flags = np.full(30, 1 - bad)
    flags[3] = bad
    columns = {"wave": np.linspace(4000, 4100, 30), "flux": np.ones(30), "err": np.ones(30), name: flags}
    Table(columns).write(tmp_path / "t.fits")
    good = read(tmp_path / "t.fits", medium="air").good
    np.testing.assert_array_equal(np.flatnonzero(~good[0]), [3])


def test_mask_column_with_one_value_per_spectrum(tmp_path):
    spectra = {"wave": np.tile(np.linspace(4000, 4100, 30), (3, 1)), "flux": np.ones((3, 30)), "err": np.ones((3, 30))}
    Table(spectra | {"mask": [0, 1, 0]}).write(tmp_path / "t.fits")
    np.testing.assert_array_equal(read(tmp_path / "t.fits", medium="air").good.any(axis=1), [True, False, True])


@given(
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20),
    st.one_of(st.none(), st.integers(0, 2**31 - 1)),
    st.booleans(),
)
def test_a_rule_and_its_opposite_part_the_pixels(values, bits, good):
    array = np.array(values)
    rule, opposite = MaskRule(bits, good=good), MaskRule(bits, good=not good)
    np.testing.assert_array_equal(rule.bad(array), ~opposite.bad(array))
    np.testing.assert_array_equal(rule.bad(array), rule.bad(array.astype(np.float64)))


def test_missing_values_of_a_mask_are_bad():
    values = np.array([0.0, 1.0, np.nan])
    np.testing.assert_array_equal(MaskRule().bad(values), [False, True, True])
    np.testing.assert_array_equal(MaskRule(good=True).bad(values), [True, False, True])


def test_a_rule_says_what_it_does():
    assert str(MaskRule(0b11101)) == "bits 0, 2-4 mark bad pixels"
    assert str(MaskRule(good=True)) == "values that are not 0 mark good pixels"


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("VALID", True), ("ISGOOD", True), ("USE", True), ("OK", True), ("REJECTED", False), ("UNUSABLE", False),
        ("INVALID", False), ("QC", False),
    ],
)  # fmt: skip
def test_names_say_what_the_mask_means(save, name, good):
    spectra = read(save(cube(bad_line() ^ good, name)), medium="air")
    np.testing.assert_array_equal(np.flatnonzero(~spectra.good.any(axis=0)), [5])


def test_whole_numbers_that_may_be_a_mask_are_said_and_the_cure_works(save):
    path = save(cube(bad_line(), "PIXELS_OF_NOTE"))
    spectra = read(path, medium="air")
    assert spectra.good.all()
    assert any("if it is a mask, use it by mask_hdu=3" in warning for warning in spectra.meta["warnings"])
    assert not read(path, medium="air", mask_hdu=3).good[:, 5].any()


@pytest.mark.parametrize(("name", "words"), [("good", ("False", "True")), ("mask", ("T", "F"))])
def test_masks_of_words(tmp_path, name, words):
    lines = [f"{4000 + 2 * pixel},{1 + pixel % 3},0.1,{words[pixel > 4]}" for pixel in range(50)]
    path = tmp_path / "spectrum.csv"
    path.write_text("\n".join([f"wave,flux,err,{name}", *lines]))
    np.testing.assert_array_equal(read(path, medium="air").good[0], np.arange(50) > 4)
