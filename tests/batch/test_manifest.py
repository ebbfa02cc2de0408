"""Manifests: what is in them is understood the same in every format, and what is wrong is named with its place."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.batch import Cube, read_manifest
from quietspec.errors import BatchError
from quietspec.io import ReadOptions

ROWS = [
    {"file": "a.fits", "redshift": 0.1, "exposures": True, "flux_hdu": 1, "output": "first.fits",
     "file2": "a_red.fits"},
    {"file": "/elsewhere/0012.fits.gz", "redshift": None, "exposures": None, "flux_hdu": None, "output": None,
     "file2": None},
]  # fmt: skip
NAMES = list(ROWS[0])
VALUES = {"float": "2.5", "ebv": "0.07",  # cells that some options accept, by name or type
    "redshift": "0.25", "fwhm": "2.5", "noise_kind": "sigma", "medium": "vacuum", "bool": "true",
    "bool | None": "false", "columns": "wave=lam,flux=f", "rows": "0,2:5", "mask_bits": "0,3",
}  # fmt: skip


def as_csv(path: Path) -> None:
    lines = [",".join("" if row[name] is None else str(row[name]) for name in NAMES) for row in ROWS]
    path.write_text("\n".join([",".join(NAMES), *lines]) + "\n")


def as_ecsv(path: Path) -> None:
    table = Table()
    for name in NAMES:
        values = [row[name] for row in ROWS]
        kind = type(values[0])
        table[name] = MaskedColumn([kind() if value is None else value for value in values])
        table[name].mask = [value is None for value in values]
    table.write(path, format="ascii.ecsv")


def as_parquet(path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra `cluster`")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({name: [row[name] for row in ROWS] for name in NAMES}), path)


@pytest.mark.parametrize("write", [as_csv, as_ecsv, as_parquet])
def test_formats_mean_the_same(tmp_path, write):
    path = tmp_path / f"manifest.{write.__name__[3:]}"
    write(path)
    assert read_manifest(path) == (
        Cube(
            (str(tmp_path / "a.fits"), str(tmp_path / "a_red.fits")), "first.fits",
            {"redshift": 0.1, "exposures": True, "flux_hdu": 1},
        ),
        Cube(("/elsewhere/0012.fits.gz",), "0012_denoised.fits"),
    )  # fmt: skip


PEOPLE = {
    "byte-order mark": "\ufefffile,redshift\r\na.fits,0.05\r\n",
    "UTF-16": "file\tredshift\na.fits\t0.05\n".encode("utf-16"),
    "line ends of old": "file,redshift\ra.fits,0.05\r",
    "comments": "# my list\n\n  # z by hand\nfile,redshift\na.fits,0.05\n# b.fits,0.1\n",
    "header as a comment": "# of today\n# file redshift\na.fits 0.05\n",
    "header as a comment, closed up": "#file,redshift\na.fits,0.05\n",
    "semicolons, decimal comma": "file;redshift\na.fits;0,05\n",
    "quoted decimal comma": 'file,redshift\na.fits,"5,0e-2"\n',
    "tabs": "file\tredshift\na.fits\t0.05\n",
    "bars": "file | redshift\na.fits | 0.05\n",
    "columns of blanks": "file      redshift\na.fits    0.05  \n",
    "capitals and blanks": " File , Redshift \n a.fits , 0.05 \n",
    "empty rows and cells": "file,redshift,fwhm\na.fits,0.05,N/A\n,,\n,,\n\n",
    "lines cut short": "file,redshift,fwhm,medium\na.fits,0.05\n",
    "empty last column": "file,redshift,\na.fits,0.05,\n",
    "delimiter as a spreadsheet says it": "sep=;\nfile;redshift\na.fits;0.05\n",
    "index of pandas": ",file,redshift\n0,a.fits,0.05\n",
}


@pytest.mark.parametrize("text", PEOPLE.values(), ids=PEOPLE)
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt"])
def test_manifests_as_people_write_them(tmp_path, text, ending):
    path = tmp_path / f"m.{ending}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert read_manifest(path) == (Cube((str(tmp_path / "a.fits"),), "a_denoised.fits", {"redshift": 0.05}),)


@pytest.mark.parametrize("ending", ["txt", "lst"])
def test_list_of_files(tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    path.write_text("# tonight\nmy cube.fits\n/elsewhere/b.fits\n")
    assert [cube.files for cube in read_manifest(path)] == [(str(tmp_path / "my cube.fits"),), ("/elsewhere/b.fits",)]


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    path = tmp_path / "m.csv"
    path.write_text("file,file2\n~/a.fits,~/b/c.fits\n")
    assert read_manifest(path)[0].files == ("/home/someone/a.fits", "/home/someone/b/c.fits")


def test_other_encodings_are_named_with_the_cure(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("file\na.fits\ncé.fits\n".encode("latin-1"))
    with pytest.raises(BatchError, match=r"m\.csv: line 3 is not UTF-8\. Save it as UTF-8 .*iconv -f latin1 -t utf-8"):
        read_manifest(path)


def test_rows_keep_their_numbers_after_empty_ones(tmp_path):
    assert mistakes(tmp_path, "file,redshift\na,0.1\n,\nb,high\n").startswith("row 3, column 'redshift'")


@pytest.mark.parametrize("option", fields(ReadOptions), ids=lambda option: option.name)
def test_every_option_of_the_reader_is_a_column(tmp_path, option):
    wanted = VALUES.get(option.name, VALUES.get(option.type, "7"))
    path = tmp_path / "m.tsv"
    path.write_text(f"file\t{option.name}\na.fits\t{wanted}\n")
    (cube,) = read_manifest(path)
    assert str(cube.options[option.name]).lower() == wanted
    json.dumps(cube.options)
    ReadOptions(**cube.options)


@settings(max_examples=200, deadline=None)
@given(
    content=st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: f"file,redshift\n{text}".encode("utf-8", "replace")),
    ending=st.sampled_from(["csv", "tsv", "txt", "lst", "ecsv", "parquet"]),
)
def test_whatever_stands_in_a_manifest_is_read_or_refused(tmp_path_factory, content, ending):
    path = tmp_path_factory.mktemp("any", numbered=True) / f"m.{ending}"
    path.write_bytes(content)
    try:
        assert read_manifest(path)
    except BatchError as error:
        said = str(error)
    else:
        said = f"{path}: was read"
    assert said.startswith(f"{path}: ")


def mistakes(tmp_path: Path, text: str, *ignore: str) -> str:
    """What is said of a manifest."""
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(BatchError) as error:
        read_manifest(path, ignore)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cube\na.fits\n", "has no column 'file', only 'cube'. Name the column of the cubes 'file'."),
        ("file\n", "has no rows. Give one per cube."),
        ("", "is not a CSV table: it has no header line."),
        ("file\na,b\n", "row 1 has 2 cells for 1 column(s); put quotes around a cell that holds ','."),
        ("file,redshfit\na,1\n", "is not an option of the reader. Did you mean 'redshift'? Columns are file,"),
        ("file,ra\na,1\n", "To pass over it: --ignore ra, in Python ignore=['ra']."),
        ("file,redshift\na,0.1\nb,high\n", "row 2, column 'redshift': 'high' is not a number."),
        ("file,redshift\na,-2\n", "row 1, column 'redshift': expected a finite number above -1."),
        ("file,fwhm\na,0\n", "row 1, column 'fwhm': expected a positive FWHM in Å."),
        ("file,medium\na,water\n", "row 1, column 'medium': expected 'air' or 'vacuum'."),
        ("file,exposures\na,perhaps\n", "row 1, column 'exposures': 'perhaps' is not true or false."),
        ("file,redshift\n,0.1\n", "row 1, column 'file': is empty. Name the cube's file."),
        ("file,output\na,b/c.fits\n", "row 1, column 'output': 'b/c.fits' is not a plain file name."),
        ("file,output\na,c\n", "row 1, column 'output': 'c' does not end in .fits: c.fits?"),
        ("file,output\na,c.fits\nb,C.fits\n", "row 2, column 'output': 'C.fits' is already the output of row 1."),
        ("file,output\na," + 240 * "x" + ".fits\n", "is longer than 240 bytes. Give a shorter name there."),
        ("file\n*.fits\n", "row 1, column 'file': '*.fits' is a pattern. List the files it stands for, one per row."),
        ("file\n~nobody.there/a\n", "row 1, column 'file': '~nobody.there/a' names an unknown home folder."),
        ("file,redshift\na,-999\n", "expected a finite number above -1. Leave the cell empty where it is unknown."),
        ("file,z\na,0.1\n", "column 'z' is not an option of the reader. Did you mean 'redshift'?"),
        ("file,File\na,b\n", "column 'file' appears twice. Rename or remove one of them."),
        ("file,,redshift\na,x,0.1\n", "column 2 has no name. Name it, or remove it."),
        ('file\n"a\n', "is not a CSV table: unexpected end of data."),
        ("file\na\0b\n", "is not a CSV table: it holds NUL characters."),
        ("file\nx/a.fits\ny/a.fits\n", "row 2, column 'output': 'a_denoised.fits' is already the output of row 1."),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, text, says):
    assert says in mistakes(tmp_path, text)


def test_all_mistakes_are_named_at_once_up_to_ten(tmp_path):
    said = mistakes(tmp_path, "file,redshift\n" + "".join(f"{number},x\n" for number in range(12)))
    assert said.count("is not a number") == 10
    assert said.endswith("… and 2 more.")


def test_missing_and_unknown_manifests(tmp_path):
    with pytest.raises(BatchError, match=r"none\.csv: cannot be read: No such file"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(BatchError, match=r"m\.yaml: the name of a manifest ends in \.csv, \.tsv, \.txt, \.lst, \.ecsv"):
        read_manifest(tmp_path / "m.yaml")
    with pytest.raises(BatchError, match=r"m\.xlsx: is a spreadsheet\. Save it as 'CSV UTF-8'"):
        read_manifest(tmp_path / "m.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BatchError, match=r"folder\.csv: is not a regular file"):
        read_manifest(tmp_path / "folder.csv")


def test_columns_passed_over(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("file,ra,dec\na.fits,1,2\n")
    assert read_manifest(path, ["ra", "dec"]) == (Cube((str(tmp_path / "a.fits"),), "a_denoised.fits"),)


def test_arms_come_in_the_order_of_their_numbers(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("file10,file2,file\nc,b,a\n")
    (cube,) = read_manifest(path)
    assert [Path(file).name for file in cube.files] == ["a", "b", "c"]


@settings(max_examples=50, deadline=None)
@given(redshifts=st.lists(st.floats(min_value=-0.5, max_value=10), min_size=1, max_size=20))
def test_numbers_are_taken_as_they_stand(tmp_path_factory, redshifts):
    path = tmp_path_factory.mktemp("numbers") / "m.csv"
    path.write_text("file,redshift\n" + "".join(f"{n}.fits,{z!r}\n" for n, z in enumerate(redshifts)))
    assert [cube.options["redshift"] for cube in read_manifest(path)] == redshifts


def test_recipe_tells_what_makes_an_output():
    cube = Cube(("a",), "out", {"redshift": 0.1, "fwhm": 2.5})
    assert cube.recipe("m") == Cube(("elsewhere",), "other", {"fwhm": 2.5, "redshift": 0.1}).recipe("m")
    assert (
        len({cube.recipe("m"), cube.recipe("n"), Cube(("a",), "out", {"redshift": 0.2, "fwhm": 2.5}).recipe("m")}) == 3
    )
