"""Recipes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quietspec.lab.simulate.paper import PaperRecipe
from quietspec.lab.simulate.survey import SurveyRecipe
from quietspec.lab.simulate.ultraviolet import UltravioletRecipe
from quietspec.lab.simulate.wide import WideRecipe

if TYPE_CHECKING:
    from quietspec.lab.simulate.simulated import Recipe
    from quietspec.templates import SspLibrary

__all__ = ["FETCHING", "RECIPES", "get_recipe"]

RECIPES: dict[str, Any] = {"paper": PaperRecipe, "survey": SurveyRecipe}
#: Recipes of several libraries, which they fetch.
FETCHING: dict[str, type[WideRecipe]] = {one.name: one for one in (WideRecipe, UltravioletRecipe)}


def get_recipe(name: str, library: SspLibrary, **switches: Any) -> Recipe:
    """Make a recipe.

    Parameters
    ----------
    name : {'paper', 'survey'}
        Name of the recipe.
    library : SspLibrary
        Templates that are mixed.
    **switches
        Keyword arguments of the recipe's class.

    Returns
    -------
    Recipe
        Ready to draw from.

    Raises
    ------
    ValueError
        If no recipe has this name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe: unknown name {name!r}; there are {', '.join(RECIPES)}.")
    recipe: Recipe = RECIPES[name](library, **switches)
    return recipe
