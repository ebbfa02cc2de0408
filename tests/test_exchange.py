"""Arrays, quantities, columns and specutils' spectra become `Spectra`: converted, masked, or refused with the cure."""

from __future__ import annotations

import inspect

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty
from astropy.table import Table
from astropy.utils.masked import Masked
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from specutils import Spectrum, SpectrumCollection, SpectrumList

from quietspec.denoisers.base import require_spectra
from quietspec.errors import SpectraError
from quietspec.spectra import Spectra

WAVELENGTH = np.linspace(4000.0, 5000.0, 11)
CGS = u.erg / (u.s * u.cm**2 * u.AA)
FLUX = np.linspace(1.0, 2.0, 11)


def from_arrays(wavelength=WAVELENGTH, flux=FLUX, uncertainty=0.1, **fields):
    return Spectra.from_arrays(wavelength, flux, uncertainty, **({"medium": "air"} | fields))


# Units of the flux


@pytest.mark.parametrize("unit", [u.Jy, u.mJy, u.MJy / u.sr, u.Unit("W m-2 Hz-1"), u.photon / (u.s * u.cm**2 * u.AA)])
def test_flux_is_converted_to_energy_per_angstrom(unit):
    spectra = from_arrays(flux=FLUX * unit, uncertainty=0.1 * FLUX * unit)
    steradian = u.sr if unit.is_equivalent(u.Jy / u.sr) else 1
    expected = (FLUX * unit * steradian).to(CGS, u.spectral_density(WAVELENGTH * u.AA))
    np.testing.assert_allclose((spectra.flux[0] * spectra.unit * steradian).to(CGS), expected, rtol=1e-12)
    np.testing.assert_allclose(spectra.flux / spectra.sigma, 10)
    assert "converted" in spectra.meta["warnings"][0]


@pytest.mark.parametrize("unit", ["mJy", u.mJy])
def test_unit_of_a_plain_array(unit):
    quantity, plain = from_arrays(flux=FLUX * u.mJy), from_arrays(unit=unit)
    np.testing.assert_array_equal(plain.flux, quantity.flux)
    np.testing.assert_array_equal(plain.ivar, quantity.ivar)
    assert plain.unit == quantity.unit


def test_units_per_wavelength_stay():
    spectra = from_arrays(flux=FLUX * u.Unit("1e-17 erg / (s cm2 AA)"))
    assert spectra.unit == u.Unit("1e-17 erg / (s cm2 AA)")
    assert "warnings" not in spectra.meta
    np.testing.assert_array_equal(spectra.flux[0], FLUX)


@pytest.mark.parametrize("unit", [u.ABmag, u.mag, u.erg / u.s / u.cm**2, u.K, u.Jy * u.km / u.s])
def test_what_is_no_flux_density_is_refused(unit):
    with pytest.raises(SpectraError, match="flux: "):
        from_arrays(flux=FLUX * unit)


def test_two_units_of_the_flux_are_refused():
    with pytest.raises(SpectraError, match="unit: mJy is given for a flux in Jy"):
        from_arrays(flux=FLUX * u.Jy, unit="mJy")


# Noise


@pytest.mark.parametrize(
    ("uncertainty", "kind"),
    [
        (0.5, "sigma"), (np.full(11, 0.25), "variance"), (4.0, "ivar"), (500 * u.uJy, "sigma"),
        (0.25 * u.mJy**2, "variance"), (4 / u.mJy**2, "ivar"), (StdDevUncertainty(np.full(11, 0.5)), "sigma"),
        (VarianceUncertainty(np.full(11, 0.25)), "sigma"), (InverseVariance(np.full(11, 4.0)), "sigma"),
        (StdDevUncertainty(np.full(11, 500.0), unit=u.uJy), "sigma"),
    ],
)  # fmt: skip
def test_uncertainties_of_every_kind_and_in_their_own_unit(uncertainty, kind):
    spectra = from_arrays(flux=FLUX * u.mJy, uncertainty=uncertainty, noise_kind=kind)
    np.testing.assert_allclose(spectra.flux / spectra.sigma, FLUX[None] / 0.5)


