"""The recipe `paper`: spectra, noise, and the split into training and test spectra."""

import numpy as np
import pytest

from quietspec.lab.simulate import SAMI_NOISE, PaperRecipe, get_recipe, paper_rng, paper_spectra
from quietspec.lab.simulate.paper import PAPER_CHUNK
from quietspec.wavelengths import SNR_WINDOW, in_window


@pytest.fixture(scope="module")
def recipe(tiny_library):
    return get_recipe("paper", tiny_library)


@pytest.fixture(scope="module")
def narrow(tiny_library):
    """Recipe with few pixels around the S/N window, so that many spectra are cheap."""
    return PaperRecipe(tiny_library, limits=(4400.0, 4650.0))


def test_spectra_are_on_the_librarys_pixels_within_the_noise_law(recipe, tiny_library):
    rest = recipe.rest(20, np.random.default_rng(0))
    np.testing.assert_array_equal(rest.wavelength, tiny_library.between(3700, 7400).wavelength)
    assert rest.flux.dtype == np.float32
    np.testing.assert_allclose(rest.flux[:, in_window(rest.wavelength, SNR_WINDOW)].mean(axis=1), 1, rtol=1e-5)
    assert set(rest.parameters) == {"log_age_mw", "log_age_lw", "mh_mw", "mh_lw", "log_t50", "log_t90", "log_ml_v"}


def test_spectra_are_the_mixtures_that_the_labels_describe(recipe):
    weights = recipe.weights(5, np.random.default_rng(1))
    rest = recipe.rest(5, np.random.default_rng(1))
    direct = weights @ recipe.library.spectra
    direct /= (weights @ recipe.library.light())[:, None]
    np.testing.assert_allclose(rest.flux, direct, rtol=1e-5)
    np.testing.assert_allclose(rest.parameters["log_age_mw"], weights @ recipe.library.log_age)


def test_snr_in_the_window_is_the_given_one_over_ten_thousand_spectra(narrow):
    simulated = narrow.simulate(10_000, np.random.default_rng(2), snr=8.0)
    inside = in_window(simulated.observed.wavelength, SNR_WINDOW)
    residual = (simulated.observed.flux - simulated.truth)[:, inside]
    measured = simulated.truth[:, inside].mean() / np.sqrt(np.mean(residual.astype(float) ** 2))
    assert measured == pytest.approx(8.0, rel=0.01)
    quoted = simulated.truth[:, inside].mean(axis=1) / simulated.observed.sigma[:, inside].mean(axis=1)
    np.testing.assert_allclose(quoted, 8.0, rtol=1e-4)


def test_noise_follows_the_law_over_wavelength(tiny_library):
    recipe = PaperRecipe(tiny_library, spread=False)
    simulated = recipe.simulate(2000, np.random.default_rng(3), snr=10.0)
    wavelength = simulated.observed.wavelength
    residual = simulated.observed.flux - simulated.truth
    inside = in_window(wavelength, SNR_WINDOW)
    law = SAMI_NOISE.relative_sigma(wavelength)[0]
    for node in (3800, 4200, 5200, 6300, 7100):
        near = np.abs(wavelength - node) < 5
        measured = residual[:, near].std() / residual[:, inside].std()
        assert measured == pytest.approx(law[near].mean() / law[inside].mean(), rel=0.02)


def test_noise_is_white_and_the_quoted_errors_are_right(recipe):
    simulated = recipe.simulate(400, np.random.default_rng(4))
    scaled = (simulated.observed.flux - simulated.truth) * np.sqrt(simulated.observed.ivar)
    assert scaled.std() == pytest.approx(1, abs=2e-3)
    assert np.mean(scaled[:, 1:] * scaled[:, :-1]) == pytest.approx(0, abs=3e-3)


def test_drawn_snr_lies_in_the_papers_range_and_a_given_array_is_kept(recipe):
    rng = np.random.default_rng(5)
    snr = recipe.simulate(300, rng).parameters["snr"]
    assert 5 <= snr.min() < 6
    assert 19 < snr.max() <= 20
    wanted = np.linspace(5, 20, 10)
    np.testing.assert_array_equal(recipe.observe(recipe.rest(10, rng), rng, wanted).parameters["snr"], wanted)


def test_the_same_seed_gives_the_same_spectra(recipe):
    one, two = (recipe.simulate(5, np.random.default_rng(6)) for _ in range(2))
    np.testing.assert_array_equal(one.observed.flux, two.observed.flux)
    np.testing.assert_array_equal(one.observed.ivar, two.observed.ivar)
    other = recipe.simulate(5, np.random.default_rng(7))
    assert not np.array_equal(one.truth, other.truth)


def test_any_range_of_the_split_gives_the_same_spectra(narrow):
    whole = np.concatenate([rest.flux for rest in paper_spectra(narrow, "test", 0, 2 * PAPER_CHUNK)])
    part = np.concatenate([rest.flux for rest in paper_spectra(narrow, "test", 900, 1100)])
    assert len(whole) == 2 * PAPER_CHUNK
    np.testing.assert_array_equal(part, whole[900:1100])


def test_train_and_test_share_no_spectrum(narrow):
    def labels(part):
        return np.concatenate([rest.parameters["log_age_mw"] for rest in paper_spectra(narrow, part, 0, 3000)])

    assert not np.intersect1d(labels("train"), labels("test")).size


def test_streams_differ_between_parts_chunks_and_seeds():
    keys = [("train", 0, 1), ("train", 1, 1), ("test", 0, 1), ("test", 1, 1), ("train", 0, 2)]
    assert len({paper_rng(*key).integers(2**63) for key in keys}) == len(keys)


def test_ranges_outside_a_part_are_refused(narrow):
    with pytest.raises(ValueError, match="'test' has 10000"):
        next(paper_spectra(narrow, "test", 0, 10_001))
    with pytest.raises(ValueError, match="neither 'train' nor 'test'"):
        paper_rng("validation", 0)


def test_mixtures_can_be_chosen(tiny_library):
    recipe = get_recipe("paper", tiny_library, histories="mixtures")
    weights = recipe.weights(200, np.random.default_rng(8))
    assert (weights > 0).sum(axis=1).max() <= 5
    with pytest.raises(ValueError, match="'rough' is neither"):
        get_recipe("paper", tiny_library, histories="rough")


def test_unknown_recipes_are_refused(tiny_library):
    with pytest.raises(ValueError, match="there are paper, survey"):
        get_recipe("news", tiny_library)


@pytest.mark.fetched
def test_miles_labels_are_broad(miles):
    rest = get_recipe("paper", miles).rest(3000, np.random.default_rng(9))
    low, high = np.percentile(rest.parameters["log_age_mw"], [2.5, 97.5])
    assert low < 8.6
    assert high > 10
    low, high = np.percentile(rest.parameters["mh_mw"], [2.5, 97.5])
    assert low < -1.6
    assert high > 0.1
    assert np.all(rest.flux > 0)
