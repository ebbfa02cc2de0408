"""The command `lab evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.console import command_line, console, print_path, progress_bar
from quietspec.cli.lab.cards import card_of
from quietspec.cli.lab.worlds import RecipeName, numbers, recipe_named, require_spectra
from quietspec.cli.options import Library, Seed
from quietspec.cli.outputs import Json, require_new, stdout_is_json, write_json

if TYPE_CHECKING:
    from quietspec.denoisers import Denoiser
    from quietspec.lab.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    recipe: RecipeName = "paper",
    models: Annotated[
        str,
        typer.Option(
            help="Denoisers, comma-separated: gaussian, savgol, butterworth, wavelet, pca, wiener, posterior."
        ),
    ] = "gaussian,savgol,wavelet,pca,wiener,posterior",
    snr: Annotated[str, typer.Option(help="S/N, comma-separated.")] = "5,10,15,20",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of test spectra; `paper` has 10000.")] = 1000,
    seed: Seed = 0,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Test by level and bin whether the errors are right (goes to --json).")
    ] = False,
    limit: Annotated[
        bool,
        typer.Option("--limit", help="Sample the Bayes limit and compare with it (10 s per spectrum and S/N)."),
    ] = False,
    limit_n: Annotated[int, typer.Option("--limit-n", min=1, help="Spectra sampled at each S/N.")] = 50,
    prior: Annotated[
        str | None, typer.Option(help="Prior of pca, wiener and posterior; the recipe's shipped one by default.")
    ] = None,
    json: Json = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures, as PNG and PDF; made if missing.")] = None,
    library: Library = None,
) -> None:
    """Score denoisers against the truth on simulated test spectra, all on the same noise."""
    from quietspec.denoisers import load_denoiser, load_prior
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.evaluation import BASELINE, EvaluationOptions, MeanTimesCubic
    from quietspec.lab.evaluation import evaluate as score
    from quietspec.lab.reproduce import made

    levels = numbers(snr)
    require_spectra(recipe, n, "test")
    require_new(json, overwrite=True)
    origin = made(command_line(folders=False), "quietspec.cli.lab.evaluate", json)
    if figures is not None:
        with os_errors_named(figures):
            figures.mkdir(parents=True, exist_ok=True)
    baseline = MeanTimesCubic(load_prior(prior or recipe))
    tools = {BASELINE: baseline} | {
        name: load_denoiser(name, prior or recipe) for name in map(str.strip, models.split(","))
    }
    world = recipe_named(recipe, library)
    with progress_bar("evaluating") as progress:
        result = score(
            world,
            tools,
            levels,
            n,
            seed=seed,
            options=EvaluationOptions(coverage=coverage, limit=min(limit_n, n) if limit else 0),
            progress=progress,
        )
    if not stdout_is_json(json):
        _print_scores(result)
    write_json(json, {**origin, "model": _hashes(tools), **result.to_json()})
    if figures is not None:
        _draw(result, _cards(tools, prior or recipe), figures)


def _hashes(tools: Mapping[str, Denoiser]) -> dict[str, str]:
    """Names and hashes of the models behind the denoisers."""
    return {name: str(tool.model) for name, tool in tools.items()}


def _print_scores(result: Evaluation) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    names = ["S/N", "model", "reduction", "recovery", "worst line", "68 %", "95 %", "ms/spectrum"]
    for name in names + ["÷ limit"] * bool(result.limits):
        table.add_column(name, justify="left" if name in ("model", "worst line") else "right")
    content = result.to_json()["models"]
    for level in result.snrs:
        for name, by_snr in content.items():
            scores = by_snr[f"{level:g}"]
            worst, reduction = min(scores["lines"].items(), key=lambda item: 9 if item[1] is None else item[1])
            table.add_row(
                f"{level:g}",
                name,
                _with_error(scores["rms_reduction"], scores["rms_reduction_error"]),
                _percent(scores["recovery"], 2),
                f"{worst} {_percent(reduction)}",
                _percent(scores["coverage68"]),
                _percent(scores["coverage95"]),
                f"{1e3 * scores['seconds_per_spectrum']:.2f}",
                *_beside_limit(scores),
            )
        table.add_section()
    console.print(table)


def _beside_limit(scores: Mapping[str, Any]) -> list[str]:
    if scores.get("limit_ratio") is None:
        return []
    return [f"{scores['limit_ratio']:.3f} ± {scores['limit_ratio_error']:.3f}"]


def _with_error(value: float | None, error: float | None) -> str:
    return _percent(value) if value is None or error is None else f"{100 * value:.1f} ± {100 * error:.1f} %"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _cards(tools: Mapping[str, Denoiser], prior: str) -> dict[str, Mapping[str, Any]]:
    """Cards of the models that were trained: their own, shipped or beside the file, or that of the prior below."""
    from quietspec.denoisers import SpectralPrior, model_cards

    shipped = model_cards()
    cards: dict[str, Mapping[str, Any]] = {}
    for name, tool in tools.items():
        if name in shipped or Path(name).suffix == ".onnx":
            cards[name] = card_of(name)
        elif isinstance(basis := getattr(tool, "prior", None), SpectralPrior):
            cards[name] = shipped.get(prior, basis.card)
    return cards


def _draw(result: Evaluation, cards: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    from quietspec.lab.plots import evaluation_figures
    from quietspec.plots import save

    for name, figure in evaluation_figures(result, cards).items():
        for suffix in (".png", ".pdf"):
            print_path(save(figure, folder / (name + suffix)), dim=True)
