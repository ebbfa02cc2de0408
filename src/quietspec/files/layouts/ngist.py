"""Measurements as the folder of a run of nGIST: tables with one row per bin, the bins of the spaxels, and maps.

Names of files, columns and lines are those of nGIST 7.6 (https://geckos-survey.github.io/gist-documentation;
Fraser-McKelvie et al. 2025, A&A 700, 237; GIST: Bittner et al. 2019, A&A 628, A117). Without bins, each measured
spaxel is its own; fluxes are those of whole bins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.io import fits

from quietspec.arrays import BoolArray, FloatArray, IntArray
from quietspec.files.layouts.base import Contents, Layout
from quietspec.files.layouts.quantities import line_motion, line_values, systemic_velocity
from quietspec.files.layouts.sky import map_header, pixel_area
from quietspec.io.writing import hdus
from quietspec.lines.catalogue import GROUPS
from quietspec.wavelengths import EMISSION_LINES

__all__ = ["NGIST", "ngist_files"]

Columns = dict[str, npt.NDArray[np.generic]]

_LINES = {
    "Halpha": "Ha", "Hbeta": "Hb", "Hgamma": "Hg", "Hdelta": "Hd", "Hepsilon": "He", "H8": "H8", "H9": "H9",
    "H10": "H10", "H11": "H11", "H12": "H12", "Pa8": "HPa8", "Pa9": "HPa9", "Pa10": "HPa10", "Pa11": "HPa11",
    "Pa12": "HPa12",
}  # fmt: skip
_INDICES = {
    "CN_1": "CN1", "CN_2": "CN2", "Mg_1": "Mg1", "Mg_2": "Mg2", "Mg_b": "Mgb", "Na_D": "NaD", "TiO_1": "TiO1",
    "TiO_2": "TiO2", "Hdelta_A": "HdA", "Hdelta_F": "HdF", "Hgamma_A": "HgA", "Hgamma_F": "HgF", "TiO2SDSS": "TiO2sdss",
    "NaISDSS": "NaI8190sdss", "CaII1": "Ca1", "CaII2": "Ca2", "CaII3": "Ca3",
}  # fmt: skip
_MOMENTS = {"velocity": "V", "sigma": "SIGMA", "h3": "H3", "h4": "H4"}
_UNITS = {
    "arcsec": {"X", "Y", "XBIN", "YBIN"}, "km/s": {"V", "VEL", "SIGMA"}, "Angstrom": {"EW"}, "Gyr": {"AGE"},
}  # fmt: skip
_MODULES = {"kin": "KIN_DATA", "gas_bin": "EMISSION", "sfh": "SFH", "ls_orig_res": "LS_DATA"}
_MAPS = {
    "kin": "kin_maps", "gas_bin": "gas_bin_maps", "sfh": "sfh_maps", "ls_orig_res": "ls_original_maps",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Bins:
    """Which spaxels were measured, the number of the bin of each, and which rows of the measurements are bins."""

    used: BoolArray
    number: IntArray
    rows: BoolArray
    x: FloatArray
    y: FloatArray
    pixel: float

    @classmethod
    def of(cls, contents: Contents) -> _Bins:
        number = contents.number
        wcs, (ny, nx) = contents.source.wcs, contents.shape
        pixel = 1.0 if wcs is None else float(np.sqrt(pixel_area(wcs)))
        row, column = np.indices((ny, nx)).reshape(2, -1)
        x, y = (column - (nx - 1) / 2) * pixel, (row - (ny - 1) / 2) * pixel
        return cls(number >= 0, _numbers(number, x, y), ~contents.measured.populations.failed, x, y, pixel)

    def spread(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Give each spaxel the value of its bin, (n_spaxels,); that of another where it has none."""
        return values[self.rows][np.maximum(self.number, 0)]

    def mean(self, values: FloatArray, weight: FloatArray) -> FloatArray:
        """Mean over the bin of each spaxel, weighted, (n_spaxels,)."""
        number = np.maximum(self.number, 0)
        some = np.where(self.used, np.maximum(np.nan_to_num(weight), 1e-10), 0.0)
        return (np.bincount(number, some * values) / np.maximum(np.bincount(number, some), 1e-300))[number]


def _numbers(number: IntArray, x: FloatArray, y: FloatArray) -> IntArray:
    """Numbers of the bins; of a spaxel outside, minus that of the nearest one (but 0, which has no sign)."""
    from scipy.spatial import cKDTree

    used = number >= 0
    number = np.where(used, number, 0)
    place = np.column_stack([x, y])
    inside = np.flatnonzero(used & (number > 0))
    if inside.size and not used.all():
        number[~used] = -number[inside][cKDTree(place[inside]).query(place[~used])[1]]
    return number


