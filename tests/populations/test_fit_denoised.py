"""pPXF on denoised spectra, told their errors in four ways."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import Posterior
from quietspec.errors import QuietspecError, SpectraError
from quietspec.lab.simulate import RestSpectra
from quietspec.lab.training import MixtureSettings, PriorSettings, fit_prior
from quietspec.populations import PpxfOptions, fit_denoised, fit_populations

from .conftest import WAVELENGTH, observe

WAYS = ("input", "flat", "sigma", "covariance")
PLAIN = PpxfOptions(multiplicative=0, regularisation=0, gas="none")
FIXED = replace(PLAIN, kinematics="fixed", dispersion=150.0)


@pytest.fixture(scope="module")
def world(tiny_library):
    """A denoiser that knows mixtures of the tiny library's populations at 150 km/s, and noisy spectra of such."""
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.full(tiny_library.n_ssp, 0.3), 604)
    clean = observe(tiny_library, weights)
    labels = {"log_age_mw": weights @ tiny_library.log_age, "mh_mw": weights @ tiny_library.metallicity}
    rest = RestSpectra(
        wavelength=WAVELENGTH, flux=clean.flux[:600], parameters={name: all_[:600] for name, all_ in labels.items()}
    )
    settings = PriorSettings(n_components=8, mixture=MixtureSettings(n_mixture=1))
    flat = np.ones(len(WAVELENGTH))
    prior = fit_prior(rest, flat, 2.51 * flat, rng, settings, card={"emission": "none", "noise": "quoted"})
    noise = np.median(clean.flux[600:], axis=1, keepdims=True) / 20 * rng.normal(size=(4, len(WAVELENGTH)))
    spectra = replace(
        clean[600:], flux=clean.flux[600:] + noise, ivar=clean.ivar[600:] * (20 / 300) ** 2, redshift=np.zeros(4)
    )
    return Posterior("tiny", prior), spectra


@pytest.fixture(scope="module")
def denoised(world):
    tool, spectra = world
    return tool.denoise(spectra)


@pytest.mark.parametrize("errors", WAYS)
def test_errors_are_told_in_each_way(tiny_library, denoised, errors):
    found = fit_denoised(denoised, tiny_library, PLAIN, errors=errors)
    assert not found.failed.any(), found.reasons
    assert set(found.names) > {"log_age_mw", "velocity"}
    # What stands in the fit: the same estimate, whatever its errors.
    np.testing.assert_allclose(found.values["sigma"], 150, atol=12)
    np.testing.assert_allclose(found.values["velocity"], 0, atol=8)
    one = fit_denoised(denoised[[2]], tiny_library, PLAIN, errors=errors)
    for name in found.names:
        assert one.values[name][0] == pytest.approx(found.values[name][2], rel=1e-5, abs=1e-5)


def test_the_ways_are_what_they_say(tiny_library, denoised):
    """Each way against `fit_populations` of the estimate with such errors."""
    spectra, size = denoised.spectra, denoised.sigma
    kinds = {
        "input": spectra.ivar,
        "flat": np.broadcast_to(np.median(size, axis=1, keepdims=True) ** -2.0, size.shape),
        "sigma": size**-2.0,
    }
    for errors, ivar in kinds.items():
        found = fit_denoised(denoised, tiny_library, FIXED, errors=errors)
        expected = fit_populations(replace(spectra, flux=denoised.flux, ivar=ivar), tiny_library, FIXED)
        for name in found.names:
            np.testing.assert_allclose(found.values[name], expected.values[name], rtol=1e-6)
            np.testing.assert_allclose(found.error(name), expected.error(name), rtol=1e-4)


def test_full_covariance_is_the_denoisers(tiny_library, denoised):
    options = replace(FIXED, limits=(4800, 5800))
    found = fit_denoised(denoised[[0]], tiny_library, options, errors="covariance")
    full = denoised.covariance(0)
    values, vectors = np.linalg.eigh(full)
    factor = vectors * np.sqrt(np.clip(values, 0, None))
    expected = fit_populations(
        replace(denoised.spectra[[0]], flux=denoised.flux[:1], ivar=denoised.sigma[:1] ** -2.0), tiny_library, options,
        covariance_of=lambda _: (factor, np.zeros(len(full))),
    )  # fmt: skip
    for name in found.names:
        assert found.values[name][0] == pytest.approx(expected.values[name][0], rel=1e-3)
        assert found.error(name)[0] == pytest.approx(expected.error(name)[0], rel=0.02)


