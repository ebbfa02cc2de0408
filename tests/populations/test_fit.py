"""pPXF fits: what must not matter, what must come back, and pPXF itself called by hand."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.errors import QuietspecError, TemplateError
from quietspec.populations import PopulationFlag, PpxfOptions, fit_populations
from quietspec.populations.grid import LogGrid, Rebinning
from quietspec.populations.result import Populations
from quietspec.populations.templates import FittingTemplates, fitted_range
from quietspec.templates import mass_to_light
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

from .conftest import WAVELENGTH, observe, only

PLAIN = PpxfOptions(multiplicative=0, regularisation=0, gas="none")
FIXED = replace(PLAIN, kinematics="fixed", dispersion=150.0)


def assert_same(one: Populations, other: Populations, rtol: float = 1e-7) -> None:
    assert one.names == other.names
    for name in one.names:
        for kind in ("values", "low", "high"):
            np.testing.assert_allclose(getattr(other, kind)[name], getattr(one, kind)[name], rtol=rtol, err_msg=name)
    np.testing.assert_array_equal(one.flags, other.flags)
    np.testing.assert_array_equal(one.reasons, other.reasons)


# What must not matter


def test_units_of_flux_do_not_matter(tiny_library, four):
    one = fit_populations(four, tiny_library)
    other = fit_populations(replace(four, flux=four.flux * 3e-17, ivar=four.ivar / 9e-34), tiny_library)
    assert_same(one, other, 1e-4)
    np.testing.assert_allclose(other.chi2, one.chi2, rtol=1e-6)


@pytest.mark.parametrize("gas", ["mask", "fit"])
def test_masked_pixels_never_matter(tiny_library, four, gas):
    rng = np.random.default_rng(1)
    four = four[:2]
    ivar = np.where(rng.random(four.flux.shape) < 0.1, 0.0, four.ivar)
    bad = ivar == 0
    wild = np.where(bad, rng.choice([np.nan, np.inf, -1e20], four.flux.shape), four.flux)
    one, other = (
        fit_populations(replace(four, flux=flux, ivar=ivar), tiny_library, replace(PLAIN, gas=gas))
        for flux in (four.flux, wild)
    )
    assert_same(one, other, 0)
    assert not one.failed.any()


def _lines(heights, velocity=0.0, sigma=120.0):
    """Emission lines of the four spectra's instrument, by height."""
    total = np.zeros(len(WAVELENGTH))
    for name, height in heights.items():
        centre = EMISSION_LINES[name] * np.exp(velocity / SPEED_OF_LIGHT)
        width = np.hypot(centre * sigma / SPEED_OF_LIGHT, 2.51 / FWHM_PER_SIGMA)
        total += height * np.exp(-0.5 * ((WAVELENGTH - centre) / width) ** 2)
    return total


def test_emission_lines_do_not_matter_where_they_are_masked(tiny_library, four):
    gassy = replace(four, flux=four.flux + 5 * np.median(four.flux) * _lines(dict.fromkeys(EMISSION_LINES, 1.0)))
    one, other = (fit_populations(spectra, tiny_library, replace(PLAIN, gas="mask")) for spectra in (four, gassy))
    for name, least in (("log_age_lw", 0.02), ("velocity", 1.0), ("sigma", 1.0)):
        np.testing.assert_allclose(other.values[name], one.values[name], atol=least)
    taken_for_stars = fit_populations(gassy, tiny_library, PLAIN)
    assert (taken_for_stars.flags & int(PopulationFlag.POOR_FIT) != 0).all()
    assert (taken_for_stars.flags & int(PopulationFlag.AT_LIMIT) != 0).any()


def test_emission_lines_are_fitted_with_kinematics_of_their_own(tiny_library, four):
    lines = _lines({"[OIII]4959": 0.33, "[OIII]5007": 1.0, "[SII]6716": 0.8, "[SII]6731": 0.7, "[OI]6300": 0.2},
                   velocity=-150, sigma=70)  # fmt: skip
    lines += _lines({"[OI]6364": 0.066}, velocity=-150, sigma=70)
    gassy = replace(four, flux=four.flux + np.median(four.flux) * lines)
    one = fit_populations(four, tiny_library, PLAIN)
    other = fit_populations(gassy, tiny_library, replace(PLAIN, gas="fit"))
    for name, least in (("log_age_lw", 0.03), ("velocity", 3.0), ("sigma", 4.0)):
        np.testing.assert_allclose(other.values[name], one.values[name], atol=least)
    np.testing.assert_allclose(other.chi2, 1, atol=0.15)


