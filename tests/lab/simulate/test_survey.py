"""The recipe `survey`: each ingredient is there, and gone when switched off."""

import dataclasses
import re

import numpy as np
import pytest

from quietspec.errors import TemplateError
from quietspec.lab.simulate import INSTRUMENTS, SurveyRecipe, SurveySwitches, get_recipe
from quietspec.wavelengths import EMISSION_LINES, SNR_WINDOW, air_to_vacuum, in_window, rest_air

NOTHING = {field.name: False for field in dataclasses.fields(SurveySwitches)}
Z = 0.02


@pytest.fixture(scope="module")
def library(tiny_library):
    return tiny_library


@pytest.fixture(scope="module")
def full(library):
    return get_recipe("survey", library)


def only(library, *names, **options):
    """The recipe with only the ingredients named."""
    return SurveyRecipe(library, **(NOTHING | dict.fromkeys(names, True)), **options)


def observe(recipe, n=60, seed=0, snr=1e5, instrument="SAMI", redshift=Z):
    return recipe.simulate(n, np.random.default_rng(seed), snr, instrument=instrument, redshift=redshift)


def test_rest_spectra_are_finite_normalised_and_labelled(full):
    rest = full.rest(300, np.random.default_rng(0))
    assert rest.flux.shape == (300, len(full.wavelength))
    assert rest.flux.dtype == np.float32
    assert np.all(rest.flux > 0)
    np.testing.assert_allclose(rest.flux[:, in_window(rest.wavelength, SNR_WINDOW)].mean(axis=1), 1, rtol=1e-5)
    limits = {"sigma": (20, 400), "velocity": (-300, 300), "a_v": (0, 2.5), "h3": (-0.3, 0.3), "h4": (-0.3, 0.3)}
    for name, (low, high) in limits.items():
        assert np.all((rest.parameters[name] >= low) & (rest.parameters[name] <= high))
        assert rest.parameters[name].std() > 0.03
    assert {"log_age_mw", "log_age_lw", "mh_mw", "mh_lw"} < set(rest.parameters)


def test_without_any_ingredient_spectra_are_mixtures_of_templates(library):
    recipe = only(library)
    rest = recipe.rest(10, np.random.default_rng(1))
    from quietspec.lab.simulate.histories import random_histories

    weights = random_histories(recipe.library, 10, np.random.default_rng(1), recipe._histories)
    flux = weights @ library.at(rest.wavelength).spectra
    flux /= flux[:, in_window(rest.wavelength, SNR_WINDOW)].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(rest.flux, flux, rtol=2e-5)
    for name in ("a_v", "velocity", "sigma", "h3", "h4"):
        assert not rest.parameters[name].any()


@pytest.mark.parametrize(
    ("switch", "parameters"),
    [("dust", ["a_v"]), ("velocity", ["velocity"]), ("dispersion", ["sigma", "h3", "h4"]),
     ("higher_moments", ["h3", "h4"])],
)  # fmt: skip
def test_rest_frame_switches_turn_off_their_parameters_and_no_other(library, full, switch, parameters):
    on, off = (
        recipe.rest(100, np.random.default_rng(2)) for recipe in (full, SurveyRecipe(library, **{switch: False}))
    )
    for name, values in on.parameters.items():
        if name in parameters:
            assert values.any()
            assert not off.parameters[name].any()
        else:
            np.testing.assert_array_equal(values, off.parameters[name])
    assert not np.allclose(on.flux, off.flux, rtol=1e-3)


def test_bursts_off_leaves_smooth_histories(library):
    recipe = SurveyRecipe(library, bursts=False)
    assert recipe._histories.burst_probabilities == (1.0,)
    on, off = (r.rest(2000, np.random.default_rng(3)).parameters for r in (SurveyRecipe(library), recipe))
    spread = [np.std(p["log_age_mw"] - p["log_age_lw"]) for p in (on, off)]
    assert spread[1] < spread[0]


def test_metallicity_scatter_off_leaves_two_metallicities_per_age(library):
    from quietspec.lab.simulate.histories import random_histories

    recipe = SurveyRecipe(library, metallicity_scatter=False, bursts=False)
    weights = random_histories(library, 50, np.random.default_rng(4), recipe._histories).reshape(50, 6, 3)
    assert np.all((weights > 1e-4).sum(axis=2) <= 2)


def test_dust_reddens_as_the_law_says(library):
    from quietspec.lab.simulate import SurveyPrior
    from quietspec.lab.simulate.dust import transmission

    prior = SurveyPrior(dust_slope=0.0)
    dusty = only(library, "dust", prior=prior).rest(30, np.random.default_rng(5))
    clean = only(library, prior=prior).rest(30, np.random.default_rng(5))
    ratio = dusty.flux / clean.flux
    expected = transmission(dusty.wavelength, dusty.parameters["a_v"])
    ratio, expected = ratio / ratio[:, :1], expected / expected[:, :1]
    np.testing.assert_allclose(ratio, expected, rtol=1e-3)


