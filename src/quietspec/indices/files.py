"""A user's own index definitions, from a TOML, JSON or YAML file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from quietspec.errors import IndexDefinitionError
from quietspec.indices.definitions import IndexDefinition

__all__ = ["read_definitions"]


def read_definitions(path: str | Path) -> tuple[IndexDefinition, ...]:
    """Read index definitions from a file.

    Parameters
    ----------
    path : str or path
        TOML, JSON or YAML, by its suffix: one table per index under its name, with the fields of `IndexDefinition`;
        YAML needs the package ``pyyaml``.

    Returns
    -------
    tuple of IndexDefinition
        In the order of the file; ``source`` is the name of the file where an index gives none.

    Raises
    ------
    IndexDefinitionError
        If the file cannot be read, holds no index, or a definition is malformed; the message names file and index.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.toml")
    ...     _ = path.write_text('''[Halpha_wide]
    ... kind = "angstrom"
    ... blue = [6500, 6540]
    ... band = [6548, 6578]
    ... red = [6595, 6635]''')
    ...     read_definitions(path)[0].name
    'Halpha_wide'
    """
    path = Path(path)
    tables = _parsed(path)
    if not isinstance(tables, Mapping) or not tables:
        raise IndexDefinitionError(f"{path}: holds no index; give one table of bands per index, under its name.")
    return tuple(_definition(path, str(name), table) for name, table in tables.items())


def _parsed(path: Path) -> Any:
    """Parse a file by its suffix."""
    try:
        text = path.read_text(encoding="utf-8")
        match path.suffix.lower():
            case ".toml":
                return tomllib.loads(text)
            case ".json":
                return json.loads(text)
            case ".yaml" | ".yml":
                return _yaml(path, text)
    except OSError as error:
        raise IndexDefinitionError(f"{path}: cannot be read: {error.strerror}.") from error
    except ValueError as error:  # of all decoders
        raise IndexDefinitionError(f"{path}: cannot be parsed: {error}") from error
    raise IndexDefinitionError(f"{path}: index definitions are read from .toml, .json, .yaml and .yml files.")


def _yaml(path: Path, text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise IndexDefinitionError(f"{path}: YAML needs pyyaml; install it, or write TOML or JSON.") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _definition(path: Path, name: str, table: Any) -> IndexDefinition:
    """Make one definition of what a file says about it."""
    if not isinstance(table, Mapping):
        raise IndexDefinitionError(f"{path}: index {name!r} is no table of bands.")
    known = {one.name for one in fields(IndexDefinition)} - {"name"}
    if unknown := sorted(set(map(str, table)) - known):
        raise IndexDefinitionError(
            f"{path}: index {name!r}: {', '.join(unknown)} not understood; known are {', '.join(sorted(known))}."
        )
    try:
        return IndexDefinition(name=name, **{"source": path.name, "kind": "", **table})
    except IndexDefinitionError as error:
        raise IndexDefinitionError(f"{path}: {error}") from error