def test_shuffling_spectra_shuffles_results(tiny_library, four):
    spectra = replace(four, redshift=np.array([0.0, 0.001, 0.0, 0.001]))
    order = np.array([2, 3, 1, 0])
    one, other = (fit_populations(some, tiny_library, PLAIN) for some in (spectra, spectra[order]))
    assert_same(one[order], other)


def test_processes_side_by_side_find_the_same(tiny_library, four):
    options = PpxfOptions(bootstrap=3, multiplicative=0)
    seen: list[tuple[int, int]] = []
    one = fit_populations(four, tiny_library, options)
    other = fit_populations(four, tiny_library, options, jobs=2, progress=lambda *done: seen.append(done))
    assert_same(one, other)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("options", [PpxfOptions(gas="none"), PpxfOptions()], ids=["none", "masked"])
def test_a_diagonal_covariance_is_the_same_as_errors(tiny_library, four, options):
    """Each pixel of the grid made of data of its own, so that rebinning correlates nothing."""
    four, scale = four[:2], 80.0
    grid = LogGrid.within(4700, 6200, scale)
    options = replace(options, velocity_scale=scale)
    rebin = Rebinning(four.wavelength, grid)
    flux, cover, _ = rebin(four.flux, four.good)
    variance = rebin.variance(1 / four.ivar, cover)
    # Arithmetic centres, so that the edges midway between them are the grid's to 1e-5 of a pixel.
    spectra = replace(
        four, wavelength=(grid.borders[1:] + grid.borders[:-1]) / 2, flux=flux, ivar=1 / variance,
        fwhm=np.full(len(grid), np.nan),
    )  # fmt: skip
    one = fit_populations(spectra, tiny_library, options)
    other = fit_populations(
        spectra, tiny_library, options, covariance_of=lambda row: (np.zeros((len(grid), 1)), variance[row])
    )
    assert other.reasons.tolist() == ["", ""]
    for name in one.names:
        np.testing.assert_allclose(other.values[name], one.values[name], rtol=0.01, atol=0.003)
        np.testing.assert_allclose(other.error(name), one.error(name), rtol=0.05, atol=1e-4)
    np.testing.assert_allclose(other.chi2, one.chi2, rtol=0.01)


def test_a_covariance_on_too_fine_a_grid_fails_with_the_cure(tiny_library, four):
    found = fit_populations(
        four[:1], tiny_library, replace(PLAIN, velocity_scale=30.0, limits=(4900, 5400)),
        covariance_of=lambda _: (np.zeros((four.n_pixels, 1)), 1 / four.ivar[0]),
    )  # fmt: skip
    assert found.flags[0] == PopulationFlag.FAILED
    assert "use a larger velocity_scale" in found.reasons[0]


def test_covariance_in_masked_pixels_never_matters(tiny_library, four):
    ivar = four.ivar.copy()
    ivar[:, 100:103] = ivar[:, 700] = 0
    spectra = replace(four, ivar=ivar)[:1]
    rng = np.random.default_rng(2)
    factor = 0.3 * rng.normal(size=(four.n_pixels, 2)) / np.sqrt(four.ivar[0])[:, None]
    wild = np.where(spectra.good[0][:, None], factor, 1e10)
    one, other = (
        fit_populations(spectra, tiny_library, PLAIN, covariance_of=lambda _, f=f: (f, 1 / four.ivar[0]))
        for f in (factor, wild)
    )
    assert_same(one, other, 1e-9)
    assert one.chi2[0] == pytest.approx(1, abs=0.15)


# What must come back


