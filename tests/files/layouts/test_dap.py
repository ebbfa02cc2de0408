"""A MAPS file is built as the MaNGA DAP builds one, means what the DAP's means, and opens in scripts written for it."""

from __future__ import annotations

import re
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.errors import WriteError
from quietspec.files import MeasuredFile, measure_file
from quietspec.files.layouts import Contents
from quietspec.files.layouts.dap_names import INDEX_CHANNELS, LINE_CHANNELS
from quietspec.files.layouts.quantities import systemic_velocity
from quietspec.indices import DEFINITIONS
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, air_to_vacuum

from ...io import layouts
from .measuring import QUANTITIES, STARS, Known, grown

DONOTUSE, NOVALUE, UNRELIABLE, FITFAILED, NEARBOUND = 1 << 30, 1 << 4, 1 << 5, 1 << 7, 1 << 8
N = layouts.NY * layouts.NX


@pytest.fixture
def maps(tmp_path):
    layouts.muse().writeto(tmp_path / "cube.fits")
    out = tmp_path / "maps.fits"
    measure_file([tmp_path / "cube.fits"], out, Known(), redshift=0.01, layout="dap")
    return fits.HDUList.fromstring(out.read_bytes(), checksum=True)


def channels(hdu: fits.ImageHDU) -> dict[str, int]:
    """Channels of an extension by name, as ``mangadap.util.fileio.channel_dictionary`` finds them."""
    found = {}
    for keyword, value in hdu.header.items():
        if re.fullmatch(r"C\d+", keyword):
            found[value] = int(keyword[1:]) - 1
    return found


def one_map(hdus: fits.HDUList, name: str, channel: str | None = None) -> np.ma.MaskedArray:
    """Read a property with error and mask by the keywords that tie them, as Marvin's ``Maps.getMap`` does."""
    hdu = hdus[name.upper()]
    ivar, mask = hdus[hdu.header["ERRDATA"]], hdus[hdu.header["QUALDATA"]]
    assert ivar.header["SCIDATA"] == mask.header["SCIDATA"] == hdu.name
    where = slice(None) if channel is None else channels(hdu)[channel]
    for other in (ivar, mask):
        assert channels(other) == channels(hdu)
    bad = (mask.data[where] & DONOTUSE) > 0
    value = np.ma.MaskedArray(hdu.data[where], bad)
    value.error = np.ma.power(np.ma.MaskedArray(ivar.data[where], bad), -0.5)
    return value


def test_scripts_for_the_dap_find_values_errors_and_masks(maps):
    flux = one_map(maps, "emline_gflux", "Ha-6564")
    used = ~flux.mask.ravel()
    assert used.tolist() == [k % 5 not in (1, 2) for k in range(N)]
    value, error = QUANTITIES["flux_Halpha"]
    np.testing.assert_allclose(flux.data.ravel()[used], 1e-3 * grown(value, N)[used], rtol=1e-6)  # 1e-20 to 1e-17
    np.testing.assert_allclose(flux.error.data.ravel()[used], 1e-3 * grown(error, N)[used], rtol=1e-6)
    assert maps["EMLINE_GFLUX"].header["BUNIT"] == "1E-17 erg/s/cm^2/spaxel"
    width = one_map(maps, "emline_gew", "Ha-6564")
    np.testing.assert_allclose(width.compressed(), grown(QUANTITIES["ew_Halpha"][0], N)[used], rtol=1e-6)
    index = one_map(maps, "specindex", "Mgb")
    np.testing.assert_allclose(index.compressed(), grown(QUANTITIES["index_Mg_b"][0], N)[used], rtol=1e-6)
    number = channels(maps["SPECINDEX"])["Mgb"] + 1
    assert maps["SPECINDEX"].header[f"U{number}"] == "ang"
    assert maps["SPECINDEX_IVAR"].header[f"U{number}"] == "(ang)^{-2}"


