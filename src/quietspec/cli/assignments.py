"""Settings changed one by one on the command line: ``--set name=value``, checked against the settings' own types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer

__all__ = ["changed"]

Settings = TypeVar("Settings")


def changed(settings: Settings, assignments: Sequence[str], option: str) -> Settings:
    """Change fields of settings.

    Parameters
    ----------
    settings : dataclass
        Frozen settings.
    assignments : sequence of str
        ``name=value``; several values of one name by commas.
    option : str
        Option that the assignments were given with, for messages.

    Returns
    -------
    dataclass
        With the changes.

    Raises
    ------
    typer.BadParameter
        If a name is unknown or a value has the wrong type.
    """
    hints = get_type_hints(type(settings))
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in hints:
            known = ", ".join(field.name for field in fields(settings))  # type: ignore[arg-type]
            raise typer.BadParameter(f"{assignment!r}: give name=value, the name one of {known}", param_hint=option)
        try:
            changes[name] = _value(hints[name], text.strip())
        except ValueError as error:
            raise typer.BadParameter(f"{assignment!r}: {error}", param_hint=option) from error
    made: Settings = replace(settings, **changes)  # type: ignore[type-var]
    return made


def _value(kind: Any, text: str) -> Any:
    """Read a value of a type: a number, a word, a choice, or several of one type by commas."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _choice(arguments, text)
    if origin is tuple:
        return tuple(_value(arguments[0], part.strip()) for part in text.split(",") if part.strip())
    if origin is UnionType:
        if text.lower() == "none" and NoneType in arguments:
            return None
        return _first(tuple(one for one in arguments if one is not NoneType), text)
    if kind is bool:
        return _choice((True, False), text.capitalize())
    if kind in (int, float, str):
        return kind(text)
    raise ValueError(f"a {kind} cannot be given on the command line")


def _choice(allowed: tuple[Any, ...], text: str) -> Any:
    for one in allowed:
        if str(one) == text:
            return one
    raise ValueError(f"expected {' or '.join(map(str, allowed))}")


def _first(kinds: tuple[Any, ...], text: str) -> Any:
    for kind in kinds[:-1]:
        try:
            return _value(kind, text)
        except ValueError:
            continue
    return _value(kinds[-1], text)
