"""Tiny files in the real layouts of the surveys: HDU names, keywords and units as the surveys write them.

Each function returns an `HDUList`; the numbers are one smooth spectrum for each spaxel, with noise of a known size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.io import fits

N_PIXELS, NY, NX = 40, 3, 4
SIGMA = 0.1


def spectra(n_pixels: int = N_PIXELS, ny: int = NY, nx: int = NX) -> np.ndarray:
    """Flux of shape (n_pixels, ny, nx); spaxel (y, x) has the mean level 1 + y nx + x."""
    level = 1 + np.arange(ny * nx).reshape(ny, nx)
    return level * (1 + 0.3 * np.sin(np.arange(n_pixels) / 5))[:, None, None]


def rows(n: int = 3, n_pixels: int = N_PIXELS) -> np.ndarray:
    """Flux of shape (n, n_pixels)."""
    return spectra(n_pixels, n, 1)[:, :, 0].T.copy()


def _sky(header: fits.Header, step: str = "CDELT{0}") -> fits.Header:
    for axis, (kind, value, size) in enumerate([("RA---TAN", 150.0, -1e-4), ("DEC--TAN", 2.0, 1e-4)], start=1):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = kind, "deg"
        header[f"CRVAL{axis}"], header[f"CRPIX{axis}"], header[step.format(axis)] = value, 1.5, size
    return header


def spectral(header: fits.Header, axis: int, **cards: Any) -> fits.Header:
    """Add cards of the wavelength axis, ``CRVAL=4000`` as CRVAL3 and so on."""
    for key, value in cards.items():
        header[f"{key}{axis}"] = value
    return header


def sami(arm: str = "blue", *, binned: bool = False, name: str = "230776") -> fits.HDUList:
    start, step, grating = {"blue": (3650.0, 1.05, "580V"), "red": (6240.0, 0.596, "1000R")}[arm]
    primary = fits.PrimaryHDU(spectra())
    header = spectral(_sky(primary.header), 3, CTYPE="AWAV", CUNIT="Angstrom", CRVAL=start, CRPIX=1.0, CDELT=step)
    header["INSTRUME"], header["GRATID"], header["NAME"] = "AAOMEGA-SAMI", grating, name
    header["PLATEID"], header["Z_SPEC"] = "Y13SAR1_P014_12T001_15T029", 0.01973
    header["BUNIT"] = "10**(-16) erg /s /cm**2 /angstrom /pixel"
    primary.data[:, 0, 0] = np.nan
    hdus = [primary, fits.ImageHDU(np.full(primary.data.shape, SIGMA**2), name="VARIANCE")]
    hdus[1].data[:, 0, 0] = np.nan
    if binned:
        hdus.append(fits.ImageHDU(np.arange(NY * NX, dtype=np.int32).reshape(NY, NX) // 2, name="BIN_MASK"))
    else:
        hdus.append(fits.ImageHDU(np.ones(primary.data.shape), name="WEIGHT"))
    return fits.HDUList(hdus)


def manga_cube(*, lsf: str = "SPECRES") -> fits.HDUList:
    wave = 10 ** (3.559 + 1e-4 * np.arange(N_PIXELS))
    flux = fits.ImageHDU(spectra().astype(np.float32), name="FLUX")
    spectral(_sky(flux.header, "CD{0}_{0}"), 3, CTYPE="WAVE-LOG", CUNIT="Angstrom", CRVAL=wave[0], CRPIX=1.0)
    flux.header["CD3_3"], flux.header["BUNIT"] = wave[0] * 1e-4 * np.log(10), "1E-17 erg/s/cm^2/Ang/spaxel"
    mask = np.zeros(flux.data.shape, dtype=np.int32)
    mask[0], mask[1], mask[2] = 1024, 8, 2  # DONOTUSE, FORESTAR, LOWCOV (which alone is not bad)
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"], primary.header["MANGAID"], primary.header["PLATEIFU"] = "MaNGA", "1-209232", "8485-1901"
    resolution = (
        fits.ImageHDU(np.full(N_PIXELS, 1800.0), name="SPECRES")
        if lsf == "SPECRES"
        else fits.ImageHDU(np.full(flux.data.shape, 0.9, dtype=np.float32), name=lsf)
    )
    return fits.HDUList(
        [
            primary,
            flux,
            fits.ImageHDU(np.full(flux.data.shape, SIGMA**-2, dtype=np.float32), name="IVAR"),
            fits.ImageHDU(mask, name="MASK"),
            fits.ImageHDU(wave, name="WAVE"),
            resolution,
        ]
    )


def manga_spectra() -> fits.HDUList:
    wave = 10 ** (3.559 + 1e-4 * np.arange(N_PIXELS))
    resolution = np.full((3, N_PIXELS), 1800.0)
    resolution[2] = -8103.0
    primary = fits.PrimaryHDU()
    primary.header["DRPVER"] = "v2_4_3"
    ivar = np.full((3, N_PIXELS), SIGMA**-2, dtype=np.float32)
    ivar[2] = 0
    return fits.HDUList(
        [
            primary,
            fits.ImageHDU(wave, name="WAVE"),
            fits.ImageHDU(rows().astype(np.float32), name="FLUX"),
            fits.ImageHDU(ivar, name="IVAR"),
            fits.ImageHDU(np.zeros((3, N_PIXELS), dtype=np.int32), name="MASK"),
            fits.ImageHDU(resolution, name="SRES"),
            fits.ImageHDU(np.array([0.0495, 0.0502, 0.0493]), name="Z"),
        ]
    )


def califa(*, stacked: bool = False) -> fits.HDUList:
    flux = rows() if stacked else spectra()
    primary = fits.PrimaryHDU(flux)
    axis = 1 if stacked else 3
    if not stacked:
        _sky(primary.header)
    spectral(primary.header, axis, CTYPE="WAVELENGTH", CUNIT="Angstrom", CRVAL=3701.0, CRPIX=1.0, CDELT=2.0)
    primary.header["OBJECT"], primary.header["MED_VEL"] = "NGC2691", 3987.2
    error, bad = np.full(flux.shape, SIGMA), np.zeros(flux.shape)
    bad[(0, Ellipsis) if not stacked else (Ellipsis, 0)] = 1
    error[(1, Ellipsis) if not stacked else (Ellipsis, 1)] = 1e10
    return fits.HDUList([primary, fits.ImageHDU(error, name="ERROR"), fits.ImageHDU(bad, name="BADPIX")])


def muse(*, instrument: str | None = "MUSE") -> fits.HDUList:
    primary = fits.PrimaryHDU()
    if instrument:
        primary.header["INSTRUME"] = instrument
    primary.header["OBJECT"] = "Abell 478"
    hdus = [primary]
    for name, values in (("DATA", spectra()), ("STAT", np.full((N_PIXELS, NY, NX), SIGMA**2))):
        hdu = fits.ImageHDU(values.astype(np.float32), name=name)
        _sky(hdu.header)
        for axis, step in ((1, -5.6e-5), (2, 5.6e-5), (3, 1.25)):
            hdu.header[f"CD{axis}_{axis}"] = step
        hdu.header["CDELT1"], hdu.header["CDELT2"] = 1.0, 1.0
        spectral(hdu.header, 3, CTYPE="AWAV", CUNIT="Angstrom", CRVAL=4750.0, CRPIX=1.0)
        hdu.header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom" + ("**2" if name == "STAT" else "")
        hdus.append(hdu)
    quality = np.zeros((N_PIXELS, NY, NX), dtype=np.uint8)
    quality[5, 1, 1] = 1
    return fits.HDUList([*hdus, fits.ImageHDU(quality, name="DQ")])


def _sdss_table(name: str, loglam: np.ndarray, mask: str) -> fits.BinTableHDU:
    n = len(loglam)
    flags = np.zeros(n, dtype=np.int32)
    flags[3], flags[4] = 1 << 22, 1 << 16  # NOSKY; NEARBADPIXEL, which alone is not bad
    columns = {
        "flux": rows(1, n)[0].astype(np.float32),
        "loglam": loglam.astype(np.float32),
        "ivar": np.full(n, SIGMA**-2, dtype=np.float32),
        mask: flags,
        "wdisp": np.full(n, 0.9, dtype=np.float32),
        "sky": np.zeros(n, dtype=np.float32),
    }
    return fits.BinTableHDU(np.rec.fromarrays(list(columns.values()), names=list(columns)), name=name)


def sdss(*, exposures: bool = True) -> fits.HDUList:
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"], primary.header["BUNIT"] = "SDSS 2.5-M", "1E-17 erg/cm^2/s/Ang"
    redshift = fits.BinTableHDU(np.rec.fromarrays([["GALAXY"], [0.00402]], names="CLASS,Z"), name="SPECOBJ")
    hdus = [primary, _sdss_table("COADD", 3.58 + 1e-4 * np.arange(N_PIXELS), "and_mask"), redshift]
    if exposures:
        blue = 3.58 + 1.01e-4 * np.arange(N_PIXELS)[::-1]  # the blue camera's run downwards
        red = 3.583 + 0.99e-4 * np.arange(N_PIXELS)
        hdus += [_sdss_table("B1-00042998", blue, "mask"), _sdss_table("R1-00042998", red, "mask")]
    return fits.HDUList(hdus)


def legac() -> fits.HDUList:
    wave = (5800.3 + 0.6 * np.arange(N_PIXELS)).astype(np.float32)
    flux, error, quality = rows(1)[0], np.full(N_PIXELS, SIGMA), np.zeros(N_PIXELS, dtype=np.int16)
    flux[:5], error[:5], quality[:6] = np.nan, 0, 1
    unit = "10**(-19).erg.cm**(-2).s**(-1).angstrom**(-1)"
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("WAVE", f"{N_PIXELS}E", "angstrom", array=wave[None]),
            fits.Column("FLUX", f"{N_PIXELS}D", unit, array=flux[None]),
            fits.Column("ERR", f"{N_PIXELS}D", unit, array=error[None]),
            fits.Column("QUAL", f"{N_PIXELS}I", array=quality[None]),
        ],
        name="PHASE3SPECTRA",
    )
    table.header["VOCLASS"], table.header["TUCD1"] = "SPECTRUM V1.0", "em.wl;obs.atmos"
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"], primary.header["PROG_ID"] = "VIMOS", "194.A-2005(P)"
    primary.header["SPEC_RES"], primary.header["OBJECT"] = 2500, "M19_56670"
    return fits.HDUList([primary, table])


def kcwi() -> fits.HDUList:
    primary = fits.PrimaryHDU(spectra().astype(np.float32))
    spectral(_sky(primary.header, "CD{0}_{0}"), 3, CTYPE="AWAV", CUNIT="Angstrom", CRVAL=3500.0, CRPIX=1.0)
    primary.header["CD3_3"], primary.header["BUNIT"], primary.header["INSTRUME"] = 0.5, "FLAM16", "KCWI"
    shape = primary.data.shape
    mask = np.zeros(shape, dtype=np.uint8)
    mask[0] = 1
    return fits.HDUList(
        [
            primary,
            fits.ImageHDU(np.full(shape, SIGMA, dtype=np.float32), name="UNCERT"),
            fits.ImageHDU(mask, name="MASK"),
            fits.ImageHDU(np.full(shape, 4, dtype=np.uint8), name="FLAGS"),
        ]
    )


def jwst(*, table: bool = False) -> fits.HDUList:
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"] = "JWST"
    science = fits.ImageHDU(spectra().astype(np.float32), name="SCI")
    spectral(_sky(science.header), 3, CTYPE="WAVE", CUNIT="um", CRVAL=1.0, CRPIX=1.0, CDELT=4e-4)
    science.header["BUNIT"] = "MJy/sr"
    quality = np.zeros(science.data.shape, dtype=np.uint32)
    quality[0], quality[1] = 513, 4  # DO_NOT_USE + NON_SCIENCE; JUMP_DET, which alone is not bad
    error = fits.ImageHDU(np.full(science.data.shape, SIGMA, dtype=np.float32), name="ERR")
    hdus = [primary, science, error, fits.ImageHDU(quality, name="DQ")]
    if table:
        science.header["CTYPE3"] = "WAVE-TAB"
        wave = (1.0 + 4e-4 * np.arange(N_PIXELS) ** 1.1).astype(np.float32)
        column = fits.Column("wavelength", f"{N_PIXELS}E", "um", dim=f"(1,{N_PIXELS})", array=wave[None])
        hdus.append(fits.BinTableHDU.from_columns([column], name="WCS-TABLE"))
    return fits.HDUList(hdus)


def generic(noise: str = "ERR", kind: str = "sigma", **axis: Any) -> fits.HDUList:
    """Three row-stacked spectra with the noise under any name."""
    cards = {"CTYPE": "AWAV", "CUNIT": "Angstrom", "CRVAL": 4000.0, "CRPIX": 1.0, "CDELT": 2.0} | axis
    flux = fits.ImageHDU(rows(), name="FLUX")
    spectral(flux.header, 1, **{key: value for key, value in cards.items() if value is not None})
    flux.header["BUNIT"] = "1e-17 erg/s/cm2/Angstrom"
    value = {"sigma": SIGMA, "variance": SIGMA**2, "ivar": SIGMA**-2}[kind]
    return fits.HDUList([fits.PrimaryHDU(), flux, fits.ImageHDU(np.full(rows().shape, value), name=noise)])