def test_noise_per_frequency_beside_flux_per_wavelength():
    flux = FLUX * 1e-16 * CGS
    sigma = (0.1 * flux).to(u.mJy, u.spectral_density(WAVELENGTH * u.AA))
    np.testing.assert_allclose(from_arrays(flux=flux, uncertainty=sigma).snr, 10)


@pytest.mark.parametrize("uncertainty", [0.1 * u.adu, 0.1 * u.mJy**2, UnknownUncertainty(np.ones(11)), None])
def test_noise_that_cannot_be_compared_is_refused(uncertainty):
    with pytest.raises(SpectraError, match="uncertainty: "):
        from_arrays(flux=FLUX * u.mJy, uncertainty=uncertainty)


def test_errors_that_are_not_positive_are_masked():
    sigma = np.ones(11)
    sigma[:3] = 0, -1, np.nan
    np.testing.assert_array_equal(from_arrays(uncertainty=sigma).good[0], [False] * 3 + [True] * 8)


# Masks


def test_masks_of_every_kind_are_honoured():
    hidden = np.arange(11) == 4
    for flux in (np.ma.array(FLUX, mask=hidden), Masked(FLUX * CGS, mask=hidden), np.where(hidden, np.nan, FLUX)):
        np.testing.assert_array_equal(from_arrays(flux=flux).good[0], ~hidden)
    np.testing.assert_array_equal(from_arrays(uncertainty=np.ma.array(FLUX, mask=hidden)).good[0], ~hidden)
    np.testing.assert_array_equal(from_arrays(mask=hidden).good[0], ~hidden)
    integers = np.ma.array(np.arange(1, 12), mask=hidden)
    np.testing.assert_array_equal(from_arrays(flux=integers).good[0], ~hidden)


def test_columns_keep_their_unit_and_mask():
    table = Table({"wave": WAVELENGTH / 10, "flux": np.ma.array(FLUX, mask=np.arange(11) == 4), "err": FLUX * 100})
    table["wave"].unit, table["flux"].unit, table["err"].unit = "nm", "mJy", "uJy"
    spectra = from_arrays(table["wave"], table["flux"], table["err"])
    np.testing.assert_allclose(spectra.wavelength, WAVELENGTH)
    np.testing.assert_allclose(spectra.snr, 10)
    assert spectra.good.sum() == 10


# Wavelengths and the medium


@pytest.mark.parametrize("unit", [u.nm, u.um, u.GHz, u.eV, 1 / u.cm])
def test_wavelengths_of_any_unit_and_direction(unit):
    given = (WAVELENGTH * u.AA).to(unit, u.spectral())
    spectra = from_arrays(given)
    np.testing.assert_allclose(spectra.wavelength, WAVELENGTH, rtol=1e-12)
    np.testing.assert_array_equal(spectra.flux[0], FLUX)
    backwards = from_arrays(given[::-1], FLUX[::-1])
    np.testing.assert_array_equal(backwards.flux[0], FLUX)


@pytest.mark.parametrize(
    ("wavelength", "reason"),
    [
        (WAVELENGTH / 1e4, r"could be um. Give a Quantity"),
        (WAVELENGTH / 10, r"could be nm. Give a Quantity"),
        (np.linspace(-500, 500, 11) * u.km / u.s, "a unit of velocity"),
        (WAVELENGTH * u.Jy, "not a unit of wavelength"),
        (WAVELENGTH * u.m, "no spectrum does"),
        (np.ma.array(WAVELENGTH, mask=np.arange(11) == 4), "1 values that are masked"),
        (np.ones((2, 11)), r"\(n_pixels,\)"),
        (["a"] * 11, "expected numbers"),
    ],
)
def test_wavelengths_that_cannot_be(wavelength, reason):
    with pytest.raises(SpectraError, match=f"wavelength: .*{reason}"):
        from_arrays(wavelength)


@pytest.mark.parametrize("medium", [None, "vac"])
def test_the_medium_is_required(medium):
    with pytest.raises(SpectraError, match="medium='air' or medium='vacuum'"):
        from_arrays(medium=medium)


# Shapes, resolution and the other fields


