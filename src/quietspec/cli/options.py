"""Options that commands share: what a user can say about a file that the file does not say itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

__all__ = [
    "Exposures", "FluxHdu", "Fwhm", "Library", "MaskHdu", "MediumOption", "NoiseFromResiduals", "NoiseHdu",
    "NoiseKind", "RecipeName", "Redshift", "Seed", "Together", "WavelengthUnit", "read_options",
]  # fmt: skip

_FILE = "About the file"

Redshift = Annotated[float | None, typer.Option(help="Redshift, where the file has none or a wrong one.")]
Together = Annotated[bool, typer.Option("--together", help="The files are the arms of one object.")]
FluxHdu = Annotated[str | None, typer.Option(help="Name or number of the flux HDU.", rich_help_panel=_FILE)]
NoiseHdu = Annotated[str | None, typer.Option(help="Name or number of the noise HDU.", rich_help_panel=_FILE)]
NoiseKind = Annotated[
    Literal["sigma", "variance", "ivar"] | None,
    typer.Option(help="What the noise HDU holds.", rich_help_panel=_FILE),
]
MaskHdu = Annotated[
    str | None, typer.Option(help="Name or number of the mask HDU (not 0 = bad).", rich_help_panel=_FILE)
]
NoiseFromResiduals = Annotated[
    bool,
    typer.Option(
        "--noise-from-residuals",
        help="Estimate the noise from pixel-to-pixel scatter where the file gives none.",
        rich_help_panel=_FILE,
    ),
]
WavelengthUnit = Annotated[
    str | None, typer.Option(help="Unit of the wavelengths: Angstrom, nm, um, m.", rich_help_panel=_FILE)
]
MediumOption = Annotated[
    Literal["air", "vacuum"] | None,
    typer.Option("--medium", help="What the wavelengths are measured in.", rich_help_panel=_FILE),
]
Fwhm = Annotated[float | None, typer.Option(help="Instrumental FWHM, Å.", rich_help_panel=_FILE)]
Exposures = Annotated[
    bool,
    typer.Option("--exposures", help="Single exposures of an SDSS file instead of their coadd.", rich_help_panel=_FILE),
]

RecipeName = Annotated[Literal["paper", "survey"], typer.Option(help="Simulated world.")]
Seed = Annotated[int, typer.Option(help="Seed of all random draws.")]
Library = Annotated[
    str | None,
    typer.Option(help="SSP library: a folder of FITS spectra or a pPXF .npz; `quietspec fetch miles` by default."),
]


def read_options(**options: Any) -> dict[str, Any]:
    """Options of `quietspec.io.ReadOptions` from the command line's; HDU numbers become numbers.

    Parameters
    ----------
    **options
        By the names of `ReadOptions`.

    Returns
    -------
    dict
        The same.
    """
    return {
        name: int(value) if name.endswith("_hdu") and str(value).isdigit() else value for name, value in options.items()
    }
