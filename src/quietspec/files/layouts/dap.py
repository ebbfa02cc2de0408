"""Measurements as a MAPS file of the MaNGA data analysis pipeline (DAP), which many people's scripts read.

The structure is that of DR17 (https://sdss-mangadap.readthedocs.io, "Data Model"; Westfall et al. 2019, AJ 158, 231;
Belfiore et al. 2019, AJ 158, 160): names of extensions and channels, units, masks. What was not measured is left out
where it would be a whole extension, else NaN and masked.
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.io import fits

from quietspec.arrays import FloatArray, IntArray
from quietspec.extinction import LAW
from quietspec.files.layouts.base import Contents, Layout
from quietspec.files.layouts.dap_maps import Channels, DapBit, MapMaker
from quietspec.files.layouts.dap_names import FIGURES_OF_MERIT, INDEX_CHANNELS, LINE_CHANNELS
from quietspec.files.layouts.native import table_of
from quietspec.files.layouts.quantities import line_motion, line_values, systemic_redshift, systemic_velocity
from quietspec.files.layouts.sky import centre_of, offsets, pixel_area
from quietspec.files.measured import MeasuredFile
from quietspec.io.writing import hdus
from quietspec.io.writing.parameters import parameter_hdus
from quietspec.populations.result import PopulationFlag
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["DAP", "dap_files"]

_DENSITY = 1e-17 * u.erg / u.s / u.cm**2 / u.AA
_COPIED = (
    "TELESCOP", "INSTRUME", "MANGAID", "PLATEID", "IFUDSGN", "PLATEIFU", "VERSDRP2", "VERSDRP3", "DRP3QUAL", "OBJRA",
    "OBJDEC", "IFURA", "IFUDEC", "EBVGAL", "DATE-OBS", "EXPTIME",
)  # fmt: skip
_NO_CORRECTION = "0: the dispersions in this file are corrected for the instrument already"


def dap_files(contents: Contents) -> dict[str, fits.HDUList]:
    """Arrange measurements as the DAP does.

    Parameters
    ----------
    contents : Contents
        Measurements of an image, with its brightness.

    Returns
    -------
    dict of str to astropy.io.fits.HDUList
        One file, under the empty ending: PRIMARY, the DAP's extensions, and our tables POPULATIONS and PROVENANCE.
    """
    _, *tables = parameter_hdus({}, table_of(contents.measured), contents.source, PopulationFlag, contents.facts)
    primary = contents.primary()
    _complete(primary.header, contents)
    maps = MapMaker(contents.shape, contents.source.wcs)
    on_sky = contents.on_sky
    mask = _mask(on_sky)
    _add_light(maps, contents, mask, primary.header)
    _add_stars(maps, on_sky, mask)
    _add_lines(maps, on_sky, mask)
    _add_indices(maps, on_sky, mask)
    for hdu in (primary, *maps.hdus):
        hdu.add_checksum()
    return {"": fits.HDUList([primary, *maps.hdus, *tables])}


def _complete(header: fits.Header, contents: Contents) -> None:
    """Add the DAP's keywords, and those of the input that the DAP copies."""
    for keyword, card in _input_cards(contents).items():
        header[keyword] = card
    source, redshift = contents.source, systemic_redshift(contents.measured)
    header["MASKNAME"] = ("MANGA_DAPPIXMASK", "Bits of the mask extensions")
    header["DAPFRMT"] = ("MAPS", "DAP data file format")
    _add_binning(header, contents.measured)
    header["SCKEY"] = ("QUIETSPEC", "Stellar-continuum model keyword")
    if np.isfinite(redshift):
        header["SCINPVEL"] = (redshift * SPEED_OF_LIGHT, "[km/s] cz that velocities are relative to")
    header["DAPQUAL"] = (0, "DAP quality bitmask")
    if source.ebv.any():
        header["GEXTLAW"] = (LAW, "Galactic extinction law, taken out of line fluxes")
    if source.wcs is not None and not {"OBJRA", "OBJDEC"} <= set(header):
        longitude, latitude = centre_of(source.wcs, contents.shape)
        header["OBJRA"] = (longitude, "[deg] middle of the field: origin of SPX_SKYCOO")
        header["OBJDEC"] = (latitude, "[deg] middle of the field: origin of SPX_SKYCOO")


