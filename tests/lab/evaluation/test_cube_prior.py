"""Contenders on cubes, and the study that compares them."""

from importlib.util import find_spec

import numpy as np
import pytest

from quietspec.denoised import Flag
from quietspec.denoisers import load_denoiser
from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.studies import cube_contenders
from quietspec.lab.evaluation.studies.cube_contenders import REFERENCE, available, denoise_bins, make_contender
from quietspec.lab.evaluation.studies.cube_prior import (
    ASKED,
    CubeStudySettings,
    cube_prior_study,
    cube_prior_tables,
    summarise_cubes,
)
from quietspec.spectra import Spectra

from .made_cubes import SHAPE, WAVELENGTH, made_cube

SETTINGS = CubeStudySettings(size=6, worlds=("spiral", "core"), periods=(3.0,), stripe_snrs=(20.0,), missing=0.0)


def smooth(spectra):
    """A quick contender: Gaussian smoothing, with labels that are always the same."""
    denoised = load_denoiser("gaussian").denoise(spectra)
    n = len(spectra)
    labels = {"log_age_lw": 9.5, "mh_lw": -0.2, "log_age_mw": 9.6, "mh_mw": -0.2, "velocity": 0.0, "sigma": 60.0}
    rng = np.random.default_rng(0)
    parameters = {
        name: (value + 0.01 * rng.standard_normal(n), np.full(n, 0.01 * abs(value) + 0.1))
        for name, value in labels.items()
    }
    return type(denoised)(**{**vars(denoised), "parameters": parameters})


@pytest.fixture(scope="module")
def content(tiny_library):
    looked_at = []
    contenders = {REFERENCE: smooth, "again": smooth}
    found = cube_prior_study(tiny_library, tiny_library, SETTINGS, contenders, look=lambda *one: looked_at.append(one))
    assert [name for name, _, _ in looked_at] == list(found["galaxies"])
    return found


def test_the_study_has_every_galaxy_contender_and_row(content):
    assert list(content["galaxies"]) == ["spiral", "core", "shuffled", "particles"]
    for scores in content["galaxies"].values():
        assert list(scores) == ["snr", REFERENCE, "again"]
    assert set(content["summary"][REFERENCE]) == set(ASKED)
    assert content["transfer"]["again"] == content["transfer"][REFERENCE]
    assert content["transfer"]["again"].keys() == {"20"}


def test_the_reference_is_one_to_itself(content):
    for row, value in content["summary"]["again"].items():
        if "/ spaxels" in row:
            assert value == pytest.approx(1)
    assert content["summary"]["again"]["moved at S/N > 15, σ"] == 0
    assert content["summary"][REFERENCE]["moved at S/N > 15, σ"] is None


def test_labels_that_never_change_transfer_nothing(content):
    assert abs(content["transfer"]["again"]["20"]["3"]) < 0.1


def test_tables_have_a_row_for_each(content):
    summary, galaxies, transfer = cube_prior_tables(content)
    assert [column.header for column in summary.columns] == ["", REFERENCE, "again", "asked"]
    assert summary.row_count == len(ASKED)
    assert galaxies.row_count == 4 * 2
    assert transfer.row_count == 2


def test_medians_are_over_galaxies_and_not_over_the_outside(content):
    galaxies = {name: dict(scores) for name, scores in content["galaxies"].items()}
    del galaxies["core"]
    summary = summarise_cubes(galaxies)[REFERENCE]
    expected = galaxies["spiral"][REFERENCE]["flux_coverage"]["all"]
    assert summary["flux inside 68 %: all"] == pytest.approx(100 * expected)
    assert np.isnan(summary["star flagged or right"])


def test_spaxels_take_the_shape_of_their_bin_and_their_own_brightness():
    pytest.importorskip("powerbin")
    flux = np.linspace(1, 4, 48)[:, None] * (1 + 0.3 * np.sin(WAVELENGTH / 40))
    ivar = np.ones(flux.shape)
    ivar[5] = 0
    cube = Spectra(wavelength=WAVELENGTH, flux=flux, ivar=ivar, spatial_shape=SHAPE, redshift=0.0, medium="air")
    found = denoise_bins(cube, smooth, target=10.0)
    assert found.spectra is cube
    assert len(np.unique(found.parameters["mh_lw"][0])) < 20
    assert np.isnan(found.flux[5]).all()
    assert found.flags[5] == Flag.EMPTY
    assert np.isnan(found.parameters["velocity"][0][5])
    ratio = found.flux / flux
    np.testing.assert_allclose(np.delete(ratio, 5, axis=0), 1, atol=0.03)
    error = found.flux[10] * (1 / np.sqrt(np.sum(found.flux[10] ** 2)))
    assert np.all(found.sigma[10] >= error)


@pytest.mark.skipif(find_spec("powerbin") is None, reason="needs powerbin")
def test_all_available_contenders_answer():
    cube = made_cube().simulated.observed
    for name in available():
        denoised = make_contender(name)(cube)
        assert denoised.flux.shape == cube.flux.shape
        assert np.isfinite(denoised.flux[10]).any()


def test_unknown_contenders_are_refused():
    with pytest.raises(QuietspecError, match="no contender 'magic'"):
        make_contender("magic")


def test_the_spatial_posterior_is_a_contender_where_there_is_one(monkeypatch):
    monkeypatch.setattr(cube_contenders, "load_denoiser", lambda name, model: None)
    assert "spatial" not in available()
    with pytest.raises(QuietspecError, match="no spatial=True"):
        make_contender("spatial")

    class Found:
        def __init__(self, name, model, spatial=False):
            self.denoise = lambda spectra: (name, model, spatial)

    monkeypatch.setattr(cube_contenders, "load_denoiser", Found)
    assert "spatial" in available()
    assert make_contender("spatial", "paper")(None) == ("posterior", "paper", True)