def test_dispersions_need_no_correction_and_stay_what_they_are(maps):
    for name, correction, measured in (
        ("STELLAR_SIGMA", maps["STELLAR_SIGMACORR"].data[0], STARS["sigma"]),
        ("EMLINE_GSIGMA", maps["EMLINE_INSTSIGMA"].data[23], QUANTITIES["gas_sigma"]),
    ):
        raw = one_map(maps, name, "Ha-6564" if name.startswith("EMLINE") else None)
        corrected = np.ma.sqrt(raw**2 - correction**2).ravel()
        used = ~corrected.mask
        np.testing.assert_allclose(corrected.data[used], grown(measured[0], N)[used], rtol=1e-6)
        np.testing.assert_allclose(raw.error.ravel().data[used], grown(measured[1], N)[used], rtol=1e-6)


def test_lines_have_the_motion_of_their_group(maps):
    for line, group in (("Ha-6564", "gas"), ("OIII-4960", "forbidden"), ("OIII-5008", "forbidden")):
        for name, quantity in (("EMLINE_GVEL", "velocity"), ("EMLINE_GSIGMA", "sigma")):
            value, error = QUANTITIES[f"{group}_{quantity}"]
            found = one_map(maps, name, line)
            np.testing.assert_allclose(found.data[0, 0], value, rtol=1e-3)
            np.testing.assert_allclose(found.error.data[0, 0], error, rtol=1e-3)


def test_tied_lines_have_the_fixed_ratio(maps):
    strong, weak = (one_map(maps, "EMLINE_GFLUX", name) for name in ("OIII-5008", "OIII-4960"))
    np.testing.assert_allclose((strong / weak).compressed(), 2.98, rtol=1e-6)
    np.testing.assert_allclose((strong.error / weak.error).compressed(), 2.98, rtol=1e-6)


def test_masks_say_why(maps):
    whole = maps["BIN_MFLUX_MASK"].data.ravel()[:5]
    assert whole.tolist() == [0, NOVALUE | DONOTUSE, FITFAILED | DONOTUSE, UNRELIABLE, 0]
    moving = maps["STELLAR_VEL_MASK"].data.ravel()[:5]
    assert moving.tolist() == [0, NOVALUE | DONOTUSE, FITFAILED | DONOTUSE, UNRELIABLE, NEARBOUND | DONOTUSE]
    lost = channels(maps["EMLINE_GFLUX"])["OII-3727"]
    for name in ("EMLINE_GFLUX", "EMLINE_GVEL", "EMLINE_GSIGMA", "EMLINE_GEW"):
        assert np.isnan(maps[name].data[lost]).all()
        assert (maps[f"{name}_IVAR"].data[lost] == 0).all()
        assert (maps[f"{name}_MASK"].data[lost] & DONOTUSE > 0).all()
    numbers = maps["BINID"].data.reshape(5, -1)[:, :6]
    assert numbers.tolist() == [[0, -1, -1, 1, 2, 3]] * 2 + [[-1] * 6] + [[0, -1, -1, 1, 2, 3]] * 2
    assert (maps["BIN_AREA"].data.ravel()[:3] > 0).tolist() == [True, False, False]


def test_all_else_is_in_the_table(maps):
    table = maps["POPULATIONS"].data
    np.testing.assert_allclose(table["index_mine"][0], 1.0)
    np.testing.assert_allclose(table["log_age_lw"][0], 9.0)
    assert "QSMETHOD" in maps["PROVENANCE"].data["keyword"]
    assert maps[0].header["QSMODEL"] == "known"
    np.testing.assert_allclose(maps[0].header["SCINPVEL"], 0.01 * SPEED_OF_LIGHT)


def test_offsets_are_towards_east_and_north(maps):
    sky = maps["SPX_SKYCOO"].data
    wcs = WCS(maps["SPX_SKYCOO"].header).celestial
    y, x = np.indices(sky.shape[1:])
    place = SkyCoord(*wcs.pixel_to_world_values(x, y), unit="deg")
    centre = SkyCoord(maps[0].header["OBJRA"], maps[0].header["OBJDEC"], unit="deg")
    for found, want in zip(sky, centre.spherical_offsets_to(place), strict=True):
        np.testing.assert_allclose(found, want.to_value(u.arcsec), atol=1e-5)
    np.testing.assert_allclose(maps["BIN_AREA"].data[0, 0], (5.6e-5 * 3600) ** 2, rtol=1e-4)
    assert sky.reshape(2, -1).mean(axis=1) == pytest.approx([0, 0], abs=1e-4)


