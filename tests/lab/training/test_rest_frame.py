"""A prior of populations at rest."""

import numpy as np

from quietspec.denoisers.posterior.kinematics import KinematicCoordinates
from quietspec.lab.training import MixtureSettings, PriorSettings
from quietspec.lab.training.rest_frame import rest_frame_recipe, train_rest_prior


def test_spectra_at_rest_have_neither_motions_nor_calibration_errors(tiny_library):
    rest = rest_frame_recipe(tiny_library).rest(20, np.random.default_rng(0))
    for name in ("velocity", "sigma", "h3", "h4"):
        assert np.ptp(rest.parameters[name]) == 0
    assert rest.wavelength[0] < 3545
    assert rest.wavelength[-1] > 7400


def test_trained_prior_serves_the_kinematic_posterior(tiny_library):
    mixture = MixtureSettings(n_mixture=3, max_iter=3, start=300)
    settings = PriorSettings(n_components=6, mixture=mixture)
    lines = []
    prior = train_rest_prior(tiny_library, 1500, 1, settings, progress=lines.append)
    assert {"velocity", "sigma"}.isdisjoint(prior.label_names)
    assert {"log_age_mw", "mh_mw", "a_v"} <= set(prior.label_names)
    assert prior.card["settings"]["mixture"]["start"] == 300
    assert any(line.startswith("EM round") for line in lines)
    coordinates = KinematicCoordinates(prior)
    assert coordinates.size == prior.n_components + 3
    assert coordinates.mixture.mean.shape == (prior.n_mixture, coordinates.size)
