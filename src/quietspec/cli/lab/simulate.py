"""The command `lab simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quietspec.cli.console import command_line, log, print_path
from quietspec.cli.lab.worlds import RecipeName, recipe_named
from quietspec.cli.options import Library, Seed
from quietspec.cli.outputs import Overwrite, require_new

if TYPE_CHECKING:
    from quietspec.lab.simulate import Simulated

__all__ = ["simulate"]

_WHERE = "--instrument, --redshift"


def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="FITS file to write.")],
    recipe: RecipeName = "paper",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of spectra.")] = 1000,
    seed: Seed = 0,
    snr: Annotated[float | None, typer.Option(min=0.1, help="S/N; drawn from the recipe's range if not given.")] = None,
    instrument: Annotated[
        Literal["sami", "manga", "califa", "muse", "sdss", "desi", "weave"] | None,
        typer.Option(help="survey: whose noise and resolution; drawn if not given.", case_sensitive=False),
    ] = None,
    redshift: Annotated[
        float | None, typer.Option(min=0, help="survey: redshift of the galaxy; drawn if not given.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="survey: leave out an ingredient (dust, emission, masks, …); repeatable.")
    ] = None,
    library: Library = None,
    overwrite: Overwrite = False,
) -> None:
    """Simulate spectra of one galaxy, with their truth and parameters, as FITS."""
    import numpy as np

    from quietspec.io.writing.atomic import os_errors_named, whole_file
    from quietspec.lab.simulate import INSTRUMENTS

    require_new(out, overwrite)
    where: dict[str, Any] = {}
    if recipe == "survey":
        seen = next((name for name in INSTRUMENTS if name.split()[0].lower() == instrument), None)
        where = {"instrument": seen, "redshift": redshift}
    elif instrument or redshift:
        raise typer.BadParameter("recipe 'paper' is at rest, on one grid; take --recipe survey", param_hint=_WHERE)
    simulated = recipe_named(recipe, library, without).simulate(n, np.random.default_rng(seed), snr, **where)
    hdus = simulated.to_hdulist()
    hdus[0].header.update(_origin(simulated, recipe, seed))
    with os_errors_named(out), whole_file(out, overwrite=overwrite) as partial:
        hdus.writeto(partial, overwrite=True, output_verify="exception")
    log(f"{len(simulated)} spectra of recipe {recipe!r}, {simulated.observed.meta['survey']}")
    print_path(out)


def _origin(simulated: Simulated, recipe: str, seed: int) -> dict[str, tuple[str | int, str]]:
    """Keywords that tell how a file was simulated."""
    from quietspec import __version__

    meta = simulated.observed.meta
    cards: dict[str, tuple[str | int, str]] = {
        "QSRECIPE": (recipe, "simulated world"),
        "QSSEED": (seed, "seed of all random draws"),
        "QSSIMVER": (__version__, "version of quietspec"),
    }
    texts = {"QSCMD": command_line(), "QSLIB": meta["library"], "SURVEY": meta["survey"]}
    return cards | {key: (text.encode("ascii", "replace").decode(), "") for key, text in texts.items()}
