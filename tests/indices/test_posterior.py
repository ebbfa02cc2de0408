"""Indices of denoised spectra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoised import Denoised, ModelId
from quietspec.errors import IndexDefinitionError, SpectraError
from quietspec.indices import (
    FactoredCovariance,
    IndexFlag,
    constant_sigma,
    fitted_redshift,
    indices_of,
    measure_indices,
)
from quietspec.spectra import Spectra
from quietspec.wavelengths import SPEED_OF_LIGHT, air_to_vacuum, rest_air

from .made import LINEAR, spectra

OBSERVED = LINEAR[:5000]
NAMES = ["Hbeta", "Mg_b", "Mg_2", "Dn4000"]


def denoised(redshift=0.02, n=3, medium="air", **fields) -> Denoised:
    """Make an estimate with correlated errors, as a denoiser gives it."""
    rng = np.random.default_rng(4)
    z = np.broadcast_to(redshift, (n,))
    flux = np.concatenate([
        spectra(rest_air(OBSERVED, one if np.isfinite(one) else 0, medium), n)[number : number + 1]
        for number, one in enumerate(z)
    ])  # fmt: skip
    factor = 0.01 * rng.standard_normal((n, OBSERVED.size, 6))
    remainder = np.full(flux.shape, 0.01)
    observed = Spectra(
        wavelength=OBSERVED, flux=flux, ivar=np.full(flux.shape, 25.0), redshift=z, medium=medium,
        fwhm=np.full(OBSERVED.size, 2.6),
    )  # fmt: skip
    whole = {
        "flux": flux, "sigma": np.sqrt(np.sum(factor**2, axis=2) + remainder**2), "flags": np.zeros(n, dtype=int),
        "ignored": np.zeros(flux.shape, dtype=bool), "model": ModelId("made"), "chi2": np.zeros(n), "dof": np.zeros(n),
        "evidence": np.zeros(n), "factor_of": lambda row: factor[row], "remainder": remainder,
    }  # fmt: skip
    return Denoised(spectra=observed, **whole | fields)


@pytest.mark.parametrize("medium", ["air", "vacuum"])
@pytest.mark.parametrize("redshift", [0.02, (0.01, 0.02, 0.01)])
def test_each_spectrum_is_measured_in_its_own_rest_frame_with_its_own_covariance(redshift, medium):
    whole = denoised(redshift, medium=medium)
    found = indices_of(whole, NAMES)
    for row in range(3):
        alone = measure_indices(
            NAMES, rest_air(OBSERVED, whole.redshift[row], medium), whole.flux[row : row + 1],
            FactoredCovariance(factor=whole.covariance_factor(row), remainder=whole.remainder[row]),
        )  # fmt: skip
        np.testing.assert_allclose(found.values[row], alone.values[0], rtol=1e-12)
        np.testing.assert_allclose(found.covariance[row], alone.covariance[0], rtol=1e-9)


def test_errors_are_those_of_draws_by_the_covariance():
    whole = denoised(n=1)
    stated = indices_of(whole, NAMES)
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal(whole.flux[0][::5], whole.covariance(0)[::5, ::5], 1000, method="cholesky")
    coarse = rest_air(OBSERVED, 0.02, "air")[::5]
    drawn = measure_indices(NAMES, coarse, draws).values.std(axis=0)
    one = measure_indices(NAMES, coarse, whole.flux[:, ::5], whole.covariance(0)[::5, ::5])
    np.testing.assert_allclose(drawn, one.errors[0], rtol=0.1)
    assert (stated.errors[0] < one.errors[0]).all()  # from all pixels


def test_media_differ_by_what_bands_are_shifted():
    air = denoised()
    vacuum = replace(air, spectra=replace(air.spectra, wavelength=air_to_vacuum(OBSERVED), medium="vacuum"))
    np.testing.assert_allclose(indices_of(vacuum, NAMES).values, indices_of(air, NAMES).values, atol=1e-4)


def test_unknown_redshifts_and_missing_estimates_are_flagged():
    whole = denoised((0.02, np.nan, 0.02))
    flux = whole.flux.copy()
    flux[2] = np.nan
    found = indices_of(replace(whole, flux=flux), NAMES)
    assert found.flags[:, 0].tolist() == [0, IndexFlag.NO_REDSHIFT, IndexFlag.NO_FLUX]
    assert np.isnan(found.covariance[1:]).all()
    assert found.reasons[1, 0] == "the redshift is unknown"


def test_a_denoiser_without_covariance_gives_values_only():
    found = indices_of(denoised(factor_of=None, remainder=None), NAMES)
    assert np.isfinite(found.values).all()
    assert np.isnan(found.errors).all()


def test_the_resolution_counts_from_the_instrument_at_rest():
    whole = denoised((0.01, 0.02, 0.03))
    z = np.array([0.01, 0.02, 0.03])
    found = indices_of(whole, NAMES, resolution=5.0)
    per_spectrum = indices_of(whole, NAMES, resolution=5.0, fwhm=np.full(whole.flux.shape, 2.6))
    np.testing.assert_allclose(per_spectrum.values, found.values)
    for row in range(3):
        sigma = np.full(OBSERVED.size, np.sqrt(25 - (2.6 / (1 + z[row])) ** 2) / 2.3548200450309493)
        alone = measure_indices(NAMES, rest_air(OBSERVED, z[row], "air"), whole.flux[[row]], smoothing=sigma)
        np.testing.assert_allclose(found.values[row], alone.values[0], rtol=1e-9)
    assert found.meta["RESOLUTN"] == "5.0 Angstrom"
    wide = indices_of(whole, NAMES, resolution=constant_sigma(300.0))
    assert (wide.value("Mg_b") != found.value("Mg_b")).all()
    assert (indices_of(whole, NAMES, resolution=1.0).flags == IndexFlag.TOO_COARSE).all()
    unknown = replace(whole, spectra=replace(whole.spectra, fwhm=None))
    with pytest.raises(SpectraError, match="that of the spectra is unknown"):
        indices_of(unknown, NAMES, resolution="lick")
    np.testing.assert_allclose(indices_of(unknown, NAMES, resolution=5.0, fwhm=2.6).values, found.values)


def test_bands_follow_the_fitted_velocity():
    whole = denoised(0.02)
    at = 1.02 / (1 - 150 / SPEED_OF_LIGHT) - 1
    moved = replace(whole, redshift=at, parameters={"velocity": (np.full(3, -150.0), np.ones(3))})
    np.testing.assert_allclose(fitted_redshift(moved), 0.02)
    found = indices_of(moved, NAMES, redshift=fitted_redshift(moved))
    np.testing.assert_allclose(found.values, indices_of(whole, NAMES).values)
    np.testing.assert_array_equal(fitted_redshift(whole), whole.redshift)


def test_many_spectra_are_measured_in_blocks_in_their_order():
    one = denoised(n=1)
    scale = np.linspace(1, 2, 150)[:, None]
    observed = Spectra(
        wavelength=OBSERVED, flux=scale * one.flux, ivar=np.ones((150, 5000)), redshift=0.02, medium="air"
    )
    alike = ("sigma", "flags", "ignored", "chi2", "dof", "evidence", "noise_scale", "p_value")
    many = replace(
        one,
        spectra=observed,
        flux=observed.flux,
        redshift=None,
        factor_of=lambda row: scale[row] * one.covariance_factor(0),
        remainder=scale * one.remainder,
        **{name: np.repeat(getattr(one, name), 150, axis=0) for name in alike},
    )
    found = indices_of(many, NAMES)
    np.testing.assert_allclose(found.values, np.repeat(indices_of(one, NAMES).values, 150, axis=0))
    np.testing.assert_allclose(found.errors, np.repeat(indices_of(one, NAMES).errors, 150, axis=0))


def test_unknown_names_and_shapes_are_refused():
    with pytest.raises(IndexDefinitionError, match="unknown"):
        indices_of(denoised(), ["Mg_c"])
    with pytest.raises(SpectraError, match="fwhm: shape"):
        indices_of(denoised(), NAMES, resolution=5.0, fwhm=np.ones(7))


def test_the_default_denoiser_gives_lick_indices_with_errors():
    import quietspec

    cube = quietspec.read(quietspec.demo_cube())[9:11, 9:11]
    found = indices_of(quietspec.load_denoiser("posterior").denoise(cube))
    assert found.names[-1] == "Dn4000"
    measured = found.flags == 0
    assert measured.sum() > 4 * 20
    assert (found.errors[measured] > 0).all()
    assert 0.9 < found.value("Dn4000").min() < found.value("Dn4000").max() < 2.6