def test_cards_of_a_manga_cube_are_kept(tmp_path):
    cube = layouts.manga_cube()
    cube[0].header["OBJRA"], cube[0].header["OBJDEC"] = 150.0, 2.0
    cube.writeto(tmp_path / "cube.fits")
    measure_file([tmp_path / "cube.fits"], tmp_path / "maps.fits", Known(), redshift=0.01, layout="dap")
    with fits.open(tmp_path / "maps.fits") as hdus:
        assert [hdus[0].header[key] for key in ("PLATEIFU", "MANGAID")] == ["8485-1901", "1-209232"]
        wcs = WCS(hdus["SPX_SKYCOO"].header).celestial
        x, y = wcs.world_to_pixel_values(150.0, 2.0)
        nearest = np.abs(hdus["SPX_SKYCOO"].data).sum(axis=0)
        assert np.unravel_index(nearest.argmin(), nearest.shape) == (round(float(y) - 1e-6), round(float(x) - 1e-6))


def test_flux_without_a_physical_unit_keeps_its_own(tmp_path):
    cube = layouts.muse()
    for name in ("DATA", "STAT"):
        cube[name].header["BUNIT"] = "count" if name == "DATA" else "count**2"
    cube.writeto(tmp_path / "cube.fits")
    measure_file([tmp_path / "cube.fits"], tmp_path / "maps.fits", Known(), redshift=0.01, layout="dap")
    with fits.open(tmp_path / "maps.fits") as hdus:
        assert hdus["SPX_MFLUX"].header["BUNIT"] == "ct"
        assert hdus["SPX_MFLUX_IVAR"].header["BUNIT"] == "(ct)^{-2}"
        assert "Angstrom" in hdus["EMLINE_GFLUX"].header["BUNIT"]
        np.testing.assert_allclose(hdus["EMLINE_GFLUX"].data[23, 0, 0], QUANTITIES["flux_Halpha"][0])


def test_without_lines_and_a_sky_their_extensions_are_left_out(tmp_path):
    cube = layouts.muse()
    for name in ("DATA", "STAT"):
        for key in ("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2"):
            del cube[name].header[key]
    cube.writeto(tmp_path / "cube.fits")
    out = tmp_path / "maps.fits"
    measure_file([tmp_path / "cube.fits"], out, Known(lines=False), redshift=0.01, layout="dap")
    with fits.open(out) as hdus:
        names = {hdu.name for hdu in hdus}
        assert {"SPX_MFLUX", "STELLAR_VEL", "BINID"} <= names
        assert not any(name.startswith(("EMLINE", "SPECINDEX", "SPX_SKY", "BIN_AREA")) for name in names)
        assert hdus["BINID"].data[:, 0, 0].tolist() == [0, 0, -1, -1, -1]


def test_spectra_without_an_image_are_refused_with_a_cure(tmp_path):
    layouts.generic().writeto(tmp_path / "rows.fits")
    with pytest.raises(WriteError, match=r'rows\.fits: .*no image.*layout="native"'):
        measure_file([tmp_path / "rows.fits"], tmp_path / "out.fits", Known(), redshift=0.1, layout="dap")
    with pytest.raises(WriteError, match="choose one of native, dap, nGIST"):
        measure_file([tmp_path / "rows.fits"], tmp_path / "out.fits", Known(), redshift=0.1, layout="manga")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.fits"]


def test_channels_stand_for_lines_and_indices_that_exist():
    for channel, name in LINE_CHANNELS.items():
        if name:
            vacuum = air_to_vacuum(np.array([EMISSION_LINES[name]]))[0]
            assert abs(int(channel.rpartition("-")[2]) + 0.5 - vacuum) < 0.8
    kinds = {"angstrom": "ang", "magnitude": "mag", "break": ""}
    for name, unit in INDEX_CHANNELS.values():
        assert kinds[DEFINITIONS[name].kind] == unit


