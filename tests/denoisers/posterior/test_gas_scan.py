"""Lines too faint to tell their own motion, and spikes that look like lines."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.denoisers.posterior.gas import LineModel
from quietspec.wavelengths import EMISSION_LINES

from .test_gas import FWHM, REDSHIFT, REST, fitted, observed, stars, with_lines  # noqa: F401

STRENGTHS = {"Hbeta": 0.35, "[OIII]5007": 0.5, "[OIII]4959": 0.5 / 2.98, "Halpha": 1.0}


def test_profiles_are_those_of_the_design():
    model = LineModel(REST, np.full(len(REST), FWHM))
    motions = np.array([-60.0, 0.0, 130.0]), np.array([45.0, 90.0, 270.0])
    profiles, pixels = model.profiles(*motions)
    for number, (velocity, sigma) in enumerate(zip(*motions, strict=True)):
        lines = model.design(model.start(velocity, sigma, moves=False), 1.0)
        design = np.zeros((len(REST), lines.size))
        design[lines.rows] = lines.columns
        rows = profiles[number * model.size : (number + 1) * model.size].toarray().T
        np.testing.assert_allclose(rows * model.flux_size(1.0), design[pixels, 2:], rtol=1e-4, atol=1e-3)
        assert not np.delete(design, pixels, axis=0).any()


@pytest.mark.parametrize("velocity", [-90.0, 90.0])
def test_faint_lines_away_from_the_stars_are_neither_lost_nor_overrated(stars, velocity):  # noqa: F811
    found = fitted(observed(with_lines(stars, STRENGTHS, velocity=velocity), 15.0))
    pulls = np.array(
        [(found.line(name).flux - true * (1 + REDSHIFT)) / found.line(name).error for name, true in STRENGTHS.items()]
    )
    assert abs(pulls.mean()) < 0.5
    assert 0.7 < pulls.std() < 1.25


def test_motions_that_are_not_known_have_the_errors_of_their_prior(stars):  # noqa: F811
    lines = fitted(observed(stars, 20.0)).lines
    assert np.median(lines.velocity[:, 1]) > 40
    assert np.all(np.abs(lines.velocity[:, 0]) < 150)


def test_a_spike_beside_a_line_is_no_gas(stars):  # noqa: F811
    spectra = observed(stars, 20.0)
    spectra.flux[:, np.abs(REST - EMISSION_LINES["Hbeta"]).argmin()] += 1.5
    snr = fitted(spectra).line("Hbeta").snr
    assert np.mean(np.abs(snr) > 3) < 0.05


@pytest.mark.parametrize("step", [1, 20])
def test_short_pieces_between_lines_have_stars_and_no_lines(stars, step):  # noqa: F811
    whole = observed(stars[:2], 20.0)
    some = np.flatnonzero((REST > 5450) & (REST < 5600))[::step]
    columns = {name: getattr(whole, name)[..., some] for name in ("wavelength", "flux", "ivar", "fwhm")}
    found = fitted(replace(whole, **columns))
    assert np.isfinite(found.flux).all()
    assert (found.sigma > 0).all()
    assert np.isnan(found.lines.flux).all()
    assert np.isfinite(found.lines.velocity).all()
