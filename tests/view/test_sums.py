"""Regions are sums of the data, denoised, wherever the data are at hand; and bins are files that others read."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import quietspec
from quietspec import Denoised
from quietspec.binning import INDEPENDENT
from quietspec.errors import ReadError, SpectraError, ViewError
from quietspec.files import denoise_file
from quietspec.view import Document, ViewServer
from quietspec.view.bins import bin_numbers, ds9_region
from quietspec.view.regions import rows_inside
from quietspec.view.sums import DataSums

from .test_server import ask, told, values

IMAGE = 6, 8
CIRCLE = {"type": "circle", "x": 3.2, "y": 2.1, "r": 2.0}
BOX = {"type": "rectangle", "x0": 5, "y0": 0, "x1": 7, "y1": 3}
TRIANGLE = {"type": "polygon", "points": [[0.2, 3.4], [4.1, 5.3], [0.3, 5.4]]}


def query(**shapes: object) -> str:
    return "&".join(f"{name}={quote(json.dumps(shape))}" for name, shape in shapes.items())


@pytest.fixture(scope="module")
def server(beside: Path) -> Iterator[ViewServer]:
    with ViewServer(beside) as running:
        yield running


@pytest.fixture(scope="module")
def whole(part: Path) -> Denoised:
    """The file that the server shows, with its data, and lines."""
    return quietspec.load_denoiser("posterior", emission="fit").denoise(quietspec.read(part))


def test_the_sum_of_a_region_is_that_of_its_data(server: ViewServer, whole: Denoised):
    assert told(server, f"api/region?{query(shape=CIRCLE)}")["no_data"] == ""
    answer = told(server, f"api/sum?{query(shape=CIRCLE)}")
    rows = rows_inside(CIRCLE, IMAGE)
    wanted = whole.sum(rows)
    assert "measured from the residuals" in answer["assumed"]
    assert values(answer["flux"]) == pytest.approx(wanted.flux[0], rel=1e-4, nan_ok=True)
    assert values(answer["sigma"]) == pytest.approx(wanted.sigma[0], rel=1e-3, nan_ok=True)
    assert answer["n_inside"] == answer["n_summed"] == len(rows)
    assert answer["n_spikes"] == wanted.spectra.meta["n_spikes"]
    labels = {label["name"]: label for label in answer["labels"]}
    mean, error = wanted.parameters["velocity"]
    assert labels["VELOCITY"]["value"] == pytest.approx(mean[0], rel=1e-3)
    assert labels["VELOCITY"]["error"] == pytest.approx(error[0], rel=0.05)
    halpha = wanted.line("Hbeta")
    assert labels["FLUX_HBETA"]["value"] == pytest.approx(halpha.flux[0], abs=0.05 * halpha.error[0])
    assert {each["name"] for each in answer["quantities"]} == set(labels)
    assert answer["flags"] == wanted.flags[0]


def test_its_error_is_smaller_than_the_bound_of_added_errors(server: ViewServer):
    bound, posterior = (told(server, f"api/{what}?{query(shape=CIRCLE)}") for what in ("region", "sum"))
    seen = np.isfinite(values(posterior["sigma"]))
    assert np.median(values(posterior["sigma"])[seen] / values(bound["sigma"])[seen]) < 0.7


def test_the_flux_in_view_has_the_error_of_the_sum(server: ViewServer, whole: Denoised):
    found = told(server, f"api/band?{query(shape=CIRCLE)}&low=5000&high=5100")
    wanted = whole.sum(rows_inside(CIRCLE, IMAGE))
    wavelength = wanted.spectra.wavelength
    weights = np.where((wavelength >= 5000) & (wavelength <= 5100), np.gradient(wavelength), 0.0)
    error = np.sqrt(weights @ np.nan_to_num(wanted.covariance(0)) @ weights)
    assert found["flux"] == pytest.approx(weights @ np.nan_to_num(wanted.flux[0]), rel=1e-4)
    assert found["error"] == pytest.approx(error, rel=1e-2)
    assert found["independent"] is None
    assert told(server, "api/band?row=20&low=5000&high=5100")["independent"] > 0


def test_the_file_of_a_region_holds_the_posterior(server: ViewServer):
    answer = told(server, f"api/sum?{query(shape=CIRCLE)}")
    with fits.open(BytesIO(ask(server, f"api/region.fits?{query(shape=CIRCLE)}")[2]), checksum=True) as hdus:
        table, header = hdus["SPECTRUM"].data, hdus["SPECTRUM"].header
        assert table["sigma"] == pytest.approx(values(answer["sigma"]), nan_ok=True)
        assert "posterior" in str(header["COMMENT"])


# --- where the data come from ---


def test_without_the_data_it_says_why(output: Path):
    with ViewServer(output) as running:
        reason = told(running, f"api/region?{query(shape=CIRCLE)}")["no_data"]
        assert "--input" in reason
        status, _, body = ask(running, f"api/sum?{query(shape=CIRCLE)}")
    assert status == 400
    assert json.loads(body)["error"] == reason


@pytest.fixture
def alone(part: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A denoised file, and its input in another folder."""
    (tmp_path / "far").mkdir()
    cube, path = tmp_path / "far" / "cube.fits", tmp_path / "out.fits"
    shutil.copy(part, cube)
    denoise_file([cube], path, quietspec.load_denoiser("posterior"))
    cube.rename(cube.with_name("moved.fits"))
    return path, cube.with_name("moved.fits")