@pytest.mark.parametrize("number", [3, 10, 17])
def test_a_single_population_comes_back(tiny_library, number):
    found = fit_populations(observe(tiny_library, only(tiny_library, number), 120.0, 160.0), tiny_library, PLAIN)
    for name, truth in (("log_age", tiny_library.log_age), ("mh", tiny_library.metallicity)):
        for kind in ("mw", "lw"):
            assert found.values[f"{name}_{kind}"][0] == pytest.approx(truth[number], abs=2e-3)
    assert found.values["log_ml_v"][0] == pytest.approx(np.log10(mass_to_light(tiny_library).ratio[number]), abs=2e-3)
    assert found.values["velocity"][0] == pytest.approx(120, abs=1)
    assert found.values["sigma"][0] == pytest.approx(160, abs=1.5)
    assert found.flags[0] == PopulationFlag.OK
    assert found.reasons.tolist() == [""]


@pytest.mark.parametrize(
    ("redshift", "medium", "fwhm"),
    [(0.02, "air", None), (0.05, "vacuum", 3.2), (0.0, "vacuum", None), (0.0, "air", 4.5), (0.05, "vacuum", 4.5)],
)
def test_velocity_is_against_the_redshift_and_dispersion_is_the_stars(tiny_library, redshift, medium, fwhm):
    spectra = observe(
        tiny_library, only(tiny_library, 10, 4), [-90, 250], [130, 200], redshift=redshift, medium=medium, fwhm=fwhm
    )
    found = fit_populations(spectra, tiny_library, replace(PLAIN, limits=(4050, 6500)))
    np.testing.assert_allclose(found.values["velocity"], [-90, 250], atol=1.5)
    np.testing.assert_allclose(found.values["sigma"], [130, 200], atol=3)


def test_each_spectrum_has_its_own_resolution(tiny_library):
    weights = only(tiny_library, 10, 10)
    sharp, dull = (observe(tiny_library, weights[:1], 0, 150, fwhm=fwhm) for fwhm in (2.51, 5.5))
    spectra = replace(
        sharp, flux=np.vstack([sharp.flux, dull.flux]), ivar=np.vstack([sharp.ivar, dull.ivar]),
        redshift=np.zeros(2), ebv=0.0, fwhm=np.stack([sharp.fwhm, dull.fwhm]),
    )  # fmt: skip
    found = fit_populations(spectra, tiny_library, PLAIN)
    np.testing.assert_allclose(found.values["sigma"], 150, atol=3)
    ignored = fit_populations(replace(spectra, fwhm=None), tiny_library, PLAIN)
    assert ignored.values["sigma"][1] > 165


def test_data_sharper_than_the_templates_are_smoothed_to_them(tiny_library):
    """The library's lines are 1.07 Å wide in σ and more; called sharper, it makes data sharper than the templates."""
    sharp = replace(tiny_library, fwhm=np.full_like(tiny_library.fwhm, 1.3))
    templates = sharp.to_fwhm(2.6)
    spectra = observe(sharp, only(sharp, 10, 16), [50, -50], [60, 150], fwhm=1.3, wavelength=np.arange(4000, 6900, 0.6))
    found = fit_populations(spectra, templates, PLAIN)
    np.testing.assert_allclose(found.values["sigma"], [60, 150], rtol=0.03)
    np.testing.assert_allclose(found.values["velocity"], [50, -50], atol=1)
    np.testing.assert_allclose(found.values["log_age_mw"], sharp.log_age[[10, 16]], atol=0.01)


def test_fast_rotators_are_found_where_the_start_is_near(tiny_library):
    """Templates must reach as far as the velocities tried, about any start."""
    spectra = observe(tiny_library, only(tiny_library, 10), 2900.0, 150.0)
    found = fit_populations(spectra, tiny_library, replace(PLAIN, velocity=2500.0))
    assert found.values["velocity"][0] == pytest.approx(2900, abs=2)
    lost = fit_populations(spectra, tiny_library, PLAIN)
    assert PopulationFlag.AT_LIMIT in PopulationFlag(int(lost.flags[0]))


def test_moments_and_polynomials_come_back(tiny_library):
    spectra = observe(tiny_library, only(tiny_library, 10), 30.0, 150.0)
    tilted = replace(spectra, flux=spectra.flux * (1 + 0.3 * np.linspace(-1, 1, spectra.n_pixels)))
    found = fit_populations(tilted, tiny_library, replace(PLAIN, multiplicative=2, moments=4))
    assert found.names[-4:] == ("velocity", "sigma", "h3", "h4")
    assert found.values["sigma"][0] == pytest.approx(150, abs=3)
    assert abs(found.values["h3"][0]) < 0.02
    assert abs(found.values["h4"][0]) < 0.02
    assert found.values["log_age_lw"][0] == pytest.approx(tiny_library.log_age[10], abs=0.03)


