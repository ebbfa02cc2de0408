"""FITS files of no survey, tables, and the conventions they may follow."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import ReadError
from quietspec.io import open_spectra, read
from quietspec.io.reading.conventions import NOISE_NAMES, noise_kind_of
from quietspec.io.reading.noise import inverse_variance, residual_sigma

from . import layouts
from .layouts import N_PIXELS, SIGMA

CGS = u.erg / (u.s * u.cm**2 * u.AA)


@pytest.mark.parametrize(("name", "kind"), NOISE_NAMES.items())
def test_noise_by_any_usual_name(save, name, kind):
    spectra = read(save(layouts.generic(name.upper(), kind)))
    np.testing.assert_allclose(spectra.sigma, SIGMA, rtol=1e-6)


@pytest.mark.parametrize("kind", ["sigma", "variance", "ivar"])
def test_noise_by_options(save, kind):
    hdus = layouts.generic("QUALITY_OF_FLUX", kind)
    path = save(hdus)
    with pytest.raises(ReadError, match="noise_hdu="):
        read(path)
    with pytest.raises(ReadError, match="noise_kind="):
        read(path, noise_hdu="QUALITY_OF_FLUX")
    np.testing.assert_allclose(read(path, noise_hdu=2, noise_kind=kind).sigma, SIGMA)


def test_suffix_tells_the_kind():
    assert noise_kind_of("BLUE_IVAR") == "ivar"
    assert noise_kind_of("SKY") is None


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CRPIX": 11.0}, 3980 + 2 * np.arange(N_PIXELS)),
        ({"CDELT": 1.0, "CD1_": 2.0}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CUNIT": "nm", "CRVAL": 400.0, "CDELT": 0.2}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CUNIT": "um", "CRVAL": 0.4, "CDELT": 2e-4}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CUNIT": "m", "CRVAL": 4e-7, "CDELT": 2e-10}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CUNIT": "micron", "CRVAL": 0.4, "CDELT": 2e-4}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CTYPE": "AWAV-LOG"}, 4000 * np.exp(2 / 4000 * np.arange(N_PIXELS))),
        ({"CRVAL": 4078.0, "CDELT": -2.0}, 4000 + 2 * np.arange(N_PIXELS)),
        ({"CUNIT": None}, 4000 + 2 * np.arange(N_PIXELS)),
    ],
)
def test_wavelengths_of_any_axis(save, cards, expected):
    spectra = read(save(layouts.generic(**cards)))
    np.testing.assert_allclose(spectra.wavelength, expected)
    backwards = cards.get("CDELT", 1) < 0
    np.testing.assert_allclose(spectra.flux, layouts.rows()[:, :: -1 if backwards else 1])


def test_log_axis_is_that_of_astropy(save):
    """FITS WCS Paper III, by wcslib."""
    from astropy.wcs import WCS

    hdus = layouts.generic(CTYPE="AWAV-LOG")
    theirs = WCS(hdus["FLUX"].header, naxis=[1]).all_pix2world(np.arange(N_PIXELS), 0)[0] * 1e10
    np.testing.assert_allclose(read(save(hdus)).wavelength, theirs, rtol=1e-12)


def test_iraf_log_linear_axis(save):
    hdus = layouts.generic(CTYPE="LINEAR", CRVAL=3.6, CDELT=1e-4, CUNIT=None)
    hdus["FLUX"].header["DC-FLAG"] = 1
    spectra = read(save(hdus), medium="vacuum")
    np.testing.assert_allclose(spectra.wavelength, 10 ** (3.6 + 1e-4 * np.arange(N_PIXELS)))


@pytest.mark.parametrize(
    ("cards", "key", "value", "medium"),
    [
        ({"CTYPE": "WAVE"}, None, None, "vacuum"),
        ({"CTYPE": "AWAV"}, None, None, "air"),
        ({"CTYPE": "WAVELENGTH"}, "VACUUM", True, "vacuum"),
        ({"CTYPE": "LINEAR"}, "AIRORVAC", "air", "air"),
    ],
)
def test_medium(save, cards, key, value, medium):
    hdus = layouts.generic(**cards)
    if key:
        hdus[0].header[key] = value
    assert read(save(hdus)).medium == medium


def test_unsaid_medium_is_asked_for(save):
    path = save(layouts.generic(CTYPE="WAVELENGTH"))
    with pytest.raises(ReadError, match='medium="air" or medium="vacuum"'):
        read(path)
    assert read(path, medium="air").medium == "air"


@pytest.mark.parametrize("table", [False, True])
def test_wavelengths_beside_the_flux(save, table):
    hdus = layouts.generic(CRVAL=None) if table else layouts.generic()
    wave = 4000 + np.arange(N_PIXELS) ** 1.5
    if table:
        hdus.append(fits.BinTableHDU(QTable({"wavelength": wave * u.AA}), name="GRID"))
    else:
        hdus.append(fits.ImageHDU(wave, name="WAVE"))
    np.testing.assert_allclose(read(save(hdus)).wavelength, wave)


def test_single_spectrum(save):
    hdus = layouts.generic()
    for hdu in hdus[1:]:
        hdu.data = hdu.data[0]
    spectra = read(save(hdus))
    assert spectra.flux.shape == (1, N_PIXELS)


def test_spectra_that_run_down_the_columns(save):
    hdus = layouts.generic()
    header = fits.Header({"DISPAXIS": 2, "CRVAL2": 4000.0, "CDELT2": 2.0, "CUNIT2": "Angstrom"})
    flux = fits.ImageHDU(hdus["FLUX"].data.T, header=header, name="FLUX")
    path = save(fits.HDUList([hdus[0], flux, fits.ImageHDU(hdus["ERR"].data.T, name="ERR")]))
    spectra = read(path, medium="air")
    np.testing.assert_allclose(spectra.flux, layouts.rows())
    np.testing.assert_allclose(spectra.wavelength, 4000 + 2 * np.arange(N_PIXELS))


def test_one_noise_vector_serves_all_spectra(save):
    hdus = layouts.generic()
    hdus["ERR"].data = np.linspace(0.1, 0.2, N_PIXELS)
    spectra = read(save(hdus), noise_hdu="ERR")
    np.testing.assert_allclose(spectra.sigma, np.broadcast_to(np.linspace(0.1, 0.2, N_PIXELS), (3, N_PIXELS)))


def test_scaled_integers_are_read_as_their_values(save):
    hdus = layouts.generic()
    path = save(hdus)
    with fits.open(path, mode="update") as file:
        file["FLUX"].scale("int16", bscale=1e-3, bzero=1)
    np.testing.assert_allclose(read(path).flux, layouts.rows(), atol=1e-3)


def test_compressed_images(save):
    hdus = layouts.generic()
    flux = fits.CompImageHDU(
        hdus["FLUX"].data.astype(np.float32),
        hdus["FLUX"].header,
        name="FLUX",
        compression_type="GZIP_1",
        quantize_level=0,
    )
    np.testing.assert_allclose(read(save(fits.HDUList([hdus[0], flux, hdus["ERR"]]))).flux, layouts.rows(), rtol=1e-6)


def test_compressed_images_are_smaller_than_what_they_hold(save):
    """The last HDU would end far beyond the file if its size were that of the unpacked image."""
    hdus = layouts.generic()
    size = (200, 400)
    flux, error = (
        fits.CompImageHDU(
            np.full(size, value, dtype=np.float32), hdus["FLUX"].header, name=name, compression_type="RICE_1"
        )
        for name, value in (("FLUX", 3.0), ("ERR", 0.5))
    )
    path = save(fits.HDUList([hdus[0], flux, error]))
    assert path.stat().st_size < 8 * np.prod(size)
    np.testing.assert_allclose(read(path).flux, 3.0)
    path.write_bytes(path.read_bytes()[:-2880])
    with pytest.raises(ReadError, match="truncated"):
        read(path)


def test_faint_fluxes_in_cgs_survive(save):
    hdus = layouts.generic("VAR", "variance")
    hdus["FLUX"].data *= 1e-19
    hdus["VAR"].data *= 1e-38
    hdus["FLUX"].header["BUNIT"] = "erg/s/cm2/A"
    spectra = read(save(hdus))
    np.testing.assert_allclose(spectra.flux / spectra.sigma, layouts.rows() / SIGMA, rtol=1e-6)


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits"])
def test_tables(tmp_path, suffix):
    wave = 4000 + 2.0 * np.arange(N_PIXELS)
    table = QTable(
        {
            "wavelength": wave * u.AA,
            "flux": layouts.rows(1)[0] * 1e-17 * CGS,
            "err": np.full(N_PIXELS, SIGMA) * 1e-17 * CGS,
        }
    )
    path = tmp_path / f"spectrum.{suffix}"
    (Table(table) if suffix == "csv" else table).write(path)
    spectra = read(path, medium="air", redshift=0.1)
    np.testing.assert_allclose(spectra.wavelength, wave)
    np.testing.assert_allclose(spectra.flux / spectra.sigma, [layouts.rows(1)[0] / SIGMA], rtol=1e-6)
    assert (spectra.unit == u.dimensionless_unscaled) is (suffix == "csv")
    assert spectra.redshift == 0.1


def test_ecsv_metadata_settle_redshift_and_medium(tmp_path):
    table = Table({"wave": np.linspace(4000, 5000, 30), "flux": np.ones(30), "ivar": np.ones(30)})
    table.meta = {"redshift": 0.25, "medium": "vacuum"}
    table.write(tmp_path / "t", format="ascii.ecsv")
    spectra = read(tmp_path / "t")
    assert (spectra.redshift[0], spectra.medium) == (0.25, "vacuum")


def test_table_columns_by_option(tmp_path):
    Table({"wave": np.linspace(4000, 5000, 30), "a": np.ones(30), "b": np.full(30, 4.0)}).write(tmp_path / "t.csv")
    with pytest.raises(ReadError, match="flux_hdu=COLUMN"):
        read(tmp_path / "t.csv", medium="air")
    with pytest.raises(ReadError, match="has no column 'c'; it has wave, a, b"):
        read(tmp_path / "t.csv", medium="air", flux_hdu="c")
    spectra = read(tmp_path / "t.csv", medium="air", flux_hdu="a", noise_hdu="b", noise_kind="variance")
    np.testing.assert_allclose(spectra.sigma, 2)


def test_rows_are_those_of_the_whole(save):
    path = save(layouts.muse())
    whole = read(path)
    with open_spectra(path) as source:
        for rows in (slice(2, 9), [7, 1, 1], np.arange(12) % 5 == 0, 3):
            part = source.read(rows)
            index = np.atleast_1d(np.arange(12)[rows])
            np.testing.assert_array_equal(part.flux, whole.flux[index])
            np.testing.assert_array_equal(part.ivar, whole.ivar[index])


@given(n=st.integers(1, 20))
def test_tiles_make_up_the_whole(tmp_path_factory, n):
    path = tmp_path_factory.getbasetemp() / "tiles.fits"
    if not path.exists():
        layouts.sami().writeto(path)
    with open_spectra(path) as source:
        whole, tiles = source.read(), list(source.tiles(n))
    np.testing.assert_array_equal(np.vstack([tile.flux for tile in tiles]), whole.flux)
    assert all(len(tile) % layouts.NX == 0 for tile in tiles)
    rows = np.concatenate([np.arange(12)[tile.meta["rows"]] for tile in tiles])
    np.testing.assert_array_equal(rows, np.arange(12))


@given(st.sampled_from(["sigma", "variance", "ivar"]), st.floats(1e-18, 1e6))
def test_inverse_variance_of_any_kind_and_scale(kind, sigma):
    noise = np.full((2, 70), {"sigma": sigma, "variance": sigma**2, "ivar": sigma**-2}[kind])
    ivar, counts = inverse_variance(noise, kind, np.ones(noise.shape, dtype=bool))
    np.testing.assert_allclose(ivar * sigma**2, 1)
    assert not counts


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "variance NaN or infinite"),
        (np.inf, "variance NaN or infinite"),
        (0.0, "variance zero"),
        (-1.0, "variance negative"),
        (1e-4, "error implausibly small"),
        (1e8, "error implausibly large"),
    ],
)
def test_bad_variances_are_masked_and_counted(value, reason):
    noise = np.ones((2, 100))
    noise[0, 7] = value
    good = np.ones(noise.shape, dtype=bool)
    ivar, counts = inverse_variance(noise, "variance", good)
    assert ivar[0, 7] == 0
    assert np.delete(ivar.ravel(), 7).min() == 1
    assert counts == {reason: 1}
    good[0, 7] = False
    assert not inverse_variance(noise, "variance", good)[1]


def test_a_noise_law_like_samis_is_not_taken_for_bad():
    law = np.interp(np.arange(2000), [0, 200, 500, 1200, 2000], [7.2, 3.1, 1.3, 0.6, 1.5])
    law[900:905] *= 30  # a sky line
    _, counts = inverse_variance(law[None], "sigma", np.ones((1, 2000), dtype=bool))
    assert not counts


def test_residual_noise_is_the_noise():
    rng = np.random.default_rng(3)
    sigma = np.where(np.arange(3000) < 1500, 1.0, 3.0)
    smooth = 100 + 20 * np.sin(np.arange(3000) / 300)
    flux = smooth + sigma * rng.normal(size=(20, 3000))
    good = rng.random(flux.shape) > 0.1
    flux[~good] = 1e9
    estimate = residual_sigma(flux, good)
    inside = np.r_[200:1300, 1700:2800]
    np.testing.assert_allclose(np.mean(estimate[:, inside] / sigma[inside], axis=1), 1, atol=0.1)


def test_columns_with_axes_of_one_pixel(tmp_path):
    path = tmp_path / "spectrum.fits"
    wave, flux = 4000 + 2.0 * np.arange(N_PIXELS), layouts.rows(2)
    Table({"wave": np.tile(wave, (2, 1, 1)), "flux": flux[:, None], "err": np.full((2, 1, N_PIXELS), SIGMA)}).write(
        path
    )
    np.testing.assert_allclose(read(path, medium="air").flux, flux, rtol=1e-6)


@pytest.mark.parametrize("value", [-999.0, -9999.0, -99999.0])
def test_values_that_stand_for_none_are_masked_with_a_word(save, value):
    hdus = layouts.generic()
    hdus["FLUX"].data[:, 3:5] = value
    spectra = read(save(hdus))
    assert np.flatnonzero(~spectra.good.all(axis=0)).tolist() == [3, 4]
    assert any("6 pixel(s) masked: flux exactly -999" in warning for warning in spectra.meta["warnings"])


def test_one_spectrum_of_noise_is_that_of_all(save):
    hdus = layouts.generic()
    hdus["ERR"].data = np.linspace(0.1, 0.2, N_PIXELS)
    spectra = read(save(hdus))
    np.testing.assert_allclose(spectra.sigma, np.tile(np.linspace(0.1, 0.2, N_PIXELS), (3, 1)), rtol=1e-6)
