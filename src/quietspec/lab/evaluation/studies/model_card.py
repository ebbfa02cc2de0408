"""Put what a study learns about a model into the files of the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quietspec.denoisers import load_prior

__all__ = ["put_into_card"]


def put_into_card(model: str, folder: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to the card of a prior, in its .npz and in the .json beside it.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    folder : Path
        Folder to write to; it holds the card of a shipped model.
    entries : mapping
        Entries of JSON types.
    """
    prior, name = load_prior(model), Path(model).stem
    beside = Path(model).with_suffix(".json") if Path(model).suffix else folder / f"{name}.json"
    content = json.loads(beside.read_text(encoding="utf-8")) | dict(entries)
    replace(prior, card={**prior.card, **entries}).save(folder / f"{name}.npz")
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
