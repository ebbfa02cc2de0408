"""The frame of the scripts in this folder: their options, and results files that say what made them."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from quietspec.cli.lab.worlds import commit
from quietspec.io import fetch
from quietspec.lab.bench import machine
from quietspec.plots import save
from quietspec.templates import SspLibrary, load_library

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
console = Console(width=180)


def parser(doc: str, *, results: str | None = None, figures: bool = False) -> ArgumentParser:
    """Make the parser of a script; with `results` (a name), it takes the file of its results, and a figures folder."""
    made = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    if results is not None:
        default = RESULTS / f"{results}.json"
        made.add_argument("--json", type=Path, default=default, metavar="FILE", help="results file to write")
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


def log(line: str) -> None:
    """Print a line of progress."""
    console.print(line, highlight=False)


def finish(options: Namespace, content: Mapping[str, Any], figures: Mapping[str, Figure] | None = None) -> None:
    """Write the results with machine, command and commit; and figures named after the results file plus a suffix."""
    # Where things lie on this machine is nobody's business.
    given = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *given])
    made = {"machine": machine(), "command": command, "commit": commit()}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(made | dict(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    log(f"{options.json}")
    for suffix, figure in (figures or {}).items():
        log(f"{save(figure, (options.figures or options.json.parent) / f'{options.json.stem}{suffix}.png')}")