# pPXF called by hand


@pytest.mark.parametrize(
    "options",
    [
        PLAIN,
        FIXED,
        PpxfOptions(limits=(4200, 6200)),
        PpxfOptions(kinematics="fixed", velocity=60.0, dispersion=180.0, gas="none"),
        PpxfOptions(moments=4, additive=4, multiplicative=0, regularisation=0, gas="none"),
        PpxfOptions(gas="fit", multiplicative=4),
    ],
    ids=["plain", "fixed", "default", "fixed, polynomials", "additive", "gas"],
)
def test_the_same_as_ppxf_called_by_hand(tiny_library, four, options):
    from ppxf.ppxf import ppxf

    spectra, options = replace(four, fwhm=None)[2], replace(options, velocity_scale=66.0)
    if options.gas == "fit":
        line = np.exp(-0.5 * ((WAVELENGTH - 5006.84) / 2.5) ** 2)
        spectra = replace(spectra, flux=spectra.flux + 0.5 * np.median(spectra.flux) * line)
    found = fit_populations(spectra, tiny_library, options)
    galaxy, noise, good, templates, scale, shift = _arrays(tiny_library, spectra, options)
    stars = 2 if options.moments == 2 else 4
    start, bounds = [options.velocity, options.dispersion], [[-1000, 1000], [1, 600], [-0.3, 0.3], [-0.3, 0.3]][:stars]
    gas = templates.shape[1] - tiny_library.n_ssp
    component = np.repeat([0, 1], [tiny_library.n_ssp, gas])
    more = {"start": start, "moments": stars, "bounds": bounds}
    if options.kinematics == "fixed":
        more = {"start": start, "moments": -2}
    if gas:
        more = {
            "start": [start, start], "moments": [2, 2], "bounds": [bounds, bounds], "component": component,
            "gas_component": component == 1,
        }  # fmt: skip
    fit = ppxf(
        templates, galaxy, noise, scale, mask=good, vsyst=shift, degree=options.additive,
        mdegree=options.multiplicative, regul=options.regularisation, reg_dim=(6, 3), linear_method="nnls", quiet=True,
        **more,
    )  # fmt: skip
    weights = fit.weights[: tiny_library.n_ssp]
    light = weights * tiny_library.light()
    expected = {
        "log_age_mw": weights @ tiny_library.log_age / weights.sum(),
        "mh_lw": light @ tiny_library.metallicity / light.sum(),
    }
    if options.kinematics == "free":
        expected |= dict(zip(("velocity", "sigma", "h3", "h4"), fit.sol[0] if gas else fit.sol, strict=False))
    for name, value in expected.items():
        assert found.values[name][0] == pytest.approx(value, rel=1e-6, abs=1e-6), name
    assert found.chi2[0] == pytest.approx(fit.chi2, rel=1e-6)
    assert ("velocity" in found.names) == (options.kinematics == "free")


def _arrays(library, spectra, options):
    """What pPXF is given, made step by step as its own examples do."""
    from quietspec.denoisers.posterior.contamination import line_mask

    low, high = fitted_range(library, spectra.wavelength, options)
    scale = options.velocity_scale
    grid = LogGrid.within(low, high, scale)
    good = spectra.good.copy()
    if options.gas == "mask":
        good &= ~line_mask(spectra.wavelength, np.full(spectra.n_pixels, 2.51), 0.0, 150.0, tuple(EMISSION_LINES))
    rebin = Rebinning(spectra.wavelength, grid)
    flux, cover, fine = rebin(spectra.flux, good)
    sigma = rebin.variance(np.where(good, 1 / spectra.ivar, 0), cover)[0] ** 0.5
    level = np.median(flux[0][fine[0]])
    matched = FittingTemplates.make(library, grid, spectra.wavelength, np.full(spectra.n_pixels, 2.51), options)
    shift = SPEED_OF_LIGHT * np.log(matched.grid.wavelength[0] / grid.wavelength[0])
    templates = matched.stars.reshape(len(matched.grid), -1)
    if matched.gas is not None:
        templates = np.hstack([templates, matched.gas])
    assert (np.abs(shift) >= 1500) or options.kinematics == "fixed"
    galaxy = np.where(fine[0], flux[0] / level, 1.0)
    return galaxy, np.where(fine[0], sigma / level, 1.0), fine[0], templates, scale, shift


