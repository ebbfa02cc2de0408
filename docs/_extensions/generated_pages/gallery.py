"""The gallery of what was measured: tables from the results of the benchmarks, and their figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from generated_pages import measured
from generated_pages.measured import Results
from generated_pages.tables import table
from quietspec.lab.reproduce import Manifest, state_of

__all__ = ["gallery_page"]

_ABOUT = """# Gallery of results

Every table and figure on this page is made from a file in `benchmarks/results/` when the pages are built, and each
section ends with the command that made the file. A model is named by its hash, and the section says whether that is the
hash of a model that ships today or of an earlier one. The texts that explain the tests are
[validation](../validation.md), [kinematics](../kinematics.md), [a wider world](../wide_world.md),
[what is measured](../measure.md) and [populations](../populations.md)."""

_EARLIER = " Made by an earlier state of the code, and to be made again."


def gallery_page(root: Path) -> str:
    """Make the page of ``docs/gallery.yaml`` from the results and the model's card in a checkout."""
    exhibits = yaml.safe_load((root / "docs/gallery.yaml").read_text(encoding="utf-8"))
    cards = (json.loads(path.read_text(encoding="utf-8")) for path in (root / "src/quietspec/models").glob("*.json"))
    shipped = [card["hash"] for card in cards if "hash" in card]
    manifest = Manifest.load(root)
    return "\n\n".join([_ABOUT, *(_section(one, manifest, shipped) for one in exhibits)]) + "\n"


def _section(exhibit: dict[str, Any], manifest: Manifest, shipped: list[str]) -> str:
    part = manifest[exhibit["results"]]
    content = json.loads((manifest.results / f"{part.name}.json").read_text(encoding="utf-8"))
    parts = [f"## {exhibit['title']}", exhibit["claim"]]
    if "table" in exhibit:
        parts.append(table(*getattr(measured, exhibit["table"])(content)))
    figures = exhibit.get("figures", {}).items()
    parts += [f"![{text}](../../benchmarks/results/{name})" for name, text in figures]
    command = content.get("command", part.command)
    origin = _origin(part.name, content, shipped) + ("" if state_of(manifest, part).done else _EARLIER)
    return "\n\n".join([*parts, f"```text\n{command}\n```", origin])


def _origin(name: str, content: Results, shipped: list[str]) -> str:
    """What made the results: model, version, commit, date and machine, as far as the file says."""
    machine = content.get("machine", {})
    facts = {
        "model": ", ".join(_model(name, shipped) for name in _models(content)),
        "quietspec": machine.get("quietspec"),
        "commit": content.get("commit"),
        "date": machine.get("date"),
        "machine": machine and f"{machine['processor']}, {machine['cores']} cores",
    }
    known = "; ".join(f"{key} {fact}" for key, fact in facts.items() if fact)
    return f"`{name}.json`" + (f": {known}." if known else ".")


def _models(content: Results) -> list[str]:
    """Names of the models that a file was measured with: it names one, several, or none."""
    named = content.get("model", content.get("models", {}))
    several = list(named.values()) if isinstance(named, dict) else [named]
    return [name for name in several if isinstance(name, str)]


def _model(name: str, shipped: list[str]) -> str:
    if len(name.split()) < 2:
        return name
    ships = any(known.startswith(name.split()[1]) for known in shipped)
    return f"{name} ({'one that ships' if ships else 'an earlier one'})"
