"""What headers and night-sky lines say of air and vacuum."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from quietspec.medium import _SKY_LINES, contradicted_medium, stated_media
from quietspec.wavelengths import air_to_vacuum

SKY_LINES = np.array([5577.338, 6300.304])
IN_VACUUM = air_to_vacuum(SKY_LINES)
SPEED_OF_LIGHT = 299792.458


@pytest.mark.parametrize(
    ("cards", "axis", "media"),
    [
        ({"CTYPE3": "AWAV"}, 3, ["air"]),
        ({"CTYPE3": "WAVE-LOG"}, 3, ["vacuum"]),
        ({"CTYPE1": "FREQ"}, 1, ["vacuum"]),
        ({"CTYPE1": "WAVELENGTH"}, 1, []),
        ({"CTYPE1": "AIR WAVELENGTH"}, 1, ["air"]),
        ({"CTYPE1": "AWAV"}, 3, []),
        ({"CUNIT1": "Angstrom (vacuum)"}, 1, ["vacuum"]),
        ({"VACUUM": True}, None, ["vacuum"]),
        ({"VACUUM": 0}, None, ["air"]),
        ({"VACUUM": "F"}, None, ["air"]),
        ({"AIRORVAC": "vac"}, None, ["vacuum"]),
        ({"AIRORVAC": "air or vac"}, None, []),
        ({"medium": "Air"}, None, ["air"]),
        ({"MEDIUM": "repair"}, None, []),
        ({"CTYPE3": "WAVE", "AIRORVAC": "air", "VACUUM": False}, 3, ["vacuum", "air", "air"]),
    ],
)
def test_statements_of_a_header(cards, axis, media):
    assert list(stated_media(cards, axis).values()) == media


def test_comments_count():
    header = fits.Header()
    header["CTYPE1"] = ("LINEAR", "wavelength in air")
    assert list(stated_media(header, 1).values()) == ["air"]


def noise(medium, velocity, step, contrast, rng):
    """Inverse variances with night-sky lines where `medium` has them, seen by an observer who moves."""
    wavelength = np.arange(5000.0, 6800.0, step)
    lines = (SKY_LINES if medium == "air" else IN_VACUUM) * (1 + velocity / SPEED_OF_LIGHT)
    profile = np.exp(-0.5 * ((wavelength - lines[:, None]) / 1.2) ** 2).sum(axis=0)
    sigma = (1 + (contrast - 1) * profile) * rng.uniform(0.95, 1.05, (5, len(wavelength)))
    return wavelength, sigma**-2.0


@given(
    st.sampled_from(["air", "vacuum"]), st.floats(-29, 29), st.floats(0.4, 2.2), st.floats(3, 30), st.integers(0, 2**32)
)
def test_night_sky_lines_tell_the_medium_whatever_the_earth_does(medium, velocity, step, contrast, seed):
    wavelength, ivar = noise(medium, velocity, step, contrast, np.random.default_rng(seed))
    assert contradicted_medium(wavelength, ivar, medium) is None
    other = "vacuum" if medium == "air" else "air"
    if abs(velocity) < 20:
        assert f"where night-sky lines lie in {medium}" in contradicted_medium(wavelength, ivar, other)


def test_the_lines_are_those_of_specutils():
    np.testing.assert_allclose(list(_SKY_LINES.values()), air_to_vacuum(np.array(list(_SKY_LINES))), atol=2e-3)


def test_noise_without_lines_says_nothing():
    rng = np.random.default_rng(1)
    for contrast in (1.0, 1.1):
        wavelength, ivar = noise("air", 0, 1.0, contrast, rng)
        assert contradicted_medium(wavelength, ivar, "vacuum") is None
    assert contradicted_medium(np.linspace(4000, 5000, 500), np.ones((2, 500)), "vacuum") is None
    assert contradicted_medium(wavelength, np.zeros_like(ivar), "vacuum") is None