@pytest.mark.parametrize("gas", ["none", "fit"])
def test_weights_are_masses(tiny_library, gas):
    """Half the mass in each of two populations, the older one of which gives far less light."""
    weights = only(tiny_library, 1, 10).sum(axis=0) / 2
    found = fit_populations(observe(tiny_library, weights, 0, 150), tiny_library, replace(FIXED, gas=gas))
    mean = (tiny_library.log_age[1] + tiny_library.log_age[10]) / 2
    assert found.values["log_age_mw"][0] == pytest.approx(mean, abs=0.05)
    light = weights * tiny_library.light() / (weights @ tiny_library.light())
    assert found.values["log_age_lw"][0] == pytest.approx(light @ tiny_library.log_age, abs=0.01)
    assert abs(light @ tiny_library.log_age - mean) > 0.3


# Errors


def test_formal_errors_are_the_scatter_of_repeats(tiny_library):
    """Two well-separated populations and nothing else to choose from: no weight is held at 0."""
    library = _two(tiny_library)
    weights = np.tile([0.15, 0.85], (80, 1))
    rng = np.random.default_rng(5)
    spectra = observe(library, weights, 0, 150, snr=30, rng=rng)
    for options in (FIXED, replace(FIXED, multiplicative=4), replace(FIXED, additive=2)):
        found = fit_populations(spectra, library, replace(options, limits=(4100, 6800)))
        # Rebinning correlates neighbours, which errors pixel by pixel do not know: scatter is that of the mean of data.
        for name in ("log_age_mw", "log_age_lw", "log_ml_v"):
            assert np.median(found.error(name)) == pytest.approx(np.std(found.values[name]), rel=0.3), (name, options)
    free = fit_populations(spectra[:40], library, replace(PLAIN, limits=(4100, 6800)))
    for name in ("velocity", "sigma"):
        assert np.median(free.error(name)) == pytest.approx(np.std(free.values[name]), rel=0.35), name


def _two(library):
    """Two of the library's populations, as if of one metallicity."""
    rows = [4, 16]
    return replace(
        library, spectra=library.spectra[rows], log_age=library.log_age[rows], metallicity=library.metallicity[rows]
    )


def test_bootstrap_errors_are_near_the_formal_ones(tiny_library):
    library = _two(tiny_library)
    spectra = observe(library, np.tile([0.15, 0.85], (3, 1)), 0, 150, snr=30, rng=np.random.default_rng(6))
    formal = fit_populations(spectra, library, PLAIN)
    drawn = fit_populations(spectra, library, replace(PLAIN, bootstrap=60))
    for name in ("log_age_lw", "velocity", "sigma"):
        np.testing.assert_allclose(drawn.values[name], formal.values[name])
        assert np.mean(drawn.error(name)) == pytest.approx(np.mean(formal.error(name)), rel=0.35), name


def test_errors_grow_with_the_scatter_about_the_fit(tiny_library, four):
    one = fit_populations(four, tiny_library, PLAIN)
    other = fit_populations(replace(four, ivar=four.ivar * 9), tiny_library, PLAIN)
    np.testing.assert_allclose(other.chi2, 9 * one.chi2, rtol=0.02)
    assert (other.flags & int(PopulationFlag.POOR_FIT) != 0).all()
    for name in ("sigma", "mh_lw"):
        np.testing.assert_allclose(other.error(name), one.error(name), rtol=0.15)


# What cannot be fitted


