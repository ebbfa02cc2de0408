"""Foreground extinction: taken from files of surveys that leave their fluxes uncorrected, else only as given."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from quietspec.denoised import ModelId
from quietspec.denoisers.base import finish
from quietspec.errors import ReadError
from quietspec.extinction import SFD_SCALE
from quietspec.io import describe, open_spectra, read, write

from . import layouts


def sami(arm="blue", ebv=0.03):
    hdus = layouts.sami(arm)
    dust = fits.ImageHDU(np.full(layouts.N_PIXELS, 1.1), name="DUST")
    dust.header["EBVPLNCK"], dust.header["EBVSFD98"] = ebv, 0.02
    return fits.HDUList([*hdus, dust])


def manga():
    hdus = layouts.manga_cube()
    hdus[0].header["EBVGAL"] = 0.05
    return hdus


def dap(*, corrected_by=True):
    hdus = layouts.manga_dap()
    hdus[0].header["EBVGAL"] = 0.05
    if corrected_by:
        hdus.append(fits.ImageHDU(np.full(layouts.N_PIXELS, 1.2), name="REDCORR"))
    return hdus


def desi():
    hdus = layouts.desi()
    targets = fits.Column("TARGETID", "K", array=hdus["FIBERMAP"].data["TARGETID"])
    excess = fits.Column("EBV", "E", array=[0.01, 0.02, 0.03])
    hdus[1] = fits.BinTableHDU.from_columns([targets, excess], name="FIBERMAP")
    return hdus


def sdss(**cards):
    hdus = layouts.sdss()
    hdus[0].header.update(cards)
    return hdus


BANDS = {"01": 0.5155, "02": 0.3793, "03": 0.2751, "04": 0.2086, "05": 0.1479}


@pytest.mark.parametrize(
    ("hdus", "expected", "who"),
    [
        (sami(), 0.03, "EBVPLNCK of HDU DUST"),
        (manga(), SFD_SCALE * 0.05, "0.86 × EBVGAL"),
        (dap(), SFD_SCALE * 0.05, "0.86 × EBVGAL"),
        (sdss(REDDEN="0.5155 0.3793 0.2751 0.2086 0.1479"), SFD_SCALE * 0.1, "0.86 × that of REDDEN"),
        (sdss(**{f"REDDEN{band}": value for band, value in BANDS.items()}), SFD_SCALE * 0.1, "0.86 × that of REDDEN"),
        (desi(), SFD_SCALE * np.array([0.01, 0.02, 0.03]), "0.86 × EBV of HDU FIBERMAP"),
    ],
    ids=["SAMI", "MaNGA", "DAP", "SDSS", "BOSS", "DESI"],
)
def test_surveys_that_say_it_are_believed(save, hdus, expected, who):
    path = save(hdus)
    with open_spectra(path) as source:
        told = dict(describe(source)["decisions"])["foreground extinction"]
        spectra = source.read()
    np.testing.assert_allclose(spectra.ebv, np.broadcast_to(expected, len(spectra)), rtol=1e-5)
    assert who in told
    assert any(who in note and "ebv=0" in note for note in spectra.meta["warnings"])
    assert not read(path, ebv=0).ebv.any()


@pytest.mark.parametrize(
    "hdus",
    [layouts.sami(), layouts.sdss(), sdss(REDDEN="-9999 -9999 -9999 -9999 -9999"), sdss(REDDEN="?"), layouts.muse()],
)
def test_files_that_do_not_say_it_have_none(save, hdus):
    with open_spectra(save(hdus)) as source:
        assert not source.ebv.any()
        assert dict(describe(source)["decisions"])["foreground extinction"] == "none"


@pytest.mark.parametrize("hdus", [dap(corrected_by=False), layouts.generic()], ids=["DAP", "generic"])
def test_a_card_that_may_have_been_used_already_is_left_out_and_said(save, hdus):
    hdus[0].header["EBVGAL"] = 0.05
    spectra = read(save(hdus), medium="air", redshift=0.02)
    assert not spectra.ebv.any()
    assert any("EBVGAL = 0.05 of the header is left out" in note for note in spectra.meta["warnings"])


def test_the_user_is_believed_and_contradictions_are_told(save):
    with open_spectra(save(sami()), ebv=0.2) as source:
        assert source.ebv.tolist() == [0.2] * source.n_spectra
        told = dict(describe(source)["decisions"])["foreground extinction"]
    assert told == "E(B−V) 0.2: as given, but 0.03 by EBVPLNCK of HDU DUST"


@pytest.mark.parametrize("ebv", [-0.1, 6.0, float("nan")])
def test_impossible_values_are_refused(save, ebv):
    with pytest.raises(ReadError, match=r"ebv=.*: expected a colour excess"):
        read(save(layouts.sami()), ebv=ebv)


def test_arms_share_it_and_must_agree(save):
    blue = save(sami(), "blue")
    both = read(blue, save(layouts.sami("red"), "red"))
    np.testing.assert_allclose(both.ebv, 0.03)
    other = save(sami("red", 0.1), "other")
    with pytest.raises(ReadError, match=r"state different E\(B-V\)"):
        read(blue, other)
    np.testing.assert_allclose(read(blue, other, ebv=0.05).ebv, 0.05)


def test_columns_and_selections_keep_it(save):
    np.testing.assert_allclose(read(save(desi()), rows="2,0").ebv, SFD_SCALE * np.array([0.03, 0.01]), rtol=1e-5)
    hdus = sdss(REDDEN="0.5155 0.3793 0.2751 0.2086 0.1479")
    np.testing.assert_allclose(read(save(hdus, "exposures"), exposures=True).ebv, SFD_SCALE * 0.1, rtol=1e-5)


def test_what_was_written_says_it_and_comes_back(save, tmp_path):
    spectra = read(save(desi()), redshift=0.02)
    denoised = finish(spectra, spectra.flux, np.where(spectra.good, spectra.sigma, np.nan), model=ModelId("test"))
    write(denoised, tmp_path / "out.fits")
    header = fits.getheader(tmp_path / "out.fits")
    assert header["EBV"] == pytest.approx(SFD_SCALE * 0.02, abs=1e-5)
    assert header["EBVLAW"].startswith("G23")
    assert "as observed" in header.comments["EBVLAW"]
    np.testing.assert_allclose(read(tmp_path / "out.fits").ebv, spectra.ebv)


def test_without_reddening_the_header_says_nothing(save, tmp_path):
    spectra = read(save(layouts.muse()), redshift=0.02)
    denoised = finish(spectra, spectra.flux, np.where(spectra.good, spectra.sigma, np.nan), model=ModelId("test"))
    write(denoised, tmp_path / "out.fits")
    assert "EBV" not in fits.getheader(tmp_path / "out.fits")
    assert not read(tmp_path / "out.fits").ebv.any()
