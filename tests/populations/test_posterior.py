"""Populations read off a denoiser's posterior, and the value that holds populations."""

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers import Gaussian
from quietspec.errors import SpectraError
from quietspec.parameters import ParameterPosterior
from quietspec.populations import PopulationFlag, Populations, posterior_populations
from quietspec.spectra import Spectra

NAMES = ("log_age_mw", "sigma")
FLAGS = [Flag.OK, Flag.POOR_FIT | Flag.STAR, Flag.EMPTY, Flag.MISSCALED, Flag.NO_REDSHIFT]


def denoised(n_parts=3):
    """Five spectra with skew posteriors, two of them failed, one doubtful."""
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(5, n_parts, 2, 2))
    posterior = ParameterPosterior(
        NAMES, rng.dirichlet(np.ones(n_parts), 5), rng.normal(size=(5, n_parts, 2)) * [0.5, 40] + [9.5, 120],
        roots @ np.swapaxes(roots, 2, 3) * 0.1 + 0.01 * np.eye(2),
    )  # fmt: skip
    failed = np.array([flag.failed for flag in FLAGS])
    posterior = posterior.with_rows(np.flatnonzero(failed), ParameterPosterior.empty(int(failed.sum()), NAMES))
    wavelength = np.arange(4000.0, 4020.0)
    spectra = Spectra(wavelength=wavelength, flux=np.ones((5, 20)), ivar=np.ones((5, 20)), medium="air")
    flux = np.where(failed[:, None], np.nan, 1.0) * np.ones((5, 20))
    return Denoised(
        spectra=spectra, flux=flux, sigma=0.1 * flux, flags=np.array([int(flag) for flag in FLAGS]),
        ignored=np.zeros((5, 20), dtype=bool), model=ModelId("tiny"), chi2=flux[:, 0] * 20,
        dof=np.where(failed, np.nan, 16.0), evidence=flux[:, 0],
        parameters={name: (posterior.mean(name), posterior.sigma(name)) for name in NAMES},
        parameter_posterior=posterior,
    )  # fmt: skip


def test_intervals_are_quantiles():
    found, posterior = posterior_populations(denoised()), denoised().parameter_posterior
    assert found.names == NAMES
    assert found.method == "posterior of tiny"
    for name in NAMES:
        np.testing.assert_array_equal(found.values[name], posterior.mean(name))
        below, above = (posterior.cdf(name, ends[name]) for ends in (found.low, found.high))
        np.testing.assert_allclose((above - below)[[0, 1, 3]], 0.6827, atol=1e-9)
        np.testing.assert_allclose((above + below)[[0, 1, 3]], 1, atol=1e-9)
        np.testing.assert_array_equal(np.isnan(found.error(name)), found.failed)


def test_intervals_of_one_gaussian_are_its_sigma():
    found, posterior = posterior_populations(denoised(1)), denoised(1).parameter_posterior
    for name in NAMES:
        np.testing.assert_allclose(found.error(name), posterior.sigma(name), rtol=1e-4)


def test_flags_and_reasons_follow_the_denoiser():
    found = posterior_populations(denoised())
    doubtful, no_data = int(PopulationFlag.DOUBTFUL), int(PopulationFlag.NO_DATA)
    np.testing.assert_array_equal(found.flags, [0, doubtful, no_data, 0, no_data])
    assert found.reasons.tolist() == ["", "poor_fit star", "empty", "", "no_redshift"]
    np.testing.assert_array_equal(found.failed, [False, False, True, False, True])
    np.testing.assert_allclose(found.chi2, [1.25, 1.25, np.nan, 1.25, np.nan])


def test_parameters_that_are_little_more_than_the_prior_are_flagged():
    one = denoised()
    weak = replace(one, flags=np.where(np.arange(5) == 3, int(Flag.PRIOR_LABELS), one.flags))
    found = posterior_populations(weak)
    assert found.flags[3] == PopulationFlag.PRIOR_LABELS == Flag.PRIOR_LABELS
    assert found.reasons[3] == "prior_labels"
    assert not found.failed[3]


def test_reduced_chi2_without_degrees_of_freedom_is_nan():
    assert np.isnan(posterior_populations(replace(denoised(), dof=np.zeros(5))).chi2).all()


def test_denoisers_without_populations_say_so():
    spectra = Spectra(
        wavelength=np.arange(4000.0, 4300.0), flux=np.ones((1, 300)), ivar=np.ones((1, 300)), medium="air"
    )
    with pytest.raises(SpectraError, match="use 'posterior'"):
        posterior_populations(Gaussian().denoise(spectra))


def assert_same(one: Populations, other: Populations) -> None:
    assert one.names == other.names
    np.testing.assert_array_equal(one.reasons, other.reasons)
    assert one.method == other.method
    for kind in ("values", "low", "high"):
        for name in one.names:
            np.testing.assert_array_equal(getattr(one, kind)[name], getattr(other, kind)[name])
    for name in ("flags", "chi2", "seconds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_stacking_and_slicing_are_inverse():
    whole = posterior_populations(denoised())
    assert_same(Populations.stack([whole[:2], whole[2:2], whole[[2, 3]], whole[4]]), whole)
    assert_same(whole[np.array([True, False, False, True, False])], whole[[0, 3]])
    assert len(whole[-1]) == 1


@pytest.mark.parametrize("ending", ["fits", "ecsv"])
def test_tables_come_back_from_files(tmp_path, ending):
    found = replace(posterior_populations(denoised()), meta={"LIBRARY": "tiny"})
    path = tmp_path / f"populations.{ending}"
    found.to_table().write(path)
    table = Table.read(path)
    assert len(table) == 5
    assert table.meta["METHOD"] == "posterior of tiny"
    assert table.meta["LIBRARY"] == "tiny"
    for name in NAMES:
        for suffix, values in (("", found.values), ("_low", found.low), ("_high", found.high)):
            column = np.ma.filled(table[name + suffix], np.nan)
            np.testing.assert_allclose(column, values[name], rtol=1e-6)
    assert table["sigma"].unit == u.km / u.s
    assert table["log_age_mw"].unit is None
    assert table["log_age_mw"].description == "dex(yr)"
    np.testing.assert_array_equal(table["flags"], found.flags)
    assert [str(reason) for reason in np.ma.filled(table["reason"], "")] == list(found.reasons)


def test_no_spectra_make_an_empty_table():
    table = posterior_populations(denoised())[:0].to_table()
    assert len(table) == 0
    assert "log_age_mw_high" in table.colnames
