"""Masks: which HDU or column holds one, which of its values mean bad, and whether that can be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray
from quietspec.io.reading.bulk import Bulk
from quietspec.io.reading.conventions import find_role, named
from quietspec.io.reading.options import ReadOptions

__all__ = ["MaskRule", "choose_mask", "doubt"]

_TOO_MANY = 0.5  # a mask that leaves less of the pixels with data is turned round, or its bits only inform
_SAMPLE = 2**21  # values looked at


@dataclass(frozen=True)
class MaskRule:
    """Which values of a mask mean bad.

    Parameters
    ----------
    bits : int, optional
        The bits that count; any by default.
    good : bool
        Whether these mark good pixels.
    """

    bits: int | None = None
    good: bool = False

    @classmethod
    def settled(cls, options: ReadOptions, name: str, bits: int | None = None, *, good: bool | None = None) -> MaskRule:
        """Make the rule of one mask: the user's word, else what the survey says, else what its name says.

        Parameters
        ----------
        options : ReadOptions
            What the user says.
        name : str
            Name of the mask's HDU or column.
        bits : int, optional
            Bits that mean bad in the survey; they hold for the mask it chose only.
        good : bool, optional
            Whether the survey marks good pixels.

        Returns
        -------
        MaskRule
            How to read the mask.
        """
        own = options.mask_hdu is None
        what = named(name)
        by_name = bool(what and what.good)
        known = (good if own and good is not None else by_name) if options.mask_good is None else options.mask_good
        return cls(options.bad_bits if options.mask_bits is not None else bits if own else None, known)

    def bad(self, values: npt.NDArray[Any]) -> BoolArray:
        """Which pixels are bad, by the mask's values, of any shape and number type; NaN is bad."""
        missing = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, dtype=bool)
        if self.bits is None or values.dtype.kind not in "iuf":
            flagged = values != 0
        else:
            whole = np.where(missing, 0, values)
            flagged = (whole.astype(np.int64).view(np.uint64) & np.uint64(self.bits)) != 0
        return np.asarray((~flagged if self.good else flagged) | missing)

    def __str__(self) -> str:
        what = "values that are not 0" if self.bits is None else f"bits {_numbers(self.bits)}"
        return f"{what} mark {'good' if self.good else 'bad'} pixels"


def _numbers(bits: int) -> str:
    """Numbers of the bits set, runs of them as one: ``0, 3-5``."""
    numbers = [number for number in range(bits.bit_length()) if bits >> number & 1]
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in zip(starts, ends, strict=True))


def choose_mask(
    candidates: Iterable[str], affix: frozenset[str], fits: Iterable[str]
) -> tuple[str | None, tuple[str, ...]]:
    """Choose a mask among HDUs or columns, by their names.

    Parameters
    ----------
    candidates : iterable of str
        Names not taken for something else.
    affix : frozenset of str
        Words that the flux's name has beside ``flux``.
    fits : iterable of str
        Those of `candidates` whose shape fits the flux.

    Returns
    -------
    mask : str or None
        The best.
    passed_over : tuple of str
        The other masks, without those of another flux; an ``or`` mask beside an ``and`` mask only informs.
    """
    known = {name: what for name in candidates if (what := named(name)) is not None}
    masks = [name for name, what in known.items() if what.role == "mask"]
    chosen = find_role([name for name in masks if name in set(fits)], "mask", affix)
    foreign = [what.affix for what in known.values() if what.role == "flux" and what.affix != affix]
    foreign.append(frozenset(["or"]))
    return chosen, tuple(name for name in masks if name != chosen and known[name].affix not in foreign)


def doubt(rule: MaskRule, mask: Bulk, flux: Bulk, noise: Bulk | None, options: ReadOptions, where: str) -> str | None:
    """Question a mask whose meaning no survey vouches for, where it would leave less than half of the data.

    Parameters
    ----------
    rule : MaskRule
        How it would be read.
    mask, flux, noise : Bulk
        Of one shape; without `noise`, fluxes alone tell where there are data.
    options : ReadOptions
        What the user says; who gives `mask_good` or `mask_bits` is not asked.
    where : str
        What the mask is called.

    Returns
    -------
    str or None
        The question.
    """
    if options.mask_good is not None or options.mask_bits is not None:
        return None
    n_spectra, n_pixels = flux.shape
    middle = np.arange(n_spectra) + n_spectra // 2
    index = np.sort(middle[: max(1, _SAMPLE // n_pixels)] % n_spectra)
    values = np.asarray(flux.rows(index), dtype=np.float64)
    data = np.isfinite(values) & (values != 0)
    if noise is not None:
        errors = np.asarray(noise.rows(index), dtype=np.float64)
        data &= np.isfinite(errors) & (errors > 0)
    raw = np.asarray(mask.rows(index))
    share = float(rule.bad(raw)[data].mean()) if data.any() else 0.0
    if share <= _TOO_MANY:
        return None
    told = raw[data]
    several = told.dtype.kind in "iuf" and bool(np.any(told > 1))
    cure = (
        "Say which bits mean bad: mask_bits=0,3 (or mask_good=True if they mean good, mask_good=False if all mean bad)."
        if several
        else f"If 1 means {'bad' if rule.good else 'good'} there, say so: mask_good={not rule.good}. "
        f"If not: mask_good={rule.good}."
    )
    return f"{where} would mask {100 * share:.1f} % of the pixels with data, since {rule}.\n{cure} Or: no_mask=True."
