"""Text tables as people write them."""

from __future__ import annotations

import bz2
import gzip
import lzma

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import read

from .layouts import N_PIXELS, SIGMA, rows

WAVE = 4000 + 2.0 * np.arange(N_PIXELS)
TABLE = np.c_[WAVE, rows(1)[0], np.full(N_PIXELS, SIGMA)]


def lines(form="%.4f", delimiter=" "):
    return "\n".join(delimiter.join(form % value for value in row) for row in TABLE) + "\n"


def assert_read(path, **options):
    """The wavelengths, fluxes and errors are those of `TABLE`."""
    spectra = read(path, medium="air", **options)
    np.testing.assert_allclose(spectra.wavelength, WAVE)
    np.testing.assert_allclose(spectra.flux, TABLE[None, :, 1], rtol=1e-4)
    np.testing.assert_allclose(spectra.sigma, SIGMA, rtol=1e-4)
    return spectra


@pytest.mark.parametrize(
    "text",
    [
        "wave,flux,err\n" + lines(delimiter=","),
        "wave;flux;err\n" + lines(delimiter=";").replace(".", ","),
        "wave\tflux\terr\n" + lines(delimiter="\t"),
        "wave\tflux\terr\n" + lines(delimiter="\t").replace(".", ","),
        "wave flux err\n" + lines(),
        "# wave flux err\n" + lines(),
        "# my galaxy\n# wave flux err\n" + lines(),
        "#wave,flux,err\n" + lines(delimiter=","),
        "! lambda flux sigma\n" + lines("%12.6e"),
        "% wavelength flux error\n" + lines(),
        "# lambda[A]  flux[1e-17]  error\n" + lines(),
        "Wavelength (Angstrom),Flux (1e-17 erg/s/cm2/A),Error (1e-17 erg/s/cm2/A)\n" + lines(delimiter=","),
        "wave flux err\nAngstrom 1e-17 1e-17\n" + lines(),
        "|wave|flux|err|\n" + "".join(f"|{line.replace(' ', '|')}|\n" for line in lines().splitlines()),
        'sep=,\n"wave","flux","err"\n' + lines(delimiter=","),
        "wave,flux,err\r\n" + lines(delimiter=",").replace("\n", "\r\n"),
        "wave flux err\n" + lines("%.6E").replace("E", "D"),
        "// wave flux err\n" + lines(),
        "; wave flux err\n" + lines(),
        "  wave   flux   err\n  -----  -----  ---\n" + lines(),
        "Object: NGC 1\n\nwave flux err\n" + lines(),
        "wave flux err\n\n" + lines().replace("\n", "\n\n"),
        "wave,flux,err,name\n" + lines(delimiter=",").replace("\n", ",a\n"),
    ],
    ids=lambda text: text.splitlines()[0],
)
def test_any_usual_form(tmp_path, text):
    (tmp_path / "spectrum").write_text(text)
    assert_read(tmp_path / "spectrum")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_any_encoding(tmp_path, encoding):
    (tmp_path / "t.csv").write_bytes(
        f"wave,flux,err,été\n{lines(delimiter=',')}".replace("\n", ",1\n", 0).encode(encoding)
    )
    (tmp_path / "t.csv").write_bytes(f"# été\nwave,flux,err\n{lines(delimiter=',')}".encode(encoding))
    assert_read(tmp_path / "t.csv")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed(tmp_path, pack):
    packed = pack(f"wave flux err\n{lines()}".encode())
    (tmp_path / "t").write_bytes(packed)
    assert_read(tmp_path / "t")
    (tmp_path / "cut").write_bytes(packed[:-20])
    with pytest.raises(ReadError, match=r"truncated or damaged|cannot be unpacked"):
        read(tmp_path / "cut")


def test_fits_packed_by_others_is_told(tmp_path):
    (tmp_path / "t.fits.bz2").write_bytes(bz2.compress(b"SIMPLE  =                    T".ljust(2880)))
    with pytest.raises(ReadError, match="is a FITS file packed by bzip2 or xz"):
        read(tmp_path / "t.fits.bz2")


