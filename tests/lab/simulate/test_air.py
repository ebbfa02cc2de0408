"""What the air leaves in simulated spectra: in its bands alone, as large as asked, and by draws of its own."""

import numpy as np
import pytest

from quietspec.denoisers.posterior.sky import SKY_WINDOWS
from quietspec.lab.simulate import SurveyRecipe
from quietspec.lab.simulate.air import AirPrior, AirResiduals

AIR = np.arange(5000.0, 9300.0, 1.25)
IN_BANDS = np.any([(low < AIR) & (high > AIR) for low, high in SKY_WINDOWS], axis=0)


def residuals(seed=0, **ranges):
    prior = AirPrior(**{"none": 0.0} | ranges)
    return AirResiduals.draw(prior, AIR, np.full(AIR.shape, 2.6), np.random.default_rng(seed))


def test_the_glow_is_as_large_as_asked_in_the_bands_and_nothing_outside() -> None:
    found = residuals(smooth=(0.4, 0.4), sharp=(1e-6, 1e-6)).glow
    assert not found[~IN_BANDS].any()
    assert np.sqrt(np.mean(found[found != 0] ** 2)) == pytest.approx(0.4, rel=1e-3)


def test_absorption_goes_with_the_flux_and_the_glow_with_the_noise() -> None:
    found = residuals()
    flux, sigma = np.full((2, len(AIR)), [[1.0], [100.0]]), np.full((2, len(AIR)), [[1.0], [3.0]])
    added = found.added(flux, sigma)
    np.testing.assert_allclose(added[1] - added[0], 99 * found.absorption + 2 * found.glow, atol=1e-12)


def test_some_exposures_have_no_residuals() -> None:
    found = residuals(none=1.0)
    assert not found.glow.any()
    assert not found.absorption.any()


def test_residuals_change_no_other_draw(tiny_library) -> None:
    made = {}
    for sky in (True, False):
        recipe = SurveyRecipe(tiny_library, instruments=["SDSS"], sky=sky)
        made[sky] = [recipe.simulate(3, rng, 20.0) for rng in [np.random.default_rng(4)] for _ in range(6)]
    for one, other in zip(made[True], made[False], strict=True):
        np.testing.assert_array_equal(one.truth, other.truth)
        np.testing.assert_array_equal(one.observed.ivar, other.observed.ivar)
        air = one.observed.wavelength / 1.00028
        outside = air < SKY_WINDOWS[0][0] - 2
        np.testing.assert_array_equal(one.observed.flux[:, outside], other.observed.flux[:, outside])
    pairs = zip(made[True], made[False], strict=True)
    assert any(not np.array_equal(one.observed.flux, other.observed.flux, equal_nan=True) for one, other in pairs)
