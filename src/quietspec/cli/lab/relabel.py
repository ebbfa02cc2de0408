"""The command `lab relabel`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from quietspec.cli.console import command_line, log, print_path
from quietspec.cli.lab.cards import card_file, card_of, test_scores
from quietspec.cli.lab.worlds import recipe_named
from quietspec.cli.options import Library
from quietspec.cli.outputs import Overwrite, require_new, write_json

__all__ = ["relabel"]


def relabel(
    prior: Annotated[str, typer.Argument(help="Trained prior: name of a shipped one, or an .npz from `lab train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file (.npz) to write; its card goes beside it.")],
    library: Library = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit the parameters (age, metallicity, …) of a trained prior anew; its spectra stay what they are."""
    from quietspec.denoisers import load_prior
    from quietspec.errors import ModelError
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.reproduce import commit
    from quietspec.lab.training import relabelled_prior

    card = card_file(out)
    for path in (out, card):
        require_new(path, overwrite)
    trained = load_prior(prior)
    if not {"recipe", "n", "seed", "settings"} <= trained.card.keys():
        raise ModelError(
            f"{prior}: its card does not say how it was trained; use a model that `quietspec lab train` made."
        )
    world = recipe_named(trained.card["recipe"], library)
    labelled = relabelled_prior(trained, world, int(trained.card["n"]), int(trained.card["seed"]))
    log(f"labels: {', '.join(labelled.label_names)}")
    with os_errors_named(out):
        labelled.save(out)
    made = {
        "command": command_line(folders=False),
        "commit": commit(),
        "date": date.today().isoformat(),
        "of": trained.hash,
    }
    scores = test_scores(world, labelled)
    write_json(card, {**card_of(prior), **labelled.card, "labels": made, "hash": labelled.hash, "scores": scores})
    print_path(out)
