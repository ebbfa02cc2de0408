"""The command `lab train`."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from quietspec.cli.console import command_line, log, print_path
from quietspec.cli.lab.cards import TRAINED_TESTS, Licence, card_file, fetched_templates, template_terms, test_scores
from quietspec.cli.lab.worlds import Changes, recipe_named
from quietspec.cli.options import Library
from quietspec.cli.outputs import Overwrite, require_new, write_json

__all__ = ["train"]


def train(
    run: Annotated[
        str,
        typer.Argument(help="survey, ultraviolet, library or paper, or a YAML file of settings."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file (.npz) to write; its card goes beside it.")],
    changes: Changes = None,
    library: Library = None,
    licence: Licence = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a prior on simulated spectra, test it on others, and write it with its card. Needs the extra `lab`."""
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.reproduce import commit
    from quietspec.lab.training import PriorRun, train_prior

    card = card_file(out)
    for path in (out, card):
        require_new(path, overwrite)
    settings = PriorRun.load(run).changed(changes or ())
    fetched = fetched_templates(settings.recipe, library, licence, settings.left_out)
    start = time.perf_counter()
    world = recipe_named(settings.recipe, library, left_out=settings.left_out)
    prior = train_prior(world, settings.n, settings.seed, settings.settings, progress=log)
    prior = replace(prior, card={**prior.card, **template_terms(fetched, str(prior.card["library"]), licence)})
    seconds = time.perf_counter() - start
    log(f"trained in {seconds:.0f} s; now tested on {TRAINED_TESTS} spectra it has not seen")
    scores = test_scores(world, prior)
    with os_errors_named(out):
        prior.save(out)
    content = {
        "summary": f"recipe {settings.recipe!r}: {prior.n_mixture} Gaussian(s) over {prior.n_components} components",
        **prior.card,
        "command": command_line(folders=False),
        "commit": commit(),
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "training_flops": settings.settings.flops(settings.n, len(prior.wavelength)),
        "hash": prior.hash,
        "scores": scores,
    }
    write_json(card, content)
    print_path(out)
