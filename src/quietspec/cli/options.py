"""Options that several commands share; those about a file are made from the fields of `ReadOptions`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from quietspec.io.reading.options import ReadOptions

if TYPE_CHECKING:
    from quietspec.templates import SspLibrary

__all__ = [
    "DenoiserName",
    "EmissionOption",
    "Library",
    "Model",
    "Seed",
    "Spatial",
    "Together",
    "Workers",
    "library_named",
    "with_read_options",
]

_FILE = "About the file"
_FIRST = ("redshift", "ebv")  # asked for most: shown among a command's own options

Together = Annotated[bool, typer.Option("--together", help="The files are the arms of one object.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random draws.")]
Model = Annotated[
    str,
    typer.Option(
        help="Prior: the name of a shipped one (`quietspec models`), or an .npz from `lab train`; by default `survey`, "
        "or `ultraviolet` at redshifts where that covers more of the spectrum."
    ),
]
DenoiserName = Annotated[
    str, typer.Option(help="posterior, wiener, pca, gaussian, savgol, butterworth, wavelet, or an .onnx file.")
]
Spatial = Annotated[
    bool,
    typer.Option(
        "--spatial", help="Denoise a cube as a whole: spaxels learn from their galaxy and neighbours. See docs/cube.md."
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes (threads for few spectra) that work on tiles side by side.")
]
EmissionOption = Annotated[
    Literal["auto", "strong", "none"] | None,
    typer.Option(help="Gas lines to mask: the strong ones and, where gas is seen, the weak (auto); the strong; none."),
]
Library = Annotated[
    str | None,
    typer.Option(help="SSP library: a folder of FITS spectra or a pPXF .npz; `quietspec fetch miles` by default."),
]


def with_read_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per field of `ReadOptions`.

    Parameters
    ----------
    command : callable
        A command with a keyword parameter ``read``, which is given the options as a dict.

    Returns
    -------
    callable
        The same with the options ``--redshift``, ``--flux-hdu`` and so on in place of ``read``.
    """
    hints = get_type_hints(ReadOptions)
    made = {field.name: _option(field, hints[field.name]) for field in fields(ReadOptions)}
    own = inspect.signature(command, eval_str=True)

    @wraps(command)
    def wrapper(**given: Any) -> None:
        read = {name: _hdu_number(name, given.pop(name)) for name in made}
        command(**given, read=read)

    kept = [parameter for name, parameter in own.parameters.items() if name != "read"]
    parameters = [*kept, *made.values()]
    wrapper.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _option(field: Field[Any], kind: Any) -> inspect.Parameter:
    """Option of one field: its help stands in the field's metadata."""
    panel = None if field.name in _FIRST else _FILE
    flag = field.name.replace("_", "-")
    decided = bool in get_args(kind)  # yes, no or unsaid
    option = typer.Option(
        f"--{flag}/--no-{flag}" if decided else f"--{flag}", help=field.metadata.get("help", ""), rich_help_panel=panel
    )
    default = None if field.default is MISSING else field.default
    annotation = Annotated[_typed(kind), option]  # type: ignore[valid-type]  # made as the program runs
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _typed(kind: Any) -> Any:
    """Type of an option's value as typed on a command line: HDU names and numbers both begin as text."""
    members = set(get_args(kind)) if get_origin(kind) not in (None, Literal) else {kind}
    if {str, int} <= members:
        return Union[tuple(members - {int})]  # noqa: UP007  (of a set)
    return kind


def _hdu_number(name: str, value: Any) -> Any:
    return int(value) if name.endswith("_hdu") and isinstance(value, str) and value.isdecimal() else value


def library_named(path: str | None) -> SspLibrary:
    """Load the SSP library asked for, or MILES, fetched where it is not yet.

    Parameters
    ----------
    path : str or None
        Folder or file of the library.

    Returns
    -------
    SspLibrary
        Loaded.
    """
    from quietspec.io.fetching import fetch
    from quietspec.templates import load_library

    return load_library(path or fetch("miles"))
