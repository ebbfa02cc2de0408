"""Other ways to measure lines: fluxes are recovered, errors are those of the noise, and scores say what they should."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.errors import SpectraError
from quietspec.lab.evaluation.line_contenders import LINES, by_subtraction, rest_pixels, summed
from quietspec.lab.evaluation.line_ppxf import PpxfLines
from quietspec.lab.evaluation.studies.line_contenders import (
    ScoredLines,
    contender_tables,
    photon_noise,
    score,
)
from quietspec.lab.evaluation.studies.line_fluxes import BATCHES, LineSettings, observed_lines
from quietspec.lab.simulate import SurveyRecipe
from quietspec.statistics import robust_scatter
from quietspec.wavelengths import EMISSION_LINES

PLAIN = ("calibration_error", "spikes", "masks", "noise_correlation", "higher_moments")


@pytest.fixture(scope="module")
def made_and_gas(tiny_library):
    """Spectra by MaNGA of S/N 30, which nothing has spoilt, and their gas."""
    recipe = SurveyRecipe(tiny_library, **dict.fromkeys(PLAIN, False))
    return next(observed_lines(recipe, 30.0, LineSettings(n=8 * BATCHES)))


class Known:
    """Stars that are known."""

    def __init__(self, made) -> None:
        self.flux, self.valid = made.truth, np.ones(made.truth.shape, dtype=bool)
        self.noise_scale, self.parameters = np.ones(len(made.truth)), {"velocity": (made.parameters["velocity"], None)}


def true_fluxes(made, gas):
    names = list(EMISSION_LINES)
    sums = [gas.flux[:, [names.index(part) for part in parts]].sum(axis=1) for parts in LINES.values()]
    return np.stack(sums, axis=1) * (1 + made.observed.redshift[:, None])


def test_gaussians_on_known_stars_have_the_errors_of_the_noise(made_and_gas) -> None:
    made, gas = made_and_gas
    found = by_subtraction(made.observed, Known(made))
    pulls = (found.flux - true_fluxes(made, gas)) / found.error
    assert (
        0.8 < robust_scatter(pulls.reshape(1, -1), np.isfinite(pulls).reshape(1, -1))[0] < 1.4
    )  # bright ones err more
    bare = ~gas.flux.any(axis=1)
    single = [number for number, parts in enumerate(LINES.values()) if len(parts) == 1]
    ratio = (found.error / photon_noise(made, replace(gas, velocity=made.parameters["velocity"])))[bare][:, single]
    assert 0.4 < np.median(ratio) < 1.6  # lines that are not seen have a usual width


@pytest.mark.slow
def test_ppxf_recovers_bright_lines(made_and_gas, tiny_library) -> None:
    pytest.importorskip("ppxf")
    made, gas = made_and_gas
    bright = [int(np.argmax(gas.flux[:, list(EMISSION_LINES).index("Halpha")]))]
    truth = true_fluxes(made, gas)[bright]
    place = list(LINES).index("Halpha")
    formal = PpxfLines(tiny_library, multiplicative=2)(made.observed[bright])
    assert formal.flux[0, place] == pytest.approx(truth[0, place], rel=0.05)
    drawn = PpxfLines(tiny_library, multiplicative=2, bootstrap=4)(made.observed[bright])
    np.testing.assert_array_equal(drawn.flux, formal.flux)
    assert 0.3 < drawn.error[0, place] / formal.error[0, place] < 4


def test_sums_of_lines_know_their_covariance() -> None:
    names = ("[OII]3726", "[OII]3729", "Hbeta")
    covariance = np.array([[4.0, -3.0, 0.0], [-3.0, 4.0, 0.0], [0.0, 0.0, 9.0]])
    flux, error = summed(names, np.array([1.0, 2.0, 5.0]), covariance)
    np.testing.assert_allclose(flux[:2], [3.0, 5.0])
    np.testing.assert_allclose(error[:2], [np.sqrt(2), 3.0])
    assert np.isnan(flux[2:]).all()


def test_lines_need_a_resolution(made_and_gas) -> None:
    with pytest.raises(SpectraError, match="fwhm"):
        rest_pixels(replace(made_and_gas[0].observed, fwhm=None))


def test_scores_of_right_errors(capsys) -> None:
    rng = np.random.default_rng(2)
    truth = np.where(rng.random(4000) < 0.3, 0.0, rng.uniform(0, 50, 4000))
    error = rng.uniform(0.5, 2, 4000)
    found = score(ScoredLines(truth + error * rng.standard_normal(4000), error, truth, error / 1.1))
    for key, expected in {"cover68": 0.683, "cover95": 0.95, "slope": 1.0, "error_over_photon": 1.1}.items():
        value, its_error = found[key]
        assert abs(value - expected) < 4 * its_error
    assert found["false"][0] < 0.005
    row = {"snr": 5.0, "contender": "posterior", "line": "Hbeta"} | found
    tables = list(contender_tables({"scores": [row, row], "errors": []}))
    assert list(tables[1].columns[2].cells) == ["8000"]
