"""Maps of populations are drawn with and without a sky, and say what they show."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from quietspec.errors import SpectraError
from quietspec.lab.evaluation.maps import compare_maps
from quietspec.lab.plots import map_comparison_figure
from quietspec.lab.simulate import Simulated
from quietspec.lab.simulate.galaxy import sky_wcs
from quietspec.plots import populations_figure
from quietspec.populations import Populations
from quietspec.spectra import Spectra

from .looking import drawn, texts

SHAPE = 5, 6
NAMES = ("log_age_lw", "mh_lw", "velocity")


def populations(n=30):
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=n) for name in NAMES}
    values["velocity"][3] = np.nan
    flags = np.zeros(n, dtype=int)
    flags[1], flags[3] = 16, 2
    return Populations(
        method="x", values=values, low={name: one - 0.2 for name, one in values.items()},
        high={name: one + 0.4 for name, one in values.items()}, flags=flags, reasons=("",) * n, chi2=np.ones(n),
        seconds=np.ones(n),
    )  # fmt: skip


@pytest.mark.parametrize("sky", [True, False])
def test_maps_show_values_and_errors(sky):
    figure = drawn(populations_figure(populations(), SHAPE, sky_wcs(SHAPE) if sky else None))
    images = [image for image in figure.findobj(mpl.image.AxesImage) if image.get_cmap().name != "Greys"]
    assert len(images) == 2 * len(NAMES)
    by_title = {image.axes.get_title(): image for image in images}
    speed = by_title["velocity [km/s]"].get_array()
    assert speed.mask[0, 3]
    np.testing.assert_allclose(speed[1], populations().values["velocity"][6:12])
    errors = [image for image in images if image.axes.get_title() == "1σ error"]
    np.testing.assert_allclose(errors[0].get_array()[1], 0.3)
    if sky:
        assert [axis.get_axislabel() for axis in errors[0].axes.coords] == ["Δα [″]", "Δδ [″]"]
    assert ("x [spaxel]" in texts(figure)) != sky


def test_offsets_on_the_sky_are_those_of_the_wcs():
    axes = populations_figure(populations(), SHAPE, sky_wcs(SHAPE)).findobj(mpl.image.AxesImage)[0].axes
    right, up = (value.to_value("arcsec") for value in axes.wcs.pixel_to_world(2.5, 2.0).spherical_offsets_to(
        axes.wcs.pixel_to_world(0.5, 3.0)))  # fmt: skip
    np.testing.assert_allclose((right, up), (2, 1), atol=1e-6)


@pytest.mark.parametrize("n", [1, 30])
def test_spectra_without_an_image_are_drawn_by_number(n):
    figure = drawn(populations_figure(populations()[:n]))
    assert not figure.findobj(mpl.image.AxesImage)
    assert "Spectrum number" in texts(figure)
    assert ("flagged" in texts(figure)) == (n > 1)


def test_nothing_to_draw():
    with pytest.raises(SpectraError, match="nothing to draw"):
        populations_figure(populations()[[]], None)


def world(image=True):
    rng = np.random.default_rng(2)
    observed = Spectra(
        wavelength=np.arange(4000.0, 4003.0), flux=np.ones((30, 3)), ivar=np.ones((30, 3)),
        spatial_shape=SHAPE, wcs=sky_wcs(SHAPE), medium="air",
    )  # fmt: skip
    return Simulated(
        observed=observed, truth=np.ones((30, 3)), parameters={name: rng.normal(size=30) for name in NAMES}
    )


def test_methods_stand_beside_the_truth():
    known = {name: (populations(), 1.0) for name in ("one, way", "other")}
    inside = {"clump": np.arange(30) < 9}
    comparison = compare_maps(world(), dict.fromkeys(known), inside, known=known)
    figure = drawn(map_comparison_figure(comparison, ("mh_lw",)))
    images = figure.findobj(mpl.image.AxesImage)
    assert len(images) == 1 + 3 * 2
    by_title = {image.axes.get_title(): image for image in images}
    assert by_title["truth"].get_clim() == by_title["other"].get_clim()
    said = texts(figure)
    assert f"rms {comparison.methods['other'].scores['mh_lw'].rms:.3f}" in said
    assert "recovered\n− true" in said


def test_values_fade_where_their_errors_exceed_the_range():
    known = populations()
    name = NAMES[0]
    value = known.values[name]
    sure = np.isfinite(value) & (np.arange(len(value)) % 2 == 0)
    half = np.where(sure, 1e-3, 1e3)
    faded = replace(known, low=known.low | {name: value - half}, high=known.high | {name: value + half})
    images = drawn(populations_figure(faded, SHAPE)).findobj(mpl.image.AxesImage)
    strength = np.ravel(next(image for image in images if np.ndim(image.get_alpha())).get_alpha())
    assert (strength[sure] > 0.99).all()
    assert (strength[np.isfinite(value) & ~sure] < 0.01).all()
