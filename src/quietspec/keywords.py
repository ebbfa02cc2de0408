"""Functions whose keywords are the fields of a class: `help` shows them by name, with type and default."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["shows_keywords"]

Function = TypeVar("Function", bound=Callable[..., Any])


def shows_keywords(keywords: Any) -> Callable[[Function], Function]:
    """Decorate a function that takes the fields of a class as ``**keywords``, so that its signature names each.

    Parameters
    ----------
    keywords : type
        A `TypedDict`, or a dataclass, whose defaults are shown as well.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        named = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        listed = [_parameter(keywords, name, annotation) for name, annotation in keywords.__annotations__.items()]
        function.__signature__ = signature.replace(parameters=[*named, *listed])  # type: ignore[attr-defined]
        return function

    return decorate


class _NotGiven:
    """Default of a keyword that may be left out."""

    def __repr__(self) -> str:
        return "..."


def _parameter(keywords: Any, name: str, annotation: Any) -> inspect.Parameter:
    text = getattr(annotation, "__forward_arg__", annotation)
    required = re.fullmatch(r"Required\[(.*)\]", str(text))
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else getattr(keywords, name, _NotGiven()),
        annotation=required[1] if required else text,
    )
