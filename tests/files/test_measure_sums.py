"""Files of what was measured of bins and apertures, in each layout: every number is there, and none counted twice."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from quietspec.binning import INDEPENDENT, Binning
from quietspec.errors import QuietspecError, WriteError
from quietspec.files import measure_file

from ..io import layouts
from .layouts.measuring import Known

SNR = 30.0
FAILED = {1, 2, 6, 7}  # of the first ten bins, by `Known`


@pytest.fixture
def cube(tmp_path):
    hdus = layouts.muse()
    y, x = np.indices(hdus["DATA"].data.shape[1:])
    hdus["DATA"].data[:] = 10 + y + x
    hdus["STAT"].data[:] = 0.3
    hdus["DATA"].data[:, 0, 0] = np.nan
    hdus.writeto(tmp_path / "cube.fits")
    return tmp_path / "cube.fits"


@pytest.fixture
def outputs(cube, tmp_path):
    pytest.importorskip("powerbin")
    bins = Binning(snr=SNR, correlation=INDEPENDENT)
    for layout, name in (("native", "own.fits"), ("dap", "maps.fits"), ("nGIST", "run")):
        _, measured = measure_file([cube], tmp_path / name, Known(), bins=bins, redshift=0.1, layout=layout)
    return tmp_path, measured


def test_maps_show_the_bin_of_each_spaxel(outputs):
    folder, measured = outputs
    with fits.open(folder / "own.fits", checksum=True) as hdus:
        table, number = hdus["POPULATIONS"].data, hdus["BINID"].data
        assert number.shape == (layouts.NY, layouts.NX)
        assert number[0, 0] == -1
        assert sorted(set(number.ravel()) - {-1}) == list(table["bin"]) == list(range(len(table)))
        assert 3 <= len(table) < 11
        inside = number >= 0
        np.testing.assert_array_equal(table["n_spaxels"], np.bincount(number[inside]))
        for name in ("velocity", "ew_Halpha", "redshift", "chi2"):
            if name.upper() in hdus:
                np.testing.assert_allclose(hdus[name.upper()].data[inside], table[name][number[inside]], rtol=1e-6)
        assert np.isnan(hdus["VELOCITY"].data[0, 0])
        flux = hdus["FLUX_HALPHA"].data
        np.testing.assert_allclose(np.nansum(flux), np.nansum(table["flux_Halpha"]), rtol=1e-6)
        np.testing.assert_allclose(
            hdus["FLUX_HALPHA_ERR"].data[inside], (table["flux_Halpha_err"] / table["n_spaxels"])[number[inside]],
            rtol=1e-6,
        )  # fmt: skip
        facts = dict(zip(hdus["PROVENANCE"].data["keyword"], hdus["PROVENANCE"].data["value"], strict=True))
        assert facts["QSBIN"] == "bins of S/N 30"
        assert "independent" in facts["QSNCORR"]
        assert facts["QSNSPIKE"] == "0"
        assert (table["n_spikes"] == 0).all()
    assert len(measured.populations) == len(table)
    assert len(measured.on_sky.populations) == number.size


def test_the_dap_numbers_its_bins_in_binid(outputs):
    folder, _ = outputs
    own = fits.getdata(folder / "own.fits", "BINID")
    with fits.open(folder / "maps.fits", checksum=True) as hdus:
        assert (hdus[0].header["BINTYPE"], hdus[0].header["BINSNR"]) == ("PowerBin", SNR)
        number = hdus["BINID"].data
        used = ~np.isin(own, [-1, *FAILED])
        assert hdus[0].header["NBINS"] == len(set(own[used]))
        np.testing.assert_array_equal(number[0] >= 0, used)
        assert sorted(set(number[0][used])) == list(range(len(set(own[used]))))
        for mine in set(own[used]):
            assert len(set(number[0][own == mine])) == 1
        size = np.bincount(own[own >= 0])[np.maximum(own, 0)]
        channel = [hdus["EMLINE_GFLUX"].header[f"C{k:02d}"] for k in range(1, 36)].index("Ha-6564")
        flux = hdus["EMLINE_GFLUX"].data[channel] * size
        table = hdus["POPULATIONS"].data
        factor = np.median(flux[used] / table["flux_Halpha"][own[used]])
        np.testing.assert_allclose(flux[used], factor * table["flux_Halpha"][own[used]], rtol=1e-5)
        area = hdus["BIN_AREA"].data
        np.testing.assert_allclose(area[used] / area[used].min(), size[used] / size[used].min(), rtol=1e-5)
        # All spaxels are flat spectra of their own brightness, of which that of a bin is the mean.
        spaxels, bins = hdus["SPX_MFLUX"].data, hdus["BIN_MFLUX"].data
        for mine in set(own[used]):
            np.testing.assert_allclose(bins[own == mine], spaxels[own == mine].mean(), rtol=1e-5)
        x = hdus["BIN_LWSKYCOO"].data[0]
        sky = hdus["SPX_SKYCOO"].data[0]
        for mine in set(own[used]):
            weight = spaxels[own == mine]
            np.testing.assert_allclose(x[own == mine], np.average(sky[own == mine], weights=weight), atol=1e-4)


def test_a_run_of_ngist_has_one_row_per_bin(outputs):
    folder, _ = outputs
    own = fits.getdata(folder / "own.fits", "BINID").ravel()
    of = {end: fits.getdata(folder / "run" / f"run_{end}.fits", 1) for end in ("table", "kin", "gas_bin", "mask")}
    number = of["table"]["BIN_ID"]
    used = ~np.isin(own, [-1, *FAILED])
    np.testing.assert_array_equal(of["mask"]["MASK"] == 0, used)
    assert len(of["kin"]) == len(of["gas_bin"]) == len(set(own[used])) == number.max() + 1
    table = fits.getdata(folder / "own.fits", "POPULATIONS")
    np.testing.assert_allclose(of["gas_bin"]["Ha6562_FLUX"][number[used]], table["flux_Halpha"][own[used]], rtol=1e-6)
    np.testing.assert_array_equal(of["table"]["NSPAX"][used], np.bincount(number[used])[number[used]])
    with fits.open(folder / "run" / "run_gas_bin_maps.fits") as maps:
        image = maps["Ha6562_FLUX"].data.ravel()
        np.testing.assert_allclose(image[used], of["gas_bin"]["Ha6562_FLUX"][number[used]], rtol=1e-6)
        assert np.isnan(image[~used]).all()
    for each in range(number.max() + 1):
        assert len(set(of["table"]["XBIN"][used & (number == each)])) == 1


def test_apertures_have_a_row_and_an_image_each(cube, tmp_path):
    pytest.importorskip("regions")
    path = tmp_path / "two.reg"
    path.write_text("image\nbox(2.5,2,2,3,0) # text={left}\ncircle(4,2,1)\n")
    bins = Binning(apertures=(path,), correlation=INDEPENDENT)
    report, measured = measure_file([cube], tmp_path / "out.fits", Known(), bins=bins, redshift=0.1)
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        table = hdus["POPULATIONS"].data
        assert list(table["name"]) == ["left", "2"]
        np.testing.assert_allclose(table["n_spaxels"][0], 6)
        for row in (0, 1):
            np.testing.assert_allclose(hdus[f"APERTURE_{row + 1}"].data.sum(), table["n_spaxels"][row], rtol=1e-5)
        assert "VELOCITY" not in hdus
    assert report.n_spectra == 2
    assert measured.on_sky.spatial_shape is None
    for layout, name in (("dap", "maps.fits"), ("nGIST", "run")):
        with pytest.raises(WriteError, match="apertures form no image"):
            measure_file([cube], tmp_path / name, Known(), bins=bins, redshift=0.1, layout=layout)
        assert not (tmp_path / name).exists()


def test_a_region_outside_the_cube_leaves_nothing(cube, tmp_path):
    pytest.importorskip("regions")
    path = tmp_path / "far.reg"
    path.write_text("image\ncircle(400,2,1)\n")
    with pytest.raises(QuietspecError, match=r"far\.reg.*no spaxel"):
        measure_file([cube], tmp_path / "out.fits", Known(), bins=Binning(apertures=(path,)), redshift=0.1)
    assert not (tmp_path / "out.fits").exists()