def test_the_input_can_be_named_or_shown_beside(alone: tuple[Path, Path], whole: Denoised):
    path, cube = alone
    wanted = whole.sum(rows_inside(BOX, IMAGE)).flux[0]
    for files, options in (((path,), {"inputs": [cube]}), ((path, cube), {})):
        with ViewServer(*files, **options) as running:
            answer = told(running, f"api/sum?{query(shape=BOX)}")
            assert values(answer["flux"]) == pytest.approx(wanted, rel=1e-4, nan_ok=True)


def test_another_file_is_not_taken_for_the_input(alone: tuple[Path, Path]):
    path, _ = alone
    with pytest.raises(ReadError, match="is not as it was"):
        Document(path, inputs=[quietspec.demo_cube()])
    with pytest.raises(ReadError, match="was not found"):
        Document(path, inputs=["nowhere.fits"])
    with pytest.raises(ViewError, match="leave out --input"):
        ViewServer(quietspec.demo_cube(), inputs=[path])


def test_an_input_that_has_changed_is_not_summed(part: Path, tmp_path: Path):
    cube, path = tmp_path / "cube.fits", tmp_path / "out.fits"
    shutil.copy(part, cube)
    denoise_file([cube], path, quietspec.load_denoiser("posterior"), residual=True)
    with fits.open(cube, mode="update") as hdus:
        hdus[0].header["COMMENT"] = "changed since"
    document = Document(path)
    try:
        with pytest.raises(ViewError, match="has changed"):
            DataSums.of(document).sum(rows_inside(BOX, IMAGE))
        assert "has changed" in document.no_data
        assert document.spectra is not None
        assert document.spectra.input_from == "estimate plus RESIDUAL"
    finally:
        document.close()


def test_spectra_of_other_surveys_are_denoised_as_sums(part: Path, whole: Denoised):
    document = Document(part)
    document.start()
    try:
        found = DataSums.of(document).sum(rows_inside(BOX, IMAGE)).denoised
    finally:
        document.close()
    wanted = whole.sum(rows_inside(BOX, IMAGE))
    assert found.flux == pytest.approx(wanted.flux, rel=1e-4, nan_ok=True)


def test_results_in_memory_have_their_data(denoised: Denoised):
    page = denoised.view()
    try:
        answer = told(page.server, f"api/sum?{query(shape=CIRCLE)}")
    finally:
        page.close()
    wanted = denoised.sum(rows_inside(CIRCLE, IMAGE))
    assert answer["n_summed"] == len(rows_inside(CIRCLE, IMAGE)) - (3 in rows_inside(CIRCLE, IMAGE))
    assert values(answer["input"]) == pytest.approx(wanted.spectra.flux[0], rel=1e-4, nan_ok=True)


def test_an_abandoned_sum_is_dropped_and_the_next_is_made(beside: Path):
    document = Document(beside)
    sums, left = DataSums.of(document), threading.Event()
    left.set()
    try:
        with pytest.raises(ViewError, match="withdrawn"):
            sums.sum(rows_inside(BOX, IMAGE), left.is_set)
        with sums._lock, pytest.raises(ViewError, match="withdrawn"):  # while another one is being made
            sums.sum(rows_inside(BOX, IMAGE), left.is_set)
        assert sums.sum(rows_inside(BOX, IMAGE)) is sums.sum(rows_inside(BOX, IMAGE))
    finally:
        document.close()


