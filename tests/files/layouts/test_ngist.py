"""The folder of a run of nGIST is read as nGIST's Mapviewer and its maps read one, and is there whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from quietspec.errors import ReadError, WriteError
from quietspec.files import measure_file
from quietspec.populations import PopulationFlag

from ...io import layouts
from .measuring import QUANTITIES, STARS, Known, grown

N = layouts.NY * layouts.NX
USED = np.array([k % 5 not in (1, 2) for k in range(N)])
FILES = {
    "table", "mask", "spatial_binning_maps", "kin", "kin_maps", "gas_bin", "gas_bin_maps", "sfh", "sfh_maps",
    "ls_orig_res", "ls_original_maps",
}  # fmt: skip


@pytest.fixture
def cube(tmp_path):
    layouts.muse().writeto(tmp_path / "cube.fits")
    return tmp_path / "cube.fits"


@pytest.fixture
def run(cube, tmp_path):
    measure_file([cube], tmp_path / "A478", Known(), redshift=0.01, layout="nGIST")
    return tmp_path / "A478"


def opened(run, end: str) -> fits.HDUList:
    return fits.HDUList.fromstring((run / f"{run.name}_{end}.fits").read_bytes(), checksum=True)


def test_the_folder_holds_the_files_of_a_run(run):
    assert {path.name for path in run.iterdir()} == {f"A478_{end}.fits" for end in FILES}
    for end in FILES:
        header = opened(run, end)[0].header
        assert (header["QSMODEL"], header["OBJECT"]) == ("known", "Abell 478")


def per_spaxel(run, end: str) -> fits.FITS_rec:
    """Rows of a table of bins, one per spaxel, as nGIST's Mapviewer finds them."""
    numbers = opened(run, "table")[1].data["BIN_ID"]
    _, row = np.unique(np.abs(numbers), return_inverse=True)
    return opened(run, end)[1].data[row]


def test_rows_are_bins_and_bins_are_spaxels(run):
    for end, column, (value, error), names in (
        ("kin", "SIGMA", STARS["sigma"], ("ERR_SIGMA", "FORM_ERR_SIGMA")),
        ("gas_bin", "Ha6562_FLUX", QUANTITIES["flux_Halpha"], ("Ha6562_FLUX_ERR",)),
        ("gas_bin", "Ha6562_SIGMA", QUANTITIES["gas_sigma"], ("Ha6562_SIGMA_ERR",)),
        ("gas_bin", "Ha6562_VEL", QUANTITIES["gas_velocity"], ("Ha6562_VEL_ERR",)),
        ("gas_bin", "OIII5006_VEL", QUANTITIES["forbidden_velocity"], ("OIII5006_VEL_ERR",)),
        ("gas_bin", "OIII5006_SIGMA", QUANTITIES["forbidden_sigma"], ("OIII5006_SIGMA_ERR",)),
        ("gas_bin", "Ha6562_EW", QUANTITIES["ew_Halpha"], ("Ha6562_EW_ERR",)),
        ("sfh", "METAL", STARS["mh_lw"], ("ERR_METAL_MC",)),
        ("ls_orig_res", "Mgb", QUANTITIES["index_Mg_b"], ("ERR_Mgb",)),
        ("ls_orig_res", "mine", QUANTITIES["index_mine"], ("ERR_mine",)),
    ):
        rows = per_spaxel(run, end)[USED]
        np.testing.assert_allclose(rows[column], grown(value, N)[USED], rtol=1e-9)
        for name in names:
            np.testing.assert_allclose(rows[name], grown(error, N)[USED], rtol=1e-9)
    np.testing.assert_allclose(per_spaxel(run, "kin")["V"][USED], grown(STARS["velocity"][0], N)[USED], rtol=1e-9)
    age = per_spaxel(run, "sfh")
    np.testing.assert_allclose(np.log10(age["AGE"][0]) + 9, STARS["log_age_lw"][0])
    np.testing.assert_allclose(age["ERR_AGE_MC"][0] / age["AGE"][0], np.log(10) * STARS["log_age_lw"][1])


def test_lines_bear_the_names_of_ngist_and_lost_ones_are_left_out(run):
    table = opened(run, "gas_bin")[1]
    lines = {name.removesuffix("_FLUX") for name in table.columns.names if name.endswith("_FLUX")}
    assert lines == {"Ha6562", "OIII5006", "OIII4958"}
    np.testing.assert_allclose(table.data["OIII5006_FLUX"] / table.data["OIII4958_FLUX"], 2.98)
    assert not table.data["Ha6562_SIGMA_CORR"].any()
    assert table.data["BIN_ID"].tolist() == list(range(USED.sum()))
    units = {column.name: column.unit for column in table.columns}
    assert units["Ha6562_VEL"] == "km/s"
    assert units["Ha6562_EW_ERR"] == "Angstrom"
    assert units["Ha6562_FLUX"] == "1e-20 erg / (s cm2)"


