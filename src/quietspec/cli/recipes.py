"""What the commands on simulated worlds share: the world, and the commit of the code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quietspec.lab.simulate import Recipe
    from quietspec.templates import SspLibrary

__all__ = ["commit", "library_named", "recipe_named"]


def recipe_named(name: str, library: str | None, switched_off: list[str] | None = None) -> Recipe:
    """Make a recipe from the SSP library asked for, or the fetched MILES, without some of its ingredients.

    Parameters
    ----------
    name : str
        Name of the recipe.
    library : str or None
        Path of the library.
    switched_off : list of str, optional
        Ingredients to leave out.

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
    from quietspec.lab.simulate import get_recipe

    try:
        return get_recipe(name, library_named(library), **dict.fromkeys(switched_off or [], False))
    except TypeError as error:
        wanted = ", ".join(switched_off or [])
        raise QuietspecError(f"--without {wanted}: recipe {name!r} has no such switch.") from error


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


def commit() -> str:
    """Commit of the code, where it runs from a git checkout; else the version."""
    import subprocess

    from quietspec import __version__

    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"
    return found.stdout.strip()
