"""The command `lab train-network`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.console import command_line, log, print_path, progress_bar
from quietspec.cli.lab.cards import Licence, fetched_templates, template_terms
from quietspec.cli.lab.worlds import Changes, recipe_named
from quietspec.cli.options import Library
from quietspec.cli.outputs import write_json

if TYPE_CHECKING:
    from quietspec.lab.training.networks import Corpus, Run

__all__ = ["train_network"]

_TEST_SNR = (5.0, 10.0, 15.0, 20.0)


def train_network(
    run: Annotated[
        str, typer.Argument(help="eut-small, eut-placed, eut-position, eut-paper, or a YAML file of settings.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for settings, checkpoints, curve and model.")],
    changes: Changes = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="End by the clock after so long, over all resumptions."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")] = False,
    tests: Annotated[int, typer.Option(min=1, max=10_000, help="Test spectra that score it for its card.")] = 500,
    library: Library = None,
    licence: Licence = None,
) -> None:
    """Train a network on the recipe `paper`, and write it as ONNX with its card. Needs the extra `train`."""
    from quietspec.denoisers import Posterior, load_prior
    from quietspec.errors import ModelError

    try:
        from quietspec.lab.training import networks
    except ModuleNotFoundError as error:
        raise ModelError(f"{error.name} is not installed: pip install 'quietspec[train]'.") from error
    budget = [] if minutes is None else [f"minutes={minutes}"]
    settings = networks.Run.load(run).changed([*(changes or ()), *budget])
    fetched = fetched_templates("paper", library, licence)
    wiener = Posterior("wiener", load_prior("paper").collapsed()) if "wiener" in settings.network.channels else None
    corpus = networks.Corpus.draw(recipe_named("paper", library), settings, wiener)  # type: ignore[arg-type]
    log(f"{len(corpus.training)} training and {len(corpus.validation)} validation spectra drawn")
    seconds = networks.train_network(corpus, settings, out, resume=resume, progress=log, bar=sys.stderr.isatty())
    if not networks.main_process():
        return
    if wiener is None:
        terms = template_terms(fetched, corpus.recipe.library.name, licence)
        _publish(corpus, settings, out, tests, {"seconds": round(seconds), **terms})
    else:
        log("a network that needs the Wiener filter's estimate is not written as ONNX")


def _publish(corpus: Corpus, settings: Run, folder: Path, tests: int, entries: Mapping[str, Any]) -> None:
    """Write the best network as ONNX, with its card and further entries in it."""
    from quietspec.denoisers import NetworkDenoiser
    from quietspec.lab.evaluation import evaluate
    from quietspec.lab.reproduce import commit
    from quietspec.lab.training import networks

    name = folder.resolve().name
    file = folder / f"{name}.onnx"
    network = networks.best_network(folder)
    table = None if settings.network.log_variance else networks.residual_table(network, corpus, settings)
    wavelength = corpus.training.wavelength
    difference = networks.export_onnx(network, table, wavelength, file, overwrite=True)
    denoiser = NetworkDenoiser(name, file)
    with progress_bar("testing") as progress:
        scores = evaluate(corpus.recipe, {name: denoiser}, _TEST_SNR, tests, progress=progress)
    curve = networks.read_curve(folder / networks.CURVE)
    card: dict[str, Any] = {
        "summary": f"recipe 'paper': {settings.network.kind}, {sum(map(_size, network.parameters())):,} parameters",
        "recipe": "paper",
        "library": corpus.recipe.library.name,
        "run": settings.model_dump(mode="json"),
        "seed": settings.seed,
        "command": command_line(folders=False),
        "commit": commit(),
        "date": date.today().isoformat(),
        **entries,
        "training_flops": networks.training_flops(settings, len(wavelength), int(curve["step"][-1])),
        "inference_flops": networks.inference_flops(network, len(wavelength)),
        "onnx_difference": difference,
        "hash": denoiser.hash,
        "curve": curve,
        "scores": scores.to_json(),
    }
    write_json(folder / f"{name}.json", card)
    print_path(file)


def _size(parameter: Any) -> int:
    return int(parameter.numel())