def test_velocity_moves_the_spectrum(library):
    moved = only(library, "velocity").rest(20, np.random.default_rng(6))
    still = only(library).rest(20, np.random.default_rng(6))
    shift = 1 + moved.parameters["velocity"] / 299792.458
    for row in range(20):
        expected = np.interp(moved.wavelength / shift[row], still.wavelength, still.flux[row])
        inner = slice(50, -50)
        assert np.corrcoef(moved.flux[row, inner], expected[inner])[0, 1] > 0.999


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_observed_pixels_are_those_of_the_instrument_within_the_templates(full, name):
    simulated = full.simulate(5, np.random.default_rng(7), 20.0, instrument=name)
    spectra, z = simulated.observed, simulated.observed.redshift[0]
    assert np.all(spectra.redshift == z)
    assert INSTRUMENTS[name].redshift[0] <= z <= INSTRUMENTS[name].redshift[1]
    rest = rest_air(spectra.wavelength, z, spectra.medium)
    assert rest[0] >= full.wavelength[0]
    assert rest[-1] <= full.wavelength[-1]
    assert np.isin(spectra.wavelength, INSTRUMENTS[name].wavelength).all()
    assert np.isfinite(simulated.truth).all()
    assert simulated.truth.shape == spectra.flux.shape
    assert spectra.fwhm.shape == spectra.wavelength.shape
    assert name in spectra.meta["survey"]


def test_truth_is_the_rest_spectrum_observed_at_its_redshift(library):
    recipe = only(library)
    rest = recipe.rest(10, np.random.default_rng(8))
    simulated = recipe.observe(rest, np.random.default_rng(8), 50.0, instrument="MaNGA", redshift=0.05)
    pixels = rest_air(simulated.observed.wavelength, 0.05, "vacuum")
    expected = np.array([np.interp(pixels, rest.wavelength, row) for row in rest.flux])
    np.testing.assert_allclose(simulated.truth, expected, rtol=0.05)  # linear interpolation blunts lines
    assert np.sqrt(np.mean((simulated.truth / expected - 1) ** 2)) < 3e-3


def test_instrument_resolution_smooths_califa_but_not_samis_red_arm(library):
    califa = [observe(only(library, *names), instrument="CALIFA V500").truth for names in ((), ("instrument_fwhm",))]
    assert np.std(np.diff(califa[1], axis=1)) < 0.8 * np.std(np.diff(califa[0], axis=1))
    sami = [observe(only(library, *names)) for names in ((), ("instrument_fwhm",))]
    red = sami[0].observed.wavelength > 6000
    np.testing.assert_allclose(sami[0].truth[:, red], sami[1].truth[:, red], rtol=1e-5)


def test_emission_is_in_the_flux_and_not_in_the_truth(library):
    with_gas, without = observe(only(library, "emission")), observe(only(library))
    np.testing.assert_array_equal(with_gas.truth, without.truth)
    rest = rest_air(with_gas.observed.wavelength, Z, "air")
    excess = with_gas.observed.flux - with_gas.truth
    near = np.zeros(len(rest), dtype=bool)
    for line in EMISSION_LINES.values():
        near |= np.abs(rest / line - 1) < 2200 / 299792.458
    assert excess[:, np.abs(rest - EMISSION_LINES["Halpha"]) < 3].max() > 0.1
    assert np.abs(excess[:, ~near]).max() < 1e-3
    assert np.abs(without.observed.flux - without.truth).max() < 1e-3


def test_calibration_errors_are_continuous_and_in_the_truth(library):
    wrong, right = observe(only(library, "calibration_error")).truth, observe(only(library)).truth
    ratio = wrong / right
    assert 0.01 < np.std(np.log(ratio)) < 0.08
    blue = INSTRUMENTS["SAMI"].arms[0].size - 100
    assert np.abs(np.diff(ratio[:, :blue], axis=1)).max() < 2e-3


def test_masks_take_pixels_out(library):
    masked, whole = observe(only(library, "masks")).observed, observe(only(library)).observed
    assert whole.good.all()
    assert 0 < (~masked.good).mean() < 0.05
    assert np.isnan(masked.flux[~masked.good]).all()


def test_spikes_stand_out_and_are_not_masked(library):
    hit, whole = observe(only(library, "spikes"), snr=20.0), observe(only(library), snr=20.0)
    outliers = [np.abs(s.observed.flux - s.truth) * np.sqrt(s.observed.ivar) > 6 for s in (hit, whole)]
    assert outliers[0].any()
    assert not outliers[1].any()
    assert hit.observed.good.all()


