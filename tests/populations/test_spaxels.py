"""Populations of bins go back to their spaxels: line fluxes are divided among them, all else is the same."""

import numpy as np

from quietspec.populations import PopulationFlag, Populations
from quietspec.populations.spaxels import on_spaxels


def test_populations_of_bins_go_back_to_their_spaxels():
    values = {"mh_mw": np.array([0.1, -0.4])}
    further = {
        "flux_Halpha": (np.array([6.0, 5.0]), np.array([2.0, 1.0])),
        "ew_Halpha": (np.array([6.0, 5.0]), np.array([2.0, 1.0])),
    }
    populations = Populations(
        method="x", values=values, low=values, high=values, flags=np.array([0, 4]), reasons=("", "limit"),
        chi2=np.array([1.0, 2.0]), seconds=np.array([3.0, 5.0]), further=further,
    )  # fmt: skip
    spaxels = on_spaxels(populations, np.array([1, -1, 0, 0]))
    np.testing.assert_array_equal(spaxels.values["mh_mw"], [-0.4, np.nan, 0.1, 0.1])
    np.testing.assert_array_equal(spaxels.flags, [4, int(PopulationFlag.NO_DATA), 0, 0])
    assert spaxels.reasons.tolist() == ["limit", "in no bin", "", ""]
    np.testing.assert_allclose(np.nansum(spaxels.seconds), 8)
    np.testing.assert_array_equal(spaxels.further["flux_Halpha"][0], [5, np.nan, 3, 3])
    np.testing.assert_array_equal(spaxels.further["flux_Halpha"][1], [1, np.nan, 1, 1])
    np.testing.assert_array_equal(spaxels.further["ew_Halpha"][0], [5, np.nan, 6, 6])
