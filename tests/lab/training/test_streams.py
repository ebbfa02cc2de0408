"""Random streams: training, tuning, labels and tests draw from different ones, whatever their seeds."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.lab.evaluation import EvaluationOptions, evaluate
from quietspec.lab.simulate import SurveyRecipe
from quietspec.lab.training import MixtureSettings, PriorSettings, relabelled_prior, train_prior

SEEDS = (0, 1, 2)
SNRS = (5.0, 10.0)


@pytest.fixture
def streams(monkeypatch) -> list[tuple[int, ...]]:
    """States of all generators seeded from here on; generators of equal states give equal numbers."""
    states: list[tuple[int, ...]] = []
    make = np.random.default_rng

    def recorded(seed):
        if not isinstance(seed, np.random.Generator):
            sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
            states.append(tuple(sequence.generate_state(4)))
        return make(seed)

    monkeypatch.setattr(np.random, "default_rng", recorded)
    return states


def test_no_stream_serves_twice_in_training_and_tests(tiny_library, streams):
    recipe = SurveyRecipe(tiny_library, velocity_scale=300.0)
    settings = PriorSettings(n_components=4, mixture=MixtureSettings(n_mixture=2, max_iter=1))
    for seed in SEEDS:
        prior = train_prior(recipe, 100, seed, settings)
        relabelled_prior(prior, recipe, 100, seed)
    training = set(streams)
    # Training spectra, fit, tuning of PCA, labels; and the draws that make the basis of PCA, which are always the same.
    assert len(training) == 4 * len(SEEDS) + 1
    streams.clear()
    for seed in SEEDS:
        evaluate(recipe, {}, SNRS, 3, seed=seed, options=EvaluationOptions(coverage=True))
    # Spectra, and how they are seen, the same at every S/N; noise and posterior draws.
    assert len(set(streams)) == len(SEEDS) * (2 + 2 * len(SNRS))
    assert not training & set(streams)
