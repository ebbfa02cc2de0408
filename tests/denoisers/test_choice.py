"""Models chosen by coverage: which, for which spectra, and what results say of it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import ByCoverage, KinematicPosterior, load_denoiser, load_prior
from quietspec.files import denoise_file, measure_file
from quietspec.io.writing import hdus
from quietspec.populations.methods import PosteriorMethod
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

DESI = np.arange(3600.0, 9824.0, 4.0)
NEAR, FAR = 0.1, 0.9


@pytest.fixture(scope="module")
def denoiser() -> ByCoverage:
    found = load_denoiser("posterior")
    assert isinstance(found, ByCoverage)
    return found


def _spectra(*redshifts: float, seed: int = 0) -> Spectra:
    """Mean shapes of the models at these redshifts, as DESI sees them, with noise."""
    rng = np.random.default_rng(seed)
    prior = load_prior("ultraviolet")
    flux = [np.interp(DESI / (1 + (0.5 if np.isnan(z) else z)), prior.wavelength, prior.mean) for z in redshifts]
    noisy = np.array(flux) + 0.1 * rng.standard_normal((len(flux), len(DESI)))
    return Spectra.from_arrays(DESI, noisy, 0.1, medium="air", redshift=np.array(redshifts))


def _written(spectra: Spectra, folder: Path) -> Path:
    """A file of these spectra and their redshifts."""
    values = {"FLUX": spectra.flux, "VAR": 1 / spectra.ivar, "REDSHIFT": spectra.redshift}
    images = [fits.ImageHDU(each, name=name) for name, each in values.items()]
    path = folder / "in.fits"
    fits.HDUList([fits.PrimaryHDU(), *images, hdus.wave_table(spectra)]).writeto(path)
    return path


def _same(one: np.ndarray, other: np.ndarray) -> None:
    np.testing.assert_array_equal(one, other)


def test_spectra_that_the_first_model_covers_are_denoised_as_by_it_alone(denoiser):
    spectra = _spectra(NEAR, 0.02)
    found, alone = denoiser.denoise(spectra), load_denoiser("posterior", "survey").denoise(spectra)
    assert found.model == alone.model
    _same(found.flux, alone.flux)
    _same(found.flags, alone.flags)


def test_far_spectra_are_denoised_by_the_other_model_and_say_so(denoiser):
    spectra = _spectra(FAR)
    found, alone = denoiser.denoise(spectra), load_denoiser("posterior", "ultraviolet").denoise(spectra)
    assert found.model == alone.model
    _same(found.flux, alone.flux)
    _same(found.flags, alone.flags | int(Flag.ULTRAVIOLET))
    assert found.valid.sum() > 1.3 * load_denoiser("posterior", "survey").denoise(spectra).valid.sum()


def test_a_mixed_set_is_that_of_both_models_and_names_both(denoiser):
    spectra = _spectra(FAR, NEAR, np.nan, 0.7, NEAR)
    found = denoiser.denoise(spectra)
    far, near = denoiser.denoise(spectra[[0, 3]]), denoiser.denoise(spectra[[1, 4]])
    _same(found.flux[[0, 3]], far.flux)
    _same(found.flux[[1, 4]], near.flux)
    for model in (far.model, near.model):
        assert str(model.short_hash) in found.model.name
    assert len(found.model.name) <= 68  # fits into one FITS card
    assert (found.flags & Flag.ULTRAVIOLET != 0).tolist()[:2] == [True, False]
    assert found.flags[2] & Flag.NO_REDSHIFT
    _same(found.covariance_factor(3), far.covariance_factor(1))
    _same(found.parameters["log_age_lw"][0][[1, 4]], near.parameters["log_age_lw"][0])
    assert found.spectra is spectra


def test_the_choice_for_a_file_holds_for_its_tiles(denoiser):
    spectra = _spectra(FAR, NEAR)
    chosen = denoiser.settled(spectra.wavelength, spectra.redshift, spectra.medium)
    tiles = [chosen.denoise(spectra[:1]), chosen.denoise(spectra[1:])]
    assert tiles[0].model == tiles[1].model == chosen.model
    _same(np.concatenate([tile.flux for tile in tiles]), denoiser.denoise(spectra).flux)


def test_models_named_are_used_whatever_they_cover():
    spectra = _spectra(FAR)
    found = load_denoiser("posterior", "survey").denoise(spectra)
    assert found.model.hash == load_prior("survey").hash
    assert not found.flags[0] & Flag.ULTRAVIOLET


def test_masks_do_not_change_the_choice(denoiser):
    spectra = _spectra(FAR)
    masked = replace(spectra, ivar=np.where(DESI < 6700, 0, spectra.ivar).astype(spectra.ivar.dtype))
    assert denoiser.denoise(masked).model == denoiser.denoise(spectra).model


def test_no_spectra_are_denoised_by_the_first_model(denoiser):
    assert denoiser.denoise(_spectra(NEAR)[:0]).model == load_denoiser("posterior", "survey").model


@settings(max_examples=40, deadline=None)
@given(redshift=st.floats(0.0, 6.0), low=st.floats(3000, 7000), width=st.floats(500, 6000))
def test_the_other_model_is_taken_only_where_it_covers_more_and_the_first_too_little(denoiser, redshift, low, width):
    wavelength = np.linspace(low, low + width, 300)
    chosen = denoiser.settled(wavelength, np.array([redshift]), "air").model
    rest = rest_air(wavelength, redshift, "air")
    first, other = (load_denoiser("posterior", name) for name in ("survey", "ultraviolet"))
    wants = first.covers(rest).mean() < 0.9 and other.covers(rest).sum() > first.covers(rest).sum()
    assert chosen == (other if wants else first).model


def test_the_models_have_the_same_labels():
    assert load_prior("survey").label_names == load_prior("ultraviolet").label_names


def test_a_choice_is_sent_to_other_processes(denoiser):
    with ProcessPoolExecutor(1) as pool:
        flux = pool.submit(_denoised_flux, denoiser, _spectra(FAR)).result()
    _same(flux, denoiser.denoise(_spectra(FAR)).flux)


def _denoised_flux(denoiser: ByCoverage, spectra: Spectra) -> np.ndarray:
    return denoiser.denoise(spectra).flux


def test_naming_the_models_loads_none():
    def loaded() -> KinematicPosterior:
        raise AssertionError("was loaded")

    named = ByCoverage("posterior", {"survey": loaded, "ultraviolet": loaded}).model
    assert named.name.split(": ")[1].split(", ") == [
        f"{name} {load_prior(name).hash[:16]}" for name in ("survey", "ultraviolet")
    ]
    assert named == load_denoiser("posterior").model


def test_only_the_first_model_is_made_for_spectra_that_it_covers():
    def loaded() -> KinematicPosterior:
        raise AssertionError("was loaded")

    survey = load_denoiser("posterior", "survey")
    chooser = ByCoverage("posterior", {"survey": lambda: survey, "ultraviolet": loaded})
    assert chooser.settled(DESI, np.array([NEAR, np.nan]), "air") is survey


def test_an_explanation_says_which_and_why(denoiser):
    chosen = denoiser.settled(DESI, np.array([FAR, NEAR, FAR]), "air")
    assert chosen.explanation.startswith("2 of 3 spectra by the model ultraviolet, which covers ")
    first, other = (denoiser.makers[name]().covers(rest_air(DESI, FAR, "air")).mean() for name in denoiser.makers)
    assert f"covers {100 * other:.0f} % of the pixels" in chosen.explanation
    assert chosen.explanation.endswith(f"survey covers {100 * first:.0f} %")


def test_a_file_says_which_model_was_chosen_and_gives_its_covariances_back(denoiser, tmp_path):
    source = _written(_spectra(FAR, NEAR, 0.7), tmp_path)
    report, denoised = denoise_file([source], tmp_path / "out.fits", denoiser, keep=True, medium="air")
    assert report.choice.startswith("2 of 3 spectra by the model ultraviolet")
    assert report.model == str(denoised.model)
    assert report.choice in "".join(fits.getheader(tmp_path / "out.fits")["HISTORY"])
    again = Denoised.read(tmp_path / "out.fits")
    assert again.model == denoised.model
    for row in range(3):
        known = denoised.valid[row]
        inside = np.ix_(known, known)
        expected = denoised.covariance(row)[inside]
        np.testing.assert_allclose(again.covariance(row)[inside], expected, atol=1e-3 * expected.max())


def test_measurements_say_which_model_was_chosen(denoiser, tmp_path):
    source = _written(_spectra(FAR), tmp_path)
    report, _ = measure_file([source], tmp_path / "out.fits", PosteriorMethod(denoiser), medium="air")
    assert report.choice.startswith("1 of 1 spectra by the model ultraviolet")
    assert report.flags["ULTRAVIOLET"] == 1


def test_the_models_share_what_files_keep_once_for_all_spectra():
    first, other = (load_denoiser("posterior", name) for name in ("survey", "ultraviolet"))
    assert first.coordinates.populations.size == other.coordinates.populations.size
    for instrument in (None, "LEGA-C", "SDSS"):
        spectra = replace(_spectra(FAR), meta={"survey": instrument})
        assert first.law_of(spectra) == other.law_of(spectra)
