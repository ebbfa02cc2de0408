"""Lines of repeated observations: pulls of right errors are 1, bins are alike or not, sums know their covariance."""

import numpy as np

from quietspec.lab.evaluation.line_contenders import LINES
from quietspec.lab.evaluation.studies.line_repeats import RATIOS, KnownLines, likeness, ratio_pulls
from quietspec.lines.results import LinePosterior


def measured(truth, covariance, rng):
    noise = rng.multivariate_normal(np.zeros(len(covariance)), covariance, len(truth))
    return KnownLines(truth + noise, np.broadcast_to(covariance, (len(truth), *covariance.shape)))


def test_pulls_of_ratios_are_one_even_where_lines_are_faint() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(len(LINES), len(LINES)))
    covariance = np.eye(len(LINES)) + 0.2 * root @ root.T
    for brightness in (2.5, 30.0):
        truth = brightness * rng.uniform(1, 2, (3000, len(LINES)))
        halves = [measured(scale * truth, covariance * scale**2, rng) for scale in (1.0, 1.3)]
        pulls = ratio_pulls(*halves)
        assert set(pulls) == set(RATIOS)
        for values in pulls.values():
            assert 0.8 < values.std() < 1.06
            assert abs(values.mean()) < 0.08


def test_bins_are_alike_where_their_repeat_lies_within_them() -> None:
    own = np.array([1] * 6 + [2] * 6)
    np.testing.assert_allclose(likeness(own, own), [1, 1])
    others = np.array([5] * 9 + [6] * 3)
    # Two thirds of bin 5 lie in bin 1; bin 2 sees half of 5, a third of which is its own, and half of 6.
    np.testing.assert_allclose(likeness(own, others), [2 / 3, 0.5 / 3 + 0.5])


def test_lines_of_a_posterior_are_summed_with_their_covariance() -> None:
    lines = LinePosterior.empty(1, ("[OII]3726", "[OII]3729", "Hbeta", "Halpha"))
    lines.flux[:] = 1, 2, 3, np.nan
    lines.covariance[0, :3, :3] = [[4, -3, 1], [-3, 4, 1], [1, 1, 9]]
    found, place = KnownLines.of(lines), [list(LINES).index(name) for name in ("[OII]3727", "Hbeta")]
    np.testing.assert_allclose(found.flux[0, place], [3, 3])
    np.testing.assert_allclose(found.covariance[0][np.ix_(place, place)], [[2, 2], [2, 9]])
    assert np.isnan(found.flux[0, list(LINES).index("Halpha")])
    assert not found.seen[0, list(LINES).index("Halpha")]
