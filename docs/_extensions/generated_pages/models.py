"""One page per shipped model, from its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generated_pages.tables import table
from quietspec.templates import TemplateTerms

__all__ = ["model_page", "model_pages"]

_FACTS = {
    "recipe": "Recipe of the training spectra",
    "library": "Stellar libraries",
    "n": "Training spectra",
    "seed": "Seed",
    "kinematics": "Kinematics",
    "emission": "Emission lines",
    "noise": "Noise",
    "command": "Made by",
    "commit": "Commit",
    "date": "Date",
    "seconds": "Seconds of training",
    "hash": "SHA-256",
}


def model_pages(folder: Path) -> dict[str, str]:
    """Make the page of each card in a folder, and their index, by file name."""
    cards = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    pages = {f"models/{name}.md": model_page(name, card) for name, card in cards.items()}
    entries = "\n".join(f"models/{name}" for name in cards)
    about = "Made from `src/quietspec/models/*.json`, which `quietspec models NAME` prints."
    return {**pages, "model_cards.md": f"# Model cards\n\n{about}\n\n```{{toctree}}\n{entries}\n```\n"}


def model_page(name: str, card: Mapping[str, Any]) -> str:
    """Make the page of one card."""
    facts = [[label, _text(key, card[key])] for key, label in _FACTS.items() if card.get(key) not in (None, "")]
    parts = [f"# {name}", _sentence(card.get("summary", "")), table(["entry", "value"], facts)]
    parts += _scores(card)
    parts += _settings(card)
    parts += _laws(card)
    terms = [str(one) for one in TemplateTerms.of_card(card)]
    if terms:
        parts += ["## Terms of what it was trained on", "\n".join(f"- {term}" for term in terms)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _text(key: str, value: Any) -> str:
    if key in ("n", "seconds"):
        return f"{value:,}"
    return f"`{value}`" if key in ("command", "commit", "hash") else str(value)


def _scores(card: Mapping[str, Any]) -> list[str]:
    """Scores on test spectra, as training measured them."""
    scores = card.get("scores") or {}
    models = {name: by_snr for name, by_snr in scores.get("models", {}).items() if name != "noisy"}
    if not models:
        return []
    levels = [f"{snr:g}" for snr in scores["snr"]]
    rows = [[name, *(_score(by_snr.get(level)) for level in levels)] for name, by_snr in models.items()]
    about = f"{scores['n']:,} spectra of recipe `{scores['recipe']}` that it has not seen, seed {scores['seed']}"
    head = ["method", *(f"S/N {level}" for level in levels)]
    return ["## Scores", f"RMS residual removed, and truths within ±1σ (nominal: 68.3 %); {about}.", table(head, rows)]


def _score(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return "–"
    removed = f"{100 * scores['rms_reduction']:.1f} %"
    inside = scores.get("coverage68")
    return removed if inside is None else f"{removed}; {100 * inside:.1f} %"


def _settings(card: Mapping[str, Any]) -> list[str]:
    settings = card.get("settings")
    if not settings:
        return []
    return ["## Settings", f"```json\n{json.dumps(settings, indent=2, ensure_ascii=False)}\n```"]


def _laws(card: Mapping[str, Any]) -> list[str]:
    """Calibration laws by instrument."""
    laws = card.get("calibration")
    if not laws:
        return []
    rows = [[name, *_law(law), _teachers(laws["taught_by"].get(name))] for name, law in laws["laws"].items()]
    about = "How far the flux calibration of instruments wanders ([kinematics](../../kinematics.md#flux-calibration))."
    head = ["instrument", "smooth", "between arms", "waves", "learned from"]
    return ["## Calibration laws", about, table(head, rows)]


def _law(law: Mapping[str, Any]) -> list[str]:
    waves = ", ".join(f"{length:g}\u00a0Å:\u00a0{100 * size:.1f}\u00a0%" for length, size in law["waves"])
    return [f"{100 * law['smooth']:.1f} %", f"{100 * law['grey']:.1f} %", waves]


def _teachers(taught: Mapping[str, Any] | None) -> str:
    if taught is None:
        return "chosen wide"
    return f"{', '.join(taught['from'])} (spectra: {taught['spectra']}, exposures: {taught['exposures']})"
