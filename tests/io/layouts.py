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


def jwst_x1d(*, sources: int = 1, padded: bool = False) -> fits.HDUList:
    """Extracted spectra; two thirds of DQ are 0, the others only inform, but for pixel 0, which is not to be used."""
    wave = 1.0 + 6e-4 * np.arange(N_PIXELS)
    quality = np.where(np.arange(N_PIXELS) % 3 == 0, 4, 0).astype(np.uint32)
    quality[0] = 1
    values = {"WAVELENGTH": wave, "FLUX": rows(1)[0], "FLUX_ERROR": np.full(N_PIXELS, SIGMA), "DQ": quality}
    units = {"WAVELENGTH": "um", "FLUX": "Jy", "FLUX_ERROR": "Jy", "SURF_BRIGHT": "MJy/sr", "SB_ERROR": "MJy/sr"}
    values["SURF_BRIGHT"], values["SB_ERROR"] = 7 * values["FLUX"], 7 * values["FLUX_ERROR"]
    if padded:
        pad = {
            name: np.concatenate([array, np.full(5, 0 if name == "DQ" else np.nan)]) for name, array in values.items()
        }
        values = {name: np.array([array, array]).astype(values[name].dtype) for name, array in pad.items()}
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"], primary.header["INSTRUME"] = "JWST", "NIRSPEC"
    forms = {"f": "D", "u": "J"}
    columns = []
    for name, array in values.items():
        form = (str(array.shape[-1]) if padded else "") + forms[array.dtype.kind]
        bzero = 2**31 if array.dtype.kind == "u" else None
        columns.append(fits.Column(name, form, units.get(name), bzero=bzero, array=array))
    tables = [fits.BinTableHDU.from_columns(columns, name="EXTRACT1D") for _ in range(sources)]
    return fits.HDUList([primary, *tables])


def manga_dap(*, maps: bool = False) -> fits.HDUList:
    """The model LOGCUBE of the MaNGA data analysis pipeline, two spaxels a bin; or its MAPS."""
    hdus = manga_cube()
    hdus[0].header["DAPTYPE"], hdus[0].header["SCINPVEL"] = "HYB10-MILESHC-MASTARSSP", 5996.0
    if maps:
        return fits.HDUList([hdus[0], fits.ImageHDU(np.ones((NY, NX)), name="STELLAR_VEL")])
    mask = np.zeros(hdus["FLUX"].data.shape, dtype=np.int32)
    mask[3], mask[4], mask[5] = 1 << 2, 1 << 4, 1 << 6  # FLUXINVALID, ARTIFACT; FITFAILED, which alone is not bad
    hdus["MASK"].data = mask
    bins = np.arange(NY * NX, dtype=np.int32).reshape(NY, NX) // 2
    hdus.append(fits.ImageHDU(np.full(mask.shape, 1.1, dtype=np.float32), name="LSF"))
    hdus.append(fits.ImageHDU(np.stack([bins] * 5), name="BINID"))
    del hdus["SPECRES"]
    return hdus


def pypeit(*, extracted: int = 0) -> fits.HDUList:
    """A coadd, or so many extracted objects; mask 1 is good, masked pixels at the ends have no wavelength."""
    wave, flux = 4000 + 2.0 * np.arange(N_PIXELS), rows(1)[0]
    mask = np.ones(N_PIXELS, dtype=np.int64)
    wave[:2], mask[:2], mask[7] = 0, 0, 0
    flux[7] = 1e3
    ivar = np.full(N_PIXELS, SIGMA**-2)
    primary = fits.PrimaryHDU()
    primary.header["PYP_SPEC"] = "keck_deimos"
    names = ["OPT_WAVE", "OPT_FLAM", "OPT_FLAM_IVAR", "OPT_MASK"] if extracted else ["wave", "flux", "ivar", "mask"]
    tables = []
    for number in range(extracted or 1):
        columns = [*(fits.Column(n, "D", array=a) for n, a in zip(names, (wave, flux, ivar), strict=False))]
        columns.append(fits.Column(names[3], "K", array=mask))
        table = fits.BinTableHDU.from_columns(columns, name=f"SPAT{number:04d}" if extracted else "SPECTRUM")
        table.header["DMODCLS"] = "SpecObj" if extracted else "OneSpec"
        tables.append(table)
    return fits.HDUList([primary, *tables])


