"""What a user can say about a file that the file does not say itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from quietspec.errors import ReadError
from quietspec.units import NoiseKind
from quietspec.wavelengths import Medium

__all__ = ["MAX_MEMORY", "NoiseKind", "ReadOptions"]

MAX_MEMORY = 2.0  #: GB that reading may take at once, where the user allows no more


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of `quietspec.io.read`; each overrides what the file says. On the command line ``noise_hdu`` is
    ``--noise-hdu``, and so on.

    Parameters
    ----------
    redshift : float, optional
        Redshift of all spectra.
    flux_hdu, noise_hdu, mask_hdu : str or int, optional
        Name or number of the HDU that holds the flux, its noise, and its mask (non-zero = bad). In a table: the name
        of the column.
    noise_kind : {'sigma', 'variance', 'ivar'}, optional
        What the noise HDU or column holds.
    flux_unit : str, optional
        Unit of the flux: ``1e-17 erg/s/cm2/Angstrom``, ``mJy``.
    wavelength_unit : str, optional
        Unit of the wavelengths: ``Angstrom``, ``nm``, ``um``, ``m``.
    medium : {'air', 'vacuum'}, optional
        What the wavelengths are measured in.
    fwhm : float, optional
        Instrumental FWHM in Å, at all wavelengths.
    exposures : bool
        Read the single exposures of an SDSS file, not their coadd.
    noise_from_residuals : bool
        Where the file gives no noise, estimate it from the pixel-to-pixel scatter of each spectrum.
    ignore_checksum : bool
        Read a FITS file whose content does not match its checksums.
    max_memory : float
        GB that reading may take at once.

    Raises
    ------
    ReadError
        If a value is not allowed.
    """  # noqa: D205  (one sentence would not say it)

    redshift: float | None = None
    flux_hdu: str | int | None = None
    noise_hdu: str | int | None = None
    noise_kind: NoiseKind | None = None
    flux_unit: str | None = None
    mask_hdu: str | int | None = None
    wavelength_unit: str | None = None
    medium: Medium | None = None
    fwhm: float | None = None
    exposures: bool = False
    noise_from_residuals: bool = False
    ignore_checksum: bool = field(
        default=False, metadata={"help": "Read a FITS file whose content does not match its checksums."}
    )
    max_memory: float = field(default=MAX_MEMORY, metadata={"help": "GB of memory that reading may take at once."})

    def __post_init__(self) -> None:
        for name, kind in (("noise_kind", NoiseKind), ("medium", Medium)):
            value = getattr(self, name)
            if value is not None and value not in get_args(kind):
                flag = "--" + name.replace("_", "-")
                raise ReadError(f"{flag} {value}: expected {' or '.join(get_args(kind))}.")
        if self.fwhm is not None and not self.fwhm > 0:
            raise ReadError(f"--fwhm {self.fwhm}: expected a positive FWHM in Å.")
        if not 0 < self.max_memory < float("inf"):
            raise ReadError(f"max_memory={self.max_memory}: expected a positive number of GB.")
        if self.redshift is not None and not -1 < self.redshift < float("inf"):
            raise ReadError(f"--redshift {self.redshift}: expected a finite number above -1.")
