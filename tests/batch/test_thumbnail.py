"""Small pictures of what `quietspec denoise` writes."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from matplotlib import image

from quietspec.batch.thumbnail import draw_thumbnail
from quietspec.denoisers import load_denoiser
from quietspec.files import denoise_file

from ..io import layouts


@pytest.mark.parametrize("layout", [layouts.muse, layouts.manga_spectra])
def test_of_a_cube_and_of_spectra(tmp_path, layout):
    layout().writeto(tmp_path / "in.fits")
    denoise_file([tmp_path / "in.fits"], tmp_path / "out.fits", load_denoiser("gaussian"))
    draw_thumbnail(tmp_path / "out.fits", tmp_path / "out.png")
    pixels = image.imread(tmp_path / "out.png")
    assert pixels.shape[:2] == (100, 300)
    assert np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).shape[0] > 4  # something is drawn
    assert (tmp_path / "out.png").stat().st_size < 20_000


def test_of_a_cube_with_nothing_in_its_middle(tmp_path):
    layouts.muse().writeto(tmp_path / "in.fits")
    denoise_file([tmp_path / "in.fits"], tmp_path / "out.fits", load_denoiser("gaussian"))
    with fits.open(tmp_path / "out.fits", mode="update") as hdus:
        hdus["FLUX"].data[:] = np.nan
        hdus["SNR_OUT"].data[:] = np.nan
    draw_thumbnail(tmp_path / "out.fits", tmp_path / "out.png")
    assert (tmp_path / "out.png").exists()
