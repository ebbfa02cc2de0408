"""Options: what they accept, and how messages speak of them."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import ReadOptions
from quietspec.io.reading.options import as_command_line


def test_every_option_has_a_help_text():
    assert [option.name for option in fields(ReadOptions) if not option.metadata.get("help")] == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("noise_hdu=NAME, or noise_from_residuals=True to", "--noise-hdu NAME, or --noise-from-residuals to"),
        ('Give it: medium="air" or medium="vacuum".', "Give it: --medium air or --medium vacuum."),
        ('columns="wave,flux,err".', "--columns wave,flux,err."),
        ("mask_good=False; no_mask=True", "--no-mask-good; --no-mask"),
        ("flux_hdu=, noise_hdu= and", "--flux-hdu, --noise-hdu and"),
        ("/data/z=0.1 rows=0, rows=1", "/data/z=0.1 --rows 0, --rows 1"),
        ("/data/redshift=0.1.fits: is empty", "/data/redshift=0.1.fits: is empty"),
        ("which bits: mask_bits=0,3 (or", "which bits: --mask-bits 0,3 (or"),
        ("Name one: wave_hdu=HDU:COLUMN.", "Name one: --wave-hdu HDU:COLUMN."),
        ("rows=flux=0,err=2; or", "--rows flux=0,err=2; or"),
        ('flux_unit="1e-17 erg/s/cm2/A".', "--flux-unit '1e-17 erg/s/cm2/A'."),
        ("nothing to say", "nothing to say"),
    ],
)  # fmt: skip
def test_messages_speak_of_options_on_the_command_line(message, expected):
    assert as_command_line(message) == expected


@given(st.sampled_from([option.name for option in fields(ReadOptions)]), st.text("abcXYZ019", min_size=1, max_size=8))
def test_every_argument_becomes_its_option(name, value):
    flag = "--" + name.replace("_", "-")
    assert as_command_line(f"give {name}={value}.") == f"give {flag} {value}."


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mask_bits": "3,x"}, "mask_bits='3,x': expected numbers of bits"),
        ({"mask_bits": "64"}, "from 0 to 63"),
        ({"rows": "1-3"}, "rows='1-3': expected numbers"),
        ({"rows": "flux=a"}, "expected numbers of rows"),
        ({"columns": "wave=a,flux"}, "columns=.*expected wave,flux,err"),
        ({"columns": "wave,,err"}, "columns="),
        ({"no_mask": True, "mask_hdu": "DQ"}, "no_mask=True: takes neither"),
        ({"fwhm": float("inf")}, "fwhm=inf"),
    ],
)
def test_values_that_make_no_sense(options, says):
    with pytest.raises(ReadError, match=says):
        ReadOptions(**options)


def test_rows_by_number():
    options = ReadOptions(rows="7, 2:4,:1")
    assert options.row_numbers(9) == [7, 2, 3, 0]
    with pytest.raises(ReadError, match="there are 7 spectra"):
        options.row_numbers(7)
    assert ReadOptions().row_numbers(9) is None
    assert ReadOptions(rows="5:").row_numbers(7) == [5, 6]


def test_rows_by_what_they_hold():
    assert ReadOptions(rows="flux,-,err").plane_roles == {0: "flux", 2: "err"}
    assert ReadOptions(rows="err=3,flux=1").plane_roles == {3: "err", 1: "flux"}


def test_columns_by_order_and_by_name():
    names = ["A", "B", "C", "D"]
    assert ReadOptions(columns="wave,-,flux").column_roles(names) == {"A": "wave", "C": "flux"}
    assert ReadOptions(columns="flux=d,wave=a").column_roles(names) == {"D": "flux", "A": "wave"}
    with pytest.raises(ReadError, match="no column 'e' among A, B, C, D"):
        ReadOptions(columns="flux=e").column_roles(names)
    with pytest.raises(ReadError, match="names 5 columns of 4"):
        ReadOptions(columns="wave,flux,err,mask,z").column_roles(names)
