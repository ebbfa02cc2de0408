"""Figures of studies of real spectra show every survey, method and bin of the results they are given."""

import numpy as np

from quietspec.lab.plots import degraded_figure, observed_pulls_figure, prediction_figure, sami_repeats_figure

from ...plots.looking import drawn, texts


def test_degraded_spectra_of_every_survey_and_method_are_drawn() -> None:
    scores = {"reduction": 0.8, "allowed": 0.9}
    records = [
        {"survey": survey, "scores": {"5": {"posterior": scores, "gaussian": scores}}} for survey in ("MaNGA", "SDSS")
    ]
    figure = drawn(degraded_figure({"spectra": records, "snr": [5.0]}))
    said = texts(figure)
    for label in ("posterior", "gaussian", "MaNGA, S/N 5", "SDSS, S/N 5", "Residual left / added noise"):
        assert label in said
    point = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose((*point.get_xdata(), *point.get_ydata()), (0.1, 0.2))


def test_predictions_are_drawn_by_data_set_and_method() -> None:
    numbers = {"ratio": 2.0, "ratio_error": 0.1, "reduction": 0.7, "reduction_error": 0.5}
    records = [
        {"data": data, "method": method, "snr": snr, **numbers}
        for data in ("SAMI", "MUSE")
        for method in ("posterior", "binning 9")
        for snr in (2.0, 6.0)
    ]
    figure = drawn(prediction_figure({"prediction": records}))
    said = texts(figure)
    assert len(figure.axes) == 4
    for label in ("SAMI", "MUSE", "posterior", "binning 9", "S/N of the noisy half"):
        assert label in said
    upper, lower = (figure.axes[place].containers[0].lines[0].get_ydata(orig=False) for place in (0, 2))
    np.testing.assert_allclose(upper, 2)
    np.testing.assert_allclose(lower, 0.3)


def test_pulls_are_drawn_by_snr_and_wavelength() -> None:
    records = [
        {"data": "SDSS", "method": "posterior", "kind": kind, "by": by, "centre": centre, "robust": 1.1}
        for kind in ("pixel", "block")
        for by, centre in (("snr", 10.0), ("wavelength", 5000.0))
    ]
    figure = drawn(observed_pulls_figure({"pulls": records}))
    said = texts(figure)
    for label in ("posterior, pixels", "posterior, 30-pixel means", "Rest wavelength [Å]", "Scatter of pulls"):
        assert label in said


def test_repeated_populations_are_drawn_with_their_pulls() -> None:
    one = {name: [[9.0, 9.5], [9.1, 9.4], [0.1, 0.1], [0.1, 0.1]] for name in ("log_age_lw", "mh_lw")}
    methods = {"pPXF": {name: {"pulls": 1.5} for name in one}, "posterior": {name: {"pulls": 0.9} for name in one}}
    figure = drawn(sami_repeats_figure({"values": dict.fromkeys(methods, one), "methods": methods}))
    said = texts(figure)
    assert len(figure.axes) == 4
    for label in ("pPXF: pulls 1.5", "posterior: pulls 0.9", "cube B", "dex"):
        assert label in said
