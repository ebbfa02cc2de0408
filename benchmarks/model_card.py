"""Put what benchmarks learn about a model into its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from quietspec.denoisers import load_prior


def put_into_card(model: str, folder: Path, entries: dict[str, Any]) -> None:
    """Add entries to the card of a prior, in its .npz and in the .json beside it, in `folder`."""
    prior, name = load_prior(model), Path(model).stem
    beside = Path(model).with_suffix(".json") if Path(model).suffix else folder / f"{name}.json"
    content = json.loads(beside.read_text(encoding="utf-8")) | entries
    replace(prior, card={**prior.card, **entries}).save(folder / f"{name}.npz")
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
