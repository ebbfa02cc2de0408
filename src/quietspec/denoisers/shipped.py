"""Models that come with this version: their names, their cards, and where their files lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args

from platformdirs import user_data_path

from quietspec.errors import ModelError
from quietspec.hashing import file_sha256

__all__ = [
    "NETWORKS", "PRIORS", "ShippedModel", "ShippedNetwork", "add_model", "model_cards", "model_folder", "network_file",
    "prior_file",
]  # fmt: skip

ShippedModel = Literal["survey", "ultraviolet", "paper"]  #: priors, in the package
ShippedNetwork = Literal["eut-placed", "eut-position", "eut-small"]  #: networks, in a checkout or added by `add_model`

PRIORS: tuple[str, ...] = get_args(ShippedModel)
NETWORKS: tuple[str, ...] = get_args(ShippedNetwork)


def model_cards() -> Mapping[str, dict[str, Any]]:
    """Cards of this version's models, by name: recipe, seed, commit, command, time, scores and hash."""
    entries = sorted(_package().iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))
        for entry in entries
        if entry.name.endswith(".json")
    }


def model_card(name: str) -> dict[str, Any]:
    """Card of one of this version's models, `PRIORS` or `NETWORKS`."""
    card: dict[str, Any] = json.loads((_package() / f"{name}.json").read_text(encoding="utf-8"))
    return card


def model_folder() -> Path:
    """Folder of the user's data where added models lie."""
    return user_data_path("quietspec", appauthor=False) / "models"


def prior_file(name: str) -> Traversable:
    """File of a shipped prior, one of `PRIORS`."""
    return _package() / f"{name}.npz"


def network_file(name: str) -> Traversable:
    """Find the file of a network: in the package, else in `model_folder`.

    Parameters
    ----------
    name : str
        One of `NETWORKS`.

    Returns
    -------
    Traversable
        Its file, whose hash is that of its card.

    Raises
    ------
    ModelError
        If the file is in neither place, or is not that of the card.
    """
    for folder in (_package(), model_folder()):
        found = folder / f"{name}.onnx"
        if not found.is_file():
            continue
        if hashlib.sha256(found.read_bytes()).hexdigest() != model_cards()[name]["hash"]:
            raise ModelError(
                f"{found}: does not match the card of {name!r}. Remove it, then: quietspec models --add {name}.onnx"
            )
        return found
    raise ModelError(
        f"the network {name!r} is not part of the installed package. Get {name}.onnx from quietspec's source, folder "
        f"src/quietspec/models, then: quietspec models --add {name}.onnx"
    )


def add_model(path: str | Path) -> Path:
    """Copy the file of a network that this version knows to where `load_denoiser` finds it.

    Parameters
    ----------
    path : path
        The ONNX file, named as the network.

    Returns
    -------
    Path
        The copy, in `model_folder`.

    Raises
    ------
    ModelError
        If this version has no card of that name, or the file's hash is not the card's.
    WriteError
        If the copy cannot be written; then nothing is left behind.
    """
    from quietspec.io.writing.atomic import whole_file

    source = Path(path)
    name = source.stem
    if name not in NETWORKS or source.suffix != ".onnx":
        raise ModelError(f"{source}: no network of this version; it knows {', '.join(f'{n}.onnx' for n in NETWORKS)}.")
    try:
        found = file_sha256(source)
        content = source.read_bytes()
    except OSError as error:
        raise ModelError(f"{source}: cannot be read: {error.strerror}.") from error
    if found != (wanted := model_cards()[name]["hash"]):
        raise ModelError(f"{source}: SHA-256 {found}, but the card of {name!r} says {wanted}. Get the file again.")
    target = model_folder() / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target, overwrite=True) as partial:
        partial.write_bytes(content)
    return target


def _package() -> Traversable:
    return files("quietspec.models")
