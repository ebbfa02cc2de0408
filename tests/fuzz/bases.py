"""Sound inputs of every kind, tiny, from which spoilt ones are made."""

from __future__ import annotations

import io
import json
from functools import cache
from importlib.resources import files

import numpy as np
from astropy.io import fits

from ..io import layouts


def _bytes(hdus: fits.HDUList) -> bytes:
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    return buffer.getvalue()


def _compressed(hdus: fits.HDUList, kind: str) -> fits.HDUList:
    packed = [fits.CompImageHDU(hdu.data, hdu.header, compression_type=kind) for hdu in hdus if hdu.data is not None]
    return fits.HDUList([fits.PrimaryHDU(), *packed])


def _packed_otherwise(kind: str) -> fits.HDUList:
    """Integers, in tiles that HCOMPRESS and PLIO can pack."""
    hdus = layouts.muse()
    for hdu in hdus[1:]:
        hdu.data = np.tile(100 * hdu.data, (1, 3, 2)).clip(0, 9000).astype(np.int16)
    tiles = (1, 9, 8)
    packed = [fits.CompImageHDU(hdu.data, hdu.header, compression_type=kind, tile_shape=tiles) for hdu in hdus[1:]]
    return fits.HDUList([hdus[0], *packed])


def _beside() -> fits.HDUList:
    """A stack with wavelengths, mask, redshifts and resolutions in HDUs of their own."""
    hdus = layouts.generic(CTYPE=None, CRVAL=None, CDELT=None, CUNIT=None)
    wave = fits.ImageHDU(4000 + 2.0 * np.arange(layouts.N_PIXELS), name="WAVE")
    wave.header["BUNIT"] = "Angstrom"
    mask = fits.ImageHDU(np.zeros((3, layouts.N_PIXELS), dtype=np.int16), name="MASK")
    redshift = fits.ImageHDU(np.full(3, 0.05), name="Z")
    resolution = fits.ImageHDU(np.full(layouts.N_PIXELS, 2000.0), name="SPECRES")
    hdus[0].header["AIRORVAC"] = "air"
    return fits.HDUList([*hdus, wave, mask, redshift, resolution])


def _ascii_table() -> fits.HDUList:
    wave = 4000 + 2.0 * np.arange(layouts.N_PIXELS)
    columns = [
        fits.Column("wave", "F10.3", "Angstrom", array=wave, ascii=True),
        fits.Column("flux", "E15.7", array=layouts.rows(1)[0], ascii=True),
        fits.Column("err", "E15.7", array=np.full(len(wave), 0.1), ascii=True),
    ]
    return fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns, name="SPECTRUM")])


def _variable_length() -> fits.HDUList:
    wave = 4000 + 2.0 * np.arange(layouts.N_PIXELS)
    rows = np.empty(2, dtype=object)
    columns = []
    for name, values in (("WAVE", [wave, wave]), ("FLUX", layouts.rows(2)), ("IVAR", np.full((2, len(wave)), 100.0))):
        array = rows.copy()
        array[:] = [np.asarray(value) for value in values]
        columns.append(fits.Column(name, "PD()", array=array))
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="SPECTRA")])


@cache
def fits_files() -> dict[str, bytes]:
    """FITS files by name."""
    files = {
        "sami": layouts.sami(), "sami binned": layouts.sami(binned=True), "manga cube": layouts.manga_cube(),
        "manga lsf": layouts.manga_cube(lsf="LSFPOST"), "manga spectra": layouts.manga_spectra(),
        "califa": layouts.califa(), "califa stacked": layouts.califa(stacked=True), "muse": layouts.muse(),
        "sdss": layouts.sdss(), "sdss lite": layouts.sdss(exposures=False), "legac": layouts.legac(),
        "kcwi": layouts.kcwi(), "jwst": layouts.jwst(), "jwst table": layouts.jwst(table=True),
        "generic": layouts.generic(), "generic variance": layouts.generic("VAR", "variance"), "beside": _beside(),
        "jwst x1d": layouts.jwst_x1d(padded=True), "dap": layouts.manga_dap(), "maps": layouts.manga_dap(maps=True),
        "pypeit": layouts.pypeit(), "lamost": layouts.lamost(), "desi": layouts.desi(), "weave": layouts.weave(),
        "deep2": layouts.deep2(), "ngist": layouts.ngist(), "multispec": layouts.multispec(),
        "ascii table": _ascii_table(), "variable length": _variable_length(),
        "rice": _compressed(layouts.muse(), "RICE_1"), "gzip": _compressed(layouts.muse(), "GZIP_2"),
        "hcompress": _packed_otherwise("HCOMPRESS_1"), "plio": _packed_otherwise("PLIO_1"),
    }  # fmt: skip
    return {name: _bytes(hdus) for name, hdus in files.items()} | _own_files()


def _own_files() -> dict[str, bytes]:
    """What quietspec itself writes."""
    import tempfile
    from pathlib import Path

    from quietspec.denoisers import load_denoiser
    from quietspec.files import denoise_file

    with tempfile.TemporaryDirectory() as folder:
        layouts.muse().writeto(f"{folder}/in.fits")
        denoise_file([f"{folder}/in.fits"], f"{folder}/out.fits", load_denoiser("gaussian"), redshift=0.05)
        return {"own": Path(folder, "out.fits").read_bytes()}