def lamost(*, table: bool = True) -> fits.HDUList:
    wave = 10 ** (3.6 + 1e-4 * np.arange(N_PIXELS))
    values = {
        "FLUX": rows(1)[0],
        "IVAR": np.full(N_PIXELS, SIGMA**-2),
        "WAVELENGTH": wave,
        "ANDMASK": np.where(np.arange(N_PIXELS) < 3, 1.0, 0.0),
        "ORMASK": np.where(np.arange(N_PIXELS) < 30, 2.0, 0.0),
    }
    primary = fits.PrimaryHDU(None if table else np.array(list(values.values()), dtype=np.float32))
    primary.header["TELESCOP"], primary.header["VACUUM"], primary.header["Z"] = "LAMOST", True, 0.05
    if not table:
        return fits.HDUList([primary])
    columns = [fits.Column(name, f"{N_PIXELS}E", array=array[None]) for name, array in values.items()]
    return fits.HDUList([primary, fits.BinTableHDU.from_columns(columns, name="COADD_EXTENSION")])


def desi(*, n: int = 3) -> fits.HDUList:
    """Arms B and R of 40 pixels of 0.8 Å, the last 5 of B being the first of R."""
    hdus = [fits.PrimaryHDU()]
    targets = 100 + np.arange(n)
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("TARGETID", "K", array=targets)], name="FIBERMAP"))
    for arm, first in (("B", 0), ("R", 35)):
        wave = 5772.0 + 0.8 * (first + np.arange(N_PIXELS))
        flux = (1 + np.arange(n))[:, None] * (1 + 1e-3 * (wave - 5772.0))
        mask = np.zeros(flux.shape, dtype=np.int32)
        mask[0, 10], mask[0, 11] = 1 << 1, 1  # ALLBADPIX; SOMEBADPIX, which alone is not bad
        bands = np.exp(-0.5 * (np.arange(-5, 6) / 0.9) ** 2)
        arrays = {
            "WAVELENGTH": wave,
            "FLUX": flux.astype(np.float32),
            "IVAR": np.full(flux.shape, SIGMA**-2, dtype=np.float32),
            "MASK": mask,
            "RESOLUTION": np.tile((bands / bands.sum())[None, :, None], (n, 1, N_PIXELS)).astype(np.float32),
        }
        hdus += [fits.ImageHDU(array, name=f"{arm}_{name}") for name, array in arrays.items()]
        hdus[-4].header["BUNIT"] = "10**-17 erg/(s cm2 Angstrom)"
    return fits.HDUList(hdus)


def redrock(targets: list[int]) -> fits.HDUList:
    """Redshifts by target, in another order."""
    order = np.array(targets)[::-1]
    columns = [
        fits.Column("TARGETID", "K", array=order),
        fits.Column("Z", "D", array=0.001 * order),
        fits.Column("ZWARN", "K", array=np.where(order == order.min(), 4, 0)),
    ]
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="REDSHIFTS")])


def weave(arm: str = "RED") -> fits.HDUList:
    """Counts that are a tenth of the flux in 1e-17 erg/s/cm²/Å; nothing is known of the last pixel's sensitivity."""
    counts, sensitivity = rows() / 10, np.full(rows().shape, 1e-16)
    sensitivity[:, -1] = 0
    hdus = [fits.PrimaryHDU()]
    for name, values in (
        ("DATA", counts),
        ("IVAR", np.full(counts.shape, (SIGMA / 10) ** -2)),
        ("DATA_NOSS", counts + 5),
        ("SENSFUNC", sensitivity),
    ):
        hdu = fits.ImageHDU(values, name=f"{arm}_{name}")
        spectral(hdu.header, 1, CTYPE="AWAV", CUNIT="Angstrom", CRVAL=5950.0, CRPIX=1.0)
        hdu.header["CD1_1"] = 0.5
        hdus.append(hdu)
    hdus.append(fits.BinTableHDU.from_columns([fits.Column("TARGUSE", "1A", array=["T"] * 3)], name="FIBTABLE"))
    return fits.HDUList(hdus)


