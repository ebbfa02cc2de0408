"""The command `lab reproduce`: the published results made again, and the pages filled from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quietspec.cli.console import console, log, print_path

if TYPE_CHECKING:
    from quietspec.lab.reproduce import Manifest, Part

__all__ = ["reproduce"]


def reproduce(
    only: Annotated[
        str, typer.Option("--only", help="Parts to make, comma-separated, also those that are up to date.")
    ] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List the parts with their state and the time that each takes.")
    ] = False,
    pages: Annotated[
        bool, typer.Option("--pages", help="Fill the tables of the pages from the results files.")
    ] = False,
    places: Annotated[
        list[str] | None,
        typer.Option("--set", help="Where something is, as name=path: data, stars, release, …; repeatable."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--checkout", help="Checkout of the repository; by default, the one you are in.")
    ] = None,
) -> None:
    """Make the published tables and figures again; parts whose code, models and command are unchanged are left out."""
    from quietspec.lab.reproduce import Manifest, checkout, chosen_parts

    manifest = Manifest.load(checkout(folder))
    known = _places(places or [])
    wanted = [name for name in map(str.strip, only.split(",")) if name]
    if listed:
        _list(manifest, wanted)
        return
    if not pages:
        _make(manifest, chosen_parts(manifest, wanted), known)
    _fill(manifest)


def _places(assignments: list[str]) -> dict[str, str]:
    pairs = [assignment.partition("=") for assignment in assignments]
    for assignment, (name, equals, path) in zip(assignments, pairs, strict=True):
        if not (name and equals and path):
            raise typer.BadParameter(f"{assignment!r}: give name=path.", param_hint="--set")
    return {name: str(Path(path).absolute()) for name, _, path in pairs}


def _list(manifest: Manifest, wanted: list[str]) -> None:
    from rich.table import Table

    from quietspec.lab.reproduce import state_of

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("part", "minutes", "state", "needs"):
        table.add_column(name, justify="right" if name == "minutes" else "left")
    left = 0.0
    for part in [manifest[name] for name in wanted] or manifest.part:
        state = state_of(manifest, part)
        left += 0 if state.done or part.by_hand else part.minutes
        needs = [*(f"--set {name}=PATH" for name in part.places), *([part.by_hand] if part.by_hand else [])]
        table.add_row(part.name, f"{part.minutes:g}", str(state), "; ".join(needs))
    console.print(table)
    console.print(f"{left:.0f} minutes for what is not up to date, on two cores")


def _make(manifest: Manifest, parts: list[Part], places: dict[str, str]) -> None:
    """Make parts one after the other; those whose places are not named are left out, those that fail are named last."""
    from quietspec.errors import QuietspecError
    from quietspec.lab.reproduce import run_part

    failed = []
    for number, part in enumerate(parts, 1):
        missing = [name for name in part.places if name not in places]
        if missing:
            log(f"{part.name} left out: give {' '.join(f'--set {name}=PATH' for name in missing)}")
            continue
        log(f"{number} of {len(parts)}: {part.name}, about {part.minutes:g} minutes")
        try:
            log(f"{part.name}: {run_part(manifest, part, places) / 60:.1f} minutes")
        except QuietspecError as error:
            log(str(error))
            failed.append(part.name)
    if failed:
        raise QuietspecError(f"{', '.join(failed)}: not made. The same command goes on with these.")


def _fill(manifest: Manifest) -> None:
    """Write what has changed in the pages, and take what is up to date off the list of results that are not."""
    from quietspec.io.writing.atomic import whole_file
    from quietspec.lab.reproduce.pages import mended_page, pages_of
    from quietspec.lab.reproduce.state import shortened_list

    texts = {page: mended_page(manifest, page) for page in pages_of(manifest)}
    for page, text in {**texts, **shortened_list(manifest)}.items():
        path = manifest.root / page
        if path.read_text(encoding="utf-8") != text:
            with whole_file(path, overwrite=True) as partial:
                partial.write_text(text, encoding="utf-8")
            print_path(path)
