"""Sums of estimates have the errors that `sum_estimates` gives them where it is known what spaxels share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import quietspec
from quietspec import Denoised
from quietspec.errors import ViewError
from quietspec.view import Document, ViewServer
from quietspec.view.regions import band_of, rows_inside, sum_of

from .test_server import ask, told, values
from .test_sums import BOX, CIRCLE, IMAGE, TRIANGLE, query

ALL = {"type": "rectangle", "x0": 0, "y0": 0, "x1": 7, "y1": 5}  # with the spaxel that has no estimate
SPAXEL = {"type": "circle", "x": 4, "y": 2, "r": 0.4}
SHAPES = pytest.mark.parametrize("shape", [ALL, CIRCLE, BOX, TRIANGLE, SPAXEL], ids=lambda shape: shape["type"])


@pytest.fixture(scope="module")
def server(spatial: Path) -> Iterator[ViewServer]:
    with ViewServer(spatial) as running:
        yield running


@pytest.fixture
def document(spatial: Path) -> Iterator[Document]:
    opened = Document(spatial)
    yield opened
    opened.close()


def summed(denoised: Denoised, shape: dict[str, object]) -> Denoised:
    """What the package makes of the spaxels of a region that have an estimate."""
    rows = rows_inside(shape, IMAGE)
    return denoised.sum(rows[denoised.valid[rows].any(axis=1)], of="estimates")


@SHAPES
def test_sums_have_the_errors_of_sums_of_estimates(server: ViewServer, together: Denoised, shape: dict[str, object]):
    answer, wanted = told(server, f"api/region?{query(shape=shape)}"), summed(together, shape)
    assert answer["sharing"] == "measured"
    assert values(answer["flux"]) == pytest.approx(wanted.flux[0], rel=1e-5, nan_ok=True)
    assert values(answer["sigma"]) == pytest.approx(wanted.sigma[0], rel=1e-5, nan_ok=True)
    assert answer["n_inside"] - answer["n_summed"] == (shape is ALL)


def test_bands_have_the_errors_of_sums_of_estimates(server: ViewServer, together: Denoised):
    found, wanted = told(server, f"api/band?{query(shape=TRIANGLE)}&low=5000&high=5100"), summed(together, TRIANGLE)
    wavelength = wanted.spectra.wavelength
    weights = np.where((wavelength >= 5000) & (wavelength <= 5100), np.gradient(wavelength), 0.0)
    error = np.sqrt(weights @ np.nan_to_num(wanted.covariance(0)) @ weights)
    assert found["sharing"] == "measured"
    assert found["flux"] == pytest.approx(weights @ np.nan_to_num(wanted.flux[0]), rel=1e-5)
    assert found["error"] == pytest.approx(error, rel=1e-3)
    assert found["independent"] <= found["error"] * (1 + 1e-12)


def test_they_lie_between_independent_errors_and_shared_ones(document: Document):
    rows = np.arange(48)
    found = sum_of(document, rows)
    assert found.sigma is not None
    assert found.sigma_independent is not None
    assert document.spectra is not None
    bound = np.nansum(document.spectra.read(rows).sigma, axis=0)
    seen = np.isfinite(found.sigma)
    assert (found.sigma_independent[seen] < found.sigma[seen]).all()
    assert (found.sigma[seen] < bound[seen]).all()


def test_the_page_and_its_files_say_what_is_assumed(server: ViewServer):
    answer = told(server, f"api/region?{query(shape=BOX)}")
    assert "as measured on simulated galaxies" in answer["assumed"]
    assert "not known" not in answer["assumed"]
    for name, hdu, words in (("region", "SPECTRUM", query(shape=BOX)), ("bins", "BINS", query(shapes=[BOX]))):
        with fits.open(BytesIO(ask(server, f"api/{name}.fits?{words}")[2]), checksum=True) as hdus:
            comment = "".join(map(str, hdus[hdu].header["COMMENT"]))
            assert comment.replace(" ", "") == answer["assumed"].replace(" ", "")
            errors = hdus["BINS"].data["flux_err"][0] if name == "bins" else hdus["SPECTRUM"].data["sigma"]
            assert errors == pytest.approx(values(answer["sigma"]), nan_ok=True)


@pytest.mark.parametrize("n_spaxels", [np.nan, 0.0])
def test_numbers_of_spaxels_that_make_no_sense_are_not_used(denoised: Denoised, tmp_path: Path, n_spaxels: float):
    known = np.full(len(denoised), 4.0)
    known[20] = n_spaxels
    path = tmp_path / "odd.fits"
    quietspec.write(replace(denoised, n_spaxels=known, of_galaxy=np.ones(len(denoised))), path)
    document = Document(path)
    try:
        assert sum_of(document, rows_inside(BOX, IMAGE)).sharing == "measured"
        assert sum_of(document, rows_inside(CIRCLE, IMAGE)).sharing == "unknown"
        assert band_of(document, np.array([20, 21]), (5000, 5100)).sharing == "unknown"
    finally:
        document.close()


def test_spectra_without_estimates_share_nothing(part: Path):
    document = Document(part)
    try:
        found = sum_of(document, np.array([10, 11]))
    finally:
        document.close()
    assert found.sharing is None
    assert "noise of spaxels is independent" in found.words


def test_what_nobody_waits_for_ends_before_spectra_are_read(document: Document, monkeypatch: pytest.MonkeyPatch):
    from quietspec.view import regions

    def unread(rows: object, stop: object) -> None:
        raise AssertionError("spectra were read")

    answers = iter([False, False, True])
    monkeypatch.setattr(regions, "_tiles", unread)
    monkeypatch.setattr(regions, "_TOGETHER", 5)
    with pytest.raises(ViewError, match="withdrawn"):
        sum_of(document, np.arange(48), lambda: next(answers))
    assert next(answers, None) is None
