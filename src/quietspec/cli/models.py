"""The command `models`: the shipped models with their cards, and networks that the package leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.cli.console import console, print_path
from quietspec.cli.outputs import Json, write_json

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(help="Show the whole card of this model: shipped, or an .npz.")] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            "--add", help="Network of a checkout (src/quietspec/models/*.onnx) to make available; repeatable."
        ),
    ] = None,
    json: Json = None,
) -> None:
    """List the shipped models with their cards, or add a network that the package leaves out."""
    from quietspec.cli.lab.cards import card_of
    from quietspec.denoisers import add_model, load_prior, model_cards
    from quietspec.errors import ModelError

    for path in add or ():
        print_path(add_model(path))
    if add:
        return
    cards = model_cards()
    if name is not None and Path(name).suffix == ".npz":
        cards = {name: {"summary": "", **dict(load_prior(name).card), **card_of(name)}}
    if name is not None and name not in cards:
        raise ModelError(f"no model {name!r}; shipped: {', '.join(cards) or 'none'}. Or give the path of an .npz.")
    if json is not None:
        write_json(json, cards if name is None else cards[name])
        return
    for key, card in cards.items():
        if name in (None, key):
            _print_card(key, card, whole=name is not None)


def _print_card(name: str, card: Mapping[str, Any], *, whole: bool) -> None:
    from quietspec.templates import TemplateTerms

    console.print(f"[bold]{name}[/]  {card['summary']}")
    keys = card.keys() if whole else ("recipe", "command", "hash")
    for key in keys:
        if key in card and key not in ("summary", "scores", "curve", "templates"):
            console.print(f"  {key}: {card[key]}", markup=False, soft_wrap=True)
    for one in TemplateTerms.of_card(card) if whole else ():
        console.print(f"  trained on {one}", markup=False, soft_wrap=True)
    for denoiser, by_snr in card.get("scores", {}).get("models", {}).items():
        reductions = ", ".join(f"{100 * scores['rms_reduction']:.1f} % at S/N {snr}" for snr, scores in by_snr.items())
        console.print(f"  {denoiser}: residual reduced by {reductions}", soft_wrap=True)
