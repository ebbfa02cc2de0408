"""Numbers in sentences: ``benchmarks/quotes.toml`` says which results file each comes from.

    [[quote]]
    page = "docs/measure.md"
    text = "bands of 300 spaxels scatter by {:.2f} of their errors"
    values = ["apertures: simulated / quantity=band, n_spaxels=300 / rms"]

The sentence, filled with the values, has to stand in the page, line breaks aside. A value is the results file, then
keys, positions in lists, or conditions that one element of a list meets, and at the end ``* 100`` where it is scaled.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.tables.markdown import ResultsFolder
from quietspec.lab.settings import Settings

__all__ = ["Quote", "quoted", "value_at"]

_QUOTES = Path("benchmarks") / "quotes.toml"


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
        page = " ".join((root / self.page).read_text(encoding="utf-8").split())
        return " ".join(self.filled(results).split()) in page


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
    """Return one value of a results file.

    Parameters
    ----------
    results : ResultsFolder
        The results files.
    place : str
        ``file: key / 3 / name=value, other=value / key * 100``.

    Returns
    -------
    object
        The value, a number as a rule.

    Raises
    ------
    QuietspecError
        If there is no such value, or several elements meet the conditions.
    """
    name, _, path = place.partition(":")
    path, _, factor = path.partition(" * ")
    found: Any = results[name.strip()]
    for step in path.split(" / "):  # names hold strokes too: S/N
        found = _step(found, step.strip(), place)
    return found * float(factor) if factor else found


def _step(content: Any, step: str, place: str) -> Any:
    if isinstance(content, list) and "=" in step:
        wanted = dict(condition.strip().split("=") for condition in step.split(","))
        met = [one for one in content if all(_text(one.get(key)) == value for key, value in wanted.items())]
        if len(met) == 1:
            return met[0]
        raise QuietspecError(f"{place}: {len(met)} elements have {step}, not one.")
    try:
        return content[int(step) if isinstance(content, list) else step]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise QuietspecError(f"{place}: no {step!r} there.") from error


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