def test_spectra_that_cannot_be_fitted_are_flagged_and_the_others_fitted(tiny_library, four):
    spectra = replace(
        four,
        flux=np.vstack([four.flux, four.flux]),
        ivar=np.vstack([four.ivar, four.ivar]),
        redshift=np.zeros(8),
        ebv=0.0,
    )
    flux, ivar, redshift = spectra.flux.copy(), spectra.ivar.copy(), np.zeros(8)
    flux[0], ivar[0] = np.nan, 0
    flux[1] *= -1
    ivar[2, 60:] = 0
    redshift[3] = np.nan
    redshift[4] = 2.5
    found = fit_populations(replace(spectra, flux=flux, ivar=ivar, redshift=redshift), tiny_library, PLAIN)
    none, failed = PopulationFlag.NO_DATA, PopulationFlag.FAILED
    np.testing.assert_array_equal(found.flags, [none, failed, none, none, none, 0, 0, 0])
    np.testing.assert_array_equal(found.failed, [True] * 5 + [False] * 3)
    assert [reason.split(",")[0] for reason in found.reasons[:4]] == [
        "too few usable pixels", "ValueError: the median flux is not above 0", "too few usable pixels",
        "too few usable pixels",
    ]  # fmt: skip
    assert "Is the redshift right?" in found.reasons[4]
    for values in (*found.values.values(), *found.low.values(), *found.high.values()):
        np.testing.assert_array_equal(np.isnan(values), found.failed)
    assert_same(found[5:], fit_populations(four[1:], tiny_library, PLAIN), 1e-3)


def test_templates_that_do_not_reach_are_named(tiny_library, four):
    with pytest.raises(TemplateError, match=r"tiny: covers 3540–7410 Å .* at rest-frame 1143–1972 Å\. Is the redshift"):
        fit_populations(replace(four, redshift=np.full(4, 2.5)), tiny_library)
    with pytest.raises(TemplateError, match=r"fewer than 100 pixels .* within 6000–6050 Å"):
        fit_populations(four, tiny_library, PpxfOptions(limits=(6000, 6050)))


def test_nothing_to_fit_is_no_error(tiny_library, four):
    seen: list[tuple[int, int]] = []
    found = fit_populations(
        replace(four, ivar=np.zeros_like(four.ivar)), tiny_library, progress=lambda *done: seen.append(done)
    )
    assert found.failed.all()
    assert seen == [(4, 4)]


def test_libraries_in_vacuum_are_refused(tiny_library, four):
    with pytest.raises(TemplateError, match="need one in air"):
        fit_populations(four, replace(tiny_library, medium="vacuum"))


@pytest.mark.parametrize("package", ["ppxf", "joblib"])
def test_missing_packages_are_named_with_the_cure(tiny_library, four, monkeypatch, package):
    monkeypatch.setattr("quietspec.populations.fit.find_spec", lambda name: None if name == package else name)
    with pytest.raises(QuietspecError, match=rf"{package} is not installed: pip install 'quietspec\[populations\]'"):
        fit_populations(four, tiny_library)


def test_bootstrap_with_covariance_is_refused(tiny_library, four):
    with pytest.raises(QuietspecError, match="bootstrap=0"):
        fit_populations(four, tiny_library, PpxfOptions(bootstrap=10), covariance_of=lambda _: None)


@pytest.mark.parametrize("limits", [(5100, 5700), (4400, 4800), (4950, 5700), (5000, 5400)])
@pytest.mark.parametrize("gas", ["fit", "mask"])
def test_short_ranges_with_few_lines_or_none_are_fitted_in_silence(tiny_library, four, capfd, limits, gas):
    found = fit_populations(four[:1], tiny_library, PpxfOptions(limits=limits, gas=gas, multiplicative=2))
    assert not found.failed.any(), found.reasons
    assert np.isfinite(found.values["sigma"]).all()
    assert capfd.readouterr() == ("", "")


def test_narrow_pixels_over_a_short_range_are_fitted_in_silence(tiny_library, capfd):
    """Templates more than twice as long as the data: pPXF advises to cut them, however quiet it is asked to be."""
    wavelength = np.arange(5150.0, 5200.0, 0.3)
    found = fit_populations(observe(tiny_library, only(tiny_library, 10), wavelength=wavelength), tiny_library, PLAIN)
    assert not found.failed.any()
    assert capfd.readouterr() == ("", "")


def test_a_library_of_light_gives_light_only(tiny_library, four):
    found = fit_populations(four, tiny_library.normalised(), PLAIN)
    assert np.isnan(found.values["log_age_mw"]).all()
    assert np.isfinite(found.values["log_age_lw"]).all()
    assert np.isfinite(found.error("mh_lw")).all()
    assert "log_ml_v" not in found.names
    assert not found.failed.any()
