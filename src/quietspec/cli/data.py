"""The commands `fetch`, `info` and `models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quietspec.cli.app import app, console, fail, log, require_new, write_json
from quietspec.cli.options import (
    Exposures,
    FluxHdu,
    Fwhm,
    MaskHdu,
    MediumOption,
    NoiseFromResiduals,
    NoiseHdu,
    NoiseKind,
    Redshift,
    Together,
    WavelengthUnit,
    read_options,
)
from quietspec.errors import QuietspecError


@app.command()
def fetch(
    name: Annotated[str | None, typer.Argument(help="Data set; without it, they are listed.")] = None,
) -> None:
    """Bring a public data set into the cache, checked by SHA-256; its path is the last line."""
    from quietspec.io.fetching import DATASETS, cached
    from quietspec.io.fetching import fetch as bring

    if name is None:
        for dataset in DATASETS.values():
            console.print(f"{dataset.name:<12} {'cached' if cached(dataset.name) else '      '}  {dataset.what}")
        return
    path = bring(name, progress=True)
    log(f"{name}: {DATASETS[name].what}. {DATASETS[name].terms}")
    console.print(str(path), soft_wrap=True)


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(help="Spectra or cubes.")],
    redshift: Redshift = None,
    together: Together = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write it as JSON; - is standard output.")] = None,
    flux_hdu: FluxHdu = None,
    noise_hdu: NoiseHdu = None,
    noise_kind: NoiseKind = None,
    mask_hdu: MaskHdu = None,
    noise_from_residuals: NoiseFromResiduals = False,
    wavelength_unit: WavelengthUnit = None,
    medium: MediumOption = None,
    fwhm: Fwhm = None,
    exposures: Exposures = False,
) -> None:
    """Say what the reader sees: survey, shape, wavelengths, redshift, S/N, masks, warnings."""
    from quietspec.io import describe, open_spectra

    if json is not None:
        require_new(json, overwrite=True)
    options = read_options(
        redshift=redshift, flux_hdu=flux_hdu, noise_hdu=noise_hdu, noise_kind=noise_kind, mask_hdu=mask_hdu,
        noise_from_residuals=noise_from_residuals, wavelength_unit=wavelength_unit, medium=medium, fwhm=fwhm,
        exposures=exposures,
    )  # fmt: skip
    facts: list[dict[str, Any]] = []
    failed = False
    for paths in [tuple(files)] if together else [(path,) for path in files]:
        try:
            with open_spectra(*paths, **options) as source:
                facts.append(describe(source))
        except QuietspecError as error:
            fail(error)
            failed = True
    if json is not None:
        write_json(json, facts)
    else:
        for fact in facts:
            _print_facts(fact)
    if failed:
        raise typer.Exit(1)


def _print_facts(fact: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in _lines(fact):
        table.add_row(name, text.replace("[", r"\["))
    console.print(" + ".join(fact["paths"]), style="bold", markup=False)
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
    return lines + [("warning", text) for text in fact["warnings"]]


def _percentiles(snr: dict[str, float | None]) -> str:
    if snr["50"] is None:
        return "none"
    return f"median {snr['50']:.1f} (5–95 %: {snr['5']:.1f}–{snr['95']:.1f})"


def _span(limits: dict[str, Any], form: str) -> str:
    if limits["low"] is None:
        return "unknown"
    low, high = format(limits["low"], form), format(limits["high"], form)
    return low if low == high else f"{low} to {high}"


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show the whole card of this model.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the cards as JSON; - is standard output.")] = None,
) -> None:
    """List the shipped models with their cards."""
    from quietspec.denoisers import model_cards
    from quietspec.errors import ModelError

    cards = model_cards()
    if name is not None and name not in cards:
        raise ModelError(f"no model {name!r}; shipped: {', '.join(cards) or 'none'}.")
    if not cards:
        log("no models are shipped with this version; `quietspec train` makes one")
    if json is not None:
        write_json(json, cards if name is None else cards[name])
        return
    for key, card in cards.items():
        if name in (None, key):
            _print_card(key, card, whole=name is not None)


def _print_card(name: str, card: dict[str, Any], *, whole: bool) -> None:
    console.print(f"[bold]{name}[/]  {card['summary']}")
    keys = card.keys() if whole else ("recipe", "command", "hash")
    for key in keys:
        if key in card and key not in ("summary", "scores", "curve"):
            console.print(f"  {key}: {card[key]}", markup=False, soft_wrap=True)
    for denoiser, by_snr in card.get("scores", {}).get("models", {}).items():
        reductions = ", ".join(f"{100 * scores['rms_reduction']:.1f} % at S/N {snr}" for snr, scores in by_snr.items())
        console.print(f"  {denoiser}: residual reduced by {reductions}", soft_wrap=True)