def ngist_files(contents: Contents) -> dict[str, fits.HDUList]:
    """Arrange measurements as nGIST does.

    Parameters
    ----------
    contents : Contents
        Measurements of an image, with its brightness.

    Returns
    -------
    dict of str to astropy.io.fits.HDUList
        By the end of the file's name. Modules of which nothing was measured have no file.
    """
    bins = _Bins.of(contents)
    tables = {"kin": _kinematics(contents), "gas_bin": _gas(contents), "sfh": _populations(contents),
              "ls_orig_res": _indices(contents)}  # fmt: skip
    files = {"_table.fits": _table_file(contents, bins), "_mask.fits": _mask_file(contents, bins)}
    spatial = _spatial(contents, bins)
    maps = {name: spatial[name] for name in ("FLUX", "SNR", "SNRBIN", "XBIN", "YBIN")}
    files["_spatial_binning_maps.fits"] = _map_file(contents, {"BINID": bins.number, **maps}, bins.used)
    for module, columns in tables.items():
        if not columns:
            continue
        rows = {name: column[bins.rows] for name, column in columns.items()}
        if module == "gas_bin":
            rows = {"BIN_ID": np.arange(bins.rows.sum()), **rows}
        files[f"_{module}.fits"] = _file(contents, _binary_table(rows, _MODULES[module], contents))
        files[f"_{_MAPS[module]}.fits"] = _map_file(
            contents, {name: bins.spread(column) for name, column in columns.items()}, bins.used
        )
    return files


def _file(contents: Contents, *parts: fits.hdu.base._BaseHDU) -> fits.HDUList:
    """File with a primary header that says how it was made."""
    primary = contents.primary()
    for part in (primary, *parts):
        part.add_checksum()
    return fits.HDUList([primary, *parts])


def _binary_table(columns: Columns, name: str, contents: Contents) -> fits.BinTableHDU:
    formats = {"f": "D", "i": "J"}
    made = [
        fits.Column(key, formats[column.dtype.kind], unit=_unit(key, contents), array=column)
        for key, column in columns.items()
    ]
    return fits.BinTableHDU.from_columns(made, name=name)


def _unit(name: str, contents: Contents) -> str | None:
    """Unit of a column; fluxes are in that of the input."""
    words = name.removesuffix("_ERR").split("_")
    if words == ["FLUX"]:
        return hdus.fits_text(contents.source.unit.to_string()) or None
    if words[-1] == "FLUX":
        return hdus.fits_text((contents.source.unit * u.AA).to_string())
    return next((unit for unit, names in _UNITS.items() if names & set(words)), None)


def _map_file(contents: Contents, columns: Columns, used: BoolArray) -> fits.HDUList:
    """One image per column, NaN where nothing was measured."""
    header = map_header(contents.source.wcs)
    images = [
        fits.ImageHDU(np.where(used, column, np.nan).reshape(contents.shape), header, name=name)
        for name, column in columns.items()
    ]
    for image, name in zip(images, columns, strict=True):
        if unit := _unit(name, contents):
            image.header["BUNIT"] = unit
    return _file(contents, *images)


def _spatial(contents: Contents, bins: _Bins) -> Columns:
    """Columns of the table of spaxels; where these are not binned, each is its own bin."""
    of_bins, light = np.asarray(contents.measured.snr, dtype=np.float64), contents.spaxel_light
    snr = of_bins if contents.measured.sums is None else np.asarray(light.snr, dtype=np.float64)
    own = {"XBIN": bins.x, "YBIN": bins.y, "SNRBIN": snr, "NSPAX": np.ones(len(snr), dtype=np.int64)}
    if contents.measured.sums is not None:
        shared = {
            "XBIN": bins.mean(bins.x, light.median), "YBIN": bins.mean(bins.y, light.median),
            "SNRBIN": bins.spread(of_bins), "NSPAX": np.bincount(bins.number[bins.used])[np.maximum(bins.number, 0)],
        }  # fmt: skip
        own = {name: np.where(bins.used, values, own[name]) for name, values in shared.items()}
    return {
        "ID": np.arange(len(snr)), "BIN_ID": bins.number, "X": bins.x, "Y": bins.y, "FLUX": light.median, "SNR": snr,
        **own,
    }  # fmt: skip


