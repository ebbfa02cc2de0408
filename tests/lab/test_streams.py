"""Draws that train, calibrate and test are disjoint for every seed; test galaxies are the same at every S/N."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quietspec
from quietspec.denoisers.posterior import features, moving
from quietspec.lab.evaluation.protocol import test_draws as draws_of_tests
from quietspec.lab.evaluation.protocol import test_spectra as spectra_of_tests
from quietspec.lab.simulate import Draws, PaperRecipe, SurveyRecipe, paper_rng
from quietspec.lab.streams import MOST, stream, training_stream

LABORATORY = Path(quietspec.__file__).parent / "lab"
PURPOSES = ("tests: spectra", "tests: noise", "detection: laws", "lines: galaxies")
seeds = st.integers(0, MOST - 1)


def state(rng: np.random.Generator) -> tuple[int, ...]:
    """What the generator's first draws depend on."""
    return tuple(int(value) for value in rng.bit_generator.seed_seq.generate_state(8))


@given(seed=seeds, other=seeds, key=st.lists(st.integers(0, 2**32 - 1), max_size=2))
def test_no_seed_makes_tests_meet_a_training(seed, other, key):
    """Whatever seed a user gives for tests, and whatever another gave for a training."""
    trained = {
        state(training_stream(other)),
        state(training_stream(other, *key)),
        state(np.random.default_rng(features._STREAM)),
        state(np.random.default_rng(moving._STREAM)),
        state(paper_rng("train", 3)),
    }
    assert trained.isdisjoint({state(stream(purpose, seed, *key)) for purpose in PURPOSES})


@given(seed=seeds, key=st.lists(st.integers(0, 2**32 - 1), max_size=3))
def test_purposes_and_keys_have_streams_of_their_own(seed, key):
    found = [state(stream(purpose, seed, *more)) for purpose in PURPOSES for more in (key, [*key, 0], [*key, 1])]
    assert len(set(found)) == len(found)
    assert state(stream(PURPOSES[0], seed, *key)) == found[0]


def test_an_old_training_stream_could_meet_a_seed_and_a_new_one_cannot():
    """The collision that tests had: a seed above 2³² was a small seed and a number of a training."""
    assert state(np.random.default_rng(7 + 2**32)) == state(training_stream(7, 1))
    assert state(stream("tests: spectra", 7 + 2**32)) != state(training_stream(7, 1))


@pytest.mark.parametrize("seed", [-1, MOST])
def test_seeds_out_of_range_are_refused(seed):
    for make in (lambda: stream("tests", seed), lambda: training_stream(seed)):
        with pytest.raises(ValueError, match="seed"):
            make()


def test_names_and_keys_that_could_meet_others_are_refused():
    with pytest.raises(ValueError, match="letters"):
        stream("ab", 0)
    with pytest.raises(ValueError, match="two numbers"):
        training_stream(0, 1, 2, 3)


def test_evaluations_draw_from_streams_alone():
    """`default_rng` with a seed of its own could meet a training."""
    for path in (LABORATORY / "evaluation").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            assert name not in {"default_rng", "SeedSequence", "training_stream"}, path.name


def test_galaxies_are_the_same_at_every_snr_and_the_noise_is_not(tiny_library):
    recipe = SurveyRecipe(tiny_library)
    faint, bright = (Draws.of("tests", snr, 3, 5).simulate(recipe, 4, snr) for snr in (5.0, 20.0))
    for name in ("log_age_lw", "mh_lw", "velocity", "sigma", "a_v"):
        np.testing.assert_array_equal(faint.parameters[name], bright.parameters[name])
    assert faint.observed.meta["instrument"] == bright.observed.meta["instrument"]
    np.testing.assert_array_equal(faint.observed.redshift, bright.observed.redshift)
    pulls = [(one.observed.flux - one.truth) * np.sqrt(one.observed.ivar) for one in (faint, bright)]
    both = np.isfinite(pulls).all(axis=0) & ~faint.contaminated & ~bright.contaminated
    assert abs(np.corrcoef(pulls[0][both], pulls[1][both])[0, 1]) < 0.1


@pytest.mark.parametrize("kind", [PaperRecipe, SurveyRecipe])
def test_test_galaxies_change_with_the_seed(tiny_library, kind):
    first, again, other = (next(spectra_of_tests(kind(tiny_library), 3, seed)).flux for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).all(axis=1).any()


def test_seed_0_of_recipe_paper_is_the_split_of_the_paper(tiny_library):
    recipe = PaperRecipe(tiny_library)
    found = next(spectra_of_tests(recipe, 3, 0)).flux
    from quietspec.lab.simulate import paper_spectra

    np.testing.assert_array_equal(found, next(paper_spectra(recipe, "test", 0, 3)).flux)


def test_an_instrument_and_a_redshift_that_are_given_are_used(tiny_library):
    made = draws_of_tests(0, 0, 10.0).simulate(SurveyRecipe(tiny_library), 2, 10.0, "SDSS", 0.05)
    assert made.observed.meta["instrument"] == "SDSS"
    assert set(made.observed.redshift) == {0.05}