def _add_binning(header: fits.Header, measured: MeasuredFile) -> None:
    sums = measured.sums
    key, what = ("SPX", "one spectrum per spaxel") if sums is None else ("POWER", "spaxels were summed in bins")
    header["DAPTYPE"] = (f"{key}-QUIETSPEC", "layout of the DAP; not made by it")
    header["BINKEY"], header["BINTYPE"] = (key, what), ("None" if sums is None else "PowerBin", "Binning method")
    if sums is not None and sums.target is not None:
        header["BINSNR"] = (sums.target, "Desired S/N of the bins")
    header["NBINS"] = (int((~measured.populations.failed).sum()), "Number of measured spectra")


def _input_cards(contents: Contents) -> dict[str, tuple[str | float, str]]:
    path = contents.source.paths[0]
    try:
        header = fits.getheader(path)
    except OSError:  # not FITS
        return {}
    return {key: (header[key], header.comments[key]) for key in _COPIED if key in header}


def _mask(contents: Contents) -> IntArray:
    """What holds for all measurements of a spectrum, (n_spectra,)."""
    flags = contents.measured.populations.flags
    mask = np.zeros(len(flags), dtype=np.int64)
    for reasons, bits in (
        (PopulationFlag.NO_DATA, DapBit.NOVALUE | DapBit.DONOTUSE),
        (PopulationFlag.FAILED, DapBit.FITFAILED | DapBit.DONOTUSE),
        (PopulationFlag.POOR_FIT | PopulationFlag.DOUBTFUL, DapBit.UNRELIABLE),
    ):
        mask |= np.where(flags & int(reasons) != 0, int(bits), 0)
    return mask


def _flux_units(contents: Contents) -> tuple[float, str, str]:
    """Factor to the DAP's unit, and the units of flux densities and of line fluxes; else 1 and those of the input."""
    unit = contents.source.unit
    try:
        return float(unit.to(_DENSITY)), "1E-17 erg/s/cm^2/ang/spaxel", "1E-17 erg/s/cm^2/spaxel"
    except u.UnitConversionError:
        return 1.0, hdus.fits_text(unit.to_string()), hdus.fits_text((unit * u.AA).to_string())


def _add_light(maps: MapMaker, contents: Contents, mask: IntArray, primary: fits.Header) -> None:
    """Coordinates, brightness and numbers of the spaxels and their bins; without bins each spaxel is its own."""
    wcs, light, of_bins = contents.source.wcs, contents.spaxel_light, contents.on_sky.light
    factor, unit, _ = _flux_units(contents)
    flux, error = factor * light.flux, factor * np.sqrt(light.variance)
    used = mask & int(DapBit.DONOTUSE) == 0
    number = np.where(used, contents.number, -1)
    sky = None
    if wcs is not None:
        sky = offsets(wcs, contents.shape, (primary["OBJRA"], primary["OBJDEC"])).reshape(2, -1)
        maps.add("SPX_SKYCOO", sky, "arcsec", Channels(("On-sky X", "On-sky Y")))
    maps.add("SPX_MFLUX", flux, unit)["ERRDATA"] = ("SPX_MFLUX_IVAR", "Associated inv. variance extension")
    ivar = np.divide(1.0, error**2, out=np.zeros_like(error), where=error > 0)
    header = maps.add("SPX_MFLUX_IVAR", ivar, f"({unit})^{{-2}}")
    header["HDUCLAS2"], header["HDUCLAS3"] = "ERROR", ("INVMSE", "Value is inverse mean-square error")
    header["SCIDATA"] = ("SPX_MFLUX", "Associated data extension")
    maps.add("SPX_SNR", light.snr)
    _add_numbers(maps, contents, number)
    if sky is not None and wcs is not None:
        names = Channels(("Lum. weighted on-sky X", "Lum. weighted on-sky Y"))
        maps.add("BIN_LWSKYCOO", np.where(used, _centres(sky, light.flux, number), np.nan), "arcsec", names)
        size = np.bincount(number[used], minlength=1)[number]
        maps.add("BIN_AREA", np.where(used, size * pixel_area(wcs), 0.0), "arcsec^2")
    maps.add("BIN_FAREA", used.astype(np.float32))
    maps.add_measured("BIN_MFLUX", [(factor * of_bins.flux, factor * np.sqrt(of_bins.variance))], mask, unit)
    maps.add("BIN_SNR", np.where(used, of_bins.snr, np.nan))