def deep2() -> fits.HDUList:
    """Both extractions of both arms; FWHM is 6.5 pixels along the slit."""
    hdus = [fits.PrimaryHDU()]
    for name in ("Bxspf-B", "Bxspf-R", "Horne-B", "Horne-R"):
        start = 6500.0 if name.endswith("B") else 7000.0
        values = {
            "SPEC": rows(1)[0],
            "LAMBDA": start + 0.33 * np.arange(N_PIXELS),
            "IVAR": np.full(N_PIXELS, SIGMA**-2),
        }
        columns = [fits.Column(key, f"{N_PIXELS}E", array=array[None]) for key, array in values.items()]
        columns.append(fits.Column("FWHM", "E", array=[6.5]))
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
    return fits.HDUList(hdus)


def ngist(*, binned: bool = True) -> fits.HDUList:
    """Spectra with their errors (binned), or their variances."""
    wave = np.linspace(np.log(4800), np.log(5000), N_PIXELS)
    noise = np.full(rows().shape, SIGMA if binned else SIGMA**2)
    columns = [fits.Column(name, f"{N_PIXELS}D", array=a) for name, a in (("SPEC", rows()), ("ESPEC", noise))]
    name = "BIN_SPECTRA" if binned else "SPECTRA"
    table = fits.BinTableHDU.from_columns(columns, name=name)
    grid = fits.BinTableHDU.from_columns([fits.Column("LOGLAM", "D", array=wave)], name="LOGLAM")
    return fits.HDUList([fits.PrimaryHDU(), table, grid])


def planes(labels: dict[str, str], *, bands: bool = False) -> fits.HDUList:
    """One spectrum, its counts with the sky in them, the sky and the error: rows of an image, or bands as IRAF's."""
    flux, sky = rows(1)[0], np.full(N_PIXELS, 50.0)
    data = np.array([flux, flux + sky, sky, np.full(N_PIXELS, SIGMA)])
    primary = fits.PrimaryHDU(data[:, None] if bands else data)
    spectral(primary.header, 1, CTYPE="LINEAR", CUNIT="Angstrom", CRVAL=4000.0, CRPIX=1.0, CDELT=2.0)
    if bands:
        primary.header["CTYPE2"], primary.header["CTYPE3"] = "LINEAR", "LINEAR"
    primary.header["AIRORVAC"] = "air"
    for key, value in labels.items():
        primary.header[key] = value
    return fits.HDUList([primary])


def multispec() -> fits.HDUList:
    """Two orders of IRAF, one linear and one by a Chebyshev polynomial."""
    primary = fits.PrimaryHDU(rows(2))
    header = primary.header
    header["CTYPE1"], header["CTYPE2"], header["AIRORVAC"] = "MULTISPE", "MULTISPE", "air"
    header["WAT1_001"] = "wtype=multispec label=Wavelength units=angstroms"
    text = (
        'wtype=multispec spec1 = "1 1 0 4000. 2. 40 0. 1 2" '
        'spec2 = "2 2 2 5000. 1. 40 0. 3 4 1. 0. 1 2 1. 40. 5100. 100."'
    )
    for number in range(0, len(text), 68):  # as IRAF breaks it
        header[f"WAT2_{number // 68 + 1:03d}"] = text[number : number + 68]
    return fits.HDUList([primary, fits.ImageHDU(np.full((2, N_PIXELS), SIGMA), name="ERR")])


def generic(noise: str = "ERR", kind: str = "sigma", **axis: Any) -> fits.HDUList:
    """Three row-stacked spectra with the noise under any name."""
    cards = {"CTYPE": "AWAV", "CUNIT": "Angstrom", "CRVAL": 4000.0, "CRPIX": 1.0, "CDELT": 2.0} | axis
    flux = fits.ImageHDU(rows(), name="FLUX")
    spectral(flux.header, 1, **{key: value for key, value in cards.items() if value is not None})
    flux.header["BUNIT"] = "1e-17 erg/s/cm2/Angstrom"
    value = {"sigma": SIGMA, "variance": SIGMA**2, "ivar": SIGMA**-2}[kind]
    return fits.HDUList([fits.PrimaryHDU(), flux, fits.ImageHDU(np.full(rows().shape, value), name=noise)])
