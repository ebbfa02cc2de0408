"""The server refuses whom it should, reads only, and answers as the page expects."""

from __future__ import annotations

import http.client
import json
import socket
import time
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from quietspec import Denoised
from quietspec.errors import ReadError, ViewError
from quietspec.view import ViewServer


@pytest.fixture(scope="module")
def server(output: Path, maps: Path) -> Iterator[ViewServer]:
    with ViewServer(output, maps, hosts=["hub.example.org"]) as running:
        yield running


def ask(
    server: ViewServer, path: str, *, method: str = "GET", token: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request(method, f"/{server.token if token is None else token}/{path}", headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def told(server: ViewServer, path: str) -> Any:
    status, _, body = ask(server, path)
    assert status == 200, body
    return json.loads(body)


def values(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(b64decode(packed["data"]), "<" + packed["dtype"]).reshape(packed["shape"])


# --- who is let in ---


@pytest.mark.parametrize("token", ["", "x", "%C3%A4", "../", "%2e%2e", "."])
def test_nothing_is_shown_without_the_token(server, token):
    for path in ("", "api/about", "main.js"):
        status, _, body = ask(server, path, token=token)
        assert status == 403
        assert b"token" in body
        assert server.token.encode() not in body


def test_tokens_are_long_and_never_the_same(output):
    tokens = set()
    for _ in range(3):
        with ViewServer(output) as server:
            tokens.add(server.token)
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "evil.example#localhost", "", "a b"]
)
def test_other_names_of_this_machine_are_refused(server, host):
    status, _, body = ask(server, "api/about", Host=host)
    assert status in (400, 403)
    assert b"files" not in body


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9999", "[::1]:80", "LOCALHOST", "hub.example.org"])
def test_own_names_are_accepted_at_any_port(server, host):
    assert ask(server, "api/about", Host=host)[0] == 200


def test_two_hosts_are_refused(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        request = f"GET /{server.token}/api/about HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        connection.sendall(request.encode())
        assert b" 403 " in connection.recv(64)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_but_reading(server, method):
    status, headers, _ = ask(server, "api/about", method=method)
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


def test_head_has_the_length_and_no_content(server):
    status, headers, body = ask(server, "main.js", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(ask(server, "main.js")[2])


@pytest.mark.parametrize(
    "path",
    [
        "../server.py",
        "..%2fserver.py",
        "static/../../server.py",
        "/etc/passwd",
        "vendor/../../server.py",
        "%00",
        "api/",
    ],
)
def test_no_way_out_of_the_folder(server, path):
    status, _, body = ask(server, path)
    assert status == 404
    assert b"import" not in body


def test_every_answer_forbids_foreign_code(server):
    for path in ("", "api/about", "nowhere", "api/map?name=none"):
        _, headers, _ = ask(server, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"  # the address holds the token


def test_pages_are_named_relatively(server):
    page = ask(server, "")[2].decode()
    assert "http://" not in page
    assert 'src="/' not in page
    assert 'href="/' not in page


def test_the_address_without_a_slash_leads_to_that_with_one(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"/{server.token}")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, f"{server.token}/")
    connection.close()


def test_it_listens_to_this_machine_only(server):
    assert server._server.server_address[0] == "127.0.0.1"


# --- answers ---


def test_about_says_what_there_is(server, denoised: Denoised):
    about = told(server, "api/about")
    first, second = about["files"]
    assert (first["kind"], second["kind"]) == ("denoised", "maps")
    assert first["shape"] == second["shape"] == [6, 8]
    assert np.array_equal(values(first["wavelength"]), denoised.spectra.wavelength)
    assert {"WHITE", "SNR_IN", "VELOCITY", "LOG_AGE_LW"} <= {each["name"] for each in first["quantities"]}
    assert {"EW_HALPHA", "FLUX_HALPHA", "SIGMA"} <= {each["name"] for each in second["quantities"]}
    assert all(each["words"] for each in first["flags"] + second["flags"])
    assert first["input"] == {"known": True, "from": "estimate plus RESIDUAL"}


def test_maps_are_those_of_the_file(server, denoised: Denoised):
    white = values(told(server, "api/map?name=WHITE")["values"])
    mean = np.array([np.nanmean(flux) if np.isfinite(flux).any() else np.nan for flux in denoised.flux])
    assert white == pytest.approx(mean, rel=0.1, nan_ok=True)  # of 48 wavelengths
    answer = told(server, "api/map?name=VELOCITY")
    mean, error = denoised.parameters["velocity"]
    assert values(answer["values"]) == pytest.approx(mean, rel=1e-5, nan_ok=True)
    assert values(answer["errors"]) == pytest.approx(error, rel=1e-5, nan_ok=True)
    assert np.isnan(values(answer["values"])[3])
    assert answer["done"] == 1
    assert np.array_equal(values(told(server, "api/flags")["values"]), denoised.flags)


def test_spectra_are_those_of_the_file(server, denoised: Denoised):
    for row in (0, 21, 47):
        answer = told(server, f"api/spectrum?row={row}")
        for name in ("flux", "sigma"):
            assert values(answer[name]) == pytest.approx(getattr(denoised, name)[row], rel=1e-6, nan_ok=True)
        given = np.where(denoised.valid[row], denoised.spectra.flux[row], np.nan)
        assert values(answer["input"]) == pytest.approx(given, rel=1e-4, abs=1e-5, nan_ok=True)
        labels = {label["name"]: label for label in answer["labels"]}
        assert labels["SIGMA"]["value"] == pytest.approx(denoised.parameters["sigma"][0][row], rel=1e-5)
        assert answer["flags"] == denoised.flags[row]


def test_a_spectrum_without_an_estimate_is_json_too(server):
    body = ask(server, "api/spectrum?row=3")[2]
    assert b"NaN" not in body
    answer = json.loads(body)
    assert answer["flags"] & 1
    assert answer["limits"] is None
    assert np.isnan(values(answer["flux"])).all()
    assert all(label["value"] is None for label in answer["labels"] if label["name"] == "VELOCITY")


@pytest.mark.parametrize(
    "query",
    [
        "map", "map?name=", "map?name=FLUX", "map?name=VELOCITY&file=2", "map?name=VELOCITY&file=-1", "spectrum",
        "spectrum?row=48", "spectrum?row=-1", "spectrum?row=1.5", "spectrum?row=99999999999999999999", "spectrum?row=²",
        "region", "region?shape=[]", "region?shape={", 'region?shape={"type":"star"}',
        'region?shape={"type":"circle","x":"1","y":1,"r":1}', 'region?shape={"type":"circle","x":1e999,"y":1,"r":1}',
        'region?shape={"type":"polygon","points":[[0,0],[1,1]]}', 'region?shape={"type":"polygon","points":[1,2,3]}',
        'region?shape={"type":"circle","x":900,"y":1,"r":1}', "band?row=1", "band?row=1&low=a&high=5000",
        "band?row=1&low=1&high=2", "band?row=3&low=4500&high=4600", "region?file=1", "map.fits?name=none",
        'region?file=1&shape={"type":"circle","x":1,"y":1,"r":1}', "spectrum.fits?row=100",
        "region?shape=" + "[" * 20000,
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_told_so(server, query):
    status, _, body = ask(server, "api/" + query.replace('"', "%22").replace(" ", "%20").replace("²", "%C2%B2"))
    assert status == 400, body
    assert len(json.loads(body)["error"]) > 10


REGION = "%7B%22type%22:%22rectangle%22,%22x0%22:1,%22y0%22:0,%22x1%22:4,%22y1%22:2%7D"


def test_regions_add_up(server, denoised: Denoised):
    answer = told(server, f"api/region?shape={REGION}")
    rows = [y * 8 + x for y in range(3) for x in range(1, 5) if y * 8 + x != 3]  # 3 has no estimate
    assert (answer["n_inside"], answer["n_summed"]) == (12, 11)
    total = denoised.flux[rows].astype(float).sum(axis=0)
    sigma = denoised.sigma[rows].astype(float)
    assert values(answer["flux"]) == pytest.approx(total, rel=1e-5, nan_ok=True)
    independent = values(answer["sigma_independent"])
    assert independent == pytest.approx(np.sqrt((sigma**2).sum(axis=0)), rel=1e-4, nan_ok=True)
    assert values(answer["sigma"]) == pytest.approx(sigma.sum(axis=0), rel=1e-4, nan_ok=True)
    bound = denoised.sum(rows, of="estimates").sigma[0]  # it is for all pixels at once, so a little larger
    seen = np.isfinite(bound)
    assert (values(answer["sigma"])[seen] <= bound[seen] * 1.001).all()
    assert (values(answer["sigma"])[seen] > bound[seen] * 0.8).all()
    assert "independent" in answer["assumed"]
    assert "largest there can be" in answer["assumed"]
    assert answer["sharing"] == "unknown"


def test_bands_have_the_error_of_the_covariance(server, denoised: Denoised):
    wavelength = denoised.spectra.wavelength
    weights = np.where((wavelength >= 5000) & (wavelength <= 5100), np.gradient(wavelength), 0.0)
    answer = told(server, "api/band?row=20&low=5100&high=5000")
    assert answer["flux"] == pytest.approx(weights @ np.nan_to_num(denoised.flux[20]), rel=1e-5)
    assert answer["error"] == pytest.approx(
        np.sqrt(weights @ np.nan_to_num(denoised.covariance(20)) @ weights), rel=1e-3
    )
    several = told(server, f"api/band?shape={REGION}&low=5000&high=5100")
    assert several["diagonal"] < several["independent"] < several["error"]
    assert several["sharing"] == "unknown"


def test_files_to_take_away(server, denoised: Denoised):
    _, headers, body = ask(server, "api/spectrum.fits?row=20")
    assert headers["Content-Disposition"] == "attachment; filename*=UTF-8''out_x4_y2.fits"
    with fits.open(BytesIO(body), checksum=True) as hdus:
        table = hdus["SPECTRUM"].data
        assert table["flux"] == pytest.approx(denoised.flux[20], rel=1e-6, nan_ok=True)
        assert table["wavelength"] == pytest.approx(denoised.spectra.wavelength)
    with fits.open(BytesIO(ask(server, f"api/region.fits?shape={REGION}")[2])) as hdus:
        assert hdus["SPECTRUM"].header["NSPAX"] == 11
    with fits.open(BytesIO(ask(server, "api/map.fits?name=SIGMA")[2])) as hdus:
        assert hdus["SIGMA"].data.ravel() == pytest.approx(denoised.parameters["sigma"][0], rel=1e-5, nan_ok=True)
        assert hdus["SIGMA_ERR"].data.shape == (6, 8)


# --- life and death ---


def test_an_abandoned_question_is_dropped(server, monkeypatch):
    begun: list[int] = []
    from quietspec.view import regions

    def slow(rows: Any, stop: Any) -> Any:
        for tile in np.split(rows, len(rows)):
            begun.append(int(tile[0]))
            if stop():
                raise ViewError("withdrawn")
            time.sleep(0.05)
            yield tile

    monkeypatch.setattr(regions, "_tiles", slow)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        everything = REGION.replace("x1%22:4", "x1%22:7").replace("y1%22:2", "y1%22:5").replace("x0%22:1", "x0%22:0")
        connection.sendall(
            f"GET /{server.token}/api/region?shape={everything} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        while not begun:
            time.sleep(0.01)
    time.sleep(0.5)
    assert 0 < len(begun) < 20
    assert ask(server, "api/about")[0] == 200


def test_many_ask_at_once(server):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda row: told(server, f"api/spectrum?row={row}")["row"], range(40)))
    assert answers == list(range(40))


def test_a_taken_port_is_said(output, server):
    with pytest.raises(ViewError, match="cannot be used"):
        ViewServer(output, port=server.port)


def test_files_that_cannot_be_shown_are_refused(tmp_path, output):
    with pytest.raises(ReadError, match="no such file"):
        ViewServer(tmp_path / "none.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    with pytest.raises(ReadError):
        ViewServer(output, tmp_path / "empty.fits")
    with pytest.raises(ViewError, match="two"):
        ViewServer(output, output, output)


def test_results_in_memory_are_shown_inline(denoised: Denoised, monkeypatch):
    page = denoised.view()
    try:
        assert told(page.server, "api/about")["files"][0]["n_spectra"] == 48
        assert f'<iframe src="{page.server.address}"' in page._repr_html_()
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/a/")
        assert page.address == f"/user/a/proxy/{page.server.port}/{page.server.token}/"
        folder = page.server.documents[0].path.parent
    finally:
        page.close()
    assert not folder.exists()