def test_noise_spread_and_correlation_can_be_switched_off(library):
    def scaled(simulated):
        return (simulated.observed.flux - simulated.truth) * np.sqrt(simulated.observed.ivar)

    plain, correlated = observe(only(library), snr=20.0), observe(only(library, "noise_correlation"), snr=20.0)
    lag = [np.mean(scaled(s)[:, 1:] * scaled(s)[:, :-1]) for s in (plain, correlated)]
    assert abs(lag[0]) < 0.01
    assert 0.2 < lag[1] < 0.5
    assert scaled(correlated).std() == pytest.approx(1, abs=0.01)
    shapes = [s.observed.sigma / s.observed.sigma[:, 800:801] for s in (plain, observe(only(library, "noise_spread")))]
    assert np.std(shapes[0] / shapes[0][:1]) < 1e-4
    assert np.std(shapes[1] / shapes[1][:1]) > 0.1


def test_misscaled_errors_are_off_by_default_and_wrong_when_on(library):
    assert not SurveySwitches().misscaled_errors
    wrong = observe(only(library, "misscaled_errors"), snr=20.0)
    scaled = (wrong.observed.flux - wrong.truth) * np.sqrt(wrong.observed.ivar)
    assert 0.12 < np.log(scaled.std(axis=1)).std() < 0.28


@pytest.mark.parametrize("name", ["SAMI", "MaNGA", "SDSS", "CALIFA V500"])
def test_snr_in_the_window_is_the_given_one(full, name):
    simulated = full.simulate(40, np.random.default_rng(9), 12.0, instrument=name)
    rest = rest_air(simulated.observed.wavelength, simulated.observed.redshift[0], simulated.observed.medium)
    inside = in_window(rest, SNR_WINDOW)
    sigma = np.where(simulated.observed.good, simulated.observed.sigma, np.nan)[:, inside]
    snr = simulated.truth[:, inside].mean(axis=1) / np.nanmean(sigma, axis=1)
    np.testing.assert_allclose(snr, 12.0, rtol=0.02)


def test_snr_of_muse_is_over_all_pixels_where_it_misses_the_window(library):
    simulated = observe(only(library), snr=10.0, instrument="MUSE", redshift=0.01)
    snr = simulated.truth.mean(axis=1) / simulated.observed.sigma.mean(axis=1)
    np.testing.assert_allclose(snr, 10.0, rtol=1e-4)


def test_drawn_snr_is_log_uniform_in_its_range(full):
    snr = np.concatenate([full.simulate(30, np.random.default_rng(seed)).parameters["snr"] for seed in range(20)])
    assert snr.min() >= 1.5
    assert snr.max() <= 60
    assert np.median(np.log(snr)) == pytest.approx(0.5 * np.log(1.5 * 60), abs=0.2)


def test_the_same_seed_gives_the_same_spectra(full):
    one, two = (full.simulate(4, np.random.default_rng(11)) for _ in range(2))
    np.testing.assert_array_equal(one.observed.flux, two.observed.flux)
    np.testing.assert_array_equal(one.truth, two.truth)
    assert one.observed.meta == two.observed.meta


def test_instruments_can_be_chosen_and_unknown_ones_are_refused(library):
    recipe = SurveyRecipe(library, instruments=["MUSE"])
    assert "MUSE" in recipe.simulate(2, np.random.default_rng(12)).observed.meta["survey"]
    with pytest.raises(ValueError, match="there are SAMI"):
        SurveyRecipe(library, instruments=["IRAC"])
    with pytest.raises(TypeError, match="no_such_switch"):
        SurveyRecipe(library, no_such_switch=False)


def test_a_redshift_beyond_the_templates_is_an_error(full):
    with pytest.raises(TemplateError, match="out of the templates"):
        full.simulate(2, np.random.default_rng(13), instrument="CALIFA V500", redshift=3.0)


def test_a_library_that_is_too_short_is_an_error(library):
    with pytest.raises(TemplateError, match="covers"):
        SurveyRecipe(library.between(3700, 7300))


def test_a_library_that_is_too_short_says_which_range_it_allows(tiny_library):
    short = tiny_library.between(3900, 6700)
    with pytest.raises(TemplateError, match=r"need 3571\.\d–7408\.\d Å") as error:
        SurveyRecipe(short)
    low, high = re.search(r"limits=\((\d+), (\d+)\)", str(error.value)).groups()
    recipe = SurveyRecipe(short, limits=(float(low), float(high)), velocity_scale=150.0)
    assert len(recipe.rest(2, np.random.default_rng(0))) == 2


def test_a_library_in_vacuum_says_how_to_convert_it(tiny_library):
    vacuum = dataclasses.replace(tiny_library, wavelength=air_to_vacuum(tiny_library.wavelength), medium="vacuum")
    with pytest.raises(TemplateError, match=r"library\.in_air\(\)"):
        SurveyRecipe(vacuum)
    np.testing.assert_allclose(vacuum.in_air().wavelength, tiny_library.wavelength, atol=1e-4)
