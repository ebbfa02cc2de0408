"""Units of flux and noise: converted where exact, and by their own unit; otherwise refused by name, with the cure."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from quietspec.errors import ReadError
from quietspec.io import read

CGS = u.erg / (u.s * u.cm**2 * u.AA)
WAVELENGTH = 4000.0 + 2.0 * np.arange(400)
SIGMA = 0.1
FLUX = 1 + 0.2 * np.sin(WAVELENGTH / 150) + SIGMA * np.random.default_rng(1).standard_normal((3, 400))
AXIS = {"CTYPE1": "AWAV", "CUNIT1": "Angstrom", "CRVAL1": 4000.0, "CDELT1": 2.0, "CRPIX1": 1.0}


def spectra(bunit, noise=SIGMA, name="ERR", noise_unit=None, scale=1.0):
    """Three spectra of S/N 10, with noise of any name, value and unit."""
    flux = fits.ImageHDU(FLUX * scale, name="FLUX", header=fits.Header(AXIS))
    error = fits.ImageHDU(np.full(FLUX.shape, noise, dtype=np.float64), name=name)
    for hdu, unit in ((flux, bunit), (error, noise_unit)):
        if unit is not None:
            hdu.header["BUNIT"] = unit
    return fits.HDUList([fits.PrimaryHDU(), flux, error])


def warned(found, text):
    return any(text in warning for warning in found.meta["warnings"])


@pytest.mark.parametrize(
    ("bunit", "law"),
    [
        ("mJy/beam", WAVELENGTH**-2), ("nmgy", WAVELENGTH**-2), ("maggies", WAVELENGTH**-2),
        ("erg/s/Hz", WAVELENGTH**-2), ("Lsun/Hz", WAVELENGTH**-2), ("MJy/sr", WAVELENGTH**-2),
        ("ph/s/cm2/Angstrom", 1 / WAVELENGTH), ("PHOTLAM", 1 / WAVELENGTH), ("photons/s/cm2/Hz", WAVELENGTH**-3),
        ("1e-17 erg/s/cm2/A", np.ones(400)), ("W/m2/um", np.ones(400)), ("Lsun/Angstrom", np.ones(400)),
    ],
)  # fmt: skip
def test_colours_are_those_of_energy_per_angstrom(save, bunit, law):
    found = read(save(spectra(bunit)))
    np.testing.assert_allclose(found.flux / FLUX / (found.flux / FLUX)[:, :1], np.tile(law / law[0], (3, 1)), rtol=1e-4)
    np.testing.assert_allclose(found.flux / found.sigma, FLUX / SIGMA, rtol=1e-4)
    assert warned(found, "is converted to") is bool(law[0] != 1)


@pytest.mark.parametrize(
    "bunit",
    ["mag", "ABmag", "STmag", "erg/s/cm2", "W/m2", "Jy km/s", "log(erg/s/cm2/A)", "erg/s/cm2/cm-1", 1e-16, "??"],
)
def test_what_is_no_flux_density_is_refused_and_the_cure_works(save, bunit):
    path = save(spectra(bunit))
    with pytest.raises(ReadError, match="flux_unit=") as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert str(bunit) in str(caught.value)
    assert read(path, flux_unit="1e-17 erg/s/cm2/Angstrom").unit == u.Unit(1e-17 * CGS)


def test_counts_are_said_to_be_uncalibrated(save):
    assert warned(read(save(spectra("counts"))), "not calibrated")


@pytest.mark.parametrize(
    ("bunit", "noise", "name", "unit"),
    [
        ("mJy", 1000 * SIGMA, "ERR", "uJy"),
        ("1e-17 erg/s/cm2/A", 1e-17 * SIGMA, "ERR", "erg/s/cm2/A"),
        ("1e-20 erg/s/cm2/A", 1e-40 * SIGMA**2, "VAR", "(erg/s/cm2/Angstrom)**2"),
        ("1e-20 erg/s/cm2/A", SIGMA**2, "STAT", "1e-20 erg/s/cm2/A**2"),
        ("1e-17 erg/s/cm2/A", 1e34 / SIGMA**2, "IVAR", "(s2 cm4 Angstrom2) / erg2"),
        ("mJy", 1e-6 / SIGMA**2, "IVAR", "uJy-2"),
        ("W/m2/um", 1e4 * SIGMA, "ERR", "1e-5 erg/s/cm2/A"),
    ],
)
def test_noise_is_converted_by_its_own_unit(save, bunit, noise, name, unit):
    found = read(save(spectra(bunit, noise, name, unit)))
    np.testing.assert_allclose(found.flux / found.sigma, FLUX / SIGMA, rtol=1e-5)
    assert not warned(found, "noise")


def test_noise_per_frequency_beside_flux_per_wavelength(save):
    hdus = spectra("1e-16 erg/s/cm2/A", name="ERR", noise_unit="mJy")
    hdus["ERR"].data[:] = (SIGMA * 1e-16 * CGS).to_value(u.mJy, u.spectral_density(WAVELENGTH * u.AA))
    np.testing.assert_allclose(read(save(hdus)).sigma, SIGMA, rtol=1e-5)


@pytest.mark.parametrize(
    ("noise", "name", "unit", "kind"),
    [
        (SIGMA, "VAR", "1e-20 erg/s/cm2/A", "sigma"),  # errors named as variances
        (SIGMA**2, "VAR", "1e-20 erg/s/cm2/A", "variance"),  # the header of the flux copied
        (SIGMA**-2, "IVAR", "1e-20 erg/s/cm2/A", "ivar"),
        (SIGMA**2, "ERR", "(1e-20 erg/s/cm2/A)**2", "variance"),
        (SIGMA**2, "VAR", "(erg/s/cm2/Angstrom)**2", "variance"),  # the factor forgotten
        (SIGMA, "ERR", "adu", "sigma"),
        (SIGMA, "ERR", "furlongs", "sigma"),
    ],
)
def test_noise_whose_unit_contradicts_it_is_settled_by_the_scatter_with_a_word(save, noise, name, unit, kind):
    found = read(save(spectra("1e-20 erg/s/cm2/A", noise, name, unit)))
    np.testing.assert_allclose(found.sigma, SIGMA, rtol=1e-5)
    assert warned(found, f"the noise has the unit '{unit}'")
    told = read(save(spectra("1e-20 erg/s/cm2/A", noise, name, unit), "again.fits"), noise_kind=kind)
    np.testing.assert_allclose(told.sigma, SIGMA, rtol=1e-5)


@pytest.mark.parametrize(("noise", "kind"), [(1e-5, "sigma"), (1e-10, "variance")])
def test_noise_that_the_scatter_does_not_settle_is_asked_for(save, noise, kind):
    """Errors of a ten-thousandth of the scatter, or what would be variances of as little."""
    path = save(spectra("1e-20 erg/s/cm2/A", noise, "VAR", "1e-20 erg/s/cm2/A"))
    with pytest.raises(ReadError, match='noise_kind="sigma" or noise_kind="variance"'):
        read(path)
    np.testing.assert_allclose(read(path, noise_kind=kind).sigma, 1e-5)


def test_noise_in_percent_is_refused(save):
    with pytest.raises(ReadError, match="the noise has the unit '%': it is a share of the flux"):
        read(save(spectra("mJy", 10.0, "ERR", "%")))


@pytest.mark.parametrize("suffix", ["ecsv", "fits"])
def test_columns_are_converted_by_their_own_units(tmp_path, suffix):
    table = Table({"wave": WAVELENGTH * u.AA, "flux": FLUX[0] * u.mJy, "error": np.full(400, 1000 * SIGMA) * u.uJy})
    table.write(tmp_path / f"t.{suffix}")
    found = read(tmp_path / f"t.{suffix}", medium="air")
    np.testing.assert_allclose(found.flux / found.sigma, FLUX[:1] / SIGMA, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e40, 1e-45, 1e-33, 1e33])
def test_fluxes_beyond_32_bits_change_their_unit_with_a_word(save, scale):
    found = read(save(spectra("erg/s/A", scale * SIGMA, scale=scale)))
    assert found.flux.dtype == np.float32
    np.testing.assert_allclose(found.flux * (found.unit.to(u.erg / u.s / u.AA) / scale), FLUX, rtol=1e-5)
    np.testing.assert_allclose(found.flux / found.sigma, FLUX / SIGMA, rtol=1e-5)
    assert warned(found, "32-bit")


@pytest.mark.parametrize("scale", [1e-20, 1e15])
def test_fluxes_that_32_bits_hold_keep_their_unit(save, scale):
    found = read(save(spectra("erg/s/cm2/A", scale * SIGMA, scale=scale)))
    assert found.unit == CGS
    np.testing.assert_allclose(found.flux / scale, FLUX, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "noise", "kind"),
    [("SIGMA2", SIGMA**2, "variance"), ("ERR_SQUARED", SIGMA**2, "variance"), ("err2", SIGMA, "sigma")],
)
def test_squares_of_errors_are_asked_for_and_the_cure_works(save, name, noise, kind):
    path = save(spectra(None, noise, name))
    with pytest.raises(ReadError, match='noise_kind="variance"'):
        read(path)
    np.testing.assert_allclose(read(path, noise_kind=kind).sigma, SIGMA, rtol=1e-6)


@pytest.mark.parametrize("name", ["INVERR", "INV_SIGMA", "FRAC_ERR", "relative_error", "LOG_ERR"])
def test_what_is_no_error_is_not_taken_for_one(save, name):
    with pytest.raises(ReadError, match="no variance, error or ivar"):
        read(save(spectra(None, SIGMA, name)))


@pytest.mark.parametrize(("noise", "doubted"), [(SIGMA, False), (3 * SIGMA, False), (SIGMA / 100, True), (9.0, True)])
def test_errors_far_from_the_scatter_are_doubted(save, noise, doubted):
    assert warned(read(save(spectra(None, noise))), "the scatter between pixels") == doubted


def test_noise_in_percent_can_be_left_out(save):
    assert warned(
        read(save(spectra("mJy", 10.0, "ERR", "%")), noise_from_residuals=True), "estimated from the residual"
    )


def table(tmp_path, flux, error):
    path = tmp_path / "spectrum.fits"
    Table({"wave": WAVELENGTH, flux: FLUX[0], error: np.full(400, SIGMA)}).write(path)
    return path


@pytest.mark.parametrize(("flux", "error"), [("flux_mJy", "err_mJy"), ("fluxJy", "flux_err"), ("F_ujy", "e_F_ujy")])
def test_names_that_say_the_unit(tmp_path, flux, error):
    found = read(table(tmp_path, flux, error), medium="air")
    colour = found.flux[0] / FLUX[0] * WAVELENGTH**2
    np.testing.assert_allclose(colour / colour[0], 1, rtol=1e-5)
    np.testing.assert_allclose(found.flux / found.sigma, FLUX[:1] / SIGMA, rtol=1e-5)


@pytest.mark.parametrize("flux", ["fnu", "FLUX_NU", "f_nu", "FLUX_MJY"])
def test_a_flux_per_frequency_without_unit_is_asked_for(tmp_path, flux):
    path = table(tmp_path, flux, "err")
    with pytest.raises(ReadError, match=f'{flux} is a flux per frequency.*\n.*flux_unit="Jy"'):
        read(path, medium="air")
    assert warned(read(path, medium="air", flux_unit="Jy"), "is converted to")
