"""The command `models`: the shipped models with their cards, and networks that the package leaves out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.cli.console import console, print_path
from quietspec.cli.outputs import Json, write_json

__all__ = ["models"]


def models(
    name: Annotated[str | None, typer.Argument(help="Show the whole card of this model.")] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            "--add", help="Network of a checkout (src/quietspec/models/*.onnx) to make available; repeatable."
        ),
    ] = None,
    json: Json = None,
) -> None:
    """List the shipped models with their cards, or add a network that the package leaves out."""
    from quietspec.denoisers import add_model, model_cards
    from quietspec.errors import ModelError

    for path in add or ():
        print_path(add_model(path))
    if add:
        return
    cards = model_cards()
    if name is not None and name not in cards:
        raise ModelError(f"no model {name!r}; shipped: {', '.join(cards) or 'none'}.")
    if json is not None:
        write_json(json, cards if name is None else cards[name])
        return
    for key, card in cards.items():
        if name in (None, key):
            _print_card(key, card, whole=name is not None)


def _print_card(name: str, card: dict[str, Any], *, whole: bool) -> None:
    console.print(f"[bold]{name}[/]  {card['summary']}")
    keys = card.keys() if whole else ("recipe", "command", "hash")
    for key in keys:
        if key in card and key not in ("summary", "scores", "curve"):
            console.print(f"  {key}: {card[key]}", markup=False, soft_wrap=True)
    for denoiser, by_snr in card.get("scores", {}).get("models", {}).items():
        reductions = ", ".join(f"{100 * scores['rms_reduction']:.1f} % at S/N {snr}" for snr, scores in by_snr.items())
        console.print(f"  {denoiser}: residual reduced by {reductions}", soft_wrap=True)
