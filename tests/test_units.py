"""Units as people write them: understood, refused by name, converted exactly."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quietspec.errors import UnitError
from quietspec.units import angstroms, flux_unit, parse_unit

CGS = u.erg / (u.s * u.cm**2 * u.AA)
WAVELENGTH = np.linspace(3500.0, 9500.0, 7)
LIGHT = 2.99792458e18  # Å/s
PLANCK = 6.62607015e-27  # erg s


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("10**(-16) erg /s /cm**2 /angstrom /pixel", 1e-16),
        ("10**(-20)*erg/s/cm**2/Angstrom", 1e-20),
        ("10**-20 Angstrom-1 cm-2 erg s-1", 1e-20),
        ("1E-17 erg/cm^2/s/Ang/spaxel", 1e-17),
        ("10**(-19).erg.cm**(-2).s**(-1).angstrom**(-1)", 1e-19),
        ("erg.s-1.cm-2.A-1", 1),
        ("10^-16 erg/s/cm^2/A", 1e-16),
        ("10-17 erg/s/cm2/A", 1e-17),
        ("(10^-16) erg/cm^2/s/A", 1e-16),
        ("(10^-16 erg/cm^2/s/A)", 1e-16),
        ("[erg/s/cm2/A]", 1),
        ("1.e-17 erg/s/cm2/A", 1e-17),
        ("E-17 erg/s/cm2/A", 1e-17),
        ("x10^-17 erg/s/cm2/A", 1e-17),
        ("1 x 10^-17 erg/s/cm2/A", 1e-17),
        ("erg/s/cm2/A (x1e-17)", 1e-17),
        ("erg/s/cm2/A *10^-17", 1e-17),
        ("1e-17erg/s/cm2/A", 1e-17),
        ("erg s^{-1} cm^{-2} A^{-1}", 1),
        (r"$10^{-17}$ erg\,s$^{-1}$\,cm$^{-2}$\,\AA$^{-1}$", 1e-17),
        ("10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹", 1e-17),
        ("ERG/S/CM2/A", 1),
        ("ergs/cm2/sec/Angstroms", 1),
        ("FLAM", 1),
        ("FLAM16", 1e-16),
    ],
)
def test_flux_per_angstrom_in_any_spelling(text, scale):
    found = flux_unit(text)
    assert found.kind == "per wavelength"
    assert found.unit.to(CGS) == pytest.approx(scale, rel=1e-12)
    assert found.per_angstrom(WAVELENGTH) == (found.unit, None)


@pytest.mark.parametrize("text", ["W m-2 um-1", "W/m2/um/sr", "erg/s/cm2/nm", "Lsun/Angstrom", "erg/s/A", "ST", "W/m3"])
def test_other_units_per_wavelength_stay(text):
    found = flux_unit(text)
    assert found.per_angstrom(WAVELENGTH) == (found.unit, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("Jy", 1e-23), ("mJy", 1e-26), ("MJY/SR", 1e-17), ("microJansky", 1e-29), ("mJy/beam", 1e-26),
        ("erg/s/cm2/Hz", 1), ("FNU", 1), ("W/m2/Hz", 1e3), ("maggies", 3631e-23), ("nanomaggies", 3631e-32),
        ("1e-9 maggies", 3631e-32), ("nmgy", 3631e-32), ("AB", 3630.7805e-23), ("erg/s/Hz", 1), ("Lsun/Hz", 3.828e33),
    ],
)  # fmt: skip
def test_flux_per_frequency_is_converted(text, size):
    unit, factor = flux_unit(text).per_angstrom(WAVELENGTH)
    ours = factor * unit.decompose([*CGS.bases, u.rad, u.beam]).scale
    np.testing.assert_allclose(ours, size * LIGHT / WAVELENGTH**2, rtol=1e-7)


@pytest.mark.parametrize(
    ("text", "energy"),
    [
        ("photon/s/cm2/A", PLANCK * LIGHT / WAVELENGTH),
        ("ph/s/cm2/Angstrom", PLANCK * LIGHT / WAVELENGTH),
        ("PHOTLAM", PLANCK * LIGHT / WAVELENGTH),
        ("photons/s/cm2/Hz", PLANCK * LIGHT / WAVELENGTH * LIGHT / WAVELENGTH**2),
        ("1e-3 ph/s/AA", 1e-3 * PLANCK * LIGHT / WAVELENGTH),
    ],
)
def test_photons_become_energy(text, energy):
    unit, factor = flux_unit(text).per_angstrom(WAVELENGTH)
    np.testing.assert_allclose(factor * unit.decompose(CGS.bases).scale, energy, rtol=1e-7)


@pytest.mark.parametrize(
    "text", ["count", "counts", "cts/s", "ADU", "DN/s", "electron/s", "e-/s", "photon", "ct s-1 pix-1"]
)
def test_counts(text):
    assert flux_unit(text).kind == "counts"


@pytest.mark.parametrize(
    "text", [None, "", " ", "none", "relative flux", "Normalized", "arbitrary units", "1e-17", "10**40"]
)
def test_no_unit(text):
    assert flux_unit(text).kind == "relative"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mag", "logarithm of flux"), ("ABmag", "logarithm of flux"), ("mag(AB)", "logarithm of flux"),
        ("STMAG", "logarithm of flux"), ("mag/arcsec2", "logarithm of flux"), ("log10(erg/s/cm2/A)", "logarithm"),
        ("dex(erg/s/cm2/A)", "logarithm"), ("erg/s/cm2", "integrated over wavelength"), ("W/m2", "integrated"),
        ("1e-17 erg/s/cm2/pixel", "integrated"), ("Lsun", "integrated"), ("Jy km/s", "not one of a flux"),
        ("Jy Hz", "not one of a flux"), ("K", "not one of a flux"), ("km/s", "not one of a flux"),
        ("Angstrom", "not one of a flux"), ("deg", "not one of a flux"), ("arcsec", "not one of a flux"),
        ("erg/s/cm2/keV", "not one of a flux"), ("erg/s/cm2/cm-1", "per wavenumber"), ("erg/s/cm2/A2", "not one"),
        ("furlongs", "not understood"), ("erg,s", "not understood"),
    ],
)  # fmt: skip
def test_what_is_no_flux_density_is_refused_by_name(text, reason):
    with pytest.raises(UnitError, match=reason) as caught:
        flux_unit(text)
    assert repr(text) in str(caught.value)


@given(
    st.sampled_from(["Jy", "nmgy", "1e-20 erg/s/cm2/A", "W/m2/um", "ph/s/cm2/AA", "erg/s/cm2/Hz", "ph/s/cm2/Hz"]),
    st.sampled_from(["uJy", "erg/s/cm2/A", "W/m2/Hz", "photlam"]),
)
def test_units_of_one_kind_convert_there_and_back(one, other):
    a, b = flux_unit(one), flux_unit(other)
    np.testing.assert_allclose(a.in_unit_of(b, WAVELENGTH) * b.in_unit_of(a, WAVELENGTH), 1, rtol=1e-12)


@pytest.mark.parametrize(("one", "other"), [("mJy", "adu"), ("erg/s/cm2/A", "erg/s/A"), ("Jy/sr", "Jy"), ("ct", "adu")])
def test_units_of_other_kinds_do_not(one, other):
    with pytest.raises(UnitError, match="cannot be converted"):
        flux_unit(one).in_unit_of(flux_unit(other), WAVELENGTH)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("(1e-20 erg/s/cm2/Angstrom)**2", (1e-20 * CGS) ** 2),
        ("(1E-17 erg/s/cm^2/ang/spaxel)^{-2}", (1e-17 * CGS) ** -2),
        ("10**+34 (s2 cm4 Angstrom2) / erg2", (1e-17 * CGS) ** -2),
        ("10**-40 Angstrom-2 cm-4 erg2 s-2", (1e-20 * CGS) ** 2),
        ("uJy^2", u.uJy**2),
        ("1/(1e-20 erg/s/cm2/A)^2", (1e-20 * CGS) ** -2),
        ("10^40 (erg/s/cm2/A)^-2", (1e-20 * CGS) ** -2),
    ],
)
def test_units_of_variances(text, unit):
    assert parse_unit(text).to(unit) == pytest.approx(1, rel=1e-9)


@given(
    st.sampled_from(
        [
            ("Angstrom", 1), ("ANGSTROM", 1), ("Ang.", 1), ("A", 1), ("Å", 1), ("0.1nm", 1), ("10^-10 m", 1),
            ("Angstrom (air)", 1), ("nm", 10), ("nanometres", 10), ("micron", 1e4), ("microns", 1e4), ("µm", 1e4),
            ("m", 1e10), ("meters", 1e10), ("mm", 1e7), ("cm", 1e8),
        ]
    ),
    st.floats(3000, 20000),
)  # fmt: skip
def test_lengths_become_angstrom(unit, wavelength):
    name, size = unit
    np.testing.assert_allclose(angstroms([wavelength / size], name)[0], wavelength, rtol=1e-12)


@pytest.mark.parametrize(
    ("unit", "values"),
    [
        ("GHz", LIGHT / WAVELENGTH / 1e9),
        ("cm-1", 1e8 / WAVELENGTH),
        ("log10(Angstrom)", np.log10(WAVELENGTH)),
        ("log(Angstrom)", np.log10(WAVELENGTH)),
        ("dex(AA)", np.log10(WAVELENGTH)),
        ("log10(um)", np.log10(WAVELENGTH / 1e4)),
        ("ln(Angstrom)", np.log(WAVELENGTH)),
        ("ln(nm)", np.log(WAVELENGTH / 10)),
    ],
)
def test_frequencies_and_logarithms(unit, values):
    wavelength, warning = angstroms(values, unit)
    np.testing.assert_allclose(wavelength, WAVELENGTH, rtol=1e-9)
    assert warning is None


@pytest.mark.parametrize(("values", "name"), [(np.log10(WAVELENGTH), "log10"), (np.log(WAVELENGTH), "ln")])
def test_logarithms_called_angstrom_are_recognised_with_a_word(values, name):
    wavelength, warning = angstroms(values, "Angstrom")
    np.testing.assert_allclose(wavelength, WAVELENGTH)
    assert f"taken as {name} of Å" in warning


@pytest.mark.parametrize(
    ("values", "unit", "reason"),
    [
        (WAVELENGTH / 1e4, None, "have no unit; they could be um"),
        (WAVELENGTH / 10, None, "have no unit; they could be nm"),
        (np.log10(WAVELENGTH), None, r"have no unit; they could be log10\(Angstrom\) or um"),
        (WAVELENGTH, "m", "no spectrum does"),
        (WAVELENGTH / 1e4, "nm", "no spectrum does"),
        (WAVELENGTH, "km/s", "a unit of velocity"),
        (WAVELENGTH, "pixel", "not a unit of wavelength"),
        (WAVELENGTH, "mag(Angstrom)", "but a logarithm"),
        (WAVELENGTH, "Jy", "not a unit of wavelength"),
        (WAVELENGTH, "m,s", "not a unit of wavelength"),
        (np.full(3, np.nan), "nm", "NaN"),
    ],
)
def test_wavelengths_that_cannot_be(values, unit, reason):
    with pytest.raises(UnitError, match=reason):
        angstroms(values, unit)


def test_wavelengths_without_unit_are_angstrom_where_they_look_so():
    wavelength, warning = angstroms(WAVELENGTH, " ")
    np.testing.assert_array_equal(wavelength, WAVELENGTH)
    assert "taken as Å from their values" in warning
