"""Markdown tables, and the results files they are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ResultsFolder", "markdown_table", "plain_table"]


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