@pytest.mark.parametrize("shape", [(11, 2, 3), (2, 11, 3), (11, 4)])
def test_the_axis_of_wavelength_is_the_last(shape):
    with pytest.raises(
        SpectraError, match=rf"wavelength last. Wavelength is axis {shape.index(11)} of it: np.moveaxis"
    ):
        from_arrays(flux=np.ones(shape))


@given(st.sampled_from([(11,), (4, 11), (2, 3, 11)]))
def test_shapes(shape):
    spectra = from_arrays(flux=np.ones(shape), uncertainty=np.ones(11))
    assert spectra.flux.shape == (int(np.prod(shape[:-1])), 11)
    assert spectra.spatial_shape == (shape[:2] if len(shape) == 3 else None)


@pytest.mark.parametrize(
    "fields", [{"uncertainty": np.ones((3, 11))}, {"mask": np.zeros(3)}, {"fwhm": np.ones((2, 11))}]
)
def test_shapes_that_do_not_match(fields):
    with pytest.raises(SpectraError, match=f"{next(iter(fields))}: "):
        from_arrays(flux=np.ones((4, 11)), **fields)


@pytest.mark.parametrize("fwhm", [250.0, 25 * u.nm, np.full(11, 250.0), np.full((1, 11), 250.0)])
def test_fwhm_of_any_form(fwhm):
    np.testing.assert_allclose(np.ravel(from_arrays(fwhm=fwhm).fwhm), 250)


def test_fwhm_that_no_instrument_has():
    with pytest.raises(SpectraError, match=r"fwhm: 2.5e\+04 cannot be the FWHM"):
        from_arrays(fwhm=25000.0)


def test_help_shows_the_keywords():
    keywords = inspect.signature(Spectra.from_arrays).parameters
    assert {"medium", "redshift", "fwhm", "noise_kind", "unit", "mask"} <= set(keywords)
    assert keywords["medium"].default is inspect.Parameter.empty
    assert "Medium" in str(keywords["medium"].annotation)


# specutils


def spectrum(flux=FLUX * u.Jy, uncertainty=0.1, **fields):
    error = StdDevUncertainty(np.full(flux.shape, uncertainty)) if np.isscalar(uncertainty) else uncertainty
    axis = {} if "wcs" in fields else {"spectral_axis": WAVELENGTH * u.AA}
    return Spectrum(flux=flux, uncertainty=error, **(axis | fields))


def test_specutils_fluxes_are_converted():
    spectra = Spectra.from_specutils(spectrum(), medium="vacuum")
    expected = (FLUX * u.Jy).to(CGS, u.spectral_density(WAVELENGTH * u.AA))
    np.testing.assert_allclose((spectra.flux[0] * spectra.unit).to(CGS), expected, rtol=1e-12)
    np.testing.assert_allclose(spectra.flux / spectra.sigma, FLUX[None] / 0.1)


@pytest.mark.parametrize("flux", [FLUX * u.ABmag, FLUX * u.mag, FLUX * u.erg / u.s / u.cm**2])
def test_specutils_fluxes_that_are_no_densities_are_refused(flux):
    with pytest.raises(SpectraError, match="flux: "):
        Spectra.from_specutils(spectrum(flux), medium="air")


@pytest.mark.parametrize(
    "uncertainty",
    [StdDevUncertainty(np.full(11, 0.5)), VarianceUncertainty(np.full(11, 0.25)), InverseVariance(np.full(11, 4.0))],
)
def test_specutils_uncertainties_and_a_falling_axis(uncertainty):
    falling = spectrum(FLUX * CGS, uncertainty, spectral_axis=WAVELENGTH[::-1] * u.AA, mask=np.arange(11) == 0)
    spectra = Spectra.from_specutils(falling, medium="air")
    np.testing.assert_allclose(spectra.wavelength, WAVELENGTH)
    np.testing.assert_allclose(spectra.flux[0], FLUX[::-1])
    np.testing.assert_allclose(spectra.ivar[0], [4.0] * 10 + [0])


def test_specutils_medium_is_asked_for():
    with pytest.raises(SpectraError, match="medium='air' or medium='vacuum'"):
        Spectra.from_specutils(spectrum())


