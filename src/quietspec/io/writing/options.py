"""What a user can choose about an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["LayoutName", "WriteOptions"]

LayoutName = Literal["native", "dap", "nGIST"]


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """Options of every function that writes FITS.

    Parameters
    ----------
    overwrite : bool
        Replace the output if it exists; it stays as it is until the new one is complete.
    command : str, optional
        The command that made the output, for its header.
    history : sequence of str
        Lines to add to the header's HISTORY.
    residual : bool
        Write the input minus the estimate as well, where spectra are denoised.
    layout : {'native', 'dap', 'nGIST'}
        Structure of the output where spectra are measured: our own FITS file, a MAPS file of the MaNGA DAP, or a folder
        of files as nGIST writes them.
    """

    overwrite: bool = False
    command: str | None = None
    history: Sequence[str] = ()
    residual: bool = False
    layout: LayoutName = "native"
