"""What the pages say is what the results files hold, and these are of the present code or are said not to be."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks/manifest.toml").exists():
    pytest.skip("needs a checkout: the results are not part of this distribution", allow_module_level=True)

from quietspec.denoisers.shipped import PRIORS
from quietspec.lab.evaluation.tables.markdown import ResultsFolder
from quietspec.lab.reproduce import Manifest, known_stale, state_of
from quietspec.lab.reproduce.pages import marked_tables, mended_page, pages_of, unmarked_tables
from quietspec.lab.reproduce.quotes import Quote, quoted

MANIFEST = Manifest.load(ROOT)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
UNCOVERED = ROOT / "benchmarks/uncovered.txt"
#: Tables of numbers that were copied by hand when this check was made; there may be fewer, not more.
MOST_UNCOVERED = 6


@pytest.mark.parametrize("page", pages_of(MANIFEST), ids=str)
def test_tables_of_the_pages_are_those_of_the_results(page):
    """`quietspec lab reproduce --pages` writes them."""
    assert (ROOT / page).read_text(encoding="utf-8") == mended_page(MANIFEST, page)


@pytest.mark.parametrize("quote", quoted(ROOT), ids=lambda quote: f"{quote.page}: {quote.text[:40]}")
def test_numbers_in_sentences_are_those_of_the_results(quote: Quote):
    results = ResultsFolder(MANIFEST.results)
    assert quote.stands(ROOT, results), f"{quote.page} lacks: {quote.filled(results)}"


@pytest.mark.parametrize("part", MANIFEST.part, ids=lambda part: part.name)
def test_results_are_of_the_present_code_or_known_not_to_be(part):
    state, known = state_of(MANIFEST, part), part.name in known_stale(ROOT)
    assert state.done != known, (
        f"{part.name}: {state}. `quietspec lab reproduce --only {part.name}` makes it again"
        if not known
        else f"{part.name} is up to date: take it off benchmarks/stale.txt, or run `quietspec lab reproduce --pages`"
    )


def test_every_result_and_picture_has_a_part():
    results = {path.stem for path in MANIFEST.results.glob("*.json")}
    assert results <= {part.name for part in MANIFEST.part}
    drawn = {name for part in MANIFEST.part for name in (*part.figures, *part.copies)}
    claimed = {path for name in drawn for path in ROOT.glob(name)}
    assert {*MANIFEST.results.glob("*.png"), *(ROOT / "docs/figures").rglob("*.png")} == claimed


@pytest.mark.parametrize("part", MANIFEST.part, ids=lambda part: part.name)
def test_parts_name_what_exists(part):
    program = part.program(ROOT)
    assert program.entry.exists()
    assert set(part.modules) <= set(program.imported())
    assert all(path.exists() for path in program.files)
    assert all((ROOT / page).exists() for page in part.pages)
    assert {f"model {name}" for name in part.models} <= set(program.digests())


@pytest.mark.parametrize("model", PRIORS)
def test_cards_state_the_scores_of_the_results(model):
    card = json.loads((ROOT / f"src/quietspec/models/{model}.json").read_text(encoding="utf-8"))
    assert card["scores"] == ResultsFolder(MANIFEST.results)["card_scores"]["scores"][model]


def test_results_quoted_in_a_page_are_named_as_its_own():
    quotes = {(quote.page, value.partition(":")[0]) for quote in quoted(ROOT) for value in quote.values}
    tables = {(page.relative_to(ROOT).as_posix(), name) for page in PAGES for name in marked_tables(ROOT, page)}
    quotes |= {(page, name.rpartition(" ")[0]) for page, name in tables if name.rpartition(" ")[2].isdigit()}
    known = {(page, part.name) for part in MANIFEST.part for page in part.pages}
    assert {quote for quote in quotes if quote[1] in MANIFEST} <= known


def test_pages_with_results_say_which_code_made_them():
    without = [
        str(page) for page in pages_of(MANIFEST) if "<!-- made -->" not in (ROOT / page).read_text(encoding="utf-8")
    ]
    assert without == []


def test_tables_copied_by_hand_are_listed_and_become_fewer():
    found = [f"{page.relative_to(ROOT)}: {head}" for page in PAGES for head in unmarked_tables(ROOT, page)]
    listed = UNCOVERED.read_text(encoding="utf-8").splitlines()
    assert found == [line for line in listed if line and not line.startswith("#")]
    assert len(found) <= MOST_UNCOVERED
