"""Regions, words, sky frames and encodings."""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from quietspec import Flag
from quietspec.errors import ViewError
from quietspec.populations.result import PopulationFlag
from quietspec.view.bundle import static_text
from quietspec.view.encoding import as_json, packed
from quietspec.view.marks import marks
from quietspec.view.regions import rows_inside
from quietspec.view.sky import coordinates, sky_frame
from quietspec.view.words import GROUPS, flag_list, name_of

places = st.floats(-3, 12)


@given(x0=places, x1=places, y0=places, y1=places)
def test_a_polygon_with_the_corners_of_a_rectangle_holds_what_that_holds(x0, x1, y0, y1):
    # Where a side passes through a centre, the polygon may take it or not.
    on_a_side = any(abs(value - round(value)) < 1e-6 for value in (x0, x1, y0, y1))
    shapes = [
        {"type": "rectangle", "x0": x0, "y0": y0, "x1": x1, "y1": y1},
        {"type": "polygon", "points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]},
    ]
    found = []
    for shape in shapes:
        try:
            found.append(rows_inside(shape, (9, 7)).tolist())
        except ViewError:
            found.append([])
    assert on_a_side or found[0] == found[1]


@given(x=places, y=places, r=st.floats(0, 20))
def test_circles_hold_what_is_near(x, y, r):
    rows, columns = np.indices((9, 7))
    near = np.hypot(columns - x, rows - y).ravel()
    try:
        found = rows_inside({"type": "circle", "x": x, "y": y, "r": r}, (9, 7))
    except ViewError:
        assert (near > r - 1e-6).all()
        return
    outside = np.ones(63, dtype=bool)
    outside[found] = False
    assert (near[found] <= r + 1e-6).all()
    assert (near[outside] >= r - 1e-6).all()


def test_a_star_with_a_hole_follows_the_even_odd_rule():
    square = [[0, 0], [8, 0], [8, 8], [0, 8], [0, 0], [3, 3], [5, 3], [5, 5], [3, 5], [3, 3]]
    found = rows_inside({"type": "polygon", "points": square}, (9, 9))
    assert 4 * 9 + 4 not in found
    assert 2 * 9 + 2 in found


def test_regions_need_an_image():
    with pytest.raises(ViewError, match="image"):
        rows_inside({"type": "circle", "x": 0, "y": 0, "r": 1}, None)


@pytest.mark.parametrize("measured", [False, True])
def test_every_flag_has_words(measured):
    flags = flag_list(measured)
    assert [flag["bit"] for flag in flags] == [int(flag) for flag in (PopulationFlag if measured else Flag) if flag]
    assert all(len(str(flag["words"])) > 15 for flag in flags)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("VELOCITY", "V"), ("FLUX_OIII5007", "Flux [O III] 5007"), ("EW_HEI5876", "EW He I 5876"),
        ("EW_HBETA", "EW Hβ"), ("EMLINE_GFLUX:Ha-6564", "Gas GFLUX Ha-6564"), ("BPT_LINER", "BPT LINER"),
        ("STELLAR_VEL", "V"), ("Strange", "Strange"),
    ],
)  # fmt: skip
def test_quantities_have_names(name, label):
    assert name_of(name).label == label
    assert name_of(name).group in GROUPS


@pytest.mark.parametrize("angle", [0, 30, 200])
def test_the_compass_points_where_the_sky_does(angle):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [40.0, 20.0], [5.0, 5.0]
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = rotation @ np.diag([-0.5 / 3600, 0.5 / 3600])
    frame = sky_frame(wcs)
    assert frame is not None
    assert frame["arcsec"] == pytest.approx([0.5, 0.5])
    arms = [(0, (0, 0)), (3, frame["north"]), (3, frame["east"])]
    found = [coordinates(wcs, 4 + length * dx, 4 + length * dy) for length, (dx, dy) in arms]
    (ra, dec), (ra_n, dec_n), (ra_e, dec_e) = found
    assert dec_n - dec == pytest.approx(1.5 / 3600, rel=1e-4)
    assert ra_n == pytest.approx(ra, abs=1e-7)
    assert (ra_e - ra) * math.cos(math.radians(dec)) == pytest.approx(1.5 / 3600, rel=1e-4)
    assert dec_e == pytest.approx(dec, abs=1e-7)


def test_no_frame_without_a_sky():
    assert sky_frame(None) is None
    assert coordinates(None, 1, 1) is None


@given(st.recursive(st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))
def test_numbers_that_are_none_become_null(content):
    decoded = json.loads(as_json(content))

    def compare(one, other):
        if isinstance(one, float):
            assert other is None if not math.isfinite(one) else other == one
        elif isinstance(one, list):
            assert len(one) == len(other)
            for pair in zip(one, other, strict=True):
                compare(*pair)
        else:
            assert set(one) == set(other)
            for key in one:
                compare(one[key], other[key])

    compare(content, decoded)


@given(st.lists(st.floats(width=32)))
def test_arrays_travel_to_the_bit(numbers):
    sent = packed(numbers)
    assert np.array_equal(np.frombuffer(b64decode(sent["data"]), "<f4"), np.array(numbers, np.float32), equal_nan=True)


def test_lines_and_indices_are_named():
    lines = {line["name"]: line["wavelength"] for line in marks()["emission"]}
    assert lines["[O III] 5007"] == 5006.84
    assert all(band[0] < band[1] for index in marks()["indices"] for band in index["bands"])


def test_every_module_of_the_page_is_asked_for_at_once():
    found: set[str] = set()

    def walk(name: str) -> None:
        for other in re.findall(r'from "\./([\w/]+)\.js"', static_text(f"{name}.js")):
            if other not in found:
                found.add(other)
                walk(other)

    walk("main")
    page = static_text("index.html")
    assert set(re.findall(r'modulepreload" href="([\w/]+)\.js"', page)) == found
    assert all(len(static_text(f"{name}.js").splitlines()) <= 400 for name in found - {"vendor/uPlot"})