def test_maps_are_what_ngist_makes_of_the_tables(run):
    spaxels, header = opened(run, "table")[1].data, opened(run, "table")[0].header
    inside = spaxels["BIN_ID"] >= 0
    np.testing.assert_array_equal(inside, USED)
    column = np.round((spaxels["X"] - spaxels["X"].min()) / header["PIXSIZE"]).astype(int)
    row = np.round((spaxels["Y"] - spaxels["Y"].min()) / header["PIXSIZE"]).astype(int)
    for end, maps in (("kin", "kin_maps"), ("gas_bin", "gas_bin_maps"), ("ls_orig_res", "ls_original_maps")):
        rows = per_spaxel(run, end)
        for hdu in opened(run, maps)[1:]:
            image = np.full((layouts.NY, layouts.NX), np.nan)
            image[row[inside], column[inside]] = rows[hdu.name][inside]
            np.testing.assert_allclose(hdu.data, image)
    assert header["PIXSIZE"] == pytest.approx(5.6e-5 * 3600, rel=1e-4)


def test_places_on_the_sky_are_those_of_the_input(run, cube):
    with fits.open(cube) as hdus:
        want = WCS(hdus["DATA"].header).celestial.pixel_to_world_values(1, 2)
    for end, number in (("table", 2), ("kin_maps", 1)):
        header = opened(run, end)[number].header
        assert end == "table" or header["NAXIS"] == 2
        header.remove("NAXIS")
        found = WCS(header).celestial.pixel_to_world_values(1, 2)
        np.testing.assert_allclose(found, want)


def test_spaxels_outside_point_to_the_nearest_bin(run):
    table = opened(run, "table")[1].data
    mask = opened(run, "mask")[1].data
    np.testing.assert_array_equal(mask["MASK"] == 1, ~USED)
    assert not mask["MASK_DEFUNCT"].any()
    inside = np.flatnonzero(USED)
    for row in np.flatnonzero(~USED):
        bin_ = inside[-table["BIN_ID"][row]]
        distance = np.hypot(table["X"][inside] - table["X"][row], table["Y"][inside] - table["Y"][row])
        assert np.hypot(*(table[axis][bin_] - table[axis][row] for axis in "XY")) <= distance[1:].min() + 1e-9


def test_a_folder_is_replaced_only_when_told_and_only_if_it_is_ours(run, cube):
    with pytest.raises(WriteError, match=r"exists already.*overwrite=True"):
        measure_file([cube], run, Known(lines=False), redshift=0.01, layout="nGIST")
    assert (run / "A478_gas_bin.fits").exists()
    measure_file([cube], run, Known(lines=False), redshift=0.01, layout="nGIST", overwrite=True)
    left = {"table", "mask", "spatial_binning_maps", "kin", "kin_maps", "sfh", "sfh_maps"}
    assert {path.name for path in run.iterdir()} == {f"A478_{end}.fits" for end in left}
    (run / "LOGFILE").write_text("of another run")
    with pytest.raises(WriteError, match="holds other files, such as LOGFILE"):
        measure_file([cube], run, Known(), redshift=0.01, layout="nGIST", overwrite=True)
    assert sorted(path.name for path in cube.parent.iterdir()) == ["A478", "cube.fits"]


def test_nothing_is_left_where_nothing_was_found(cube, tmp_path):
    def nothing(spectra, progress=None):
        found = Known()(spectra)
        found.flags[:] = int(PopulationFlag.NO_DATA)
        return found

    nothing.model = Known.model
    with pytest.raises(ReadError, match="no spectrum has a result"):
        measure_file([cube], tmp_path / "A478", nothing, redshift=0.01, layout="nGIST")
    assert [path.name for path in tmp_path.iterdir()] == ["cube.fits"]


def test_a_name_that_is_taken_or_nowhere_is_refused(cube, tmp_path):
    with pytest.raises(WriteError, match="is a file, and this output is a folder"):
        measure_file([cube], cube, Known(), redshift=0.01, layout="nGIST", overwrite=True)
    with pytest.raises(WriteError, match="there is no folder"):
        measure_file([cube], tmp_path / "a" / "b", Known(), redshift=0.01, layout="nGIST")
    with pytest.raises(WriteError, match="holds an input"):
        measure_file([cube], tmp_path, Known(), redshift=0.01, layout="nGIST", overwrite=True)
