"""How an output was made: version, model, command, and the inputs with their hashes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from quietspec.denoised import ModelId

__all__ = ["Provenance", "input_paths", "provenance"]

Provenance = dict[str, tuple[str, str]]


def input_paths(meta: Mapping[str, Any]) -> list[Path]:
    """Files that spectra came from.

    Parameters
    ----------
    meta : mapping
        The ``meta`` of the spectra.

    Returns
    -------
    list of Path
        Empty where they came from no file.
    """
    paths = meta.get("path") or []
    return [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def provenance(model: ModelId, command: str | None, meta: Mapping[str, Any]) -> Provenance:
    """Value and comment of the keywords that say how an output was made.

    Parameters
    ----------
    model : ModelId
        The denoiser or method, with the hash of its model where it has one.
    command : str or None
        The command that made the output.
    meta : mapping
        The ``meta`` of the input.

    Returns
    -------
    dict of str to (str, str)
        By keyword.
    """
    facts: Provenance = {
        "QSVERS": (version("quietspec"), "version of quietspec"),
        "QSMODEL": (model.name, "denoiser"),
    }
    if model.short_hash is not None:
        facts["QSHASH"] = (model.short_hash, "start of the SHA-256 of its model")
    if command is not None:
        facts["QSCMD"] = (command, "command")
    hashes = meta.get("sha256", ())
    for number, path in enumerate(input_paths(meta), start=1):
        suffix = "" if number == 1 else str(number)
        facts[f"QSINPUT{suffix}"] = (str(path), "input file")
        if number <= len(hashes):
            facts[f"QSINSHA{suffix}"] = (hashes[number - 1], "SHA-256 of the bytes that were read")
    facts |= {
        key: (str(meta[name]), "of the input")
        for key, name in {"OBJECT": "object", "SURVEY": "survey"}.items()
        if meta.get(name)
    }
    return facts
