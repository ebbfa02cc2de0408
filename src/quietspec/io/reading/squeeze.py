"""Images with axes of one pixel beyond the third, seen without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.io.reading.sky import renumbered

__all__ = ["SqueezedImage", "n_axes", "squeezed"]

_MOST = 3


def n_axes(shape: Sequence[int]) -> int:
    """Count the axes of an image, without those of one pixel beyond three."""
    return max(min(len(shape), _MOST), len(shape) - list(shape).count(1))


def squeezed(hdu: Any) -> Any:
    """Image HDU with at most three axes, if the others have one pixel each; otherwise the same HDU."""
    return SqueezedImage(hdu) if len(hdu.shape) > _MOST and n_axes(hdu.shape) <= _MOST else hdu


class SqueezedImage:
    """An image HDU without as many of its axes of one pixel as there are beyond three, STOKES first.

    Parameters
    ----------
    hdu : Hdu
        The image, as `quietspec.io.reading.hdu` has it.
    """

    is_image = True

    def __init__(self, hdu: Any) -> None:
        self._hdu = hdu
        total = len(hdu.shape)
        short = [axis for axis in range(total, 0, -1) if hdu.shape[total - axis] == 1]
        short.sort(key=lambda axis: str(hdu.header.get(f"CTYPE{axis}", "")).strip().upper() != "STOKES")
        dropped = short[: total - _MOST]
        axes = [axis for axis in range(1, total + 1) if axis not in dropped]
        self._kept = [axis not in dropped for axis in range(total, 0, -1)]
        self.name = hdu.name
        self.contiguous: bool = hdu.contiguous  # axes of one pixel change nothing about the order of the values
        self.shape = tuple(hdu.shape[total - axis] for axis in reversed(axes))
        self.header = renumbered(hdu.header, axes, others=True)

    @property
    def data(self) -> npt.NDArray[Any]:
        """The whole image."""
        return np.asarray(self._hdu.data).reshape(self.shape)

    @property
    def section(self) -> SqueezedImage:
        """Parts of the image, to be had by index."""
        return self

    def fileinfo(self) -> dict[str, Any]:
        """Return the open file, and where the data begin in it."""
        found: dict[str, Any] = self._hdu.fileinfo()
        return found

    def __getitem__(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        rest = iter(key)
        whole = tuple(next(rest, slice(None)) if kept else slice(0, 1) for kept in self._kept)
        dropped = tuple(number for number, kept in enumerate(self._kept) if not kept)
        return np.asarray(np.squeeze(self._hdu.section[whole], axis=dropped))
