"""Markdown tables, and the results files they are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Printed", "ResultsFolder", "by_column", "markdown_table", "plain_table", "with_minus"]

#: A table that a script keeps as it prints it: its ``title``, its ``head``, and its ``rows`` of cells.
Printed = Mapping[str, Any]


@dataclass(frozen=True)
class ResultsFolder:
    """Folder of results files in JSON.

    Parameters
    ----------
    path : Path
        The folder.
    """

    path: Path

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Content of one results file, by its name without ending."""
        content: dict[str, Any] = json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))
        return content

    def __contains__(self, name: str) -> bool:
        return (self.path / f"{name}.json").exists()


def markdown_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a Markdown table under its title.

    Parameters
    ----------
    title : str
        Title, without closing full stop.
    head : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells.

    Returns
    -------
    str
        Lines without a final line break.
    """
    return f"**{title}**\n\n{plain_table(head, rows)}"


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a Markdown table.

    Parameters
    ----------
    head : sequence of str
        Names of the columns.
    rows : sequence of sequence of str
        Cells.

    Returns
    -------
    str
        Lines without a final line break.

    Examples
    --------
    >>> print(plain_table(["", "S/N 5"], [["Hβ", "68 %"]]))
    |  | S/N 5 |
    |---|---|
    | Hβ | 68 % |
    """
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def by_column(printed: Printed) -> Iterator[dict[str, str]]:
    """Yield the cells of each row of a printed table by the names of their columns.

    Parameters
    ----------
    printed : mapping
        The table, see `Printed`.

    Yields
    ------
    dict of str to str
        Cells of one row.

    Examples
    --------
    >>> list(by_column({"head": ["S/N", "V"], "rows": [["5", "-3"]]}))
    [{'S/N': '5', 'V': '-3'}]
    """
    for row in printed["rows"]:
        yield dict(zip(printed["head"], row, strict=True))


def with_minus(cell: str) -> str:
    """Write negative numbers with a minus, and leave names with a hyphen alone.

    Parameters
    ----------
    cell : str
        Content of a cell.

    Returns
    -------
    str
        The same with minus signs.

    Examples
    --------
    >>> with_minus("spec-0412 is at -17.9")
    'spec-0412 is at −17.9'
    """
    return re.sub(r"(?<![\w)])-(?=[\d.])", "−", cell)
