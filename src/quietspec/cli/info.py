"""The command `info`: what the reader sees in a file, and every decision it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.cli.console import console, failed, printable, shown
from quietspec.cli.options import Together, with_read_options
from quietspec.cli.outputs import Json, claim_outputs, require_new, stdout_is_json, write_json
from quietspec.io.reading.options import as_command_line

__all__ = ["info"]


@with_read_options
def info(
    files: Annotated[list[Path], typer.Argument(help="Spectra or cubes.")],
    *,
    together: Together = False,
    json: Json = None,
    read: dict[str, Any],
) -> None:
    """Show what the reader sees: survey, shape, wavelengths, redshift, S/N, masks, warnings."""
    from quietspec.io import describe, open_spectra

    require_new(json, overwrite=True)
    claim_outputs([json], files)
    facts: list[dict[str, Any]] = []
    complete = True
    for paths in [tuple(files)] if together else [(path,) for path in files]:
        try:
            with open_spectra(*paths, **read) as source:
                facts.append(describe(source))
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one input, the others are still shown)
            failed(error, paths)
            complete = False
    write_json(json, facts)
    for fact in () if stdout_is_json(json) else facts:
        _print_facts(fact)
    if not complete:
        raise typer.Exit(1)


def _print_facts(fact: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _lines(fact):
        table.add_row(name, shown(text))
    console.print(printable(" + ".join(fact["paths"])), style="bold", markup=False)
    console.print(table)


def _lines(fact: dict[str, Any]) -> list[tuple[str, str]]:
    wave, snr, redshift = fact["wavelength"], fact["snr"], fact["redshift"]
    shape = f" ({' × '.join(map(str, fact['spatial_shape']))} spaxels)" if fact["spatial_shape"] else ""
    gaps = "".join(f", gap {low:.0f}–{high:.0f}" for low, high in wave["gaps"])
    sampling = f"{wave['sampling']}, step {wave['step']:.3g} Å{gaps}"
    lines = [
        ("survey", fact["survey"] + (f", object {fact['object']}" if fact["object"] else "")),
        ("spectra", f"{fact['n_spectra']}{shape}, {fact['n_pixels']} pixels each"),
        ("wavelengths", f"{wave['low']:.1f}–{wave['high']:.1f} Å in {fact['medium']}, {sampling}"),
        ("resolution", f"FWHM {_span(fact['fwhm'], '.2f')} Å" if fact["fwhm"] else "unknown"),
        ("flux unit", fact["unit"] or "none"),
        (
            "redshift",
            _span(redshift, ".5f") + (f" ({redshift['unknown']} unknown)" if redshift["unknown"] else ""),
        ),
        ("S/N per pixel", _percentiles(snr)),
        ("masked", f"{100 * fact['fraction_masked']:.1f} % of the pixels of spectra with data"),
        ("empty", f"{fact['empty_spectra']} of the {fact['sampled_spectra']} spectra looked at"),
    ]
    if fact["distinct_spectra"]:
        lines.append(("distinct", f"{fact['distinct_spectra']} spectra, each shared by the spaxels of its bin"))
    lines += [(what, how) for what, how in fact["decisions"]]
    return lines + [("warning", as_command_line(text)) for text in fact["warnings"]]


def _percentiles(snr: dict[str, float | None]) -> str:
    if snr["50"] is None:
        return "none"
    return f"median {snr['50']:.1f} (5–95 %: {snr['5']:.1f}–{snr['95']:.1f})"


def _span(limits: dict[str, Any], form: str) -> str:
    if limits["low"] is None:
        return "unknown"
    low, high = format(limits["low"], form), format(limits["high"], form)
    return low if low == high else f"{low} to {high}"
