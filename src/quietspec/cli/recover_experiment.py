"""The command `recover` without files: populations of simulated spectra, held against their truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quietspec.cli.app import console, log, require_new, write_json
from quietspec.cli.recipes import library_named, recipe_named
from quietspec.cli.worlds import numbers, require_spectra

if TYPE_CHECKING:
    from quietspec.lab.evaluation.recovery import Arm, Recovery

__all__ = ["ARMS", "recover_experiment"]

ARMS = "noisy,eut-position,eut-small,wiener,posterior,posterior-sigma,posterior-covariance,populations,limit"
_PAPER_ARMS = ("noisy", "eut-position")  # of which all spectra are fitted, as in the paper


def recover_experiment(
    recipe: str,
    arms: str,
    snr: str,
    *,
    n: int,
    n_others: int,
    n_ladder: int,
    seed: int,
    prior: str | None,
    library: str | None,
    templates: str | None,
    changes: dict[str, Any],
    jobs: int,
    store: Path | None,
    json: Path | None,
    figures: Path | None,
) -> None:
    """Recover ages and metallicities of simulated spectra, noisy and denoised, and score them against the truth.

    Parameters
    ----------
    recipe, arms, snr : str
        As on the command line of ``recover``, as are the others.
    n, n_others, n_ladder, seed : int
        Numbers of spectra; seed of the noise.
    prior, library, templates : str or None
        Prior of the denoisers; SSPs that are simulated, and that pPXF fits with.
    changes : dict
        Options of pPXF that differ from those that suit the recipe.
    jobs : int
        Processes side by side.
    store, json, figures : Path or None
        Where finished arms, scores and figures go.
    """
    from dataclasses import replace

    from quietspec.denoisers import load_denoiser
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.evaluation.recovery import Arm, recipe_options
    from quietspec.lab.evaluation.recovery import recover as run

    levels = numbers(snr)
    chosen = [Arm(name, n if name in _PAPER_ARMS else min(n, n_others)) for name in map(str.strip, arms.split(","))]
    require_spectra(recipe, max(arm.n for arm in chosen), "test")
    if json is not None:
        require_new(json, overwrite=True)
    for folder in filter(None, (figures, store)):
        with os_errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
    world = recipe_named(recipe, library)
    tools = {name: load_denoiser(name, prior or recipe, discrepancy=False) for name in sorted(_denoisers(chosen))}
    result = run(
        world,
        tools,
        chosen,
        levels,
        seed=seed,
        library=None if templates is None else library_named(templates),
        options=replace(recipe_options(world), **changes),
        n_ladder=min(n_ladder, n),
        jobs=jobs,
        store=store,
        progress=log,
    )
    if json is None or str(json) != "-":
        _print(result)
    if json is not None:
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