def _table_file(contents: Contents, bins: _Bins) -> fits.HDUList:
    """Spaxels and their bins, the WCS in the header of an empty image, and how the run was made."""
    table = _binary_table(_spatial(contents, bins), "TABLE", contents)
    place = fits.ImageHDU(header=map_header(contents.source.wcs))
    found = _file(contents, table, place, hdus.provenance_table(contents.facts))
    found[0].header["PIXSIZE"] = (bins.pixel, "[arcsec] size of a spaxel")
    found[0].add_checksum()
    return found


def _mask_file(contents: Contents, bins: _Bins) -> fits.HDUList:
    """Which spaxels have no result, and which of these no data."""
    masked, nothing = (~bins.used).astype(np.int64), np.zeros(len(bins.used), dtype=np.int64)
    columns: Columns = {
        "MASK": masked, "MASK_DEFUNCT": np.isnan(contents.spaxel_light.median).astype(np.int64), "MASK_SNR": nothing,
        "MASK_FILE": nothing,
    }  # fmt: skip
    return _file(contents, _binary_table(columns, "MASKFILE", contents))


def _kinematics(contents: Contents) -> Columns:
    """Motions of the stars; the posterior's error stands for the formal and the Monte-Carlo one."""
    found = {ours: contents.value(ours) for ours in _MOMENTS}
    found["velocity"] = systemic_velocity(contents, "velocity", logarithmic=True)
    known = {_MOMENTS[ours]: pair for ours, pair in found.items() if pair is not None}
    if not known:
        return {}
    columns: Columns = {name: value for name, (value, _) in known.items()}
    for prefix in ("ERR", "FORM_ERR"):
        columns |= {f"{prefix}_{name}": error for name, (_, error) in known.items()}
    return columns | {"RED_CHI2": contents.measured.populations.chi2}


def _gas(contents: Contents) -> Columns:
    """Fluxes, motions and equivalent widths of lines, and the motions of the stars."""
    columns: Columns = {}
    for ours, name in (("velocity", "V_STARS2"), ("sigma", "SIGMA_STARS2")):
        moved = systemic_velocity(contents, ours, logarithmic=True) if ours == "velocity" else contents.value(ours)
        columns |= {name: moved[0]} if moved is not None else {}
    columns["CHI2_TOT"] = contents.measured.populations.chi2
    for line in sorted((name for group in GROUPS for name, _ in group.members), key=EMISSION_LINES.__getitem__):
        flux = line_values(contents, line, "flux")
        known, motion = np.isfinite(flux[0]), line_motion(contents, line, logarithmic=True)
        if motion is None:
            return {}
        if not known.any():
            continue
        parts = {"FLUX": flux, "VEL": motion[0], "SIGMA": motion[1], "EW": line_values(contents, line, "ew")}
        for part, pair in parts.items():
            value, error = (np.where(known, each, np.nan) for each in pair)
            columns |= {f"{_ngist_line(line)}_{part}": value, f"{_ngist_line(line)}_{part}_ERR": error}
        columns[f"{_ngist_line(line)}_SIGMA_CORR"] = np.zeros(len(known))
    return columns


def _ngist_line(name: str) -> str:
    """Ion and the whole number of Å in air, such as ``OIII5006``."""
    ion = _LINES.get(name) or re.sub(r"\d+$", "", name.replace("[", "").replace("]", ""))
    return f"{ion}{int(EMISSION_LINES[name])}"


def _populations(contents: Contents) -> Columns:
    """Ages in Gyr (ten to the mean of the logarithm) and metallicities, by light and, ending in _MW, by mass."""
    columns: Columns = {}
    for weight, end in (("lw", ""), ("mw", "_MW")):
        if (age := contents.value(f"log_age_{weight}")) is not None:
            gyr = 10 ** (np.asarray(age[0], dtype=np.float64) - 9)
            columns |= {f"AGE{end}": gyr, f"ERR_AGE{end}_MC": np.log(10) * gyr * age[1]}
        if (metal := contents.value(f"mh_{weight}")) is not None:
            columns |= {f"METAL{end}": metal[0], f"ERR_METAL{end}_MC": metal[1]}
    return columns


def _indices(contents: Contents) -> Columns:
    """Spectral indices at the resolution of the spectra."""
    columns: Columns = {}
    for key, (value, error) in contents.measured.populations.further.items():
        if key.startswith("index_"):
            name = _INDICES.get(key.removeprefix("index_"), key.removeprefix("index_"))
            columns |= {name: value, f"ERR_{name}": error}
    return columns


_ENDINGS = ("table", "mask", "spatial_binning_maps", *_MODULES, *_MAPS.values())

#: The folder of a run of nGIST.
NGIST = Layout("nGIST", ngist_files, endings=tuple(f"_{end}.fits" for end in _ENDINGS), suffix="")
