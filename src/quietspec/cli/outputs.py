"""Where a command's results go: checks before any work is done, and JSON written whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.errors import WriteError

__all__ = [
    "Json", "Overwrite", "claim_outputs", "places", "require_drawable", "require_new", "stdout_is_json", "write_json",
]  # fmt: skip

_FIGURES = (".png", ".pdf", ".svg")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the results as JSON; - is standard output.")]


def require_new(path: Path | None, overwrite: bool) -> None:
    """Refuse to go on where an output file exists or cannot be made, before any work is done.

    Parameters
    ----------
    path : Path or None
        The file; None and ``-``, standard output, always pass.
    overwrite : bool
        Whether it may be replaced.

    Raises
    ------
    WriteError
        If the file exists and may not be replaced, is a folder, or its folder does not exist or is read-only.
    """
    if path is None or str(path) == "-":
        return
    if path.is_dir():
        raise WriteError(f"{path}: is a folder. Name a file in it.")
    if path.exists() and not overwrite:
        raise WriteError(f"{path}: exists already. Choose another name, or give --overwrite.")
    if not path.parent.is_dir():
        raise WriteError(f"{path}: the folder {path.parent} does not exist. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise WriteError(f"{path}: the folder {path.parent} may not be written to. Choose another.")


def claim_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | str | None]) -> None:
    """Refuse outputs that would replace an input or one another, before any work is done.

    Parameters
    ----------
    outputs : iterable of Path or None
        All that the command is to write; None and ``-``, standard output, always pass.
    inputs : iterable of path or None
        All that it reads.

    Raises
    ------
    WriteError
        If an output is an input or another output, by whatever name, or cannot be written.
    """
    from quietspec.io.writing.atomic import claim_outputs as claim

    claim([path for path in outputs if path is not None and str(path) != "-"], filter(None, inputs))


def require_drawable(figure: Path) -> None:
    """Refuse figures of other kinds than PNG, PDF and SVG."""
    if figure.suffix.lower() not in _FIGURES:
        raise WriteError(f"{figure}: a figure's name ends in {', '.join(_FIGURES)}.")


def places(inputs: list[tuple[Path, ...]], target: Path, suffix: str) -> list[Path]:
    """Say where the output of each input goes.

    Parameters
    ----------
    inputs : list of tuple of Path
        Files of each input.
    target : Path
        The output of a single input, or the folder for several; the folder is made if missing.
    suffix : str
        End of the names in a folder, such as ``_denoised.fits``.

    Returns
    -------
    list of Path
        One per input.

    Raises
    ------
    WriteError
        If the folder cannot be made, or two outputs would have one name.
    """
    if len(inputs) == 1 and not target.is_dir():
        if not target.suffix:
            ending = suffix.rpartition(".")[2]
            raise WriteError(f"{target}: is no folder, and a file's name needs an ending: {target.name}.{ending}?")
        return [target]
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise WriteError(f"{target}: cannot be the folder for {len(inputs)} outputs ({error.strerror}).") from error
    names = [paths[0].name.removesuffix(".gz").removesuffix(".fits") for paths in inputs]
    if len(set(names)) < len(names):
        raise WriteError(f"{target}: two inputs have one name; denoise them into different folders.")
    return [target / (name + suffix) for name in names]


def stdout_is_json(json_file: Path | None) -> bool:
    """Whether standard output is for JSON, so that no table may go there."""
    return json_file is not None and str(json_file) == "-"


def write_json(path: Path | None, content: Any) -> None:
    """Write JSON to a file, whole or not at all.

    Parameters
    ----------
    path : Path or None
        The file; ``-`` is standard output, None writes nothing.
    content : object
        What `json` can write; NaN and infinities become null.
    """
    if path is None:
        return
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(path) == "-":
        sys.stdout.write(text)
        return
    from quietspec.io.writing.atomic import os_errors_named, whole_file

    with os_errors_named(path), whole_file(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not isfinite(content) else content
