"""Fields on the sky by neighbourhoods."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.denoisers.spatial.neighbourhoods import FieldLaw, Mode, Neighbourhoods
from quietspec.noise import INDEPENDENT, NoiseCorrelation

SIDE = 12
PLACES = np.stack(np.divmod(np.arange(SIDE**2), SIDE), axis=1).astype(float)
DISTANCE = np.linalg.norm(PLACES[:, None] - PLACES, axis=2)
EVERY = np.ones(SIDE**2, dtype=bool)


def between(noise: NoiseCorrelation, places: np.ndarray) -> np.ndarray:
    """Correlation of the noise of all pairs of spaxels."""
    offset = places[:, None] - places
    return noise.between(offset[..., 0], offset[..., 1])


def drawn(
    law: FieldLaw, noise: NoiseCorrelation, precision: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a field, and measurements of it."""
    truth = np.linalg.cholesky(law(DISTANCE) + 1e-9 * np.eye(SIDE**2)) @ rng.normal(size=SIDE**2)
    error = np.linalg.cholesky(between(noise, PLACES) + 1e-9 * np.eye(SIDE**2)) @ rng.normal(size=SIDE**2)
    return truth, truth + error / np.sqrt(precision)


@pytest.mark.parametrize("noise", [INDEPENDENT, NoiseCorrelation(NoiseCorrelation.of_kernel(1.0).lags, common=0.05)])
def test_few_spaxels_give_what_a_gaussian_process_gives(noise: NoiseCorrelation) -> None:
    rng = np.random.default_rng(0)
    few = PLACES[PLACES.max(axis=1) < 5]
    distance = np.linalg.norm(few[:, None] - few, axis=2)
    law, precision, value = FieldLaw(3.0, 0.1), rng.uniform(0.5, 5, len(few)), rng.normal(size=len(few))
    sky = Neighbourhoods(few, np.ones(len(few), dtype=bool), noise)
    (((mean,), (variance,)),) = sky.without_own([Mode(value, precision, [law])])
    error = between(noise, few) / np.sqrt(np.outer(precision, precision))
    gain = law(distance) @ np.linalg.inv(law(distance) + error)
    whole, left = gain @ value, np.diagonal(law(distance) - gain @ law(distance))
    # What others say, times each spaxel's own likelihood, is the whole posterior.
    alone = 1 / variance + precision
    assert 1 / alone == pytest.approx(left, rel=1e-3)
    assert (mean / variance + precision * value) / alone == pytest.approx(whole, rel=1e-3, abs=1e-3)


def test_predictions_from_others_are_as_sure_as_they_say() -> None:
    pulls = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        law, precision = FieldLaw(4.0, 0.1), rng.uniform(0.1, 3, SIDE**2)
        truth, value = drawn(law, INDEPENDENT, precision, rng)
        sky = Neighbourhoods(PLACES, EVERY, INDEPENDENT)
        (((mean,), (variance,)),) = sky.without_own([Mode(value, precision, [law])])
        pulls.append((truth - mean) / np.sqrt(variance))
    assert np.std(np.concatenate(pulls)) == pytest.approx(1, abs=0.12)


def test_a_spaxel_that_is_no_member_informs_none_but_is_predicted() -> None:
    rng = np.random.default_rng(1)
    law, precision = FieldLaw(4.0, 0.1), np.ones(SIDE**2)
    members = EVERY.copy()
    members[30] = False
    sky = Neighbourhoods(PLACES, members, INDEPENDENT)
    _, value = drawn(law, INDEPENDENT, precision, rng)
    (before,) = sky.without_own([Mode(value, precision, [law])])
    value[30] += 100
    (after,) = sky.without_own([Mode(value, precision, [law])])
    others = np.arange(SIDE**2) != 30
    assert not (sky.others == 30).any()
    assert not (sky.others == np.arange(SIDE**2)[:, None]).any()
    assert after[0][0, others] == pytest.approx(before[0][0, others])
    assert np.isfinite(after[0][0, 30])


def test_a_field_is_found_where_there_is_one_and_none_where_there_is_none() -> None:
    rng = np.random.default_rng(2)
    precision = np.full(SIDE**2, 4.0)
    sky = Neighbourhoods(PLACES, EVERY, INDEPENDENT)
    _, smooth = drawn(FieldLaw(6.0, 0.03), INDEPENDENT, precision, rng)
    found = sky.law_of(smooth, precision)
    assert found.length >= 3
    assert found.nugget <= 0.1
    assert sky.law_of(rng.permutation(smooth), precision) == FieldLaw()
