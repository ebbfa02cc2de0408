"""What the writer wrote, the reader reads back."""

from __future__ import annotations

import numpy as np
import pytest

from quietspec.denoised import Denoised, ModelId
from quietspec.io import open_spectra, read, write
from quietspec.spectra import Spectra

from . import layouts


def denoised(spectra: Spectra) -> Denoised:
    """The truth with a tenth of the error, and nothing said of the first pixel."""
    flux, sigma = spectra.flux.copy(), 0.1 * np.where(spectra.good, spectra.sigma, 1)
    flux[:, 0] = sigma[:, 0] = np.nan
    n = len(spectra)
    return Denoised(
        spectra=spectra,
        flux=flux,
        sigma=sigma,
        flags=np.zeros(n, dtype=int),
        ignored=np.zeros(flux.shape, dtype=bool),
        model=ModelId("test"),
        chi2=np.ones(n),
        dof=np.ones(n),
        evidence=np.zeros(n),
    )


@pytest.mark.parametrize(
    ("arms", "options"),
    [
        ([layouts.muse()], {"redshift": 0.1}),
        ([layouts.sami("blue"), layouts.sami("red")], {}),
        ([layouts.manga_cube()], {"redshift": 0.1}),
        ([layouts.califa(stacked=True)], {}),
        ([layouts.manga_spectra()], {}),
    ],
)
def test_output_comes_back(save, tmp_path, arms, options):
    spectra = read(*(save(hdus, f"arm{i}") for i, hdus in enumerate(arms)), **options)
    result = denoised(spectra)
    write(result, tmp_path / "out.fits")
    with open_spectra(tmp_path / "out.fits") as source:
        again = source.read()
    assert again.meta["survey"] == "quietspec"
    assert (again.medium, again.unit, again.spatial_shape) == (spectra.medium, spectra.unit, spectra.spatial_shape)
    np.testing.assert_array_equal(again.wavelength, spectra.wavelength)
    np.testing.assert_array_equal(again.redshift, spectra.redshift)
    np.testing.assert_array_equal(again.good, np.isfinite(result.flux))
    np.testing.assert_allclose(again.flux[again.good], result.flux[again.good], rtol=1e-6)
    np.testing.assert_allclose(again.sigma[again.good], result.sigma[again.good], rtol=1e-6)
    if spectra.wcs is not None:
        assert again.wcs.wcs_pix2world([[1, 2]], 0).tolist() == pytest.approx(spectra.wcs.wcs_pix2world([[1, 2]], 0))
    if spectra.fwhm.ndim == 1:
        np.testing.assert_allclose(again.fwhm, spectra.fwhm)
