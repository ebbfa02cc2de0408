"""A cube denoised as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quietspec
from quietspec import Denoised, Spectra
from quietspec.denoised import FAILURES, Flag
from quietspec.denoisers import SpatialPosterior
from quietspec.denoisers.posterior.kinematic_fit import BatchFit
from quietspec.denoisers.spatial import Together, learning, stack
from quietspec.denoisers.spatial.frame import Likelihoods, PackedLikelihoods
from quietspec.denoisers.spatial.refit import Kept, Refit
from quietspec.errors import ModelError, SpectraError


@pytest.fixture(scope="module")
def cube() -> Spectra:
    """A corner of the example cube, whose brightest spaxels have S/N 20, with a spaxel without data."""
    part = quietspec.read(quietspec.demo_cube())[7:14, 7:14]
    ivar = part.ivar.copy()
    ivar[3] = 0
    return replace(part, ivar=ivar)


@pytest.fixture(scope="module")
def alone(cube: Spectra) -> Denoised:
    return quietspec.load_denoiser("posterior").denoise(cube)


@pytest.fixture(scope="module")
def together(cube: Spectra) -> Denoised:
    return quietspec.load_denoiser("posterior", spatial=True).denoise(cube)


def test_neighbours_make_estimates_surer(alone: Denoised, together: Denoised) -> None:
    seen = np.flatnonzero(alone.valid.any(axis=1))
    assert np.array_equal(np.isfinite(together.flux), np.isfinite(alone.flux))
    assert np.nanmedian(together.sigma[seen] / alone.sigma[seen]) < 0.9
    for name in ("velocity", "sigma", "mh_lw"):
        ratio = together.parameters[name][1][seen] / alone.parameters[name][1][seen]
        assert np.median(ratio) < 0.95
    assert together.n_spaxels is not None
    assert (together.n_spaxels >= 1).all()
    assert np.median(together.n_spaxels[seen]) > 1.5


def test_what_it_changes_is_within_what_each_spaxel_knew(alone: Denoised, together: Denoised) -> None:
    seen = np.flatnonzero(alone.valid.any(axis=1))
    moved = (together.flux[seen] - alone.flux[seen]) / alone.sigma[seen]
    assert np.sqrt(np.nanmean(moved**2)) < 1.5
    velocity, error = alone.parameters["velocity"]
    assert np.sqrt(np.mean(((together.parameters["velocity"][0] - velocity) / error)[seen] ** 2)) < 1.5


def test_it_says_what_it_is(alone: Denoised, together: Denoised) -> None:
    assert together.model.name == "posterior, spatial"
    assert together.model.hash == alone.model.hash
    assert together.flags[3] == int(Flag.EMPTY)


def test_a_file_gives_back_its_covariances(together: Denoised, tmp_path: Path) -> None:
    quietspec.write(together, tmp_path / "out.fits")
    again = Denoised.read(tmp_path / "out.fits")
    for row in (0, 24, 48):
        seen = together.valid[row]
        assert np.diag(again.covariance(row))[seen] == pytest.approx(
            together.sigma[row, seen].astype(float) ** 2, rel=1e-4
        )
    assert again.n_spaxels == pytest.approx(together.n_spaxels)


def test_a_spaxel_unlike_its_galaxy_keeps_to_itself(cube: Spectra) -> None:
    flux, ivar = cube.flux.copy(), cube.ivar.copy()
    flux[24], ivar[24] = np.roll(flux[24], 8), np.roll(ivar[24], 8)  # by some 600 km/s
    denoised = quietspec.load_denoiser("posterior", spatial=True).denoise(replace(cube, flux=flux, ivar=ivar))
    assert denoised.flags[24] & int(Flag.UNLIKE_NEIGHBOURS | Flag.WRONG_REDSHIFT)
    assert denoised.n_spaxels is not None
    assert denoised.n_spaxels[24] == 1


def test_tiles_give_what_the_whole_gives(cube: Spectra, together: Denoised) -> None:
    def tiles() -> Iterator[Spectra]:
        for start in range(0, len(cube), 14):
            rows = slice(start, start + 14)
            tile = cube[rows]
            yield replace(tile, meta={**tile.meta, "rows": rows})

    denoiser = quietspec.load_denoiser("posterior", spatial=True)
    assert isinstance(denoiser, SpatialPosterior)
    learned = denoiser.learned(tiles, cube.redshift, cube.spatial_shape)
    assert learned.model == together.model
    parts = [learned.denoise(tile) for tile in tiles()]
    flux, sigma = (np.concatenate([getattr(part, name) for part in parts]) for name in ("flux", "sigma"))
    # Batches are others, and single precision rounds otherwise.
    seen = together.valid
    assert np.abs((flux - together.flux) / together.sigma)[seen].max() < 0.05
    assert (sigma / together.sigma)[seen] == pytest.approx(1, abs=0.02)


def test_the_probability_of_the_galaxy_says_who_keeps_to_itself(together: Denoised) -> None:
    assert together.of_galaxy is not None
    unlike = together.flags & int(Flag.UNLIKE_NEIGHBOURS) != 0
    seen = together.valid.any(axis=1)
    assert np.array_equal(unlike[seen], together.of_galaxy[seen] < 0.5)
    assert np.median(together.of_galaxy[seen]) > 0.9


def test_few_spaxels_are_denoised_each_by_itself(cube: Spectra) -> None:
    few = cube[3:5, 3:5]
    together = quietspec.load_denoiser("posterior", spatial=True).denoise(few)
    alone = quietspec.load_denoiser("posterior").denoise(few)
    assert np.array_equal(together.flux, alone.flux, equal_nan=True)


def test_spectra_without_an_image_are_refused(cube: Spectra) -> None:
    with pytest.raises(SpectraError, match="spatial=False"):
        quietspec.load_denoiser("posterior", spatial=True).denoise(cube[[0, 1]])
    with pytest.raises(ModelError, match="posterior"):
        quietspec.load_denoiser("gaussian", spatial=True)


def _fails_for(monkeypatch: pytest.MonkeyPatch, kind: type, method: str, when: Callable[[BatchFit], bool]) -> None:
    """Let the algebra of a kind of fit break down where something is true of it."""
    usual = getattr(kind, method)

    def breaking(self: BatchFit, *given: Any) -> Any:
        if type(self) is kind and when(self):
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        return usual(self, *given)

    monkeypatch.setattr(kind, method, breaking)


@pytest.fixture(scope="module")
def learned(cube: Spectra) -> Together:
    denoiser = quietspec.load_denoiser("posterior", spatial=True)
    assert isinstance(denoiser, SpatialPosterior)
    found = denoiser.learned(lambda: _tiles(cube), cube.redshift, cube.spatial_shape)
    assert isinstance(found, Together)
    return found


def _tiles(cube: Spectra) -> Iterator[Spectra]:
    for start in range(0, len(cube), 21):
        rows = slice(start, min(start + 21, len(cube)))
        tile = cube[rows]
        yield replace(tile, meta={**tile.meta, "rows": rows})


def _has(cube: Spectra, row: int) -> Callable[[BatchFit], bool]:
    """Whether a fit is of a batch with this spaxel."""
    flux = cube.flux[row] / np.linalg.norm(cube.flux[row])

    def holds(fit: BatchFit) -> bool:
        whole = np.zeros((len(fit._flux), cube.n_pixels))
        whole[:, fit.grid.pixels] = fit._flux
        return bool((whole @ flux > 0.999 * np.linalg.norm(whole, axis=1)).any())

    return holds


def test_a_spaxel_on_which_the_second_pass_breaks_down_is_denoised_by_itself(
    cube: Spectra, alone: Denoised, learned: Together, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [learned.denoise(tile) for tile in _tiles(cube)]
    _fails_for(monkeypatch, Refit, "_infer", _has(cube, 10))
    after = [learned.denoise(tile) for tile in _tiles(cube)]
    for one, other in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(one.flux, other.flux)
        np.testing.assert_array_equal(one.sigma, other.sigma)
    others = np.setdiff1d(np.arange(21), [3, 10])
    moved = (after[0].flux - before[0].flux)[others] / before[0].sigma[others]
    assert np.nanmax(np.abs(moved)) < 0.05  # batches are others
    np.testing.assert_allclose(after[0].flux[10], alone.flux[10], rtol=1e-4)
    assert after[0].n_spaxels is not None
    assert after[0].n_spaxels[10] == 1
    assert not after[0].flags[10] & int(FAILURES)


def test_a_spaxel_on_which_learning_breaks_down_teaches_the_others_nothing(
    cube: Spectra, together: Denoised, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced = learning._Reduced._some

    def breaking(self: Any, tile: Spectra, kept: Kept) -> PackedLikelihoods:
        if 10 in kept.rows:
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        return reduced(self, tile, kept)

    monkeypatch.setattr(learning._Reduced, "_some", breaking)
    found = quietspec.load_denoiser("posterior", spatial=True).denoise(cube)
    assert found.n_spaxels is not None
    assert found.n_spaxels[10] == 1
    assert found.flags[10] & int(Flag.UNLIKE_NEIGHBOURS)
    np.testing.assert_array_equal(np.isfinite(found.flux), np.isfinite(together.flux))
    others = np.setdiff1d(np.arange(len(cube)), [10])
    moved = (found.flux - together.flux)[others] / together.sigma[others]
    assert np.sqrt(np.nanmean(moved**2)) < 0.3


def test_spaxels_share_no_calibration_where_the_algebra_breaks_down_on_their_sum(
    cube: Spectra, alone: Denoised, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(*_: Any) -> Any:
        raise np.linalg.LinAlgError("a precision is not positive")

    monkeypatch.setattr(stack, "_of_labels", breaking)
    denoiser = quietspec.load_denoiser("posterior", spatial=True)
    assert isinstance(denoiser, SpatialPosterior)
    learned = denoiser.learned(lambda: _tiles(cube), cube.redshift, cube.spatial_shape)
    assert isinstance(learned, Together)
    assert learned.tool.shared is None
    assert learned.tool.law_of(cube) == denoiser.law_of(cube)
    parts = [learned.denoise(tile) for tile in _tiles(cube)]
    flux, sigma = (np.concatenate([getattr(part, name) for part in parts]) for name in ("flux", "sigma"))
    np.testing.assert_array_equal(np.isfinite(flux), np.isfinite(alone.flux))
    assert np.nanmedian(sigma / alone.sigma) < 1
    assert np.sqrt(np.nanmean(((flux - alone.flux) / alone.sigma) ** 2)) < 1.5


def test_likelihoods_that_would_end_the_cube_are_refused() -> None:
    one = Likelihoods(np.eye(3)[None].copy(), np.zeros((1, 3)))
    assert one.checked() is one
    negative, unknown = -np.eye(3)[None], np.full((1, 3), np.nan)
    for bad in (Likelihoods(negative, one.gradient), Likelihoods(one.precision, unknown)):
        with pytest.raises(np.linalg.LinAlgError):
            bad.checked()
