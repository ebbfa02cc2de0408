"""All tables that pages take from results files, by the names in their markers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.tables.components import (
    apart_fluxes_table,
    apart_table,
    components_table,
    total_fluxes_table,
)
from quietspec.lab.evaluation.tables.cubes import cube_pulls_table, cube_sums_table, cube_table
from quietspec.lab.evaluation.tables.lines import (
    apertures_table,
    contenders_table,
    line_fluxes_table,
    repeats_table,
)
from quietspec.lab.evaluation.tables.markdown import ResultsFolder, markdown_table, plain_table
from quietspec.lab.evaluation.tables.motions import (
    bins_table,
    epochs_table,
    left_out_table,
    motion_repeats_table,
    sami_table,
    simulated_table,
)
from quietspec.lab.evaluation.tables.paper import off_distribution_table, paper_tables
from quietspec.lab.evaluation.tables.populations import population_tables
from quietspec.lab.evaluation.tables.removed import removed_table
from quietspec.lab.evaluation.tables.sky import air_simulated_table, air_table
from quietspec.lab.evaluation.tables.speed import cube_speed_table, floor_table, methods_table, release_table
from quietspec.lab.evaluation.tables.ultraviolet import choice_table, own_table, real_table
from quietspec.lab.evaluation.tables.validation import validation_tables

__all__ = ["TABLES", "published_table"]

_VALIDATION = ("limits", "coverage", "predictions", "pulls", "robustness 10", "robustness 20", "detection")
_PAPER = ("setting", "reduction", "recovery", "residual", "lines", "widths", "time")
_POPULATIONS = (
    "5", "10", "20", "beside limit", "ladder", "options", "libraries", "calibration", "galaxy", "NGC 3522", "SAMI"
)  # fmt: skip

Maker = Callable[[ResultsFolder], str]


def _numbered(tables: Callable[[ResultsFolder], Iterable[str]], number: int) -> Maker:
    return lambda results: next(islice(tables(results), number, None))


def _paper(results: ResultsFolder) -> Iterable[str]:
    return paper_tables([results["paper_figures"]])


#: By name; the tables of scripts that keep what they print need no entry (`published_table`).
TABLES: dict[str, Maker] = {
    "removed": removed_table,
    **{f"validation {name}": _numbered(validation_tables, n) for n, name in enumerate(_VALIDATION)},
    **{f"paper {name}": _numbered(_paper, n) for n, name in enumerate(_PAPER)},
    "paper off the distribution": lambda results: off_distribution_table(results["paper_networks_on_survey"]),
    **{f"populations {name}": _numbered(population_tables, n) for n, name in enumerate(_POPULATIONS)},
    "apertures": apertures_table,
    "line fluxes": line_fluxes_table,
    "line components": components_table,
    "line components, total fluxes": total_fluxes_table,
    "motions apart": apart_table,
    "motions apart, fluxes": apart_fluxes_table,
    "line contenders": contenders_table,
    "line repeats": repeats_table,
    "cube": cube_table,
    "cube, sums": cube_sums_table,
    "cube, pulls": cube_pulls_table,
    "speed of a cube": cube_speed_table,
    "speed floor": floor_table,
    "speed of methods": methods_table,
    "beside 0.1.0": release_table,
    "motions, simulated": simulated_table,
    "motions, by bins": bins_table,
    "motions, two epochs": epochs_table,
    "motions, bins of SAMI": sami_table,
    "motions, repeats": motion_repeats_table,
    "libraries left out": left_out_table,
    "ultraviolet, own world": own_table,
    "ultraviolet beside survey": choice_table,
    "ultraviolet, real spectra": real_table,
    "air, simulated": air_simulated_table,
    "air, real spectra": air_table,
}


def published_table(name: str, results: ResultsFolder) -> str:
    """Make a table for a page.

    Parameters
    ----------
    name : str
        One of `TABLES`, or a results file and the number of a table in it, from 0: ``line_fluxes 0``.
    results : ResultsFolder
        The results files.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    QuietspecError
        If there is no such table.
    """
    if name in TABLES:
        return TABLES[name](results)
    file, _, number = name.rpartition(" ")
    try:
        table = results[file]["tables"][int(number)]
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise QuietspecError(
            f"no table {name!r}: neither one of {', '.join(sorted(TABLES))}, nor a results file and the number of a "
            "table that it holds."
        ) from error
    if not table["title"]:
        return plain_table(table["head"], table["rows"])
    return markdown_table(table["title"], table["head"], table["rows"])
