"""`denoise --spatial` and `measure --spatial`: a cube as a whole, from file to file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec.binning import Binning
from quietspec.denoised import Denoised
from quietspec.errors import SpectraError
from quietspec.files import denoise_file, measure_file
from quietspec.populations.methods import PosteriorMethod

from ..io import layouts

SIDE = slice(8, 14)


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corner of 6 × 6 spaxels of the example cube."""
    path = tmp_path_factory.mktemp("corner") / "corner.fits"
    rows = np.arange(400).reshape(20, 20)[SIDE, SIDE].ravel()
    with fits.open(quietspec.demo_cube()) as demo:
        images = [
            fits.ImageHDU(demo[name].data[:, SIDE, SIDE], demo[name].header, name=name)
            for name in ("FLUX", "VAR", "MASK")
        ]
        spectra = fits.BinTableHDU(demo["SPECTRA"].data[rows], demo["SPECTRA"].header, name="SPECTRA")
        fits.HDUList([demo[0].copy(), *images, demo["FWHM"].copy(), demo["WAVE"].copy(), spectra]).writeto(
            path, checksum=True
        )
    return path


def test_a_cube_is_denoised_as_a_whole(run: Callable[..., Any], corner: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.fits"
    result = run("denoise", corner, "--spatial", "-o", out)
    assert result.exit_code == 0, result.stderr
    with fits.open(out) as hdus:
        assert hdus[0].header["QSMODEL"] == "posterior, spatial"
        assert hdus["N_SPAXELS"].data.shape == (6, 6)
        assert np.median(hdus["SPECTRA"].data["n_spaxels"]) > 1
    denoised = Denoised.read(out)
    in_memory = quietspec.load_denoiser("posterior", spatial=True).denoise(quietspec.read(corner))
    assert denoised.flux == pytest.approx(in_memory.flux, nan_ok=True)
    assert np.diag(denoised.covariance(7)) == pytest.approx(denoised.sigma[7].astype(float) ** 2, rel=1e-4, nan_ok=True)


def test_workers_change_nothing(corner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quietspec.files.crew.FEW", 0)  # processes, for few spectra too
    monkeypatch.setattr("quietspec.files.settling.TILE", 12)
    denoiser = quietspec.load_denoiser("posterior", spatial=True)
    parts = []
    for workers in (0, 2):
        out = tmp_path / f"{workers}.fits"
        denoise_file([corner], out, denoiser, workers=workers)
        parts.append([fits.getdata(out, name) for name in ("FLUX", "VAR", "N_SPAXELS", "VELOCITY", "POSTERIOR")])
    for one, other in zip(*parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_progress_goes_on_over_all_readings(corner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quietspec.files.settling.TILE", 12)
    seen: list[tuple[float, float]] = []
    denoiser = quietspec.load_denoiser("posterior", spatial=True)
    denoise_file([corner], tmp_path / "o.fits", denoiser, progress=lambda done, total: seen.append((done, total)))
    done = [some for some, _ in seen]
    assert done == sorted(done)
    assert {total for _, total in seen} == {36}
    assert (done[0], done[-1]) == (4, 36)


def test_maps_of_a_cube_as_a_whole(run: Callable[..., Any], corner: Path, tmp_path: Path) -> None:
    for name, words in (("alone", []), ("together", ["--spatial"])):
        assert run("measure", corner, *words, "-o", tmp_path / f"{name}.fits").exit_code == 0
    errors = [np.nanmedian(fits.getdata(tmp_path / f"{name}.fits", "VELOCITY_ERR")) for name in ("together", "alone")]
    assert errors[0] < errors[1]


def test_spectra_without_an_image_are_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    layouts.generic().writeto(tmp_path / "stack.fits")
    result = run("denoise", tmp_path / "stack.fits", "--spatial", "--redshift", "0.02", "-o", tmp_path / "out.fits")
    assert result.exit_code == 1
    assert "--spatial" in result.stderr
    assert not (tmp_path / "out.fits").exists()


def test_sums_of_spaxels_are_refused(corner: Path, tmp_path: Path) -> None:
    method = PosteriorMethod(quietspec.load_denoiser("posterior", spatial=True))
    with pytest.raises(SpectraError, match="only spaxels as they are"):
        measure_file([corner], tmp_path / "out.fits", method, bins=Binning(snr=20))
    assert not (tmp_path / "out.fits").exists()


@pytest.mark.parametrize("words", [["denoise", "--denoiser", "gaussian"], ["measure", "--method", "ppxf"]])
def test_methods_that_know_no_neighbours_are_refused(
    run: Callable[..., Any], corner: Path, tmp_path: Path, words: list[str]
) -> None:
    result = run(*words, corner, "--spatial", "-o", tmp_path / "out.fits")
    assert result.exit_code != 0
    assert not (tmp_path / "out.fits").exists()


def test_models_with_motions_in_their_basis_are_refused(
    run: Callable[..., Any], corner: Path, model: Path, tmp_path: Path
) -> None:
    result = run("denoise", corner, "--model", model, "--spatial", "-o", tmp_path / "out.fits")
    assert result.exit_code == 1
    assert "survey" in result.stderr
