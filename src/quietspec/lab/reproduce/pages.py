"""What the pages take from results files: tables between markers, and which code made the results of a page.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; `published_table` knows the names. The paragraph
about the code stands between ``<!-- made -->`` and ``<!-- end -->``. `quietspec lab reproduce --pages` writes both; the
tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from quietspec.lab.evaluation.tables.markdown import ResultsFolder
from quietspec.lab.evaluation.tables.published import published_table
from quietspec.lab.reproduce.manifest import Manifest
from quietspec.lab.reproduce.state import state_of

__all__ = ["marked_tables", "mended_page", "pages_of", "unmarked_tables"]

_BLOCK = re.compile(r"(<!-- (table: [^>]+|made) -->\n)(.*?)<!-- end -->", re.DOTALL)
_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_NUMBER = re.compile(r"^(?:[<>≤≥~−+-] ?|\*\*)?\.?\d")
_OF_NUMBERS = 0.34  # share of the cells beside the first column that begin with a number, in a table of results


def pages_of(manifest: Manifest) -> list[Path]:
    """Return the pages that quote results, as paths from the root, sorted.

    Parameters
    ----------
    manifest : Manifest
        The manifest.

    Returns
    -------
    list of Path
        Each once.
    """
    return sorted({Path(page) for part in manifest.part for page in part.pages})


def mended_page(manifest: Manifest, page: Path) -> str:
    """Return the text of a page with its tables, and what made them, as the results files have them.

    Parameters
    ----------
    manifest : Manifest
        The manifest.
    page : Path
        The page, from the root of the checkout.

    Returns
    -------
    str
        The text; the same where nothing has to change.

    Raises
    ------
    QuietspecError
        If a marker names no table.
    """
    text = (manifest.root / page).read_text(encoding="utf-8")
    results = ResultsFolder(manifest.results)

    def filled(match: re.Match[str]) -> str:
        name = match[2].removeprefix("table: ")
        made = _made(manifest, page) if match[2] == "made" else published_table(name, results)
        return f"{match[1]}\n{made}\n\n<!-- end -->"

    return _BLOCK.sub(filled, text)


def _made(manifest: Manifest, page: Path) -> str:
    """Paragraph that names the results of a page, and which of them earlier code made."""
    states = {part.name: state_of(manifest, part) for part in manifest.part if page.as_posix() in part.pages}
    present = [f"`{name}.json` ({state.commit})" for name, state in states.items() if state.done]
    earlier = [
        f"`{name}.json`" + (f" ({state.commit})" if state.commit else "")
        for name, state in states.items()
        if not state.done and state.kind != "missing"
    ]
    unkept = [f"`{name}`" for name, state in states.items() if state.kind == "missing"]
    sentences = [
        f"Results of the present code (and their commits): {', '.join(present)}." if present else "",
        f"Made by an earlier state of the code, and to be made again: {', '.join(earlier)}." if earlier else "",
        f"From earlier runs that left no results file: {', '.join(unkept)}." if unkept else "",
    ]
    return " ".join(filter(None, sentences))


def marked_tables(root: Path, page: Path) -> list[str]:
    """Return the names of the tables that a page takes from results files.

    Parameters
    ----------
    root : Path
        The checkout.
    page : Path
        The page, from the root.

    Returns
    -------
    list of str
        In their order.
    """
    text = (root / page).read_text(encoding="utf-8")
    return [match[2].removeprefix("table: ") for match in _BLOCK.finditer(text) if match[2] != "made"]


def unmarked_tables(root: Path, page: Path) -> Iterator[str]:
    """Yield the head of every table of numbers that no results file fills.

    Parameters
    ----------
    root : Path
        The checkout.
    page : Path
        The page, from the root.

    Yields
    ------
    str
        First line of the table, with the heading that it stands under.
    """
    text = _BLOCK.sub("", (root / page).read_text(encoding="utf-8"))
    heading = ""
    for match in re.finditer(rf"^#+ (?P<heading>.+)\n|{_TABLE.pattern}", text, re.MULTILINE):
        if match["heading"]:
            heading = match["heading"]
        elif _holds_numbers(match[0]):
            yield f"{heading}: {match[0].splitlines()[0]}"


def _holds_numbers(table: str) -> bool:
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    cells = [cell.strip() for row in rows for cell in row[1:] if cell.strip()]
    return sum(bool(_NUMBER.match(cell)) for cell in cells) > _OF_NUMBERS * len(cells)
