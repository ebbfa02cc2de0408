"""Manifests: what is in them is understood the same in every format, and what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.batch import Cube, read_manifest
from quietspec.errors import BatchError

ROWS = [
    {"file": "a.fits", "redshift": 0.1, "exposures": True, "flux_hdu": 1, "output": "first.fits",
     "file2": "a_red.fits"},
    {"file": "/elsewhere/0012.fits.gz", "redshift": None, "exposures": None, "flux_hdu": None, "output": None,
     "file2": None},
]  # fmt: skip
NAMES = list(ROWS[0])


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
        ("", "is not a CSV table: No header line found in table."),
        ("file\na,b\n", "is not a CSV table: Number of header columns (1) inconsistent"),
        ("file,redshfit\na,1\n", "is not an option of the reader. Did you mean 'redshift'? Columns are file,"),
        ("file,ra\na,1\n", "--ignore ra passes over it."),
        ("file,redshift\na,0.1\nb,high\n", "row 2, column 'redshift': 'high' is not a number."),
        ("file,redshift\na,-2\n", "row 1, column 'redshift': expected a finite number above -1."),
        ("file,fwhm\na,0\n", "row 1, column 'fwhm': expected a positive FWHM in Å."),
        ("file,medium\na,water\n", "row 1, column 'medium': expected 'air' or 'vacuum'."),
        ("file,exposures\na,perhaps\n", "row 1, column 'exposures': 'perhaps' is not true or false."),
        ("file,redshift\n,0.1\n", "row 1, column 'file': is empty. Name the cube's file."),
        ("file,output\na,b/c.fits\n", "row 1, column 'output': 'b/c.fits' is not a plain file name."),
        ("file,output\na,c\n", "row 1, column 'output': 'c' does not end in .fits: c.fits?"),
        ("file,output\na,c.fits\nb,C.fits\n", "row 2, column 'output': 'C.fits' is already the output of row 1."),
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
    with pytest.raises(BatchError, match=r"m\.txt: the name of a manifest ends in \.csv, \.ecsv, \.parquet, \.pq\."):
        read_manifest(tmp_path / "m.txt")


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
