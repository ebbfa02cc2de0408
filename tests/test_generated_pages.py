"""Pages made as the documentation is built hold what the package and the results say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import quietspec

ROOT = Path(__file__).parents[1]
EXTENSIONS = ROOT / "docs/_extensions"
if not EXTENSIONS.exists():
    pytest.skip("the documentation is not part of this distribution", allow_module_level=True)


@pytest.fixture
def made(monkeypatch) -> Iterator[ModuleType]:
    """The package that makes the pages."""
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    yield import_module("generated_pages")
    for name in [name for name in sys.modules if name.startswith("generated_pages")]:
        del sys.modules[name]


def cells(page: str) -> list[list[str]]:
    """Cells of all table rows of a page."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines() if line[:1] == "|"]


def test_a_card_becomes_a_page(made):
    pages = made.model_pages(ROOT / "src/quietspec/models")
    for path in (ROOT / "src/quietspec/models").glob("*.json"):
        card, page = json.loads(path.read_text(encoding="utf-8")), pages[f"models/{path.stem}.md"]
        assert page.startswith(f"# {path.stem}\n")
        assert card.get("hash", "") in page
        assert all(one["name"] in page for one in card.get("templates", ()))
        assert f"models/{path.stem}\n" in pages["model_cards.md"]


def test_the_gallery_shows_the_numbers_of_the_results(made):
    page = made.gallery_page(ROOT)
    results = json.loads((ROOT / "benchmarks/results/evaluate_survey.json").read_text(encoding="utf-8"))
    scores = results["models"]["posterior"]["20"]
    shown = f"{100 * scores['rms_reduction']:.1f}\u00a0±\u00a0{100 * scores['rms_reduction_error']:.1f}"
    assert shown in page
    assert all(len(row) > 1 for row in cells(page))
    for exhibit in yaml.safe_load((ROOT / "docs/gallery.yaml").read_text(encoding="utf-8")):
        assert f"## {exhibit['title']}\n" in page


def test_results_of_another_model_are_called_so(made):
    gallery, results = import_module("generated_pages.gallery"), {"model": "posterior 0123"}
    assert gallery._origin("x", results, ["9", "0123abc"]) == "`x.json`: model posterior 0123 (one that ships)."
    assert gallery._origin("x", results, ["4567abc"]) == "`x.json`: model posterior 0123 (an earlier one)."
    assert gallery._origin("x", {}, []) == "`x.json`."


def test_every_command_and_option_is_listed(made):
    pages = made.command_pages()
    names = {line[3:] for page in pages.values() for line in page.splitlines() if line.startswith("## ")}
    assert {"quietspec denoise", "quietspec batch run", "quietspec lab train"} <= names
    assert "`--redshift`" in pages["commands.md"]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in pages["commands.md"].splitlines()]
    assert ["`posterior`, `ppxf`, `denoised`", "`posterior`"] in [row[2:] for row in rows if row[0] == "`--method`"]
    assert {"integer", "number", "path", "text", "`air`, `vacuum`"} <= {row[2] for row in rows if len(row) > 2}
    assert "quietspec lab" not in {name for name in names if f"## {name}\n" in pages["commands.md"]}


def test_the_reference_names_every_public_name_once(made):
    pages = made.api_pages()
    listed = [line.strip() for line in pages["modules/quietspec.rst"].splitlines()]
    assert {name for name in quietspec.__all__ if not name.startswith("_")} <= set(listed)
    assert "Spectra" not in [line.strip() for line in pages["modules/quietspec.io.rst"].splitlines()]
    assert all(f"modules/{name}>" in pages["api.rst"] for name in ("quietspec", "quietspec.io", "quietspec.lines"))


def test_cells_may_hold_any_text(made):
    table = import_module("generated_pages.tables").table
    assert table(["a|b"], [["1 ± 2"]]) == "| a\\|b |\n| --- |\n| 1\u00a0±\u00a02 |"
