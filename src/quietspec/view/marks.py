"""Lines and indices that a spectrum can be marked with, at rest."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from quietspec.indices.definitions import DEFINITIONS
from quietspec.plots.style import line_label
from quietspec.wavelengths import EMISSION_LINES, STRONG_LINES

__all__ = ["marks"]

#: Absorption features, rest-frame air Å (NIST; Na D and Mg b are means of their lines, the G band that of CH).
_ABSORPTION: dict[str, float] = {
    "Ca II K": 3933.66, "Ca II H": 3968.47, "G band": 4304.0, "Mg b": 5175.0, "Fe 5270": 5269.5, "Fe 5335": 5328.0,
    "Na D": 5892.9, "TiO": 7150.0, "Ca II 8498": 8498.02, "Ca II 8542": 8542.09, "Ca II 8662": 8662.14,
}  # fmt: skip
_GREEK = {"alpha": "α", "gamma": "γ", "epsilon": "ε"}


@cache
def marks() -> dict[str, list[dict[str, Any]]]:
    """Lines by kind, and indices with their bands.

    Returns
    -------
    dict of str to list
        ``emission`` and ``absorption``: `name`, `wavelength` (Å), its `medium`, and whether it is `strong`;
        ``indices``: `name`, `bands`, pairs of wavelengths (Å), the blue side first, and their `medium`.

    Examples
    --------
    >>> [round(line["wavelength"], 1) for line in marks()["emission"] if line["name"] == "Hα"]
    [6562.8]
    """
    return {
        "emission": [_line(_named(name), rest, name in STRONG_LINES) for name, rest in EMISSION_LINES.items()],
        "absorption": [_line(name, rest, True) for name, rest in _ABSORPTION.items()],
        "indices": [
            {"name": name, "bands": definition.bands, "medium": definition.medium}
            for name, definition in sorted(DEFINITIONS.items())
        ],
    }


def _line(name: str, rest: float, strong: bool) -> dict[str, Any]:
    return {"name": name, "wavelength": rest, "medium": "air", "strong": strong}


def _named(name: str) -> str:
    """Write a line's name as it is printed."""
    name = line_label(name)
    for spelt, letter in _GREEK.items():
        name = name.replace(f"H{spelt}", f"H{letter}")
    return re.sub(r"^(\[?[A-Z][a-z]?)(I+V?|V)(\]?)(\d+)$", r"\1 \2\3 \4", name)
