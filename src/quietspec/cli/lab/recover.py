"""The command `lab recover`: populations of simulated spectra, held against their truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.assignments import changed
from quietspec.cli.console import console, log
from quietspec.cli.lab.worlds import RecipeName, numbers, recipe_named, require_spectra
from quietspec.cli.options import Library, Seed, library_named
from quietspec.cli.outputs import Json, require_new, stdout_is_json, write_json

if TYPE_CHECKING:
    from quietspec.lab.evaluation.recovery import Arm, Recovery

__all__ = ["recover"]

ARMS = "noisy,eut-position,eut-small,wiener,posterior,posterior-sigma,posterior-covariance,populations,limit"
_PAPER_ARMS = ("noisy", "eut-position")  # of which all spectra are fitted, as in the paper


def recover(
    recipe: RecipeName = "paper",
    arms: Annotated[
        str,
        typer.Option(
            help="Ways from spectrum to populations, comma-separated: noisy, DENOISER, DENOISER-flat, -sigma or "
            "-covariance (errors given to pPXF; those of the input by default), populations, limit."
        ),
    ] = ARMS,
    snr: Annotated[str, typer.Option(help="S/N, comma-separated.")] = "5,10,20",
    n: Annotated[int, typer.Option("-n", min=3, help="Test spectra of the arms noisy and eut-position.")] = 10_000,
    n_others: Annotated[int, typer.Option("--n-others", min=3, help="Test spectra of the other arms.")] = 2000,
    n_ladder: Annotated[
        int,
        typer.Option("--n-ladder", min=0, help="Noisy spectra fitted at each of ten S/N, for equivalent S/N."),
    ] = 1000,
    seed: Seed = 0,
    templates: Annotated[
        str | None, typer.Option(help="SSP library that pPXF fits with; the simulated one by default.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Prior of the denoisers; the recipe's shipped one by default.")
    ] = None,
    ppxf: Annotated[
        list[str] | None,
        typer.Option(help="Option of the pPXF fits as name=value, such as multiplicative=8; repeatable."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished arms; the same command goes on from it.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures, as PNG and PDF; made if missing.")] = None,
    json: Json = None,
    library: Library = None,
    jobs: Annotated[int, typer.Option(min=1, help="pPXF fits side by side.")] = 1,
) -> None:
    """Recover ages and metallicities of simulated spectra, noisy and denoised, and score them against the truth."""
    from quietspec.denoisers import load_denoiser
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.evaluation.recovery import Arm, RecoverySettings, recipe_options
    from quietspec.lab.evaluation.recovery import recover as run

    levels = numbers(snr)
    chosen = [Arm(name, n if name in _PAPER_ARMS else min(n, n_others)) for name in map(str.strip, arms.split(","))]
    require_spectra(recipe, max(arm.n for arm in chosen), "test")
    require_new(json, overwrite=True)
    for folder in filter(None, (figures, store)):
        with os_errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
    world = recipe_named(recipe, library)
    tools = {name: load_denoiser(name, model or recipe, discrepancy=False) for name in sorted(_denoisers(chosen))}
    settings = RecoverySettings(
        seed=seed,
        library=None if templates is None else library_named(templates),
        options=changed(recipe_options(world), ppxf or (), "--ppxf"),
        n_ladder=min(n_ladder, n),
        jobs=jobs,
        store=store,
    )
    result = run(world, tools, chosen, levels, settings, log=log)
    if not stdout_is_json(json):
        _print(result)
    write_json(json, result.to_json())
    if figures is not None:
        _draw(result, figures)


def _denoisers(arms: list[Arm]) -> set[str]:
    """Names of the denoisers that arms need; the limit stands on the posterior's basis."""
    return {arm.denoiser or "posterior" for arm in arms if arm.denoiser or arm.name == "limit"}


def _print(result: Recovery) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("S/N", "arm", "n", "age rms", "bias", "slope", "68 %", "[M/H] rms", "bias", "slope", "68 %"):
        table.add_column(name.replace("[", r"\["), justify="left" if name == "arm" else "right")
    table.add_column("equivalent S/N", justify="right")
    table.add_column("ms/spectrum", justify="right")
    content = result.to_json()["arms"]
    for level in result.snrs:
        for name, by_snr in content.items():
            table.add_row(f"{level:g}", name, *_cells(by_snr[f"{level:g}"]))
        table.add_section()
    console.print(table)


def _cells(scores: dict[str, Any]) -> list[str]:
    cells = [str(scores["n"])]
    for short in ("age", "mh"):
        cells += [
            f"{scores[f'{short}_rms']:.3f}",
            f"{scores[f'{short}_bias']:+.3f}",
            f"{scores[f'{short}_slope']:.2f}",
            f"{100 * scores[f'{short}_coverage68']:.1f} %",
        ]
    beyond = "> " if scores["equivalent_snr_is_lower_limit"] else ""
    return [*cells, f"{beyond}{scores['equivalent_snr']:.1f}", f"{1e3 * scores['seconds_per_spectrum']:.1f}"]


def _draw(result: Recovery, folder: Path) -> None:
    from quietspec.lab.plots.recovery import recovery_figures
    from quietspec.plots import save

    for name, figure in recovery_figures(result).items():
        for suffix in (".png", ".pdf"):
            console.print(str(save(figure, folder / (name + suffix))), style="dim", soft_wrap=True)
