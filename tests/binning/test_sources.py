"""Plans of sums over the spaxels of files: the same sums as of spectra in memory; noise that is given or measured."""

import numpy as np
import pytest

import quietspec
from quietspec.binning import INDEPENDENT, Binning, NoiseCorrelation, bin_spectra, bin_to_snr, plan_sums
from quietspec.errors import ReadError, SpectraError

from ..io import layouts
from .cubes import noise_alone


class Nothing:
    """A denoiser that takes all for noise."""

    def denoise(self, spectra):
        shaped = (spectra.flux * np.sqrt(spectra.ivar)).reshape(*spectra.spatial_shape, -1)
        return noise_alone(shaped)


@pytest.fixture
def cube(tmp_path):
    layouts.muse().writeto(tmp_path / "cube.fits")
    return tmp_path / "cube.fits"


def test_sums_of_a_file_are_those_of_its_spectra(cube, monkeypatch):
    pytest.importorskip("powerbin")
    monkeypatch.setattr("quietspec.binning.sources._AT_ONCE", 2)
    correlation = NoiseCorrelation.of_kernel(1.2)
    spectra = quietspec.read(cube, redshift=0.1)
    target = 1.9 * float(np.nanmedian(spectra.snr))
    wanted = bin_spectra(spectra, bin_to_snr(spectra, target, correlation), correlation)
    seen = []
    with quietspec.open_spectra(cube, redshift=0.1) as source:
        plan = plan_sums(source, Binning(snr=target, correlation=correlation), Nothing(), seen.append)
        tiles = list(plan.tiles(source))
    np.testing.assert_array_equal(plan.number, wanted.number)
    np.testing.assert_array_equal(plan.n_spaxels, wanted.n_spaxels)
    assert 1 < len(plan) == sum(map(len, tiles)) < 12
    assert [tile.meta["rows"].start for tile in tiles] == list(range(0, len(plan), 2))
    np.testing.assert_allclose(np.concatenate([tile.flux for tile in tiles]), wanted.spectra.flux, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate([tile.ivar for tile in tiles]), wanted.spectra.ivar, rtol=1e-6)
    assert sum(map(len, seen)) == 12
    assert (plan.name, plan.target) == (f"bins of S/N {target:g}", target)


@pytest.mark.parametrize("clean", [True, False])
def test_cosmic_rays_are_left_out_of_the_sums(tmp_path, clean):
    hdus = layouts.muse()
    level = np.ones((300, 8, 6)) + 0.01 * np.random.default_rng(0).standard_normal((300, 8, 6))
    hdus["DATA"].data, hdus["STAT"].data = level.astype(np.float32), np.full_like(level, 1e-4, dtype=np.float32)
    hdus["DATA"].data[150, 4, 3] += 5
    del hdus["DQ"]
    hdus.writeto(tmp_path / "struck.fits")
    path = tmp_path / "all.reg"
    path.write_text("image\nbox(3.5,2.5,6,4,0)\nbox(3.5,6.5,6,4,0)\n")
    pytest.importorskip("regions")
    with quietspec.open_spectra(tmp_path / "struck.fits", redshift=0.1) as source:
        plan = plan_sums(source, Binning(apertures=(path,), correlation=INDEPENDENT, clean=clean), Nothing())
        (sums,) = plan.tiles(source)
    np.testing.assert_array_equal(plan.n_spikes, [0, 3 * clean])
    assert sums.flux[1, 150] == pytest.approx(24 if clean else 29, rel=0.01)


def test_the_correlation_is_measured_if_not_given(tmp_path):
    pytest.importorskip("powerbin")
    truth = NoiseCorrelation.of_kernel(1.5)
    noise = truth.draw((18, 18, 500), np.random.default_rng(0)) + 1
    hdus = layouts.muse()
    for name, values in (("DATA", noise), ("STAT", np.ones_like(noise))):
        hdus[name].data = np.moveaxis(values, -1, 0).astype(np.float32)
    del hdus["DQ"]
    hdus.writeto(tmp_path / "noise.fits")
    with quietspec.open_spectra(tmp_path / "noise.fits", redshift=0.1) as source:
        plan = plan_sums(source, Binning(snr=5), Nothing())
    np.testing.assert_allclose(plan.correlation.error_of_sum(8, 8), truth.error_of_sum(8, 8), rtol=0.06)


def test_a_cube_too_small_to_measure_it_asks_for_it(cube):
    with quietspec.open_spectra(cube, redshift=0.1) as source, pytest.raises(ReadError, match="--noise-correlation"):
        plan_sums(source, Binning(snr=5), Nothing())


def test_spectra_without_an_image_cannot_be_binned(tmp_path):
    layouts.generic().writeto(tmp_path / "rows.fits")
    refused = pytest.raises(ReadError, match=r"rows\.fits.*no image")
    with quietspec.open_spectra(tmp_path / "rows.fits") as source, refused:
        plan_sums(source, Binning(snr=5, correlation=INDEPENDENT), Nothing())


@pytest.mark.parametrize("fields", [{}, {"snr": 0}, {"snr": np.nan}, {"snr": 3, "apertures": ("a.reg",)}])
def test_bins_or_apertures_must_be_given(fields):
    with pytest.raises(SpectraError, match="Binning"):
        Binning(**fields)
