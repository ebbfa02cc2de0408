"""Emission lines of real galaxies: SAMI 56140 observed twice, with LZIFU beside us, and sources of the MUSE UDF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from rich.table import Table

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.denoisers import KinematicPosterior, SpectralPrior
from quietspec.extinction import transmission
from quietspec.instruments import muse_fwhm
from quietspec.io import read
from quietspec.lab.evaluation.degrade import degrade
from quietspec.lab.evaluation.line_contenders import LINES
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.evaluation.studies.repeats import SamiCube, overlaps, sami_cubes, sami_pair
from quietspec.lab.streams import stream
from quietspec.lines.results import LinePosterior
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA
from quietspec.wavelengths import EMISSION_LINES

__all__ = ["RATIOS", "KnownLines", "likeness", "line_repeats_study", "line_repeats_tables", "ratio_pulls"]

#: Ratios of lines that are compared.
RATIOS = {
    "Halpha/Hbeta": ("Halpha", "Hbeta"), "[NII]/Halpha": ("[NII]6583", "Halpha"),
    "[OIII]/Hbeta": ("[OIII]5007", "Hbeta"), "[SII]/Halpha": ("[SII]6716+6731", "Halpha"),
}  # fmt: skip
_LZIFU = {
    "[OII]3727": ("OII3728",), "Hbeta": ("Hbeta",), "[OIII]5007": ("OIII5007",), "Halpha": ("Halpha",),
    "[NII]6583": ("NII6583",), "[SII]6716+6731": ("SII6716", "SII6731"),
}  # fmt: skip
_PLATEFIT = {
    "[OII]3727": ("OII_3726", "OII_3729"), "Hbeta": ("H_BETA",), "[OIII]5007": ("OIII_5007",), "Halpha": ("H_ALPHA",),
    "[NII]6583": ("NII_6584",), "[SII]6716+6731": ("SII_6717", "SII_6731"),
}  # fmt: skip
_SEEN = 3.0  # σ, of both lines of a ratio in both halves
_ALIKE = 0.5  # least share of the light of a bin's repeat from within the bin
_DEGRADED = 5.0  # S/N
_FEWEST = 3
_UDF_REDSHIFT = 1.6  # beyond which MUSE sees none of the lines


@dataclass(frozen=True, eq=False)
class KnownLines(BySpectrum):
    """Fluxes of `LINES` and their covariance: (n_spectra, n_lines) and (n_spectra, n_lines, n_lines)."""

    flux: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, lines: LinePosterior) -> KnownLines:
        """Sum what a posterior says to the lines that are compared; NaN where a part is not covered."""
        weights = np.array([[float(name in parts) for name in lines.names] for parts in LINES.values()])
        known = np.isfinite(lines.flux)
        missing = ~known @ weights.T.astype(bool)
        flux = np.where(missing, np.nan, np.where(known, lines.flux, 0) @ weights.T)
        covariance = weights @ np.nan_to_num(lines.covariance.astype(np.float64)) @ weights.T
        return cls(flux, np.where(missing[:, :, None] | missing[:, None, :], np.nan, covariance))

    @property
    def error(self) -> FloatArray:
        """1σ errors, (n_spectra, n_lines)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))

    @property
    def seen(self) -> BoolArray:
        """Whether lines are above 3σ, (n_spectra, n_lines)."""
        return np.asarray(self.flux > _SEEN * self.error)

    def pair(self, above: str, below: str) -> KnownLines:
        """Two lines alone."""
        place = [list(LINES).index(name) for name in (above, below)]
        return KnownLines(self.flux[:, place], self.covariance[:, place][:, :, place])


def ratio_pulls(first: KnownLines, second: KnownLines) -> dict[str, FloatArray]:
    """Differences of two independent measurements of line ratios over their errors.

    Parameters
    ----------
    first, second : KnownLines
        The same spectra observed twice.

    Returns
    -------
    dict of str to (n_spectra,)
        By ratio of `RATIOS`: a₁ b₂ − a₂ b₁ of its lines a and b over the error of that, which needs no ratio of noisy
        lines; NaN where a line is not covered.
    """
    pulls = {}
    for name, lines in RATIOS.items():
        one, other = first.pair(*lines), second.pair(*lines)
        turned = np.array([[0.0, -1.0], [1.0, 0.0]])
        away = np.einsum("ni,ij,nj->n", other.flux, turned, one.flux)
        variance = sum(
            np.einsum("ni,nij,nj->n", half.flux @ turned, of.covariance, half.flux @ turned)
            for half, of in ((other, one), (one, other))
        )
        pulls[name] = away / np.sqrt(variance)
    return pulls


