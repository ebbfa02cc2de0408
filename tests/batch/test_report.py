"""Reports: the pages are well-formed and need nothing else, whatever files are called."""

from __future__ import annotations

import base64
import json
from xml.etree import ElementTree as ET

import pytest

from quietspec.batch import Cube, batch_status, write_report
from quietspec.batch import report as module
from quietspec.batch.facts import Record
from quietspec.batch.lock import locked
from quietspec.batch.state import Journal, Plan
from quietspec.batch.task import page, thumbnail

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
HTML = "{http://www.w3.org/1999/xhtml}"
HOSTILE = "a<script>&\"'\x07\udcff.fits"


def facts(cube: Cube, **changes: object) -> dict[str, object]:
    measured = {
        "n_spectra": 10, "snr_before": 2.5, "snr_after": None, "failed": 0, "noise": None, "flags": {"EMPTY": 4},
        "seconds": 1.0, "warnings": ["<b>&"], "size": 1, "sha256": "0",
    }  # fmt: skip
    return measured | {"recipe": cube.recipe("model")} | changes


@pytest.fixture
def folder(tmp_path):
    """One cube of each kind."""
    names = [HOSTILE, "flagged.fits", "failed.fits", "begun.fits", "waiting.fits"]
    cubes = [Cube((f"in_{name}",), name, {"redshift": 0.1}) for name in names]
    with locked(tmp_path), Journal(tmp_path) as journal:
        Plan("<m>.csv", "run", "1", "model", "then", cubes).save(tmp_path)
        journal.add([Record(name, "start", 1) for name in names[:-1]])
        journal.add([Record(HOSTILE, "done", 1, facts=facts(cubes[0]))])
        journal.add([Record("flagged.fits", "done", 1, facts=facts(cubes[1], flags={"STAR": 2, "EMPTY": 1}))])
        journal.add([Record("failed.fits", "failed", 3, facts={"reason": "a <tag> & \x00"})])
    thumbnail(tmp_path, "").parent.mkdir()
    thumbnail(tmp_path, "flagged.fits").write_bytes(PNG)
    return tmp_path


def parse(page) -> ET.Element:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    return ET.fromstring(text)


def test_status(folder):
    report = batch_status(folder)
    assert [cube["status"] for cube in report.cubes] == ["done", "flagged", "failed", "begun", "waiting"]
    assert dict(report.counts) == {"failed": 1, "flagged": 1, "begun": 1, "waiting": 1, "done": 1, "kept": 0}
    assert not report.complete


def test_page(folder):
    index = write_report(batch_status(folder), folder)
    whole = parse(index)
    rows = whole.findall(f".//{HTML}tbody/{HTML}tr")
    assert [row[2].text for row in rows] == ["failed", "flagged", "begun", "waiting", "done"]  # troubles first
    assert "a <tag> & \ufffd" in "".join(rows[0].itertext())
    assert "2 star" in "".join(rows[1].itertext())
    assert "a<script>&\"'\ufffd\ufffd.fits" in "".join(rows[4].itertext())
    assert "<b>&" in "".join(rows[4].itertext())
    (script,) = whole.iter(f"{HTML}script")  # none of a cube's
    assert set(script.attrib) == set()
    assert HOSTILE[:9] not in script.text
    (image,) = whole.iter(f"{HTML}img")
    assert base64.b64decode(image.get("src").removeprefix("data:image/png;base64,")) == PNG
    links = [node.get(name) for node in whole.iter() for name in ("src", "href") if node.get(name)]
    assert all(link.startswith("data:") for link in links)


def test_cubes_are_linked_to_their_pages(folder):
    about = page(folder, "flagged.fits")
    about.parent.mkdir()
    about.write_text("about", encoding="utf-8")
    index = write_report(batch_status(folder), folder)
    (link,) = parse(index).iter(f"{HTML}a")
    assert link.text == "flagged.fits"
    assert (index.parent / link.get("href")).read_text(encoding="utf-8") == "about"


def test_many_cubes_take_several_pages(folder, monkeypatch):
    monkeypatch.setattr(module, "_PAGE", 2)
    index = write_report(batch_status(folder), folder)
    names = ["index.html", "page2.html", "page3.html"]
    shown = []
    for number, name in enumerate(names):
        whole = parse(index.with_name(name))
        assert [link.get("href") for link in whole.iter(f"{HTML}a")] == names[:number] + names[number + 1 :]
        shown += [row[2].text for row in whole.findall(f".//{HTML}tbody/{HTML}tr")]
    assert shown == ["failed", "flagged", "begun", "waiting", "done"]


def test_json(folder):
    write_report(batch_status(folder), folder)
    content = json.loads((folder / "batch" / "report.json").read_text(), parse_constant=pytest.fail)
    assert content.keys() == {
        "manifest", "command", "version", "model", "started", "reported", "interrupted", "counts", "cubes",
    }  # fmt: skip
    assert content["cubes"][0]["output"] == HOSTILE
    assert content["cubes"][0]["snr_after"] is None


def test_a_few_doubtful_spectra_do_not_flag_a_cube(folder):
    cube = Cube(("in_flagged.fits",), "flagged.fits", {"redshift": 0.1})
    for count, status in ((1, "done"), (2, "flagged")):
        with locked(folder), Journal(folder) as journal:
            journal.add([Record("flagged.fits", "done", 1, facts=facts(cube, flags={"POOR_FIT": count}))])
        assert batch_status(folder).cubes[1]["status"] == status