@pytest.mark.parametrize(("ctype", "medium"), [("WAVE", "vacuum"), ("AWAV", "air")])
def test_specutils_medium_of_the_wcs(ctype, medium):
    header = fits.Header({"CTYPE1": ctype, "CUNIT1": "Angstrom", "CRVAL1": 4000.0, "CDELT1": 100.0, "CRPIX1": 1.0})
    given = spectrum(wcs=WCS(header, naxis=1))
    assert Spectra.from_specutils(given).medium == medium
    other = "air" if medium == "vacuum" else "vacuum"
    against = Spectra.from_specutils(given, medium=other)
    assert against.medium == other
    assert f"medium='{other}' contradicts CTYPE1 = '{ctype}'" in against.meta["warnings"]


def test_specutils_medium_of_the_header():
    given = spectrum(meta={"header": {"AIRORVAC": "vac"}})
    assert Spectra.from_specutils(given).medium == "vacuum"


def test_specutils_axis_of_velocity():
    velocity = np.linspace(-500, 500, 11) * u.km / u.s
    with pytest.raises(SpectraError, match="doppler_rest"):
        Spectra.from_specutils(spectrum(spectral_axis=velocity), medium="air")
    known = spectrum(spectral_axis=velocity, velocity_convention="optical", rest_value=5000 * u.AA)
    np.testing.assert_allclose(
        Spectra.from_specutils(known, medium="air").wavelength, 5000 * (1 + velocity.value / 299792.458)
    )


def test_specutils_collection_on_one_axis_only():
    axis = np.stack([WAVELENGTH, WAVELENGTH]) * u.AA
    flux = np.ones((2, 11)) * CGS
    error = StdDevUncertainty(np.full((2, 11), 0.5))
    collection = SpectrumCollection(flux=flux, spectral_axis=axis, uncertainty=error)
    np.testing.assert_allclose(Spectra.from_specutils(collection, medium="air").ivar, 4.0)
    shifted = SpectrumCollection(flux=flux, spectral_axis=axis * [[1.0], [1.1]], uncertainty=error)
    with pytest.raises(SpectraError, match="different axes"):
        Spectra.from_specutils(shifted, medium="air")


@pytest.mark.parametrize("given", [SpectrumList([spectrum()]), FLUX])
def test_what_is_no_specutils_spectrum(given):
    with pytest.raises(SpectraError, match="not a Spectrum of specutils"):
        Spectra.from_specutils(given, medium="air")


def test_specutils_without_uncertainty():
    with pytest.raises(SpectraError, match="no uncertainty"):
        Spectra.from_specutils(Spectrum(flux=FLUX * CGS, spectral_axis=WAVELENGTH * u.AA), medium="air")


# What a denoiser is given


@pytest.mark.parametrize(
    ("given", "cure"), [(FLUX, "from_arrays"), (spectrum(), "from_specutils"), ("cube.fits", "quietspec.read")]
)
def test_a_denoiser_says_how_to_make_spectra(given, cure):
    with pytest.raises(SpectraError, match=cure):
        require_spectra(given)
    spectra = from_arrays()
    assert require_spectra(spectra) is spectra


def test_uncertainties_in_percent_are_refused():
    wavelength, flux = np.linspace(4000, 7000, 50), np.ones(50)
    with pytest.raises(SpectraError, match=r"in %, a share of the flux. Convert it"):
        Spectra.from_arrays(wavelength, flux, 10 * flux * u.percent, medium="air")


def test_spectra_without_a_usable_pixel_say_so():
    wavelength, flux = np.linspace(4000, 7000, 50), np.ones(50)
    spectra = Spectra.from_arrays(wavelength, flux, -0.1 * flux, medium="air")
    assert spectra.meta["warnings"] == [
        "no pixel is usable: every flux is masked or NaN, or has no positive uncertainty"
    ]


def test_logarithms_of_wavelengths():
    wavelength = np.linspace(4000.0, 7000.0, 50)
    spectra = Spectra.from_arrays(u.Dex(np.log10(wavelength), u.dex(u.AA)), np.ones(50), np.ones(50), medium="air")
    np.testing.assert_allclose(spectra.wavelength, wavelength)
