"""Apertures: shares of spaxels by area, on the image and on the sky, from objects and from files; what is refused."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.binning import apertures_of, read_apertures
from quietspec.errors import ReadError, SpectraError

regions = pytest.importorskip("regions")
SHAPE = (20, 30)


@pytest.fixture
def wcs() -> WCS:
    found = WCS(naxis=2)
    found.wcs.ctype, found.wcs.crpix = ["RA---TAN", "DEC--TAN"], [15.5, 10.5]
    found.wcs.crval, found.wcs.cdelt = [150.0, 2.2], [-0.2 / 3600, 0.2 / 3600]
    found.wcs.set()
    return found


def circle(x, y, radius, **meta):
    return regions.CirclePixelRegion(regions.PixCoord(x, y), radius, meta=regions.RegionMeta(meta))


@settings(max_examples=20, deadline=None)
@given(st.floats(6, 23), st.floats(6, 13), st.floats(2, 5))
def test_the_shares_of_a_circle_add_up_to_its_area(x, y, radius):
    found = apertures_of(circle(x, y, radius), SHAPE)
    np.testing.assert_allclose(found.n_spaxels, np.pi * radius**2, rtol=1e-6)
    weights = found.weights.toarray()[0].reshape(SHAPE)
    rows, columns = np.indices(SHAPE)
    np.testing.assert_allclose([(weights * columns).sum(), (weights * rows).sum()] / weights.sum(), [x, y], atol=0.03)


def test_annuli_are_what_is_between_circles():
    ring = regions.CircleAnnulusPixelRegion(regions.PixCoord(14, 10), 2, 5)
    np.testing.assert_allclose(apertures_of(ring, SHAPE).n_spaxels, np.pi * 21, rtol=0.01)


def test_compound_regions_are_sampled():
    both = circle(10, 10, 3) & circle(12, 10, 3)
    whole = apertures_of([circle(10, 10, 3), both], SHAPE)
    assert 0 < whole.n_spaxels[1] < whole.n_spaxels[0]


def test_regions_on_the_sky_lie_where_the_wcs_puts_them(wcs):
    place = SkyCoord(*wcs.pixel_to_world_values(7, 12), unit="deg")
    on_sky = regions.CircleSkyRegion(place, 0.6 * u.arcsec)
    np.testing.assert_allclose(
        apertures_of(on_sky, SHAPE, wcs).weights.toarray(), apertures_of(circle(7, 12, 3), SHAPE).weights.toarray(),
        atol=1e-3,
    )  # fmt: skip
    with pytest.raises(SpectraError, match="no celestial WCS"):
        apertures_of(on_sky, SHAPE)


def test_what_is_excluded_belongs_to_none():
    found = apertures_of([circle(10, 10, 5, text="{bulge}"), circle(10, 10, 2, include=False)], SHAPE)
    assert found.names == ("bulge",)
    np.testing.assert_allclose(found.n_spaxels, np.pi * 21, rtol=1e-6)
    assert found.weights.toarray()[0].reshape(SHAPE)[10, 10] == 0
    with pytest.raises(SpectraError, match="excluded"):
        apertures_of(circle(10, 10, 2, include=False), SHAPE)


def test_ds9_files_count_from_one_and_name_their_regions(tmp_path):
    path = tmp_path / "two.reg"
    path.write_text("# Region file format: DS9\nimage\ncircle(11,11,3) # text={core}\nbox(21,6,4,2,0)\n")
    found = read_apertures(path, SHAPE)
    assert found.names == ("core", "2")
    np.testing.assert_allclose(found.n_spaxels, [9 * np.pi, 8], rtol=1e-6)
    np.testing.assert_allclose(
        found.weights.toarray()[0], apertures_of(circle(10, 10, 3), SHAPE).weights.toarray()[0], atol=1e-12
    )
    many = read_apertures([path, path], SHAPE)
    assert many.names == ("core", "two 2", "core", "two 2")


@pytest.mark.parametrize(
    ("form", "name"), [("ds9", "a.reg"), ("crtf", "a.crtf"), ("crtf", "a.txt"), ("fits", "a.fits")]
)
def test_files_of_each_form_hold_the_same(tmp_path, wcs, form, name):
    round_one = circle(10, 10, 3)
    one = regions.Regions([round_one if form == "fits" else round_one.to_sky(wcs)])
    one.write(tmp_path / name, format=form)
    np.testing.assert_allclose(read_apertures(tmp_path / name, SHAPE, wcs).n_spaxels, 9 * np.pi, rtol=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no region"), ("image\ncircle(1,2", "cannot be read|holds no region"), (None, "no such file")],
)
def test_files_without_regions_are_refused(tmp_path, text, message):
    path = tmp_path / "bad.reg"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ReadError, match=message):
        read_apertures(path, SHAPE)


def test_regions_that_hold_no_spaxel_are_refused(tmp_path):
    with pytest.raises(SpectraError, match="no spaxel of the 20 × 30"):
        apertures_of(circle(500, 10, 3), SHAPE)
    with pytest.raises(SpectraError, match="no area"):
        apertures_of(regions.PointPixelRegion(regions.PixCoord(5, 5)), SHAPE)
    with pytest.raises(SpectraError, match="form no image"):
        apertures_of(circle(5, 5, 3), None)
    path = tmp_path / "far.reg"
    path.write_text("image\ncircle(900,11,3)\n")
    with pytest.raises(SpectraError, match=r"far\.reg: aperture '1'"):
        read_apertures(path, SHAPE)
