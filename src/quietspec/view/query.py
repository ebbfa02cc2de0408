"""What a request says, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from quietspec.errors import ViewError
from quietspec.view.document import Document

__all__ = ["MOST_REGIONS", "Documents", "Query", "document_of", "integer_of", "real_of", "shape_of", "shapes_of"]

MOST_REGIONS = 99  #: that are kept as bins

Query = Mapping[str, str]
Documents = Sequence[Document]


def document_of(documents: Documents, query: Query) -> Document:
    """File that a query is about, the first by default; a `ViewError` where there is none of its number."""
    number = integer_of(query, "file") if "file" in query else 0
    if not 0 <= number < len(documents):
        raise ViewError(f"there is no file {number}; there are {len(documents)}, counted from 0.")
    return documents[number]


def shape_of(query: Query) -> Mapping[str, Any]:
    """Region of a query; a `ViewError` where it is no JSON object."""
    try:
        shape = json.loads(query.get("shape", ""))
    except (ValueError, RecursionError) as error:
        raise ViewError(f"a region must be JSON ({error}).") from error
    if not isinstance(shape, dict):
        raise ViewError("a region is an object with a type.")
    return shape


def shapes_of(query: Query) -> list[Mapping[str, Any]]:
    """Regions of a query, at least one; a `ViewError` where they are no JSON list of objects."""
    try:
        shapes = json.loads(query.get("shapes", ""))
    except (ValueError, RecursionError) as error:
        raise ViewError(f"regions must be JSON ({error}).") from error
    if not isinstance(shapes, list) or not 0 < len(shapes) <= MOST_REGIONS:
        raise ViewError(f"regions are a list of 1 to {MOST_REGIONS}.")
    if not all(isinstance(shape, dict) for shape in shapes):
        raise ViewError("a region is an object with a type.")
    return shapes


def integer_of(query: Query, name: str) -> int:
    """Whole number of a query; a `ViewError` where it is none."""
    text = query.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise ViewError(f"{name}={text[:40]!r} is no whole number.")
    return int(text)


def real_of(query: Query, name: str) -> float:
    """Number of a query; a `ViewError` where it is none."""
    try:
        value = float(query.get(name, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ViewError(f"{name}={query.get(name, '')[:40]!r} is no number.")
    return value
