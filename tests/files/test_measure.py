"""Files of populations: read by tiles, whole or not at all, one bad spaxel is one flag."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from quietspec.denoised import ModelId
from quietspec.errors import ReadError, TemplateError, WriteError
from quietspec.files import measure_file
from quietspec.populations import PopulationFlag, Populations

from ..io import layouts


class Levels:
    """A method that takes the mean flux for [M/H]; every fourth spectrum fails, and what it refuses raises."""

    model = ModelId("levels", 4 * "0123456789abcdef")

    def __init__(self, refused: tuple[int, ...] = ()) -> None:
        self.sizes: list[int] = []
        self.refused = refused

    def __call__(self, spectra, progress=None):
        self.sizes.append(len(spectra))
        if len(self.sizes) in self.refused:
            raise TemplateError("tiny: covers 1–2 Å")
        level = np.nanmean(np.where(spectra.good, spectra.flux, np.nan), axis=1)
        failed = np.arange(len(spectra)) % 4 == 3
        mh = np.where(failed, np.nan, level)
        if progress is not None:
            progress(len(spectra), len(spectra))
        return Populations(
            method="levels", values={"mh_mw": mh, "sigma": mh + 100}, low={"mh_mw": mh - 0.1, "sigma": mh + 90},
            high={"mh_mw": mh + 0.3, "sigma": mh + 110}, flags=np.where(failed, int(PopulationFlag.FAILED), 0),
            reasons=tuple("no Ångström" if bad else "" for bad in failed), chi2=mh, seconds=mh,
        )  # fmt: skip


@pytest.fixture
def muse(tmp_path) -> Path:
    path = tmp_path / "muse.fits"
    layouts.muse().writeto(path)
    return path


def test_maps_have_errors_units_and_the_sky(muse, tmp_path):
    report, recovered = measure_file([muse], tmp_path / "out.fits", Levels(), redshift=0.1, command="quietspec x")
    with fits.open(tmp_path / "out.fits", checksum=True) as hdus:
        names = [hdu.name for hdu in hdus]
        assert names == [
            "PRIMARY", "MH_MW", "MH_MW_ERR", "SIGMA", "SIGMA_ERR", "FLAGS", "CHI2", "SNR_IN", "POPULATIONS",
            "PROVENANCE",
        ]  # fmt: skip
        level = hdus["MH_MW"].data
        assert level.shape == (layouts.NY, layouts.NX)
        np.testing.assert_allclose(hdus["MH_MW_ERR"].data[:, :3], 0.2, rtol=1e-5)
        assert hdus["SIGMA"].header["BUNIT"] == "km s-1"
        assert "dex" in str(hdus["MH_MW"].header["COMMENT"])
        assert "FAILED" in str(hdus["FLAGS"].header["COMMENT"])
        np.testing.assert_array_equal(hdus["FLAGS"].data[:, 3], int(PopulationFlag.FAILED))
        with fits.open(muse) as original:
            want = WCS(original["DATA"].header).celestial.pixel_to_world_values(1, 2)
        np.testing.assert_allclose(WCS(hdus["MH_MW"].header).pixel_to_world_values(1, 2), want)
        table = hdus["POPULATIONS"].data
        np.testing.assert_allclose(table["mh_mw"], level.ravel())
        np.testing.assert_allclose(table["redshift"], 0.1)
        assert table["reason"][3].startswith("no \\xc5ngstr")
        assert hdus[0].header["QSHASH"] == "0123456789abcdef"
        facts = hdus["PROVENANCE"].data
        assert facts["value"][facts["keyword"] == "QSMETHOD"] == "levels"
    assert (report.n_spectra, report.failed, report.flags) == (12, 3, {"FAILED": 3})
    np.testing.assert_allclose(report.medians["sigma"][1], 10)
    np.testing.assert_allclose(recovered.populations.values["mh_mw"], table["mh_mw"], rtol=1e-6)


def test_tiles_change_nothing_and_progress_counts_all(muse, tmp_path, monkeypatch):
    counts = []
    measure_file([muse], tmp_path / "whole.fits", Levels(), redshift=0.1)
    monkeypatch.setattr("quietspec.files.settling.TILE", 4)
    method = Levels()
    measure_file([muse], tmp_path / "tiles.fits", method, redshift=0.1, progress=lambda *now: counts.append(now))
    assert method.sizes == [4, 4, 4]
    assert sorted(counts) == counts
    assert sorted(set(counts)) == [(4, 12), (8, 12), (12, 12)]
    with fits.open(tmp_path / "whole.fits") as one, fits.open(tmp_path / "tiles.fits") as other:
        for name in ("MH_MW", "SIGMA_ERR", "FLAGS"):
            np.testing.assert_array_equal(one[name].data, other[name].data)


class Rare(Levels):
    """The same with a further quantity that is seen in the second tile alone."""

    def __call__(self, spectra, progress=None):
        found = super().__call__(spectra, progress)
        seen = {"flux_broad_Halpha": (found.chi2, found.chi2)} if len(self.sizes) == 2 else {}
        return replace(found, further={"flux_Halpha": (found.chi2, found.chi2), **seen})


@pytest.mark.parametrize("refused", [(), (1,)])
def test_a_quantity_of_one_tile_alone_is_unknown_in_the_others(muse, tmp_path, monkeypatch, refused):
    monkeypatch.setattr("quietspec.files.settling.TILE", 4)
    measured = measure_file([muse], tmp_path / "out.fits", Rare(refused), redshift=0.1)[1]
    value = measured.populations.further["flux_broad_Halpha"][0]
    assert np.isfinite(value[4:7]).all()
    assert np.isnan(np.delete(value, slice(4, 8))).all()
    with fits.open(tmp_path / "out.fits") as hdus:
        assert "FLUX_BROAD_HALPHA" in hdus


@pytest.mark.parametrize("refused", [(1,), (2,)])
def test_a_tile_without_templates_is_flagged(muse, tmp_path, monkeypatch, refused):
    monkeypatch.setattr("quietspec.files.settling.TILE", 4)
    report, recovered = measure_file([muse], tmp_path / "out.fits", Levels(refused), redshift=0.1)
    assert report.method == "levels"
    assert report.flags == {"NO_DATA": 4, "FAILED": 2}
    rows = slice(4 * (refused[0] - 1), 4 * refused[0])
    assert np.isnan(recovered.populations.values["mh_mw"][rows]).all()
    assert "covers 1–2 Å" in recovered.populations.reasons[rows.start]


@pytest.mark.parametrize(
    ("options", "method", "error", "says"),
    [
        ({}, Levels(), ReadError, "--redshift Z"),
        ({"redshift": 0.1}, Levels((1,)), TemplateError, r"muse\.fits: tiny: covers"),
    ],
)
def test_nothing_is_left_where_no_spectrum_has_a_result(muse, tmp_path, options, method, error, says):
    if not options:
        method = lambda spectra, progress=None: Levels()(spectra)[np.full(len(spectra), 3)]  # noqa: E731
        method.model = ModelId("none")
    with pytest.raises(error, match=says):
        measure_file([muse], tmp_path / "out.fits", method, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["muse.fits"]


def test_spectra_without_an_image_become_a_table(tmp_path):
    layouts.generic().writeto(tmp_path / "rows.fits")
    measure_file([tmp_path / "rows.fits"], tmp_path / "out.fits", Levels(), redshift=0.1)
    with fits.open(tmp_path / "out.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "POPULATIONS", "PROVENANCE"]
        assert len(hdus["POPULATIONS"].data) == 3


def test_outputs_are_kept_and_not_compressed(muse, tmp_path):
    (tmp_path / "out.fits").write_text("old")
    with pytest.raises(WriteError, match="exists already"):
        measure_file([muse], tmp_path / "out.fits", Levels(), redshift=0.1)
    with pytest.raises(WriteError, match="not compressed"):
        measure_file([muse], tmp_path / "out.fits.gz", Levels(), redshift=0.1)
    assert (tmp_path / "out.fits").read_text() == "old"
    measure_file([muse], tmp_path / "out.fits", Levels(), redshift=0.1, overwrite=True)
    assert fits.getdata(tmp_path / "out.fits", "FLAGS").shape == (layouts.NY, layouts.NX)