def test_gas_is_never_masked_nor_fitted(tiny_library, denoised):
    one, other = (
        fit_denoised(denoised[[1]], tiny_library, replace(FIXED, gas=gas)).values["mh_lw"][0]
        for gas in ("mask", "none")
    )
    assert one == other


def test_masked_input_is_filled_by_the_estimate(tiny_library, world):
    tool, spectra = world
    ivar = spectra.ivar.copy()
    ivar[:, 500:520] = 0
    ivar[1] = 0
    found = {
        errors: fit_denoised(tool.denoise(replace(spectra, ivar=ivar)), tiny_library, FIXED, errors=errors)
        for errors in WAYS
    }
    for errors, result in found.items():
        np.testing.assert_array_equal(result.failed, [False, True, False, False], err_msg=errors)


def test_errors_of_the_input_are_those_of_each_spectrum(tiny_library, world):
    """A masked pixel has the largest error of its own spectrum, whatever other spectra are in the set."""
    tool, spectra = world
    ivar = spectra.ivar.copy()
    ivar[0, ::7] = 0
    one = fit_denoised(tool.denoise(replace(spectra, ivar=ivar))[:2], tiny_library, FIXED, errors="input")
    ivar[1, 10] *= 1e-12
    other = fit_denoised(tool.denoise(replace(spectra, ivar=ivar))[:2], tiny_library, FIXED, errors="input")
    assert other.values["mh_lw"][0] == pytest.approx(one.values["mh_lw"][0], abs=1e-9)


@pytest.mark.parametrize("errors", ["flat", "covariance"])
def test_estimates_as_smooth_as_the_templates_are_not_smoothed_again(tiny_library, denoised, errors):
    """Spectra of a sharper instrument: the estimate still has the resolution of the model's spectra."""
    sharper = replace(denoised, spectra=replace(denoised.spectra, fwhm=np.full(len(WAVELENGTH), 1.6)))
    one, other = (fit_denoised(each[[0]], tiny_library, PLAIN, errors=errors) for each in (denoised, sharper))
    for name in ("sigma", "mh_lw"):
        assert other.values[name][0] == pytest.approx(one.values[name][0], rel=1e-6)


def test_the_redshift_used_by_the_denoiser_counts(tiny_library, denoised):
    moved = replace(denoised, redshift=np.full(4, 0.001))
    found = fit_denoised(moved[[0]], tiny_library, PLAIN, errors="flat").values["velocity"][0]
    plain = fit_denoised(denoised[[0]], tiny_library, PLAIN, errors="flat").values["velocity"][0]
    assert found - plain == pytest.approx(-299.8, abs=6)


def test_wrong_ways_are_refused(tiny_library, denoised):
    with pytest.raises(QuietspecError, match="errors: 'own'; expected input or flat or sigma or covariance"):
        fit_denoised(denoised, tiny_library, errors="own")


def test_denoisers_without_covariance_say_so(tiny_library, denoised):
    with pytest.raises(SpectraError, match="gives no covariance"):
        fit_denoised(replace(denoised, factor_of=None), tiny_library, errors="covariance")


def test_failed_estimates_are_flagged(tiny_library, denoised):
    flux, sigma = denoised.flux.copy(), denoised.sigma.copy()
    flux[2] = sigma[2] = np.nan
    flags = denoised.flags.copy()
    flags[2] = int(Flag.OUT_OF_RANGE)
    partly: Denoised = replace(denoised, flux=flux, sigma=sigma, flags=flags)
    for errors in WAYS:
        found = fit_denoised(partly, tiny_library, FIXED, errors=errors)
        np.testing.assert_array_equal(found.failed, [False, False, True, False])
        assert "too few usable pixels" in found.reasons[2]
