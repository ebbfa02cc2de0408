"""Lines from a posterior: ties, sums, equivalent widths, limits, draws."""

import numpy as np
import pytest
from scipy.stats import truncnorm

from quietspec.errors import SpectraError
from quietspec.lines import GROUPS
from quietspec.wavelengths import EMISSION_LINES

from .line_posteriors import posterior


def test_every_line_is_in_one_group_but_blends():
    members = [name for group in GROUPS for name, _ in group.members]
    assert len(members) == len(set(members))
    assert set(EMISSION_LINES) - set(members) == {"HeI3889"}
    assert all(group.members[0] == (group.name, 1.0) for group in GROUPS)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.9])
def test_equivalent_widths_know_how_flux_and_continuum_go_together(correlation):
    flux, error, continuum, continuum_error = 30.0, 0.4, 2.0, 0.02
    lines = posterior({"Hbeta": [flux]}, {"Hbeta": [error]}, continuum=continuum)
    place = lines.names.index("Hbeta")
    lines.covariance_with_continuum[:, place] = correlation * error * continuum_error
    pair = np.array([[1, correlation], [correlation, 1]]) * np.outer([error, continuum_error], [error, continuum_error])
    drawn = np.random.default_rng(1).multivariate_normal([flux, continuum], pair, 20_000)
    expected = np.std(drawn[:, 0] / drawn[:, 1]) / 1.05
    assert lines.line("Hbeta").ew_error[0] == pytest.approx(expected, rel=0.03)


def test_a_tied_line_follows_its_strongest():
    lines = posterior({"[OIII]5007": [298.0]}, {"[OIII]5007": [29.8]})
    weaker = lines.line("[OIII]4959")
    np.testing.assert_allclose([weaker.flux, weaker.error], [[100.0], [10.0]], rtol=1e-6)


def test_the_oii_doublet_is_a_sum_with_its_covariance():
    names = "[OII]3726", "[OII]3729"
    lines = posterior(dict.fromkeys(names, (5.0,)), dict.fromkeys(names, (3.0,)), correlation=-0.9)
    doublet = lines.line("[OII]3727")
    np.testing.assert_allclose(doublet.flux, 10.0)
    np.testing.assert_allclose(doublet.error, np.sqrt(2 * 9 * 0.1), rtol=1e-5)


def test_the_equivalent_width_is_at_rest_and_knows_the_continuum():
    found = posterior({"Halpha": [42.0]}, {"Halpha": [0.1]}, redshift=0.05, continuum=2.0).line("Halpha")
    np.testing.assert_allclose(found.ew, 42 / 2 / 1.05)
    np.testing.assert_allclose(found.ew_error / found.ew, np.hypot(0.1 / 42, 0.01), rtol=1e-4)


@pytest.mark.parametrize("flux", [-3.0, 0.0, 1.0, 20.0])
def test_upper_limits_are_of_the_truncated_normal(flux):
    found = posterior({"Hbeta": [flux]}, {"Hbeta": [1.0]}).line("Hbeta")
    np.testing.assert_allclose(found.upper_limit(0.95), truncnorm(-flux, np.inf, loc=flux).ppf(0.95), rtol=1e-5)


def test_draws_have_the_covariance():
    names = "Halpha", "[NII]6583"
    lines = posterior({"Halpha": [10.0], "[NII]6583": [5.0]}, dict.fromkeys(names, (1.0,)), correlation=0.6)
    drawn = lines.draw(names, 20000, np.random.default_rng(0))[0]
    np.testing.assert_allclose(drawn.mean(axis=0), [10, 5], atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), [[1, 0.6], [0.6, 1]], atol=0.03)


def test_lines_that_are_not_covered_are_nan():
    lines = posterior({"Halpha": [1.0, 2.0]}, {"Halpha": [1.0, 1.0]})
    assert np.isnan(lines.line("Hbeta").flux).all()
    assert np.isnan(lines.draw(("Halpha", "Hbeta"), 5, np.random.default_rng(0))).all()


def test_an_unknown_line_is_refused_with_those_there_are():
    with pytest.raises(SpectraError, match=r"'Lyalpha' is not fitted; these are: .*Halpha"):
        posterior({"Halpha": [1.0]}, {"Halpha": [1.0]}).line("Lyalpha")
