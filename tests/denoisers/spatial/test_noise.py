"""Correlation of the noise of neighbouring spaxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quietspec import Spectra
from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.spatial.noise import noise_between
from quietspec.lab.simulate.noise import correlated_images


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_correlation_of_neighbours_is_measured(correlation: float) -> None:
    shape = (9, 70, 200)
    noise = correlated_images(shape, np.random.default_rng(0), correlation, 0.0).reshape(-1, shape[2])
    spectra = Spectra.from_arrays(np.linspace(5000, 6000, 200), 1 + 0.1 * noise, 0.1, medium="air", redshift=0.0)
    ivar = spectra.ivar.copy()
    ivar[::7] = 0
    image = replace(spectra, ivar=ivar, spatial_shape=shape[:2])
    found = noise_between(finish(image, np.ones(image.flux.shape), np.ones(image.flux.shape), model=ModelId("one")))
    assert found.beside == pytest.approx(correlation, abs=0.03)
    assert found.diagonal <= found.beside**2


def test_spaxels_without_neighbours_have_no_correlation() -> None:
    spectra = Spectra.from_arrays(np.linspace(5000, 6000, 50), np.ones((1, 50)), 0.1, medium="air", redshift=0.0)
    image = replace(spectra, spatial_shape=(1, 1))
    found = noise_between(finish(image, np.zeros((1, 50)), np.ones((1, 50)), model=ModelId("none")))
    assert (found.beside, found.diagonal) == (0, 0)
