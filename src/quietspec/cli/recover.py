"""The command `recover`: stellar populations of files, or of simulated spectra beside their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from quietspec.cli.app import Overwrite, app
from quietspec.cli.options import (
    Exposures,
    FluxHdu,
    Fwhm,
    Library,
    MaskHdu,
    MediumOption,
    NoiseFromResiduals,
    NoiseHdu,
    NoiseKind,
    Redshift,
    Seed,
    Together,
    WavelengthUnit,
    read_options,
)
from quietspec.cli.recover_experiment import ARMS, recover_experiment
from quietspec.cli.recover_files import MethodName, recover_files

_FILES, _SIMULATED, _PPXF = "With files", "With --recipe", "pPXF fits"


@app.command()
def recover(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Spectra or cubes, of any survey `quietspec info` knows.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="FITS file to write; with several inputs a folder for them.", rich_help_panel=_FILES
        ),
    ] = None,
    method: Annotated[
        MethodName,
        typer.Option(
            help="From the posterior that denoises (needs no templates); pPXF on the noisy spectra; pPXF on denoised.",
            rich_help_panel=_FILES,
        ),
    ] = "posterior",
    redshift: Redshift = None,
    together: Together = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw maps (values, where there is no image): a file or a folder.", rich_help_panel=_FILES),
    ] = None,
    overwrite: Overwrite = False,
    recipe: Annotated[
        Literal["paper", "survey"] | None,
        typer.Option(help="Run the experiment on this simulated world.", rich_help_panel=_SIMULATED),
    ] = None,
    arms: Annotated[
        str,
        typer.Option(
            help="Ways from spectrum to populations, by comma: noisy, DENOISER, DENOISER-flat, -sigma or -covariance "
            "(errors that pPXF is told; those of the input if not said), populations, limit.",
            rich_help_panel=_SIMULATED,
        ),
    ] = ARMS,
    snr: Annotated[str, typer.Option(help="S/N, by comma.", rich_help_panel=_SIMULATED)] = "5,10,20",
    n: Annotated[
        int,
        typer.Option("-n", min=3, help="Test spectra of arms noisy and eut-position.", rich_help_panel=_SIMULATED),
    ] = 10_000,
    n_others: Annotated[
        int, typer.Option("--n-others", min=3, help="Test spectra of the other arms.", rich_help_panel=_SIMULATED)
    ] = 2000,
    n_ladder: Annotated[
        int,
        typer.Option(
            "--n-ladder",
            min=0,
            help="Noisy spectra fitted at each of ten S/N, for equivalent S/N.",
            rich_help_panel=_SIMULATED,
        ),
    ] = 1000,
    seed: Seed = 0,
    templates: Annotated[
        str | None,
        typer.Option(help="SSP library that pPXF fits with; the simulated one by default.", rich_help_panel=_SIMULATED),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps finished arms; the command given again goes on.",
            rich_help_panel=_SIMULATED,
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for figures, as PNG and PDF; made if missing.", rich_help_panel=_SIMULATED),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Prior: a shipped one or an .npz; by default `survey`, or the recipe's."),
    ] = None,
    library: Library = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write report or scores as JSON; - is standard output.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Fits side by side.", rich_help_panel=_PPXF)] = 1,
    regularisation: Annotated[
        float, typer.Option(min=0, help="Smoothness of the weights, pPXF's regul; 0: none.", rich_help_panel=_PPXF)
    ] = 10.0,
    multiplicative: Annotated[
        int | None,
        typer.Option(
            min=0, help="Degree of the multiplicative polynomial; 8, or 0 for recipe paper.", rich_help_panel=_PPXF
        ),
    ] = None,
    gas: Annotated[
        Literal["mask", "fit", "none"] | None,
        typer.Option(
            help="Emission lines of noisy spectra: masked (the default), fitted, or none (recipe paper).",
            rich_help_panel=_PPXF,
        ),
    ] = None,
    kinematics: Annotated[
        Literal["free", "fixed"] | None,
        typer.Option(
            help="Fitted, or held at 0 and --dispersion (recipe paper).",
            rich_help_panel=_PPXF,
        ),
    ] = None,
    dispersion: Annotated[
        float | None,
        typer.Option(min=0, help="Start or fixed value, km/s; 120, or 0 for recipe paper.", rich_help_panel=_PPXF),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Refits from which errors come; 0: formal errors.", rich_help_panel=_PPXF)
    ] = 0,
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
    """Ages, metallicities, M/L, kinematics: of files, as maps with errors; or of a simulated world (--recipe)."""
    given = {
        "regularisation": regularisation, "multiplicative": multiplicative, "gas": gas, "kinematics": kinematics,
        "dispersion": dispersion, "bootstrap": bootstrap,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    if recipe is not None:
        if files or out is not None:
            raise typer.BadParameter("simulates its spectra: it takes no files and no --out", param_hint="--recipe")
        recover_experiment(
            recipe, arms, snr, n=n, n_others=n_others, n_ladder=n_ladder, seed=seed, prior=model, library=library,
            templates=templates, changes=changes, jobs=jobs, store=store, json=json, figures=figures,
        )  # fmt: skip
        return
    if not files:
        raise typer.BadParameter("name files, or give --recipe paper for the simulated experiment", param_hint="FILES")
    if out is None:
        raise typer.BadParameter("say where the populations of the files go", param_hint="--out")
    options = read_options(
        redshift=redshift, flux_hdu=flux_hdu, noise_hdu=noise_hdu, noise_kind=noise_kind, mask_hdu=mask_hdu,
        noise_from_residuals=noise_from_residuals, wavelength_unit=wavelength_unit, medium=medium, fwhm=fwhm,
        exposures=exposures,
    )  # fmt: skip
    recover_files(
        files, out, method=method, model=model or "survey", together=together, figure=figure, json=json,
        overwrite=overwrite, library=library, jobs=jobs, changes=changes, options=options,
    )  # fmt: skip
