"""What the commands on simulated worlds share: the world and its limits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quietspec.cli.options import library_named

if TYPE_CHECKING:
    from quietspec.lab.simulate import Recipe

__all__ = ["Changes", "RecipeName", "numbers", "recipe_named", "require_spectra"]

#: Settings of a run changed on the command line.
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a setting, as name=value with dots (settings.mixture.n_mixture=64); repeatable."
    ),
]
RecipeName = Annotated[Literal["paper", "survey", "wide", "ultraviolet"], typer.Option(help="Simulated world.")]


def recipe_named(
    name: str, library: str | None, switched_off: list[str] | None = None, left_out: tuple[str, ...] = ()
) -> Recipe:
    """Make a recipe from the SSP library asked for, or the fetched MILES, without some of its ingredients.

    Parameters
    ----------
    name : str
        Name of the recipe.
    library : str or None
        Path of the library.
    switched_off : list of str, optional
        Ingredients to leave out.
    left_out : tuple of str, optional
        Libraries that a recipe of several libraries is to do without.

    Returns
    -------
    Recipe
        The simulated world.

    Raises
    ------
    QuietspecError
        If the recipe has no such ingredient, or the library cannot be had.
    """
    from quietspec.errors import QuietspecError
    from quietspec.lab.simulate import FETCHING, get_recipe

    switches = dict.fromkeys(switched_off or [], False)
    try:
        if name in FETCHING:
            return _of_several(name, library, left_out, switches)
        return get_recipe(name, library_named(library), **switches)
    except TypeError as error:
        wanted = ", ".join(switched_off or [])
        raise QuietspecError(f"--without {wanted}: recipe {name!r} has no such switch.") from error


def _of_several(name: str, library: str | None, left_out: tuple[str, ...], switches: dict[str, Any]) -> Recipe:
    from quietspec.lab.simulate import FETCHING

    if library is not None:
        raise typer.BadParameter(f"recipe {name!r} is of several libraries, which it fetches", param_hint="--library")
    return FETCHING[name].fetched(left_out, **switches)


def numbers(text: str) -> list[float]:
    """Read numbers above 0 from a list by comma."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < inf for number in numbers):
        raise typer.BadParameter(f"{text!r} is not a list of numbers above 0 such as 5,10,20", param_hint="--snr")
    return numbers


def require_spectra(recipe: str, n: int, part: Literal["train", "test"]) -> None:
    """Refuse more spectra than a part of a recipe has."""
    from quietspec.lab.simulate import PAPER_SIZES

    if recipe == "paper" and n > PAPER_SIZES[part]:
        raise typer.BadParameter(f"recipe 'paper' has {PAPER_SIZES[part]} spectra to {part}", param_hint="-n")
