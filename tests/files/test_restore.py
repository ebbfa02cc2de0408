"""Files of denoised spectra, read as the results from which they were written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec import Denoised, Spectra
from quietspec.denoisers import KinematicPosterior, load_prior
from quietspec.errors import ModelError, ReadError, SpectraError
from quietspec.files import denoise_file


@pytest.fixture(scope="module")
def spectra() -> Spectra:
    """Six spectra of the example cube at two redshifts, with dust of the Milky Way before one of them."""
    some = quietspec.read(quietspec.demo_cube())[[205, 210, 0, 215, 190, 399]]
    ivar = some.ivar.copy()
    ivar[2] = 0
    redshift = np.where(np.arange(6) < 4, 0.03, 0.0302)
    return replace(some, ivar=ivar, redshift=redshift, ebv=np.array([0.1, 0, 0, 0, 0, 0]))


def _written(denoised: Denoised, folder: Path, **options: object) -> Denoised:
    quietspec.write(denoised, folder / "out.fits", **options)  # type: ignore[arg-type]
    return Denoised.read(folder / "out.fits")


@pytest.mark.parametrize("emission", ["auto", "fit"])
def test_covariances_of_a_file_are_those_of_the_run(spectra: Spectra, emission: str, tmp_path: Path) -> None:
    denoised = quietspec.load_denoiser("posterior", emission=emission).denoise(spectra)
    again = _written(denoised, tmp_path)
    for row in (0, 1, 3, 4, 5):
        seen = denoised.valid[row]
        sigma = denoised.sigma[row, seen].astype(np.float64)
        difference = (again.covariance(row) - denoised.covariance(row))[np.ix_(seen, seen)]
        assert np.abs(difference / np.outer(sigma, sigma)).max() < 1e-5
        assert np.diag(again.covariance(row))[seen] == pytest.approx(sigma**2, rel=1e-5)
    assert np.isnan(again.covariance_factor(2)).all()
    before, after = denoised.index("lick", "Dn4000"), again.index("lick", "Dn4000")
    assert after.errors == pytest.approx(before.errors, rel=1e-5, nan_ok=True)
    assert np.isfinite(after.errors[0]).sum() > 20
    for part in ("host", "nucleus"):
        for one, other in zip(denoised.component(part), again.component(part), strict=True):
            assert np.allclose(other, one, rtol=1e-4, atol=1e-4 * np.nanmax(denoised.sigma), equal_nan=True)


def test_draws_scatter_as_the_covariance_says(spectra: Spectra, tmp_path: Path) -> None:
    again = _written(quietspec.load_denoiser("posterior").denoise(spectra[[0]]), tmp_path)
    drawn = again.draw(400, np.random.default_rng(2))
    seen = again.valid[0]
    band = seen & (np.abs(again.spectra.wavelength - 5300) < 50)
    expected = np.sqrt(again.covariance(0)[np.ix_(band, band)].sum())
    assert drawn.shape == (400, 1, again.spectra.n_pixels)
    assert np.std(drawn[:, 0, band].sum(axis=1)) == pytest.approx(expected, rel=0.12)
    assert np.isnan(drawn[:, 0, ~seen]).all()


def test_a_file_gives_back_all_else_that_it_holds(spectra: Spectra, tmp_path: Path) -> None:
    denoised = quietspec.load_denoiser("posterior").denoise(spectra)
    again = _written(denoised, tmp_path, residual=True)
    assert np.array_equal(again.flux, denoised.flux, equal_nan=True)
    assert np.array_equal(again.ignored, denoised.ignored)
    for name in ("flags", "chi2", "dof", "evidence", "noise_scale", "p_value", "redshift"):
        assert np.asarray(getattr(again, name)) == pytest.approx(np.asarray(getattr(denoised, name)), nan_ok=True)
    assert again.parameters.keys() == denoised.parameters.keys()
    for name, (mean, error) in denoised.parameters.items():
        assert again.parameters[name][0] == pytest.approx(mean, nan_ok=True)
        assert again.parameters[name][1] == pytest.approx(error, nan_ok=True)
    seen = denoised.valid & spectra.good
    assert again.spectra.flux[seen] == pytest.approx(spectra.flux[seen], rel=1e-5, abs=1e-5)
    assert "nan" not in repr(again)


def test_cubes_keep_their_shape(tmp_path: Path) -> None:
    cube = quietspec.read(quietspec.demo_cube())[8:10, 8:11]
    again = _written(quietspec.load_denoiser("posterior").denoise(cube), tmp_path)
    assert again.spectra.spatial_shape == (2, 3)
    assert again[:, 1:].spectra.spatial_shape == (2, 2)


def test_spectra_of_different_resolution_keep_their_own(spectra: Spectra, tmp_path: Path) -> None:
    fwhm = np.where(np.arange(6)[:, None] < 3, 2.6, 3.4) * np.linspace(1, 1.1, spectra.n_pixels)
    fwhm[:, :4] = np.nan
    denoised = quietspec.load_denoiser("posterior").denoise(replace(spectra, fwhm=fwhm))
    again = _written(denoised, tmp_path)
    assert again.spectra.fwhm == pytest.approx(fwhm, rel=1e-6, nan_ok=True)
    assert again.index("Mg_b").errors == pytest.approx(denoised.index("Mg_b").errors, rel=1e-4, nan_ok=True)


def test_tiles_of_a_cube_are_joined(tmp_path: Path) -> None:
    denoise_file([quietspec.demo_cube()], tmp_path / "out.fits", quietspec.load_denoiser("posterior"), workers=2)
    again = Denoised.read(tmp_path / "out.fits")
    row = 205
    direct = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[[row]])
    seen, sigma = direct.valid[0], direct.sigma[0]
    difference = (again.covariance(row) - direct.covariance(0))[np.ix_(seen, seen)]
    assert (
        np.abs(difference / np.outer(sigma[seen], sigma[seen])).max() < 0.01
    )  # a single spectrum is rounded otherwise
    with fits.open(tmp_path / "out.fits") as file:
        flux, table = file["FLUX"].header, file["POSTERIOR"].header
        share = table["NAXIS1"] / (4 * flux["NAXIS3"])
    assert share * 2757 / 3681 < 0.2  # as on the 3681 pixels of a MUSE cube


def test_results_without_a_compact_posterior_have_no_covariance(spectra: Spectra, tmp_path: Path) -> None:
    again = _written(quietspec.load_denoiser("savgol").denoise(spectra), tmp_path)
    with pytest.raises(SpectraError, match="no covariance"):
        again.covariance(0)


def test_a_model_that_does_not_ship_is_asked_for(spectra: Spectra, tmp_path: Path) -> None:
    prior = load_prior("survey")
    card = {name: value for name, value in prior.card.items() if name != "symptom_laws"}  # takes long to set up
    own = replace(prior, card=card, weights=prior.weights[::-1].copy())
    own.save(tmp_path / "own.npz")
    denoised = KinematicPosterior("posterior", own).denoise(spectra[[0]])
    quietspec.write(denoised, tmp_path / "out.fits")
    with pytest.raises(ModelError, match=r"model='MODEL.npz'"):
        Denoised.read(tmp_path / "out.fits")
    with pytest.raises(ModelError, match="was made by the model"):
        Denoised.read(tmp_path / "out.fits", "survey")
    again = Denoised.read(tmp_path / "out.fits", tmp_path / "own.npz")
    assert np.allclose(again.covariance(0), denoised.covariance(0), rtol=1e-4, atol=1e-8)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no file of denoised spectra"):
        Denoised.read(quietspec.demo_cube())
