"""Columns of line measurements: what stands in them where there is one motion, two, or a broad line."""

import numpy as np
import pytest

from quietspec.lines import FittedLines
from quietspec.lines.quantities import line_quantities
from quietspec.lines.results import BroadLines, GasMotion

from .line_posteriors import posterior

FLUXES = {"Halpha": [30.0, 3.0], "Hbeta": [10.0, 1.0]}
ERRORS = {"Halpha": [1.0, 1.0], "Hbeta": [1.0, 1.0]}
FURTHER = {"gas2_velocity", "gas2_sigma", "gas2_share"}
BROAD = {"flux_broad_Halpha", "flux_broad_Hbeta", "broad_velocity", "broad_fwhm"}


def fitted(**changes):
    nothing = np.empty(0)
    return FittedLines(nothing, nothing, np.empty((0, 0)), 50.0, np.log(80.0), np.array([5.0, 0.1]), **changes)


def columns(*fits):
    lines = posterior(FLUXES, ERRORS)
    for row, one in enumerate(fits):
        lines.with_fitted(row, (), one, 2.0, 0.05)
    return {name: (value, error) for name, value, error in line_quantities(lines)}


def test_without_further_components_there_are_no_columns_of_them():
    found = columns(fitted(components=1), fitted())
    np.testing.assert_array_equal(found["gas_components"][0], [1, 0])
    assert not (FURTHER | BROAD) & found.keys()


def test_a_second_component_fills_its_columns_only_where_it_is():
    second = GasMotion(-200.0, np.log(150.0), np.array([20.0, 0.2]))
    found = columns(fitted(components=2, second=second, second_share=(0.3, 0.05)), fitted(components=1))
    np.testing.assert_array_equal(found["gas_components"][0], [2, 1])
    expected = {"gas2_velocity": (-200.0, 20.0), "gas2_sigma": (150.0, 30.0), "gas2_share": (0.3, 0.05)}
    for name, pair in expected.items():
        np.testing.assert_allclose([column[0] for column in found[name]], pair, rtol=1e-6)
        assert np.isnan(found[name][0][1])
    assert not BROAD & found.keys()


def test_forbidden_lines_have_the_motion_of_all_unless_they_are_apart():
    own = GasMotion(-150.0, np.log(200.0), np.array([10.0, 0.05]))
    found = columns(fitted(components=1, forbidden=own), fitted(components=1))
    np.testing.assert_array_equal(found["gas_apart"][0], [1, 0])
    for group, pairs in (("gas", [(50, 5), (50, 5)]), ("forbidden", [(-150, 10), (50, 5)])):
        np.testing.assert_allclose(np.transpose(found[f"{group}_velocity"]), pairs, rtol=1e-6)
    for group, pairs in (("gas", [(80, 8), (80, 8)]), ("forbidden", [(200, 10), (80, 8)])):
        np.testing.assert_allclose(np.transpose(found[f"{group}_sigma"]), pairs, rtol=1e-6)


def test_broad_fluxes_are_observed_ones():
    broad = BroadLines((40.0, 2.0), (np.nan, np.nan), (100.0, 30.0), (3000.0, 200.0))
    found = columns(fitted(), fitted(components=1, broad=broad))
    assert found["flux_broad_Halpha"][0][1] == pytest.approx(40.0 * 2.0 * 1.05)
    assert found["broad_fwhm"][1][1] == pytest.approx(200.0)
    assert np.isnan(found["flux_broad_Halpha"][0][0])
    assert "flux_broad_Hbeta" not in found


def test_lines_too_faint_for_a_decrement_have_no_attenuation_and_give_no_warning():
    lines = posterior({"Halpha": [30.0, 30.0], "Hbeta": [10.0, -9.0]}, ERRORS)  # of the second, Hβ is never positive
    found = {name: (value, error) for name, value, error in line_quantities(lines)}
    assert np.isfinite(found["av_gas"]).T.tolist() == [[True, True], [False, False]]
