"""Studies: real spectra that are missing are reported, distinct ones selected, finished work is not done again."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from quietspec.denoised import ModelId
from quietspec.denoisers import Gaussian
from quietspec.denoisers.base import finish
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.maps import MAPPED
from quietspec.lab.evaluation.studies.degraded import DegradedSettings, degraded_study
from quietspec.lab.evaluation.studies.detection_samples import SimulatedTests, load_stars
from quietspec.lab.evaluation.studies.galaxy_maps import (
    GalaxySettings,
    galaxy_maps_content,
    galaxy_maps_study,
    galaxy_maps_tables,
)
from quietspec.lab.evaluation.studies.halves import as_denoised, make_halves
from quietspec.lab.evaluation.studies.observed_truth import observed_truth_study
from quietspec.lab.evaluation.studies.population_calibration import ParameterErrors
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright, one_per_bin
from quietspec.lab.evaluation.studies.repeats import RepeatSettings, sami_pair
from quietspec.lab.evaluation.studies.smoother_widths import mean_residuals, training_observations
from quietspec.lab.simulate import PaperRecipe, SurveyRecipe
from quietspec.populations import Populations
from quietspec.spectra import Spectra


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """No real spectra at all, and what is said about it."""
    monkeypatch.setenv("QUIETSPEC_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    return RealSpectra(tmp_path, said.append), said


def test_missing_spectra_are_reported_with_their_cure(nothing) -> None:
    real, said = nothing
    assert real.fetched("manga") is real.sami("56140_B") is real.califa() is None
    assert "quietspec fetch manga" in said[0]
    assert "SAMI 56140_B" in said[1]
    with pytest.raises(QuietspecError, match="quietspec fetch manga"):
        degraded_study(real, DegradedSettings())
    with pytest.raises(QuietspecError, match="quietspec fetch muse-a478"):
        observed_truth_study(real, "survey", RepeatSettings())


def flat(n, snr, seed=0, n_pixels=400):
    rng = np.random.default_rng(seed)
    flux = 1 + rng.standard_normal((n, n_pixels)) / snr
    return Spectra(
        wavelength=4000 + 2.0 * np.arange(n_pixels),
        flux=flux,
        ivar=np.full(flux.shape, snr**2),
        redshift=0,
        medium="air",
    )


def test_equal_spectra_count_once() -> None:
    spectra = flat(6, 30.0)
    some = distinct_bright(spectra[[0, 0, 1, 2, 1, 0]], 10.0)
    np.testing.assert_array_equal(some.flux, spectra.flux[:3])
    assert len(distinct_bright(spectra, 100.0)) == 0


def test_one_spaxel_in_the_middle_stands_for_each_bin() -> None:
    cube = replace(flat(12, 30.0), spatial_shape=(3, 4))
    number = np.array([1, 1, 1, 0, 0, 2, 2, 2, 0, 0, 2, 3])
    cube.ivar[11] = 0
    found = one_per_bin(cube, number)
    assert np.flatnonzero(found.good.any(axis=1)).tolist() == [1, 6]  # nothing is seen of the third bin
    assert found.spatial_shape == (3, 4)


def test_a_pair_of_cubes_covers_the_same_sky() -> None:
    first, second = flat(8, 30.0, seed=1), flat(8, 30.0, seed=2)
    bins, others = np.array([1, 1, 1, 1, 2, 2, 2, 2]), np.array([5, 5, 5, 7, 7, 7, 0, 0])
    noisy, repeat = sami_pair((first, bins), (second, others))
    np.testing.assert_array_equal(noisy.flux, first.flux[[0]])  # half of the second bin is not covered
    np.testing.assert_allclose(repeat.flux[0], 0.75 * second.flux[0] + 0.25 * second.flux[3])
    np.testing.assert_allclose(repeat.ivar[0], 900 / (0.75**2 + 0.25**2))


def test_halves_of_right_noise_have_factors_of_one() -> None:
    noisy, repeat = flat(5, 20.0, seed=3, n_pixels=1500), flat(5, 20.0, seed=4, n_pixels=1500)
    fitted = finish(noisy, np.ones(noisy.flux.shape), np.full(noisy.flux.shape, 0.01), model=ModelId("one"))
    halves = make_halves("test", noisy, repeat, fitted, 2)
    assert halves.facts["noise_factor"] == pytest.approx(1, abs=0.1)
    assert halves.correlation == pytest.approx(1, abs=0.3)
    assert halves.counted.mean() > 0.6
    np.testing.assert_array_equal(as_denoised(noisy).flux, noisy.flux)


def test_detection_tests_are_what_they_are_called(tiny_library, tmp_path) -> None:
    kinds = [kind for kind, _ in SimulatedTests(SurveyRecipe(tiny_library), 5, seed=0).at(20.0)]
    assert kinds[0] == "galaxies"
    assert "stars" not in kinds
    assert kinds.count("wrong redshift") == kinds.count("galaxies")
    with pytest.raises(QuietspecError, match="no FITS spectrum of a star"):
        load_stars(tmp_path, np.array([4000.0, 5000.0]))


def test_stars_are_taken_where_their_library_and_the_galaxies_overlap(tiny_library, tmp_path) -> None:
    recipe = SurveyRecipe(tiny_library)
    own = np.arange(4000.0, 6000.0)
    for number, edge in enumerate((0, 500)):  # the second star ends before the first
        header = fits.Header({"CRVAL1": own[0], "CDELT1": 1.0})
        fits.PrimaryHDU(own[: len(own) - edge].astype(np.float32), header).writeto(tmp_path / f"{number}.fits")
    wavelength, flux = load_stars(tmp_path, recipe.wavelength)
    assert wavelength[0] >= own[0]
    assert wavelength[-1] <= own[-1]
    np.testing.assert_allclose(flux, wavelength[None], rtol=1e-6)
    kinds = dict(SimulatedTests(recipe, 14, seed=0, stars=tmp_path).at(20.0))
    seen = kinds["stars"].wavelength
    assert own[0] <= seen[0]
    assert seen[-1] <= own[-1] * 1.001  # in vacuum, perhaps
    with pytest.raises(QuietspecError, match="no FITS spectrum of a star"):
        load_stars(tmp_path, np.arange(1000.0, 4010.0))


def test_finished_maps_are_not_made_again(tiny_library, tmp_path) -> None:
    calls = []

    def method(spectra, progress=None):
        calls.append(len(spectra))
        n = len(spectra)
        values = {name: np.linspace(8, 10, n) for name in MAPPED}
        return Populations(
            method="line", values=values, low=values, high=values, flags=np.zeros(n, dtype=int),
            reasons=np.full(n, ""), chi2=np.ones(n), seconds=np.ones(n),
        )  # fmt: skip

    settings = GalaxySettings(size=4)
    runs = [galaxy_maps_study(tiny_library, settings, {"line": method}, store=tmp_path / "store") for _ in range(2)]
    assert calls == [16]
    first, again = (galaxy_maps_content(run, settings) for run in runs)
    assert json.dumps(first) == json.dumps(again)
    assert [table.title for table in galaxy_maps_tables(first)] == list(MAPPED)


def test_uniform_probabilities_score_as_right() -> None:
    n = 4000
    below = (np.arange(n) + 0.5) / n
    errors = ParameterErrors(np.append(below, np.nan), np.append(np.full(n, 0.1), 5.0))
    scores = errors.scores()
    assert (scores["n"], scores["rms"], scores["bias"]) == (n, pytest.approx(0.1), pytest.approx(0.1))
    assert scores["coverage68"] == pytest.approx(0.6827, abs=1e-3)
    assert scores["ks_distance"] < 1e-3
    assert errors.histogram() == [n // 20] * 20


def test_the_better_smoother_leaves_less(tiny_library) -> None:
    batches = training_observations(PaperRecipe(tiny_library), 10.0, 20, seed=0)
    wide, narrow = mean_residuals([Gaussian(4), Gaussian(0.5)], batches)
    assert wide < narrow < 1