def likeness(own: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> FloatArray:
    """Share of the light of each bin's repeat that comes from within the bin, (n_bins,), in the order of `overlaps`.

    Parameters
    ----------
    own, others : (n_spaxels,) of int
        Numbers of the spaxels' bins in both cubes, 0 outside.

    Returns
    -------
    (n_bins,)
        1 where bins are alike.
    """
    rows, members, shares = overlaps(own, others)
    size = np.bincount(others)[others[members]]
    within = [
        [np.sum((own == own[row]) & (others == others[member])) for member in some]
        for row, some in zip(rows, members, strict=True)
    ]
    return np.asarray((shares * np.array(within) / size).sum(axis=1))


def line_repeats_study(prior: SpectralPrior, real: RealSpectra, realisations: int, seed: int) -> dict[str, Any]:
    """Compare lines of SAMI 56140 in cubes B and D, and of UDF sources with published ones.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    real : RealSpectra
        Where the spectra are; LZIFU's maps in ``sami/lzifu``, the UDF in ``udf``.
    realisations : int
        Number of times that noise is added to the bins.
    seed : int
        Seed of the added noise.

    Returns
    -------
    dict
        ``sami``: a row per kind of repeats and ratio; ``udf``: a row per source and line.
    """
    denoiser = KinematicPosterior("posterior", prior, emission="fit")
    return {"sami": _sami(denoiser, real, realisations, seed), "udf": _udf(denoiser, real)}


def _measure(denoiser: KinematicPosterior, spectra: Spectra) -> KnownLines:
    lines = denoiser.denoise(spectra).lines
    if lines is None:
        raise ValueError("no lines are fitted")
    return KnownLines.of(lines)


def _sami(denoiser: KinematicPosterior, real: RealSpectra, realisations: int, seed: int) -> list[dict[str, Any]]:
    cubes = sami_cubes(real)
    if cubes is None:
        return []
    pair = sami_pair(cubes["B"], cubes["D"])
    alike = likeness(cubes["B"][1], cubes["D"][1]) > _ALIKE
    measured = [_measure(denoiser, half) for half in pair]
    seen = _both_seen(*measured)
    contenders = {"ours": ratio_pulls(*measured)}
    maps = _lzifu(real, cubes["B"], cubes["D"])
    if maps is not None:
        theirs = _both_seen(*maps)
        seen = {name: rows & theirs[name] for name, rows in seen.items()}
        contenders["LZIFU"] = ratio_pulls(*maps)
    rows = []
    for which, some in (("all bins", np.ones(len(alike), dtype=bool)), ("bins alike", alike)):
        for name, pulls in contenders.items():
            rows += [{"spectra": "native", "bins": which, "by": name} | row for row in _rows(pulls, seen, some)]
        for row in _degraded(denoiser, pair, seen, some, stream("line repeats", seed), realisations):
            rows.append({"spectra": f"S/N {_DEGRADED:g}", "bins": which, "by": "ours"} | row)
    return rows


def _degraded(
    denoiser: KinematicPosterior,
    pair: tuple[Spectra, Spectra],
    seen: Mapping[str, BoolArray],
    some: BoolArray,
    rng: np.random.Generator,
    realisations: int,
) -> Iterator[dict[str, Any]]:
    """Scores with noise added to both halves; bins count in which lines were seen before."""
    bright = np.flatnonzero((pair[0].snr > _DEGRADED) & (pair[1].snr > _DEGRADED) & some)
    if not (len(bright) and realisations):
        return
    drawn = [
        ratio_pulls(*(_measure(denoiser, degrade(half[bright], _DEGRADED, rng)) for half in pair))
        for _ in range(realisations)
    ]
    joined = {name: np.concatenate([one[name] for one in drawn]) for name in RATIOS}
    before = {name: np.tile(rows[bright], realisations) for name, rows in seen.items()}
    yield from _rows(joined, before, np.tile(some[bright], realisations))


def _both_seen(first: KnownLines, second: KnownLines) -> dict[str, BoolArray]:
    """Where both lines of a ratio are seen in both halves."""
    pairs = {name: (first.pair(*lines).seen, second.pair(*lines).seen) for name, lines in RATIOS.items()}
    return {name: np.asarray((one & other).all(axis=1)) for name, (one, other) in pairs.items()}


def _rows(pulls: Mapping[str, FloatArray], seen: Mapping[str, BoolArray], some: BoolArray) -> Iterator[dict[str, Any]]:
    for name, values in pulls.items():
        known = values[seen[name] & some & np.isfinite(values)]
        if len(known) >= _FEWEST:
            yield {
                "ratio": name, "n": len(known), "rms": float(np.sqrt(np.mean(known**2))), "mean": float(known.mean()),
                "median": MAD_TO_SIGMA * float(np.median(np.abs(known))),
            }  # fmt: skip


def _lzifu(real: RealSpectra, own: SamiCube, other: SamiCube) -> tuple[KnownLines, KnownLines] | None:
    """LZIFU's lines in the bins of one cube, and over the same spaxels in the other."""
    if real.folder is None or not (real.folder / "sami" / "lzifu").exists():
        real.log("LZIFU left out: no folder sami/lzifu")
        return None
    folder = real.folder / "sami" / "lzifu"
    rows, members, shares = overlaps(own[1], other[1])
    flux, variance = _maps(folder, "56140_B")
    again, its_variance = _maps(folder, "56140_D")
    again, its_variance = (
        np.einsum("nml,nm->nl", values[members], power)
        for values, power in ((again, shares), (its_variance, shares**2))
    )
    return _independent(flux[rows], variance[rows]), _independent(again, its_variance)


def _maps(folder: Path, cube: str) -> tuple[FloatArray, FloatArray]:
    """Fluxes and variances of `LINES` in each spaxel, (n_spaxels, n_lines)."""

    def image(file: str, number: int) -> FloatArray:
        values = np.asarray(fits.getdata(folder / f"{cube}_{file}.fits", number), dtype=np.float64)
        return (values if values.ndim == 2 else values[0]).ravel()  # of components, the total stands first

    flux = [np.sum([image(file, 0) for file in files], axis=0) for files in _LZIFU.values()]
    variance = [np.sum([image(file, 1) ** 2 for file in files], axis=0) for files in _LZIFU.values()]
    return np.stack(flux, axis=1), np.stack(variance, axis=1)


def _independent(flux: FloatArray, variance: FloatArray) -> KnownLines:
    return KnownLines(flux, variance[:, :, None] * np.eye(flux.shape[1]))


def _udf(denoiser: KinematicPosterior, real: RealSpectra) -> list[dict[str, Any]]:
    folder = None if real.folder is None else real.folder / "udf"
    if folder is None or not folder.exists():
        real.log("UDF left out: no folder udf")
        return []
    rows: list[dict[str, Any]] = []
    for source in fits.getdata(folder / "platefit-results-selected.fits"):
        path = folder / f"udf10_{source['ID']:05d}.fits"
        if path.exists() and source["Z"] < _UDF_REDSHIFT:
            rows += _source(denoiser, path, source)
    return rows


def _source(denoiser: KinematicPosterior, path: Path, source: Any) -> Iterator[dict[str, Any]]:
    z = float(source["Z"])
    spectra = read(path, redshift=z)
    spectra = replace(spectra, fwhm=muse_fwhm(spectra.wavelength))
    found = _measure(denoiser, spectra)
    for number, (name, parts) in enumerate(LINES.items()):
        errors = np.array([source[f"{part}_FLUX_ERR"] for part in _PLATEFIT[name]])
        if not (np.isfinite(found.flux[0, number]) and np.all(errors > 0)):
            continue
        # Published fluxes are without the Milky Way's dust.
        passed = float(transmission(np.array([EMISSION_LINES[parts[0]] * (1 + z)]), float(source["E_BV_SFD"]))[0])
        flux = sum(source[f"{part}_FLUX"] for part in _PLATEFIT[name])
        error, published = found.error[0, number] / passed, float(np.sqrt(np.sum(errors**2)))
        yield {
            "source": int(source["ID"]), "redshift": z, "snr": float(spectra.snr[0]), "line": name,
            "flux": float(found.flux[0, number] / passed), "error": float(error),
            "published": float(flux), "published_error": published,
        }  # fmt: skip


def line_repeats_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate what `line_repeats_study` found.

    Parameters
    ----------
    content : mapping
        Its result.

    Yields
    ------
    rich.table.Table
        Pulls of SAMI's repeats; fluxes of UDF sources.
    """
    columns = ("spectra", "bins", "by", "ratio", "n", "rms", "1.48 × median", "mean")
    table = Table(*columns, title="SAMI 56140 B − D, pulls")
    for row in content["sami"]:
        rms = f"{row['rms']:.2f} ± {row['rms'] / np.sqrt(2 * row['n']):.2f}"
        where = (row[key] for key in ("spectra", "bins", "by", "ratio"))
        table.add_row(*where, str(row["n"]), rms, f"{row['median']:.2f}", f"{row['mean']:+.2f}")
    yield table
    table = Table("source", "z", "S/N", "line", "flux", "published", "ratio", "pull", title="MUSE UDF")
    for row in content["udf"]:
        pull = (row["flux"] - row["published"]) / np.hypot(row["error"], row["published_error"])
        table.add_row(
            str(row["source"]), f"{row['redshift']:.3f}", f"{row['snr']:.0f}", row["line"],
            f"{row['flux']:.0f} ± {row['error']:.0f}", f"{row['published']:.0f} ± {row['published_error']:.0f}",
            f"{row['flux'] / row['published']:.3f}", f"{pull:+.1f}",
        )  # fmt: skip
    yield table
