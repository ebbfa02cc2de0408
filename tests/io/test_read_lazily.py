"""A big cube costs next to nothing to open, and a tile of it little to read."""

from __future__ import annotations

import gzip
import tracemalloc

import numpy as np

from quietspec.io import open_spectra

from . import layouts

SHAPE = (3681, 300, 350)  # 1.5 GB of float32 each for DATA and STAT


def _sparse_cube(path):
    """A MUSE cube of 3 GB that takes up a few kB of disk; line 7 alone holds data."""
    start, n_bytes = {}, 4 * int(np.prod(SHAPE))
    with path.open("wb") as file:
        file.write(layouts.muse()[0].header.tostring().encode())
        for hdu in layouts.muse()[1:3]:
            for axis, size in enumerate(SHAPE[::-1], start=1):
                hdu.header[f"NAXIS{axis}"] = size
            file.write(hdu.header.tostring().encode())
            start[hdu.name] = file.tell()
            file.truncate(file.tell() + -(-n_bytes // 2880) * 2880)
            file.seek(0, 2)
        for plane in range(SHAPE[0]):
            for name, value in (("DATA", 5.0), ("STAT", 4.0)):
                file.seek(start[name] + 4 * (plane * SHAPE[1] + 7) * SHAPE[2])
                file.write(np.full(SHAPE[2], value, dtype=">f4").tobytes())


def test_opening_three_gigabytes_costs_megabytes(tmp_path):
    path = tmp_path / "big.fits"
    _sparse_cube(path)
    assert path.stat().st_size > 3e9
    tracemalloc.start()
    try:
        with open_spectra(path) as source:
            opened = tracemalloc.get_traced_memory()[1]
            assert (source.survey, source.n_spectra) == ("MUSE", 300 * 350)
            tile = source.read(slice(7 * 350, 8 * 350))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(tile.flux, 5)
    np.testing.assert_array_equal(tile.ivar, 0.25)
    assert opened < 10e6
    assert peak < 250e6


def test_a_gzipped_cube_is_unpacked_to_disk_not_to_memory(tmp_path):
    plain = layouts.muse()
    for hdu in plain[1:]:
        hdu.data = np.tile(hdu.data, (1, 60, 60))
    plain.writeto(tmp_path / "plain")
    size = (tmp_path / "plain").stat().st_size
    (tmp_path / "packed").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    tracemalloc.start()
    try:
        with open_spectra(tmp_path / "packed") as source:
            assert source.spatial_shape == (180, 240)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 2
