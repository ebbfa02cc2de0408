"""What a user can say about a file that the file does not say itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypedDict, get_args

from quietspec.errors import ReadError
from quietspec.io.writing.options import WriteOptions
from quietspec.kinds import Medium, NoiseKind

__all__ = ["MAX_MEMORY", "MOST_EBV", "ReadKeywords", "ReadOptions", "as_command_line"]

MOST_EBV = 5.0  #: mag; behind more no galaxy is seen in the optical
MAX_MEMORY = 2.0  #: GB that reading may take at once, where the user allows no more
_MOST_BITS = 64


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions` as keywords, for editors and type checkers."""

    redshift: float | None
    ebv: float | None
    flux_hdu: str | int | None
    noise_hdu: str | int | None
    noise_kind: NoiseKind | None
    noise_from_residuals: bool
    mask_hdu: str | int | None
    mask_bits: str | None
    mask_good: bool | None
    no_mask: bool
    wave_hdu: str | int | None
    flux_unit: str | None
    wavelength_unit: str | None
    medium: Medium | None
    fwhm: float | None
    columns: str | None
    rows: str | None
    exposures: bool
    ignore_checksum: bool
    max_memory: float


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of `quietspec.io.read`; each overrides what the file says.

    On the command line ``noise_hdu=`` is ``--noise-hdu``, and so on; ``metadata["help"]`` of each field is its help.

    Parameters
    ----------
    redshift : float, optional
        Redshift of all spectra.
    ebv : float, optional
        Colour excess E(B−V), mag, of the dust of the Milky Way in front of all spectra, for which the flux is not
        corrected; 0 for none, or where it is corrected.
    flux_hdu, noise_hdu, mask_hdu : str or int, optional
        Name or number of the HDU that holds the flux, its noise, and its mask. In a table: the name of the column.
    wave_hdu : str or int, optional
        Name or number of the HDU that holds the wavelengths, or the name of a column; ``HDU:COLUMN`` names both.
    columns : str, optional
        What the columns of a table hold: in order, ``"wave,flux,err"`` (``-`` passes one over), or by their names,
        ``"wave=LAM,flux=F_OBS,err=E_F"``. Meanings are those of usual column names: ``wave``, ``loglam``, ``flux``,
        ``err``, ``var``, ``ivar``, ``mask``, ``z``, ``fwhm``.
    rows : str, optional
        Spectra to read, by number from 0: ``"0"``, ``"2:5"``, ``"0,7"``. Or what the rows of an image hold, in order,
        ``"flux,-,err"``, or by their numbers, ``"flux=0,err=2"``.
    noise_kind : {'sigma', 'variance', 'ivar'}, optional
        What the noise HDU or column holds.
    mask_bits : str, optional
        Numbers of the mask's bits that mean bad, from 0: ``"0,3,10"``.
    mask_good : bool, optional
        Whether values of the mask that are not zero mark good pixels (True) or bad ones (False).
    no_mask : bool
        Use no mask of the file.
    flux_unit : str, optional
        Unit of the flux: ``1e-17 erg/s/cm2/Angstrom``, ``mJy``.
    wavelength_unit : str, optional
        Unit of the wavelengths: ``Angstrom``, ``nm``, ``um``, ``m``, ``log10(Angstrom)``, ``ln(Angstrom)``.
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

    Examples
    --------
    >>> ReadOptions(medium="air", rows="0,5:8").row_numbers(100)
    [0, 5, 6, 7]
    >>> ReadOptions(columns="wave=LAM,flux=F").column_roles(["ID", "LAM", "F"])
    {'LAM': 'wave', 'F': 'flux'}
    """

    redshift: float | None = field(default=None, metadata={"help": "Redshift, where the file has none or a wrong one."})
    ebv: float | None = field(
        default=None, metadata={"help": "E(B-V) of the Milky Way's dust, mag, for which the flux is not corrected."}
    )
    flux_hdu: str | int | None = field(
        default=None, metadata={"help": "Name or number of the flux HDU; in a table, name of the column."}
    )
    noise_hdu: str | int | None = field(
        default=None, metadata={"help": "Name or number of the noise HDU; in a table, name of the column."}
    )
    noise_kind: NoiseKind | None = field(default=None, metadata={"help": "What the noise HDU or column holds."})
    noise_from_residuals: bool = field(
        default=False, metadata={"help": "Estimate the noise from pixel-to-pixel scatter where the file gives none."}
    )
    mask_hdu: str | int | None = field(
        default=None, metadata={"help": "Name or number of the mask HDU; in a table, name of the column."}
    )
    mask_bits: str | None = field(
        default=None, metadata={"help": "Bits of the mask that mean bad, numbered from 0: 0,3,10."}
    )
    mask_good: bool | None = field(
        default=None, metadata={"help": "Whether mask values that are not zero mark good pixels, or bad ones."}
    )
    no_mask: bool = field(default=False, metadata={"help": "Use no mask of the file."})
    wave_hdu: str | int | None = field(
        default=None, metadata={"help": "HDU or column that holds the wavelengths; HDU:COLUMN names both."}
    )
    flux_unit: str | None = field(default=None, metadata={"help": "Unit of the flux: 1e-17 erg/s/cm2/Angstrom, mJy."})
    wavelength_unit: str | None = field(
        default=None, metadata={"help": "Unit of the wavelengths: Angstrom, nm, um, m, log10(Angstrom), …."}
    )
    medium: Medium | None = field(default=None, metadata={"help": "What the wavelengths are measured in."})
    fwhm: float | None = field(default=None, metadata={"help": "Instrumental FWHM, Å."})
    columns: str | None = field(
        default=None,
        metadata={
            "help": "What the columns of a table hold, in order (wave,flux,err) or by name (wave=LAM,flux=F,err=E_F)."
        },
    )
    rows: str | None = field(
        default=None,
        metadata={
            "help": "Spectra to read, numbered from 0 (0,5:8), or what the rows of an image hold (flux=0,err=2)."
        },
    )
    exposures: bool = field(
        default=False, metadata={"help": "Single exposures of an SDSS file instead of their coadd."}
    )
    ignore_checksum: bool = field(
        default=False, metadata={"help": "Read a FITS file whose content does not match its checksums."}
    )
    max_memory: float = field(default=MAX_MEMORY, metadata={"help": "GB of memory that reading may take at once."})

    def __post_init__(self) -> None:
        for name, kind in (("noise_kind", NoiseKind), ("medium", Medium)):
            value = getattr(self, name)
            if value is not None and value not in get_args(kind):
                raise ReadError(f"{name}={value!r}: expected {' or '.join(map(repr, get_args(kind)))}.")
        if self.fwhm is not None and not 0 < self.fwhm < float("inf"):
            raise ReadError(f"fwhm={self.fwhm}: expected a positive FWHM in Å.")
        if not 0 < self.max_memory < float("inf"):
            raise ReadError(f"max_memory={self.max_memory}: expected a positive number of GB.")
        if self.redshift is not None and not -1 < self.redshift < float("inf"):
            raise ReadError(f"redshift={self.redshift}: expected a finite number above -1.")
        if self.ebv is not None and not 0 <= self.ebv <= MOST_EBV:
            raise ReadError(f"ebv={self.ebv}: expected a colour excess E(B-V) from 0 to {MOST_EBV:g} mag.")
        if self.no_mask and (self.mask_hdu is not None or self.mask_bits is not None or self.mask_good is not None):
            raise ReadError("no_mask=True: takes neither mask_hdu=, mask_bits= nor mask_good= beside it.")
        _ = self.bad_bits, self.plane_roles, self.row_numbers(0), self.column_roles([])  # each checks its own form

    @property
    def bad_bits(self) -> int | None:
        """The bits of `mask_bits` as one number; None where none are given."""
        if self.mask_bits is None:
            return None
        numbers = [text.strip() for text in str(self.mask_bits).split(",")]
        if not all(text.isdecimal() and int(text) < _MOST_BITS for text in numbers):
            raise ReadError(f"mask_bits={self.mask_bits!r}: expected numbers of bits from 0 to {_MOST_BITS - 1}: 0,3.")
        return sum(1 << int(text) for text in set(numbers))

    @property
    def plane_roles(self) -> dict[int, str]:
        """What the rows of an image hold, by their numbers; empty where `rows` does not say."""
        if self.rows is None or not re.search(r"[A-Za-z]", str(self.rows)):
            return {}
        roles = _roles(str(self.rows), "rows")
        if isinstance(roles, list):
            return {number: role for number, role in enumerate(roles) if role}
        if not all(name.isdecimal() for name in roles):
            raise ReadError(f"rows={self.rows!r}: expected numbers of rows: rows=flux=0,err=2.")
        return {int(name): role for name, role in roles.items()}

    def row_numbers(self, n_spectra: int) -> list[int] | None:
        """Numbers of the spectra that `rows` asks for; None for all.

        Parameters
        ----------
        n_spectra : int
            How many there are; 0 checks the form alone.

        Returns
        -------
        list of int, or None
            In the order given.

        Raises
        ------
        ReadError
            If a number is beyond the last spectrum.
        """
        if self.rows is None or self.plane_roles:
            return None
        numbers: list[int] = []
        for part in str(self.rows).split(","):
            low, colon, high = part.strip().partition(":")
            if not (low.isdecimal() or (colon and not low)) or not (high.isdecimal() or not high):
                raise ReadError(f"rows={self.rows!r}: expected numbers from 0, such as 0, 2:5 or 0,7.")
            start = int(low or 0)
            numbers += range(start, int(high or n_spectra)) if colon else [start]
        if n_spectra and not all(number < n_spectra for number in numbers):
            raise ReadError(f"rows={self.rows!r}: there are {n_spectra} spectra, numbered from 0.")
        return numbers

    def column_roles(self, names: list[str]) -> dict[str, str]:
        """What columns hold, by their names in the file.

        Parameters
        ----------
        names : list of str
            The columns of the table; empty checks the form alone.

        Returns
        -------
        dict
            Conventional name by name in the file, of those that `columns` names.

        Raises
        ------
        ReadError
            If a column is not there, or more are named than there are.
        """
        if self.columns is None:
            return {}
        roles = _roles(self.columns, "columns")
        if isinstance(roles, list):
            if names and len(roles) > len(names):
                raise ReadError(f'columns="{self.columns}": names {len(roles)} columns of {len(names)}.')
            return {name: role for name, role in zip(names, roles, strict=False) if role}
        spelt = {name.lower(): name for name in names}
        missing = [name for name in roles if names and name.lower() not in spelt]
        if missing:
            raise ReadError(f'columns="{self.columns}": no column {missing[0]!r} among {", ".join(names)}.')
        return {spelt.get(name.lower(), name): role for name, role in roles.items()}


def _roles(text: str, option: str) -> list[str | None] | dict[str, str]:
    """``wave,-,flux`` as a list with None for what is passed over; ``wave=A,flux=B`` as a dict from A and B."""
    parts = [part.strip() for part in text.split(",")]
    named = [part.partition("=") for part in parts]
    if all(equals for _, equals, _ in named):
        return {name.strip(): role.strip() for role, _, name in named}
    if any(equals for _, equals, _ in named) or not all(parts):
        raise ReadError(f'{option}="{text}": expected wave,flux,err or wave=NAME,flux=NAME,err=NAME.')
    return [None if part == "-" else part for part in parts]


_VALUE = r"""(?:"(?P<quoted>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s;"']*?(?=[.,;:)]*(?:\s|$))))"""


def as_command_line(message: str) -> str:
    """Rewrite a message so that it speaks of options of the command line: ``noise_hdu=NAME`` as ``--noise-hdu NAME``.

    Parameters
    ----------
    message : str
        Text of an error or a warning about reading or writing.

    Returns
    -------
    str
        The same with every argument of `ReadOptions` and `WriteOptions` as its option.

    Examples
    --------
    >>> as_command_line('Give it: medium="air" or "vacuum". Or: noise_from_residuals=True.')
    'Give it: --medium air or "vacuum". Or: --noise-from-residuals.'
    >>> as_command_line("Say which: rows=flux,-,err, or mask_bits=0,3 (or mask_good=True).")
    'Say which: --rows flux,-,err, or --mask-bits 0,3 (or --mask-good).'
    """
    known = [each.name for options in (ReadOptions, WriteOptions) for each in fields(options)]
    names = "|".join(sorted(known, key=len, reverse=True))
    return re.sub(rf"(?<![\w/.=-])(?P<name>{names})={_VALUE}", _flag, message)


def _flag(found: re.Match[str]) -> str:
    groups: Mapping[str, str | None] = found.groupdict()
    flag = groups["name"].replace("_", "-") if groups["name"] else ""
    value = next((groups[kind] for kind in ("quoted", "single", "bare") if groups[kind] is not None), "")
    if value in ("True", "False"):
        return f"--{flag}" if value == "True" else f"--no-{flag}"
    return f"--{flag} {shlex.quote(value)}" if value else f"--{flag}"
