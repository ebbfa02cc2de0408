"""Terms under which the templates behind a model may be used, as the model's card states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from quietspec.errors import ModelError

__all__ = ["UNSTATED", "TemplateTerms"]

UNSTATED = "not stated by whoever trained it"
_ENTRY = "templates"


@dataclass(frozen=True, kw_only=True)
class TemplateTerms:
    """Terms of one set of templates that a model was trained on.

    Parameters
    ----------
    name : str
        Name by which `quietspec.fetch` knows the set, or that of a user's own library.
    terms : str
        Terms under which it may be used.
    citation : str, optional
        What to cite, if known.
    """

    name: str
    terms: str = UNSTATED
    citation: str | None = None

    @classmethod
    def entry(cls, sets: tuple[Self, ...]) -> dict[str, Any]:
        """Return the entry ``templates`` of a card, of JSON types."""
        return {_ENTRY: [asdict(one) for one in sets]}

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> tuple[Self, ...]:
        """Read the entry ``templates`` of a card.

        Parameters
        ----------
        card : mapping
            Card of a model.

        Returns
        -------
        tuple of TemplateTerms
            All sets it was trained on; none if the card, as those of earlier versions, does not say.

        Raises
        ------
        ModelError
            If the entry is malformed.
        """
        try:
            return tuple(cls(**one) for one in card.get(_ENTRY, ()))
        except TypeError as error:
            raise ModelError(f"the card's entry {_ENTRY!r} is malformed ({error}). Train the model again.") from error

    def __str__(self) -> str:
        """Return the terms and the citation in a line."""
        return f"{self.name}: {self.terms}" + (f"; cite {self.citation}" if self.citation else "")
