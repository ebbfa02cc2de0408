"""Numbers in sentences: ``benchmarks/quotes.toml`` says which results file each comes from.

    [[quote]]
    page = "docs/measure.md"
    text = "bands of 300 spaxels scatter by {:.2f} of their errors"
    values = ["apertures: simulated / quantity=band, n_spaxels=300 / rms"]

The sentence, filled with the values, has to stand in the page, line breaks and kinds of minus aside. A value is the
results file (or the path from there of another JSON, without its suffix), then steps into it, and at the end ``* 100``
where it is scaled. A step is

- a key, in backticks where it has `` / `` in itself, or a position in a list;
- conditions that elements meet;
- a position in a text that is kept as it was printed: the word there;
- ``each``: all elements, of a printed table its rows.

Where several values are found, ``smallest of``, ``largest of``, ``median of`` or ``sum of`` before the
file makes them one. ``A ÷ B`` is the ratio of two values.
"""

from __future__ import annotations

import re
import statistics
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.tables.markdown import ResultsFolder, by_column
from quietspec.lab.settings import Settings

__all__ = ["Quote", "quoted", "value_at"]

_QUOTES = Path("benchmarks") / "quotes.toml"
_MADE_ONE: dict[str, Callable[[list[Any]], Any]] = {
    "smallest": min,
    "largest": max,
    "median": statistics.median,
    "sum": sum,
}
_PLACE = re.compile(rf"(?:({'|'.join(_MADE_ONE)}) of )?([\w./-]+): (.+?)(?: \* ([-+.\de]+))?")
_BETWEEN_STEPS = re.compile(r" / (?=(?:[^`]*`[^`]*`)*[^`]*$)")  # outside of backticks


class Quote(Settings):
    """A sentence with numbers.

    Parameters
    ----------
    page : str
        The page, from the root of the checkout.
    text : str
        The sentence, with a format in braces for each number.
    values : tuple of str
        Where each number is.
    """

    page: str
    text: str
    values: tuple[str, ...]

    def filled(self, results: ResultsFolder) -> str:
        """Return the sentence with its numbers.

        Parameters
        ----------
        results : ResultsFolder
            The results files.

        Returns
        -------
        str
            As it has to stand in the page.
        """
        return self.text.format(*(value_at(results, value) for value in self.values))

    def stands(self, root: Path, results: ResultsFolder) -> bool:
        """Return whether the page has the sentence with these numbers.

        Parameters
        ----------
        root : Path
            The checkout.
        results : ResultsFolder
            The results files.

        Returns
        -------
        bool
            True where it stands.
        """
        return _plain(self.filled(results)) in _plain((root / self.page).read_text(encoding="utf-8"))


def quoted(root: Path) -> list[Quote]:
    """Read the quotes of a checkout.

    Parameters
    ----------
    root : Path
        The checkout.

    Returns
    -------
    list of Quote
        In their order.
    """
    found = tomllib.loads((root / _QUOTES).read_text(encoding="utf-8"))
    return [Quote.model_validate(entry) for entry in found["quote"]]


def value_at(results: ResultsFolder, place: str) -> Any:
    """Return one value of the results files.

    Parameters
    ----------
    results : ResultsFolder
        The results files.
    place : str
        ``file: key / 3 / name=value, other=value / key * 100``, or the ratio of two of these; see the module.

    Returns
    -------
    object
        The value, a number as a rule.

    Raises
    ------
    QuietspecError
        If there is no such value, or several where one is asked for.
    """
    value, *under = (_one(results, part) for part in place.split(" ÷ "))
    return value / under[0] if under else value


def _one(results: ResultsFolder, place: str) -> Any:
    parts = _PLACE.fullmatch(place)
    if not parts:
        raise QuietspecError(f"{place}: not of the form FILE: STEP / STEP.")
    made_one, name, path, factor = parts.groups()
    found: list[Any] = [results[name]]
    for step in _BETWEEN_STEPS.split(path):
        found = [one for content in found for one in _inside(content, step.strip("` "))]
    values = [_number(one) for one in found if one is not None]
    if not values or (len(values) > 1 and not made_one):
        raise QuietspecError(f"{place}: {len(values)} values there, not one.")
    value = _MADE_ONE[made_one](values) if made_one else values[0]
    return value * float(factor) if factor else value


def _inside(content: Any, step: str) -> Iterable[Any]:
    """Return what a step leads to: nothing where there is no such thing."""
    if step == "each":
        return _elements(content)
    if isinstance(content, dict) and step in content:
        return [content[step]]
    if "=" in step:
        wanted = dict(condition.split("=", 1) for condition in re.split(r", (?=[^,=]+=)", step))
        entries = [one for one in _elements(content) if isinstance(one, dict)]
        return [one for one in entries if all(_text(one.get(key)) == wanted[key] for key in wanted)]
    ordered = content.split() if isinstance(content, str) else content
    if not isinstance(ordered, list) or not re.fullmatch(r"-?\d+", step):
        return []
    return [ordered[int(step)]] if -len(ordered) <= int(step) < len(ordered) else []


def _elements(content: Any) -> Iterable[Any]:
    if not isinstance(content, dict):
        return content if isinstance(content, list) else []
    return by_column(content) if {"head", "rows"} <= content.keys() else content.values()


def _number(value: Any) -> Any:
    """Return a printed number as a number, without what stands around it; anything else as it is."""
    if not isinstance(value, str):
        return value
    bare = value.strip("()[],;% ").replace("−", "-")
    return float(bare) if re.fullmatch(r"[-+]?\d*\.?\d+", bare) else value


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("−", "-")