def test_columns_without_names_are_asked_for_with_all_else(tmp_path):
    np.savetxt(tmp_path / "t.txt", TABLE)
    with pytest.raises(
        ReadError, match=r'no line names its 3 columns(?s:.)*columns="wave,flux,err"(?s:.)*medium="air"'
    ):
        read(tmp_path / "t.txt")
    assert_read(tmp_path / "t.txt", columns="wave,flux,err")
    swapped = TABLE[:, [1, 0, 2]]
    np.savetxt(tmp_path / "s.txt", np.c_[swapped, np.zeros(N_PIXELS)])
    assert_read(tmp_path / "s.txt", columns="flux,wave,err,-")
    assert_read(tmp_path / "s.txt", columns="wave=col2,flux=col1,err=col3")


def test_columns_may_be_renamed_where_names_mislead(tmp_path):
    (tmp_path / "t.csv").write_text("x,wave,y,dy\n" + "\n".join(f"{a},{-a},{b},{c}" for a, b, c in TABLE))
    assert_read(tmp_path / "t.csv", columns="wave=x,flux=y,err=dy")


def test_units_in_names_are_used(tmp_path):
    text = "wave(nm) flux(erg/s/cm2/A) err(erg/s/cm2/A)\n" + "\n".join(f"{a / 10} {b} {c}" for a, b, c in TABLE)
    (tmp_path / "t.txt").write_text(text)
    assert assert_read(tmp_path / "t.txt").unit == u.erg / (u.s * u.cm**2 * u.AA)


def test_comments_that_state_facts_are_used(tmp_path):
    (tmp_path / "t.txt").write_text(f"# redshift = 0.05\n# medium: vacuum\n# R: 2000\n# wave flux err\n{lines()}")
    spectra = read(tmp_path / "t.txt")
    assert (spectra.redshift[0], spectra.medium) == (0.05, "vacuum")


def test_resolving_power_of_the_header(tmp_path):
    (tmp_path / "t.txt").write_text(f"# resolution = 2000\n# wave flux err\n{lines()}")
    np.testing.assert_allclose(read(tmp_path / "t.txt", medium="air").fwhm, WAVE / 2000)


def test_ipac(tmp_path):
    head = (
        "\\redshift = 0.1\n|    wave|    flux|     err|\n|  double|  double|  double|\n|Angstrom|        |        |\n"
    )
    body = "".join(" " + " ".join(f"{value:8.4f}"[:8] for value in row) + "\n" for row in TABLE)
    (tmp_path / "t.tbl").write_text(head + body)
    assert assert_read(tmp_path / "t.tbl").redshift == 0.1


def test_missing_values_are_masked(tmp_path):
    text = lines(delimiter=",").splitlines()
    text[3] = text[3].rpartition(",")[0] + ","
    text[4] = text[4].replace(text[4].split(",")[1], "null")
    (tmp_path / "t.csv").write_text("wave,flux,err\n" + "\n".join(text))
    good = read(tmp_path / "t.csv", medium="air").good[0]
    np.testing.assert_array_equal(np.flatnonzero(~good), [3, 4])


def test_a_line_of_another_length_is_named(tmp_path):
    text = lines().splitlines()
    text[6] = "4012.0 1.0"
    (tmp_path / "t.txt").write_text("wave flux err\n" + "\n".join(text))
    with pytest.raises(ReadError, match=r"row 7 \(4012.0 1.0\) has 2 values, others have 3"):
        read(tmp_path / "t.txt")


@given(st.lists(st.floats(1e-20, 1e20), min_size=3, max_size=30), st.sampled_from([",", "\t", " ", ";"]))
def test_numbers_come_back(tmp_path_factory, flux, delimiter):
    path = tmp_path_factory.mktemp("text") / "t"
    rows_of = [(4000.0 + place, value, 0.1 * value) for place, value in enumerate(flux)]
    text = "\n".join(delimiter.join(map(repr, row)) for row in [*rows_of])
    path.write_text(delimiter.join(["wave", "flux", "err"]) + "\n" + text)
    spectra = read(path, medium="air")
    good = spectra.good[0]
    np.testing.assert_allclose(spectra.flux[0, good], np.array(flux)[good], rtol=1e-6)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "t"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReadError, match="t"):
        read(path, medium="air")


def test_numbers_too_wide_for_their_field_are_missing(tmp_path):
    path = tmp_path / "spectrum.txt"
    path.write_text("# wave flux err\n" + lines().replace(lines().split()[4], "*****", 1))
    assert np.flatnonzero(~read(path, medium="air").good[0]).tolist() == [1]
