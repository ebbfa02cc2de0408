"""Scores of maps distinguish a perfect map, a blurred one, a biased one and a shrunk one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quietspec.errors import SpectraError
from quietspec.lab.evaluation.maps import MAPPED, compare_maps, galaxy_regions, score_map
from quietspec.lab.simulate import Galaxy, Simulated
from quietspec.populations import Populations
from quietspec.spectra import Spectra

SHAPE = 30, 30


@pytest.fixture(scope="module")
def truth():
    return 3 * gaussian_filter(np.random.default_rng(4).normal(size=SHAPE), 1.5)


def test_a_perfect_map(truth):
    scores = score_map(truth, truth, error=np.ones(SHAPE), regions={"all": np.ones(SHAPE, dtype=bool)})
    assert scores.count == 900
    np.testing.assert_allclose((scores.rms, scores.rms_light, scores.bias, scores.fwhm, scores.pulls), 0, atol=1e-12)
    np.testing.assert_allclose((scores.slope, scores.detail, scores.detail_correlation), 1)
    assert scores.region_bias == {"all": 0}


@pytest.mark.parametrize("fwhm", [3.0, 7.0])
@pytest.mark.parametrize("slope", [1.0, 0.6])
def test_the_blur_is_found_whatever_the_contrast(truth, fwhm, slope):
    blurred = 0.2 + slope * gaussian_filter(truth, fwhm / 2.3548, mode="constant")
    blurred[:8] = blurred[-8:] = blurred[:, :8] = blurred[:, -8:] = np.nan  # where the edges differ
    scores = score_map(blurred, truth)
    np.testing.assert_allclose(scores.fwhm, fwhm, rtol=0.05)
    assert scores.detail < slope


def test_noise_alone_neither_blurs_nor_shrinks(truth):
    noise = np.random.default_rng(0).normal(size=SHAPE)
    scores = score_map(truth + 0.3 * noise, truth, error=np.full(SHAPE, 0.3))
    np.testing.assert_allclose((scores.rms, scores.slope, scores.detail, scores.pulls), (0.3, 1, 1, 1), rtol=0.1)
    assert scores.fwhm < 1.5


def test_biases_are_reported_by_region_and_light(truth):
    inside = np.indices(SHAPE)[0] < 10
    shifted = truth + np.where(inside, 0.3, -0.1)
    scores = score_map(shifted, truth, light=inside.astype(float), regions={"top": inside, "rest": ~inside})
    assert scores.region_bias == pytest.approx({"top": 0.3, "rest": -0.1})
    assert scores.rms_light == pytest.approx(0.3)
    assert scores.bias == pytest.approx(0.1 / 3)


def test_spaxels_without_a_value_do_not_count(truth):
    holed = truth.copy()
    holed[::3] = np.nan
    assert score_map(holed, truth).count == 600
    assert score_map(holed, truth).rms == 0
    empty = score_map(np.full(SHAPE, np.nan), truth, error=np.full(SHAPE, np.nan))
    assert empty.count == 0
    assert np.isnan([empty.rms, empty.slope, empty.detail, empty.fwhm, empty.pulls]).all()
    flat = score_map(np.zeros(SHAPE), truth)
    assert (flat.slope, flat.detail) == (0, 0)
    assert np.isnan([flat.detail_correlation, flat.fwhm]).all()


def simulated(shape=SHAPE):
    n = int(np.prod(shape))
    observed = Spectra(
        wavelength=np.arange(4000.0, 4003.0),
        flux=np.ones((n, 3)),
        ivar=np.ones((n, 3)),
        spatial_shape=shape,
        medium="air",
    )
    rng = np.random.default_rng(1)
    return Simulated(
        observed=observed, truth=rng.uniform(1, 2, (n, 3)), parameters={name: rng.normal(size=n) for name in MAPPED}
    )


def exactly(parameters):
    def method(spectra, progress=None):
        values = {name: parameters[name] for name in MAPPED[:2]}
        if progress is not None:
            progress(len(spectra), len(spectra))
        n = len(spectra)
        return Populations(
            method="truth", values=values, low=values, high=values, flags=np.zeros(n, dtype=int), reasons=("",) * n,
            chi2=np.ones(n), seconds=np.ones(n),
        )  # fmt: skip

    return method


def test_methods_are_compared_on_what_they_give():
    world, calls = simulated(), []
    regions = galaxy_regions(Galaxy(), SHAPE)
    methods = {"one": exactly(world.parameters), "two": exactly(world.parameters)}
    first = compare_maps(world, methods, regions, progress=lambda *now: calls.append(now))
    assert calls == [(900, 900), (900, 900)]
    assert list(first.methods) == ["one", "two"]
    assert set(first.methods["one"].scores) == set(MAPPED[:2])
    assert first.methods["one"].scores["mh_mw"].rms == 0
    known = {"one": (first.methods["one"].populations, 12.0)}
    again = compare_maps(world, {"one": None}, known=known)
    assert again.methods["one"].seconds == 12
    with pytest.raises(SpectraError, match="no image"):
        compare_maps(replace(world, observed=world.observed[:]), methods)


def test_regions_part_the_galaxy():
    regions = galaxy_regions(Galaxy(), SHAPE)
    assert set(regions) == {"clump", "ring", "elsewhere"}
    np.testing.assert_array_equal(np.sum(list(regions.values()), axis=0), 1)
    light = Galaxy().geometry.light(SHAPE)["young"].ravel()
    assert light[regions["clump"]].mean() > light[regions["ring"]].mean() > light[regions["elsewhere"]].mean()
