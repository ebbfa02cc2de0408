"""The command `lab recover`: populations of simulated spectra, held against their truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.console import command_line, console, log, print_path
from quietspec.cli.lab.worlds import Changes, recipe_named
from quietspec.cli.options import Library, library_named
from quietspec.cli.outputs import Json, require_new, stdout_is_json, write_json

if TYPE_CHECKING:
    from quietspec.lab.evaluation.recovery import Recovery

__all__ = ["recover"]


def recover(
    experiment: Annotated[
        str, typer.Argument(help="paper, the paper's experiment, or a YAML file of settings.")
    ] = "paper",
    changes: Changes = None,
    library: Library = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished arms; the same command goes on from it.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures, as PNG and PDF; made if missing.")] = None,
    json: Json = None,
    jobs: Annotated[int, typer.Option(min=1, help="pPXF fits side by side.")] = 1,
) -> None:
    """Recover ages and metallicities of simulated spectra, noisy and denoised, and score them against the truth."""
    from quietspec.denoisers import load_denoiser
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.evaluation.recovery import RecoverySettings
    from quietspec.lab.evaluation.recovery import recover as run
    from quietspec.lab.evaluation.recovery.run import RecoveryRun
    from quietspec.lab.reproduce import made

    asked = RecoveryRun.load(experiment).changed(changes or ())
    require_new(json, overwrite=True)
    origin = made(command_line(folders=False), "quietspec.cli.lab.recover", json)
    for folder in filter(None, (figures, store)):
        with os_errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
    world = recipe_named(asked.recipe, library)
    tools = {name: load_denoiser(name, asked.model or asked.recipe) for name in asked.denoisers()}
    settings = RecoverySettings(
        seed=asked.seed, library=None if asked.templates is None else library_named(asked.templates),
        options=asked.options(world), n_ladder=min(asked.n_ladder, asked.n), jobs=jobs, store=store,
    )  # fmt: skip
    result = run(world, tools, asked.chosen(), asked.snr, settings, log=log)
    if not stdout_is_json(json):
        _print(result)
    hashes = {name: str(tool.model) for name, tool in tools.items()}
    write_json(json, {**origin, "model": hashes, **result.to_json()})
    if figures is not None:
        _draw(result, figures)


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
            print_path(save(figure, folder / (name + suffix)), dim=True)
