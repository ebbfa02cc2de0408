"""The frame of the scripts in this folder: their options, and results files that say what made them."""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from quietspec.io import fetch
from quietspec.lab.reproduce import made
from quietspec.plots import save
from quietspec.templates import SspLibrary, load_library

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
console, wide = Console(width=180), Console(width=330)


class _Parser(ArgumentParser):
    """Says what makes the results at once: the code may change while it runs."""

    def parse_args(self, *words: Any) -> Namespace:  # type: ignore[override]
        """Parse the options, and add `made`."""
        options = super().parse_args(*words)
        # Where things lie on this machine is nobody's business.
        given = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
        script = Path(sys.argv[0])
        command = shlex.join(["python", f"benchmarks/{script.name}", *given])
        options.made = made(command, script, getattr(options, "json", None))
        return options


def parser(doc: str, *, results: str | None = None, figures: bool = False, tables: bool = False) -> ArgumentParser:
    """Make the parser of a script; with `results` (a name), it takes the file of its results, and a figures folder.

    With `tables`, the results are what is printed, and are written where a file is named.
    """
    made = _Parser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    if results is not None:
        default = RESULTS / f"{results}.json"
        made.add_argument("--json", type=Path, default=default, metavar="FILE", help="results file to write")
    if tables:
        made.add_argument("--json", type=Path, metavar="FILE", help="results file to write; none by default")
    if figures:
        made.add_argument("--figures", type=Path, metavar="FOLDER", help="where figures go; beside the results file")
    return made


def add_library(made: ArgumentParser) -> None:
    """Add the option that names the SSP library."""
    made.add_argument(
        "--library", type=Path, help="folder or .npz of SSP spectra; MILES by default, fetched if need be"
    )


def add_data(made: ArgumentParser) -> None:
    """Add the option that names the folder of real spectra which cannot be fetched."""
    made.add_argument(
        "--data", type=Path, metavar="FOLDER", help="folder of SAMI and CALIFA files; left out without it"
    )


def library_of(options: Namespace) -> SspLibrary:
    """Load the library that the options name."""
    return load_library(options.library or fetch("miles"))


def store_of(options: Namespace) -> Path | None:
    """Return the folder that keeps what this code has finished with these options, made if missing; None if unnamed."""
    if options.store is None:
        return None
    asked = {key: str(value) for key, value in vars(options).items() if key not in ("json", "figures", "made", "store")}
    text = json.dumps([asked, options.made["dependencies"]], sort_keys=True)
    folder: Path = options.store / hashlib.sha256(text.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def log(line: str) -> None:
    """Print a line of progress."""
    console.print(line, highlight=False)


def finish(options: Namespace, content: Mapping[str, Any], figures: Mapping[str, Figure] | None = None) -> None:
    """Write the results with what made them; and figures named after the results file plus a suffix."""
    options.json.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(options.made | dict(content), indent=1, ensure_ascii=False)
    options.json.write_text(f"{text}\n", encoding="utf-8")
    log(f"{options.json}")
    for suffix, figure in (figures or {}).items():
        log(f"{save(figure, (options.figures or options.json.parent) / f'{options.json.stem}{suffix}.png')}")


def finish_tables(options: Namespace, tables: Iterable[Table]) -> None:
    """Print tables, and write their cells as the results where a file is named."""
    cells = []
    for table in tables:
        wide.print(table)
        cells.append(_cells(table))
    if options.json is not None:
        finish(options, {"tables": cells})


def _cells(table: Table) -> dict[str, Any]:
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    head = [str(column.header) for column in table.columns]
    return {"title": str(table.title or ""), "head": head, "rows": list(map(list, zip(*columns, strict=True)))}
