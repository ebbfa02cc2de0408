"""Formats of one's own, and the order in which formats are tried."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from quietspec.io import formats as formats_module
from quietspec.io import read, register_format
from quietspec.io.reading.images import Layout, image_content

from . import layouts
from .layouts import SIGMA


class Homemade:
    """Files whose primary header says so."""

    def __init__(self, survey):
        self.survey = survey

    def matches(self, file):
        return file.primary.get("ORIGIN") == "HOME"

    def content(self, file, options):
        return image_content(file, options, Layout(survey=self.survey, flux="DATA", noise="STAT", noise_kind="sigma"))


@pytest.fixture
def _no_formats_left(monkeypatch):
    """Formats registered in a test are forgotten after it."""
    monkeypatch.setattr(formats_module, "_registered", [])


def home(instrument="MUSE"):
    hdus = layouts.muse(instrument=instrument)
    hdus[0].header["ORIGIN"] = "HOME"
    return hdus


@pytest.mark.usefixtures("_no_formats_left")
def test_a_registered_format_is_tried_before_all_others(save):
    path = save(home())
    assert read(path).meta["survey"] == "MUSE"
    format_of_one = Homemade("home")
    assert register_format(format_of_one) is format_of_one
    spectra = read(path)
    assert spectra.meta["survey"] == "home"
    np.testing.assert_allclose(spectra.sigma, SIGMA**2, rtol=1e-6)  # STAT is said to be σ
    assert read(path, noise_kind="variance").sigma[0, 0] == pytest.approx(SIGMA)


@pytest.mark.usefixtures("_no_formats_left")
def test_files_of_others_are_left_to_the_others(save):
    register_format(Homemade("home"))
    assert read(save(layouts.muse())).meta["survey"] == "MUSE"


@pytest.mark.usefixtures("_no_formats_left")
def test_the_last_registered_is_tried_first_and_none_twice(save):
    first, second = Homemade("first"), Homemade("second")
    for each in (first, second, first):
        register_format(each)
    assert read(save(home())).meta["survey"] == "first"
    assert formats_module._registered == [first, second]


@pytest.mark.parametrize("wrong", [Homemade, object(), fits])
def test_what_is_no_format_is_refused(wrong):
    with pytest.raises(TypeError, match="register_format: expected an object with matches"):
        register_format(wrong)
