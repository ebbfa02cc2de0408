"""What names of columns and HDUs say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietspec.io.reading.conventions import NOISE_NAMES, find_role, header_redshifts, named, rivals, without_unit


@pytest.mark.parametrize(
    ("names", "role"),
    [
        ("flux FLUX flam f_lambda FLUX_LAM f_obs OPT_FLAM B_FLUX RED_DATA SCI spectrum fluxDensity flx F", "flux"),
        ("wave WAVELENGTH lambda_obs OPT_WAVE wave_air loglam lnlam log10_wave LOGLAM B_WAVELENGTH", "wavelength"),
        ("wvl frequency angstrom Wavelength_nm lam waveair spectral_axis nu lbda", "wavelength"),
        ("err e_flux dflux fluxErr OPT_FLAM_SIG FLUX_LAM_ERR f_err ivar inv_var flux_unc ESPEC STAT ferr", "noise"),
        ("mask FLUX_MASK BPM GPM badpix andmask OR_MASK DQ f_flag quality OPT_MASK goodpixels", "mask"),
    ],
)  # fmt: skip
def test_usual_names_say_what_they_hold(names, role):
    told = {name: named(name) for name in names.split()}
    assert {name: what and what.role for name, what in told.items()} == dict.fromkeys(told, role)


@pytest.mark.parametrize(
    "name",
    [
        "SKY_FLUX",
        "model_flux",
        "flux_cont",
        "wave_err",
        "BestFit",
        "LINE_FLUX",
        "flux_raw",
        "z",
        "FWHM",
        "id",
        "ra",
        "SNR",
    ],
)
def test_other_things_are_not_taken_for_the_spectrum(name):
    assert named(name) is None


def test_names_of_wavelengths_tell_medium_scale_and_frame():
    assert (named("WAVE_AIR").medium, named("wavelength_vac").medium, named("wave").medium) == ("air", "vacuum", None)
    assert [named(name).log for name in ("loglam", "log10wave", "lnlam", "wave")] == ["log", "log10", "ln", None]
    assert (named("lambda_rest").rest, named("lambda_obs").rest) == (True, False)
    assert named("wave_nm").unit == "nm"


def test_masks_of_good_pixels_are_told_by_their_names():
    assert [name for name in ("GPM", "good_pixels", "MASK", "bad_pixels") if named(name).good] == ["GPM", "good_pixels"]


@given(st.sampled_from(list(NOISE_NAMES)), st.sampled_from(["", "RED_", "b_", "OPT_"]), st.booleans())
def test_a_prefix_changes_nothing_but_what_a_name_belongs_to(name, prefix, upper):
    full = prefix + (name.upper() if upper else name)
    assert named(full).kind == NOISE_NAMES[name]
    assert named(full).affix == ({prefix.strip("_").lower()} if prefix else set())


def test_what_belongs_together_shares_its_words():
    names = ["OPT_FLAM", "OPT_FLAM_IVAR", "BOX_FLAM", "BOX_FLAM_IVAR", "OPT_WAVE"]
    assert find_role(names, "noise", named("BOX_FLAM").affix) == "BOX_FLAM_IVAR"
    assert find_role(names, "wavelength", named("BOX_FLAM").affix) == "OPT_WAVE"  # there is no other
    assert rivals(names, "flux") == ["OPT_FLAM", "BOX_FLAM"]
    assert rivals(["flux", *names], "flux") == ["flux"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flux(erg/s/cm2/A)", ("flux", "erg/s/cm2/A")),
        ("Wavelength (Angstrom)", ("Wavelength", "Angstrom")),
        ("lambda[A]", ("lambda", "A")),
        ("flux", ("flux", None)),
        ("err ()", ("err", None)),
        ("log10(lambda/A)", ("log10_lambda", "A")),
        ("ln(wave)", ("ln_wave", None)),
    ],
)
def test_units_in_names(text, expected):
    assert without_unit(text) == expected


@pytest.mark.parametrize("cards", [{"Z": True}, {"REDSHIFT": "0.1"}, {"Z": 99.0}, {}])
def test_what_is_no_redshift_is_not_taken_for_one(cards):
    assert header_redshifts(cards) == []


def test_names_of_fluxes_tell_their_unit():
    names = ["flux_jy", "flux_mJy", "fluxMJy", "F_UJY", "flux_njy", "flux", "fnu", "FLUX_MJY"]
    assert [named(name).unit for name in names] == ["Jy", "mJy", "MJy", "uJy", "nJy", None, "fnu", "fnu"]
    assert named("err_mJy").unit == "mJy"
