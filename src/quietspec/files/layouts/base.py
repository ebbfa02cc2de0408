"""`Layout`: which files hold a set of measurements; each appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import FloatArray, IntArray
from quietspec.errors import WriteError
from quietspec.files.light import Light
from quietspec.files.measured import MeasuredFile
from quietspec.io import SpectraSource
from quietspec.io.writing.atomic import claim_outputs, os_errors_named, require_fits_name, whole_file, whole_folder
from quietspec.io.writing.options import WriteOptions
from quietspec.io.writing.provenance import Provenance

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["Contents", "Layout"]


@dataclass(frozen=True, eq=False)
class Contents:
    """What an output holds, however it is laid out.

    Parameters
    ----------
    measured : MeasuredFile
        The measurements.
    source : SpectraSource
        The input.
    facts : dict of str to (str, str)
        How the output was made: value and comment by keyword.
    history : sequence of str
        HISTORY lines.
    """

    measured: MeasuredFile
    source: SpectraSource
    facts: Provenance
    history: Sequence[str] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (ny, nx) of the maps; spectra that form no image count as one row."""
        return self.source.spatial_shape or (1, self.source.n_spectra)

    @property
    def on_sky(self) -> Contents:
        """The same with one row of measurements per spaxel."""
        return replace(self, measured=self.measured.on_sky)

    @property
    def light(self) -> Light:
        """Brightness of what was measured."""
        return _given(self.measured.light)

    @property
    def spaxel_light(self) -> Light:
        """Brightness of the spaxels of the input."""
        return _given(self.measured.light if self.measured.sums is None else self.measured.spaxel_light)

    @property
    def number(self) -> IntArray:
        """Row of each spaxel's measurements, if all rows that failed were left out; −1 for none, (n_spaxels,)."""
        if self.measured.number is None:
            raise ValueError("measured.sums: apertures form no image.")
        used = ~self.measured.populations.failed
        dense = np.where(used, np.cumsum(used) - 1, -1)
        return np.where(self.measured.number < 0, -1, dense[self.measured.number])

    def primary(self) -> fits.PrimaryHDU:
        """Make a primary HDU without data that says how the output was made; it has no checksum yet."""
        from astropy.io import fits

        from quietspec.io.writing.hdus import primary_header

        primary = fits.PrimaryHDU(header=primary_header(self.facts, self.history, self.source))
        primary.header["EXTEND"] = True  # which astropy would set when it writes, after the checksum
        primary.header.remove("DISPAXIS", ignore_missing=True)  # maps have no axis of wavelengths
        return primary

    def value(self, name: str) -> tuple[FloatArray, FloatArray] | None:
        """Value and error of a quantity, (n_spectra,) each; None where it was not measured."""
        populations = self.measured.populations
        if name in populations.values:
            return populations.values[name], populations.error(name)
        return populations.further.get(name)


def _given(light: Light | None) -> Light:
    if light is None:
        raise ValueError("measured.light: this layout holds the brightness of the input; give it.")
    return light


@dataclass(frozen=True)
class Layout:
    """A way to lay measurements out as files.

    Parameters
    ----------
    name : str
        Name, as users give it.
    files : callable
        From `Contents` to HDUs by the end of the file's name; the empty end for a layout of one file.
    endings : tuple of str
        Ends of the names of the files in a folder, all that the layout may write; empty for a layout of one file.
    suffix : str
        What the output of one of several inputs is called after the input's name.
    of_images : bool
        Whether the spectra must form an image.
    """

    name: str
    files: Callable[[Contents], Mapping[str, fits.HDUList]]
    endings: tuple[str, ...] = ()
    suffix: str = "_populations.fits"
    of_images: bool = True

    @contextmanager
    def place(self, path: Path, source: SpectraSource, options: WriteOptions) -> Iterator[Path]:
        """Open a block in which the output is written; it takes its name when the block ends without error.

        Parameters
        ----------
        path : Path
            The output: a FITS file, or a folder.
        source : SpectraSource
            The input.
        options : WriteOptions
            Whether an output may be replaced.

        Yields
        ------
        Path
            What to pass to `write`.

        Raises
        ------
        WriteError
            If the spectra form no image and the layout is one of maps, or the output cannot be written.
        """
        if self.of_images and source.spatial_shape is None:
            where = ", ".join(map(str, source.paths))
            raise WriteError(
                f'{where}: the spectra form no image, and the layout {self.name!r} holds maps. Write a table: '
                'layout="native".'
            )  # fmt: skip
        if self.endings:
            names = {path.resolve().name + ending for ending in self.endings}
            with whole_folder(path, names, overwrite=options.overwrite, inputs=source.paths) as folder:
                yield folder
            return
        claim_outputs([path], source.paths)
        require_fits_name(path)
        with whole_file(path, overwrite=options.overwrite, inputs=source.paths) as partial:
            yield partial

    def write(self, place: Path, path: Path, contents: Contents) -> None:
        """Write all files.

        Parameters
        ----------
        place : Path
            What `place` yielded.
        path : Path
            The output that it stands for.
        contents : Contents
            What to write.
        """
        with os_errors_named(path):
            for ending, hdus in self.files(contents).items():
                file = place / (path.resolve().name + ending) if self.endings else place
                hdus.writeto(file, overwrite=True)