@settings(deadline=None)
@given(z=st.floats(0, 0.3), moved=st.floats(-0.005, 0.005), velocity=st.floats(-800, 800), logarithmic=st.booleans())
def test_velocities_are_relative_to_one_redshift(z, moved, velocity, logarithmic):
    redshift = np.array([z, z, z + moved])
    populations = Known()(range(3))
    for name, change in (("values", 0), ("low", -1), ("high", 1)):
        getattr(populations, name)["velocity"] = np.full(3, velocity) + change
    contents = Contents(MeasuredFile(populations, np.ones(3), redshift), None, {})
    found, error = systemic_velocity(contents, "velocity", logarithmic=logarithmic)
    ratio = np.exp(found / SPEED_OF_LIGHT) if logarithmic else 1 + found / SPEED_OF_LIGHT
    np.testing.assert_allclose((1 + z) * ratio, (1 + redshift) * np.exp(velocity / SPEED_OF_LIGHT), rtol=1e-12)
    assert (error > 0.9).all()


# ---- against a file that the DAP made

NOT_MEASURED = {
    "SPX_ELLCOO", "BIN_LWELLCOO", "STELLAR_CONT_FRESID", "STELLAR_CONT_RCHI2", "EMLINE_TPLSIGMA", "SPECINDEX_CORR",
    *(f"EMLINE_{kind}{end}" for kind in ("SFLUX", "SEW") for end in ("", "_IVAR", "_MASK")),
}  # fmt: skip
LATER = {"STELLAR_FOM", "POPULATIONS", "PROVENANCE"}  # of DR17, and ours
KEYS = ("BUNIT", "MASKNAME", "HDUCLASS", "HDUCLAS2", "HDUCLAS3", "ERRDATA", "QUALDATA", "SCIDATA")


@pytest.fixture(scope="session")
def real(shared) -> Path:
    return shared / "dap" / "manga-8080-12701-MAPS-VOR10-GAU-MILESHC.fits.gz"


@pytest.mark.shared
def test_extensions_are_those_of_a_real_file(maps, real):
    with fits.open(real) as dap:
        ours, theirs = ([hdu.name for hdu in each] for each in (maps, dap))
        assert set(theirs) - set(ours) == NOT_MEASURED
        assert set(ours) - set(theirs) == LATER
        both = [name for name in theirs if name in ours]
        assert [name for name in ours if name in theirs] == both
        assert {"MASKNAME", "DAPFRMT", "DAPTYPE", "BINKEY", "BINTYPE", "NBINS", "SCKEY", "SCINPVEL", "DAPQUAL"} <= (
            set(maps[0].header) & set(dap[0].header)
        )


@pytest.mark.shared
def test_headers_and_types_are_those_of_a_real_file(maps, real):
    with fits.open(real) as dap:
        for hdu in dap[1:]:
            if hdu.name in NOT_MEASURED:
                continue
            found = maps[hdu.name]
            if hdu.name != "STELLAR_SIGMACORR":  # of two channels since DR17
                assert found.data.ndim == hdu.data.ndim
            assert found.data.dtype == hdu.data.dtype
            for key in KEYS:
                assert found.header.get(key) == hdu.header.get(key), (hdu.name, key)
            assert WCS(found.header).naxis == (3 if found.data.ndim == 3 else 2)


@pytest.mark.shared
def test_channels_are_those_of_a_real_file(maps, real):
    with fits.open(real) as dap:
        for name in ("SPX_SKYCOO", "BIN_LWSKYCOO", "BINID", "EMLINE_GFLUX", "EMLINE_GVEL_MASK", "SPECINDEX_IVAR"):
            ours, theirs = channels(maps[name]), channels(dap[name])
            assert set(theirs) <= set(ours)
            assert [one for one in ours if one in theirs] == list(theirs)
        ours, theirs = maps["SPECINDEX"].header, dap["SPECINDEX"].header
        assert [ours[f"U{k:02d}"] for k in range(1, 47)] == [theirs[f"U{k:02d}"] for k in range(1, 47)]
        assert channels(maps["SPECINDEX"]) == channels(dap["SPECINDEX"])