@cache
def text_tables() -> dict[str, bytes]:
    """Text tables by name."""
    wave, flux = 4000 + 2.0 * np.arange(layouts.N_PIXELS), layouts.rows(1)[0]
    lines = [f"{w:.1f},{f:.6f},0.1" for w, f in zip(wave, flux, strict=True)]
    blanks = [line.replace(",", "  ") for line in lines]
    ecsv = [
        "# %ECSV 1.0", "# ---", "# datatype:", "# - {name: wave, unit: Angstrom, datatype: float64}",
        "# - {name: flux, datatype: float64}", "# - {name: err, datatype: float64}", "# meta: {redshift: 0.05}",
        "wave flux err",
    ]  # fmt: skip
    ipac = ["\\redshift = 0.05", "|  wave  |   flux   | err |", "| double |  double  | double |"]
    tables = {
        "csv": ["wave,flux,err", *lines],
        "units": ["wave [Angstrom],flux,err", *lines],
        "comment": ["# redshift = 0.05", "# wave flux err", *blanks],
        "bare": blanks,
        "ecsv": [*ecsv, *blanks],
        "ipac": [*ipac, *(f" {w:8.1f} {f:10.5f} 0.10 " for w, f in zip(wave, flux, strict=True))],
        "semicolons": ["lambda;flam;sigma", *(line.replace(",", ";").replace(".", ",") for line in lines)],
    }
    return {name: "\n".join(table).encode() for name, table in tables.items()}


@cache
def model_files() -> dict[str, dict[str, np.ndarray]]:
    """Arrays of priors by name, as `quietspec lab train` writes them, but few."""
    rng = np.random.default_rng(2)
    pixels, components, mixture, labels = 60, 3, 2, 2
    shipped = json.loads(np.load(str(files("quietspec.models") / "survey.npz"))["header"].tobytes())["card"]
    card = {key: shipped[key] for key in ("emission", "noise", "pca_components", "calibration", "symptom_laws")}
    header = {"format": 1, "label_names": ["log_age_mw", "mh_mw"], "card": card | {"pca_components": 2}}
    explicit = header | {"card": header["card"] | {"kinematics": "explicit"}}
    triangle = components * (components + 1) // 2
    arrays = {
        "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        "wavelength": 4000 + 40.0 * np.arange(pixels),
        "fwhm": np.full(pixels, 2.5),
        "mean": np.ones(pixels),
        "components": np.linalg.qr(rng.normal(size=(pixels, components)))[0].T,
        "truncation": np.full(pixels, 0.01),
        "weights": np.full(mixture, 0.5),
        "means": rng.normal(size=(mixture, components)),
        "covariances": np.tile(np.eye(components)[np.tril_indices(components)], (mixture, 1)),
        "labels": np.zeros((mixture, labels)),
        "slopes": np.zeros((mixture, labels, components)),
        "label_covariances": np.tile(np.eye(labels)[np.tril_indices(labels)], (mixture, 1)),
    }
    assert arrays["covariances"].shape == (mixture, triangle)
    at_rest = {
        "header": np.frombuffer(json.dumps(explicit).encode(), dtype=np.uint8),
        "wavelength": np.geomspace(4000, 6400, pixels),
    }
    return {"prior": arrays, "at rest": arrays | at_rest}


@cache
def network_file() -> bytes:
    """A network that ships."""
    return (files("quietspec.models") / "eut-small.onnx").read_bytes()


MANIFESTS = (
    b"file,redshift,output\na.fits,0.1,a_out.fits\nb.fits,,\nc*.fits,0.2,\n",
    b"file\tfile2\tmedium\na.fits\tb.fits\tair\n",
    b"a.fits\nb.fits\n",
    b"file;fwhm;noise_kind\na.fits;2,5;sigma\n",
)
JOURNAL = [
    {"output": "a_out.fits", "event": "begun", "attempt": 1, "time": "2026-01-01T00:00:00+00:00", "facts": {}},
    {
        "output": "a_out.fits", "event": "done", "attempt": 1, "time": "2026-01-01T00:00:01+00:00",
        "facts": {
            "size": 10, "mtime_ns": 1, "sha256": "ab", "sources": [{"size": 1, "mtime_ns": 1, "sha256": "cd"}],
            "recipe": "ef", "n_spectra": 3, "snr_before": 1.0, "snr_after": 2.0, "failed": 0, "flags": {"POOR_FIT": 1},
            "noise": {"scale": 1.0, "correlation": [0.1, 0.2, 0.3]}, "seconds": 1.0, "warnings": [], "inputs": ["a"],
        },
    },
    {"output": "b_denoised.fits", "event": "failed", "attempt": 3, "time": "", "facts": {"reason": "damaged"}},
]  # fmt: skip
PLAN = {
    "manifest": "m.csv", "command": "quietspec batch run", "version": "0.2", "model": "posterior", "started": "now",
    "cubes": [{"files": ["a.fits"], "output": "a_out.fits", "options": {"redshift": 0.1}}],
}  # fmt: skip
