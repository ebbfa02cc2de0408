"""The command `lab train`."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer

from quietspec.cli.console import command_line, console, log
from quietspec.cli.lab.cards import TRAINED_TESTS, card_file, test_scores
from quietspec.cli.lab.worlds import RecipeName, commit, recipe_named, require_spectra
from quietspec.cli.options import Library, Seed
from quietspec.cli.outputs import Overwrite, require_new, write_json

__all__ = ["train"]

_OUTSKIRTS = ((4.0, 1e-2), (36.0, 3e-3), (400.0, 1e-3))  # for real spectra: nuclei, odd calibration


def train(
    model: Annotated[Literal["posterior", "wiener", "pca"], typer.Argument(help="What to train.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file (.npz) to write; its card goes beside it.")],
    recipe: RecipeName = "survey",
    n: Annotated[int, typer.Option("-n", min=1000, help="Training spectra; `paper` has 90000.")] = 60_000,
    seed: Seed = 1,
    components: Annotated[int, typer.Option(min=2, help="Basis vectors.")] = 20,
    mixture: Annotated[int, typer.Option(min=1, help="Gaussians of the posterior's prior.")] = 256,
    floor: Annotated[float, typer.Option(min=0, help="Variance floor, in reference noise variances.")] = 0.01,
    reference_snr: Annotated[float, typer.Option(min=1, help="S/N whose noise is the unit of the basis.")] = 40.0,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds of EM.")] = 150,
    library: Library = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on simulated spectra, test it on others, and write it with its card."""
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.training import MixtureSettings, PriorSettings, train_prior

    card = card_file(out)
    for path in (out, card):
        require_new(path, overwrite)
    require_spectra(recipe, n, "train")
    start = time.perf_counter()
    world = recipe_named(recipe, library)
    mixtures = MixtureSettings(n_mixture=mixture if model == "posterior" else 1, floor=floor, max_iter=rounds)
    settings = PriorSettings(
        n_components=components,
        reference_snr=reference_snr,
        mixture=mixtures,
        outskirts=_OUTSKIRTS if recipe == "survey" and model == "posterior" else (),
    )
    prior = train_prior(world, n, seed, settings, progress=log)
    seconds = time.perf_counter() - start
    log(f"trained in {seconds:.0f} s; now tested on {TRAINED_TESTS} spectra it has not seen")
    scores = test_scores(world, prior, model)
    with os_errors_named(out):
        prior.save(out)
    content = {
        "summary": f"recipe {recipe!r}: {prior.n_mixture} Gaussian(s) over {prior.n_components} components",
        **prior.card,
        "command": command_line(),
        "commit": commit(),
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "training_flops": settings.flops(n, len(prior.wavelength)),
        "hash": prior.hash,
        "scores": scores,
    }
    write_json(card, content)
    console.print(str(out), soft_wrap=True)
