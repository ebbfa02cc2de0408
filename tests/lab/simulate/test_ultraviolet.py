"""The recipe `ultraviolet`: several libraries, a bump in the dust, and redshifts at which the ultraviolet is seen."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.io.fetching import cached
from quietspec.lab.simulate import FETCHING, INSTRUMENTS, UltravioletRecipe, WideRecipe
from quietspec.wavelengths import in_window

IRON = {"b4F": np.array([[4549.5, 1.0], [4583.8, 1.3]])}


@pytest.fixture(scope="module")
def recipe(tiny_library):
    other = replace(tiny_library, name="bluer", spectra=tiny_library.spectra * (tiny_library.wavelength / 5000) ** -2.0)
    options = {"limits": (3600.0, 7000.0), "velocity_scale": 150.0}
    return UltravioletRecipe(tiny_library, {"bluer": (other, 0.4)}, IRON, **options)


def test_it_is_named_among_the_recipes_of_several_libraries():
    assert {"wide": WideRecipe, "ultraviolet": UltravioletRecipe} == FETCHING
    assert sum(UltravioletRecipe.shares.values()) == pytest.approx(1)


def test_its_instruments_look_at_distant_galaxies(recipe):
    assert {one.name for one in recipe.instruments} == {"DESI", "MUSE", "SDSS", "WEAVE"}
    redshifts = [recipe.simulate(1, np.random.default_rng(seed), 20.0).observed.redshift[0] for seed in range(12)]
    assert 0.45 <= min(redshifts) < max(redshifts) <= 1.2
    assert recipe.redshifts(INSTRUMENTS["MUSE"]) == (0.45, 1.2)


def test_its_dust_has_a_bump(recipe):
    assert recipe.prior.dust_bump > 0
    assert WideRecipe.ranges.dust_bump == 0


def test_at_rest_and_without_gas_it_is_still_itself(recipe):
    assert isinstance(recipe.at_rest(), UltravioletRecipe)
    quiet = recipe.without_gas()
    assert isinstance(quiet, UltravioletRecipe)
    assert recipe.switches.emission
    assert not quiet.switches.emission


@pytest.mark.slow
@pytest.mark.fetched
def test_libraries_begin_at_2100(request):
    for data in ("emiles", "bc03-miles"):
        if cached(data) is None:
            pytest.skip(f"needs `quietspec fetch {data}`")
    found = UltravioletRecipe.fetched_libraries(("emiles", "bc03-miles", "between"))
    emiles = found["emiles"]
    assert emiles.wavelength[0] < 2100
    old = (emiles.log_age == emiles.log_ages[-1]) & (np.abs(emiles.metallicity) < 0.1)
    logarithm = {name: np.log(library.spectra[old][0]) for name, library in found.items()}
    mean = (logarithm["emiles"] + logarithm["bc03-miles"]) / 2
    np.testing.assert_allclose(logarithm["between"], mean, atol=1e-3)
    # Lines of the section that E-MILES publishes at vacuum wavelengths lie where those of BC03 do.
    window = in_window(emiles.wavelength, (3110.0, 3500.0))
    place = np.linspace(-1, 1, window.sum())
    shapes = []
    for name in ("emiles", "bc03-miles"):
        values = logarithm[name][window]
        shapes.append(values - np.polyval(np.polyfit(place, values, 9), place))
    lags = np.arange(-6, 7)
    alike = [np.corrcoef(shapes[0][10:-10], np.roll(shapes[1], lag)[10:-10])[0, 1] for lag in lags]
    assert abs(lags[np.argmax(alike)]) <= 1