def _centres(sky: FloatArray, flux: FloatArray, number: IntArray) -> FloatArray:
    """Coordinates of the bin of each spaxel, (2, n_spaxels): means over its spaxels, weighted by their flux."""
    inside = number >= 0
    weight = np.where(inside & (flux > 0), flux, 0.0)
    weight = np.where(inside & (weight == 0), 1e-10 * np.max(weight, initial=1e-10), weight)
    total = np.bincount(number[inside], weight[inside], minlength=1)
    means = [np.bincount(number[inside], (weight * each)[inside], minlength=1) / total for each in sky]
    return np.array([mean[number] for mean in means])


def _add_numbers(maps: MapMaker, contents: Contents, number: IntArray) -> None:
    """BINID: numbers of the measured spectra in five channels, −1 elsewhere."""
    nowhere = np.full(number.shape, -1)
    further = contents.measured.populations.further
    lines = number if "gas_velocity" in further else nowhere
    indices = number if any(name.startswith("index_") for name in further) else nowhere
    names = Channels(("Binned spectra", "Stellar continua", "Em. line moments", "Em. line models", "Spectral indices"))
    maps.add("BINID", np.array([number, number, nowhere, lines, indices]), channels=names)


def _add_stars(maps: MapMaker, contents: Contents, mask: IntArray) -> None:
    """Stellar kinematics and χ²."""
    populations = contents.measured.populations
    bits = int(DapBit.NEARBOUND | DapBit.DONOTUSE)
    moving = mask | np.where(populations.flags & int(PopulationFlag.AT_LIMIT) != 0, bits, 0)
    if (velocity := systemic_velocity(contents, "velocity")) is not None:
        maps.add_measured("STELLAR_VEL", [velocity], moving, "km/s")
    if (sigma := contents.value("sigma")) is not None:
        maps.add_measured("STELLAR_SIGMA", [sigma], moving, "km/s")
        names = Channels(("resolution difference", "fit"))
        maps.add("STELLAR_SIGMACORR", np.zeros((2, len(populations))), "km/s", names).add_comment(_NO_CORRECTION)
    figures = np.full((len(FIGURES_OF_MERIT), len(populations)), np.nan)
    figures[FIGURES_OF_MERIT.index("rchi2")] = populations.chi2
    maps.add("STELLAR_FOM", figures, channels=Channels(FIGURES_OF_MERIT))


def _add_lines(maps: MapMaker, contents: Contents, mask: IntArray) -> None:
    """Fluxes, equivalent widths and motions of emission lines."""
    found = [line_motion(contents, name) for name in LINE_CHANNELS.values()]
    motions = [motion for motion in found if motion is not None]
    if len(motions) < len(found):
        return
    channels = Channels(tuple(LINE_CHANNELS))
    factor, _, unit = _flux_units(contents)
    fluxes = [line_values(contents, name, "flux") for name in LINE_CHANNELS.values()]
    widths = [line_values(contents, name, "ew") for name in LINE_CHANNELS.values()]
    scaled = [(factor * flux, factor * error) for flux, error in fluxes]
    maps.add_measured("EMLINE_GFLUX", scaled, mask, unit, channels)
    maps.add_measured("EMLINE_GEW", widths, mask, "ang", channels)
    for number, name in enumerate(("EMLINE_GVEL", "EMLINE_GSIGMA")):
        pairs = zip((motion[number] for motion in motions), fluxes, strict=True)
        each = [(np.where(np.isfinite(flux), value, np.nan), error) for (value, error), (flux, _) in pairs]
        maps.add_measured(name, each, mask, "km/s", channels)
    zero = np.zeros((len(fluxes), len(mask)))
    maps.add("EMLINE_INSTSIGMA", zero, "km/s", channels).add_comment(_NO_CORRECTION)


def _add_indices(maps: MapMaker, contents: Contents, mask: IntArray) -> None:
    """Spectral indices, where any of the DAP's was measured."""
    found = [contents.value(f"index_{name}") for name, _ in INDEX_CHANNELS.values()]
    if not any(found):
        return
    unknown = np.full(len(mask), np.nan)
    units = tuple(unit for _, unit in INDEX_CHANNELS.values())
    values = [pair or (unknown, unknown) for pair in found]
    maps.add_measured("SPECINDEX", values, mask, channels=Channels(tuple(INDEX_CHANNELS), units))


#: MAPS of the MaNGA DAP.
DAP = Layout("dap", dap_files, suffix="_MAPS.fits")