def test_noise_that_cannot_be_measured_is_taken_as_independent(beside: Path, whole: Denoised, monkeypatch):
    def too_few(_: object) -> None:
        raise SpectraError("too few")

    monkeypatch.setattr("quietspec.binning.measure_correlation", too_few)
    document = Document(beside)
    try:
        found = DataSums.of(document).sum(rows_inside(BOX, IMAGE))
    finally:
        document.close()
    assert "taken as independent" in found.words
    wanted = whole.sum(rows_inside(BOX, IMAGE), correlation=INDEPENDENT)
    assert found.denoised.sigma == pytest.approx(wanted.sigma, rel=1e-3, nan_ok=True)


# --- bins ---


def test_bins_are_what_the_package_makes_of_their_image(server: ViewServer, whole: Denoised):
    shapes = [CIRCLE, BOX, TRIANGLE]
    with fits.open(BytesIO(ask(server, f"api/bins.fits?{query(shapes=shapes)}")[2]), checksum=True) as hdus:
        number, table = hdus["BINID"].data, hdus["BINS"].data
        assert len(hdus["WAVE"].data) == table["flux"].shape[1]
        assert list(table["n_spaxels"]) == [len(rows_inside(shape, IMAGE)) for shape in shapes]
        assert [json.loads(text) for text in table["region"]] == shapes
        found = whole.bin(number)
        apart = [k for k in range(3) if (number == k).sum() == table["n_spaxels"][k]]
        assert len(apart) >= 2
        for k in apart:
            assert table["flux"][k] == pytest.approx(found.flux[k], rel=2e-4, nan_ok=True)
            assert table["flux_err"][k] == pytest.approx(found.sigma[k], rel=2e-3, nan_ok=True)
            assert table["sigma"][k] == pytest.approx(found.parameters["sigma"][0][k], rel=1e-3)


def test_bins_of_maps_have_an_image_and_no_spectra(maps: Path):
    with (
        ViewServer(maps) as running,
        fits.open(BytesIO(ask(running, f"api/bins.fits?{query(shapes=[BOX])}")[2])) as hdus,
    ):
        assert (hdus["BINID"].data == 0).sum() == 12
        assert "flux" not in hdus["BINS"].columns.names


def test_region_files_are_read_by_apertures(server: ViewServer, tmp_path: Path):
    pytest.importorskip("regions")
    from quietspec.binning import read_apertures

    path = tmp_path / "bins.reg"
    shapes = [CIRCLE, BOX, TRIANGLE]
    path.write_bytes(ask(server, f"api/bins.reg?{query(shapes=shapes)}")[2])
    found = read_apertures(path, IMAGE)
    assert found.names == ("1", "2", "3")
    assert found.n_spaxels == pytest.approx([np.pi * 4, 12, found.n_spaxels[2]], rel=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(found.weights.toarray()[1] > 0.99), rows_inside(BOX, IMAGE))
    for shape, weights in zip(shapes, found.weights.toarray(), strict=True):
        assert set(np.flatnonzero(weights > 0.8)) <= set(rows_inside(shape, IMAGE))


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=1, max_size=4))
def test_spaxels_belong_to_the_first_region_that_has_them(corners):
    shapes = [{"type": "rectangle", "x0": a, "y0": b, "x1": c, "y1": d} for a, b, c, d in corners]
    members = [set(rows_inside(shape, IMAGE).tolist()) for shape in shapes]
    own = [one - set().union(*members[:k]) for k, one in enumerate(members)]
    if not all(own):
        with pytest.raises(ViewError, match="no spaxel of its own"):
            bin_numbers(shapes, IMAGE)
        return
    number = bin_numbers(shapes, IMAGE).ravel()
    assert [set(np.flatnonzero(number == k).tolist()) for k in range(len(own))] == own
    assert (number >= 0).sum() == len(set().union(*members))


def test_rectangles_are_written_whichever_way_they_were_drawn():
    other = {"type": "rectangle", "x0": 7, "y0": 3, "x1": 5, "y1": 0}
    assert ds9_region(other, "a") == ds9_region(BOX, "a") == "box(7,2.5,3,4,0) # text={a}"


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[{"type":"star"}]', "[" * 3000])
def test_bins_that_make_no_sense_are_refused(server: ViewServer, text: str):
    for what in ("bins.fits", "bins.reg"):
        status, _, body = ask(server, f"api/{what}?shapes={quote(text)}")
        assert status == 400
        assert len(json.loads(body)["error"]) > 10
