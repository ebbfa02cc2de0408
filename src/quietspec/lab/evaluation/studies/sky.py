"""What the air leaves in its bands: coverage on simulated spectra, and blocks of real ones predicted from the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rich.table import Table

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised
from quietspec.denoisers import KinematicPosterior, SpectralPrior
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.kinematic_fit import BatchFit, KinematicGrid
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.denoisers.posterior.sky import SkyPixels
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra, distinct_bright
from quietspec.lab.evaluation.studies.repeats import RepeatSettings, muse_halves
from quietspec.lab.simulate import Simulated, SurveyRecipe
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.statistics import MAD_TO_SIGMA
from quietspec.wavelengths import rest_air

__all__ = ["SKY_BANDS", "SkySettings", "red_spectra", "sky_study", "sky_tables"]

#: Observed air Å: outside the bands of the air, and in them.
SKY_BANDS: dict[str, tuple[float, float]] = {
    "to 6850": (3600.0, 6850.0), "O2 B": (6860.0, 6950.0), "6950-7150": (6950.0, 7150.0), "7160-7580": (7160.0, 7580.0),
    "O2 A": (7590.0, 7720.0), "7730-8100": (7730.0, 8100.0), "8100-8540": (8100.0, 8540.0),
    "8540-8750": (8540.0, 8750.0), "8750-9300": (8750.0, 9300.0), "9300-10000": (9300.0, 10000.0),
}  # fmt: skip
_TOGETHER = 5  # simulated spectra of one exposure
_BLOCK, _FOLDS = 30, 5  # pixels that are predicted together, and parts of which each is predicted from the others
_FEWEST = 8  # pulls whose scatter is reported
_TOOLS = ("without", "with")  # the process


@dataclass(frozen=True)
class SkySettings:
    """What is measured.

    Parameters
    ----------
    instruments : sequence of str
        Simulated instruments.
    snrs : sequence of float
        S/N of the simulated spectra.
    n : int
        Spectra of each instrument and S/N.
    seed : int
        Seed of all draws.
    step : int
        Step of the lattice of spaxels that are compared with the ring about them.
    """

    instruments: Sequence[str] = ("MUSE", "MaNGA", "SDSS")
    snrs: Sequence[float] = (10.0, 20.0, 40.0)
    n: int = 60
    seed: int = 11
    step: int = 2


def sky_study(
    prior: SpectralPrior, recipes: Mapping[str, SurveyRecipe], real: RealSpectra, settings: SkySettings
) -> dict[str, Any]:
    """Measure what the process of the air's residuals is worth.

    Parameters
    ----------
    prior : SpectralPrior
        Of populations at rest.
    recipes : mapping of str to SurveyRecipe
        'clean' and 'sky': the same galaxies without residuals and with them.
    real : RealSpectra
        Where the real spectra are.
    settings : SkySettings
        What is measured.

    Returns
    -------
    dict
        ``simulated``: coverage and error, in the bands and outside, of spectra with residuals and without, by denoisers
        with the process and without. ``predicted``: pulls of left-out blocks of real spectra by band. ``rings``: pulls
        of spaxels of Abell 478 against the ring about them by band.
    """
    tools = {name: _Watched("posterior", _plain(prior), sky=name == "with") for name in _TOOLS}
    simulated = [
        {"instrument": instrument, "snr": snr, "world": world, "tool": tool, **scores}
        for instrument in settings.instruments
        for snr in settings.snrs
        for world, recipe in recipes.items()
        for tool, scores in _covered(tools, recipe, instrument, snr, settings).items()
    ]
    real.log("simulated spectra measured")
    return {
        "model": str(tools["with"].model),
        "settings": asdict(settings),
        "bands": SKY_BANDS,
        "simulated": simulated,
        "predicted": [
            {"data": name, "n": len(spectra), "snr": float(np.nanmedian(spectra.snr)), "tool": tool, **found}
            for name, spectra in red_spectra(real)
            for tool, found in ((tool, _predicted(spectra, tools[tool])) for tool in _TOOLS)
        ],
        "rings": list(_rings(real, tools, settings)),
    }


def _plain(prior: SpectralPrior) -> SpectralPrior:
    """The prior without laws of symptoms, so that no redshift is moved."""
    return replace(prior, card={name: value for name, value in prior.card.items() if name != "symptom_laws"})


@dataclass(frozen=True, eq=False)
class _Noise:
    """Noise that a denoiser assumed of one spectrum.

    Parameters
    ----------
    row : int
        Which spectrum it is.
    level : (n_pixels,)
        Factor on the quoted 1σ.
    columns : (n_pixels, n_columns)
        Square root of the further covariance, in units of quoted errors.
    """

    row: int
    level: FloatArray
    columns: FloatArray

    @classmethod
    def of(cls, row: int, number: int, fit: BatchFit, n_pixels: int) -> Self:
        """Take that of a spectrum, whose number in a batch is given."""
        sky, pixels = fit.grid.model.sky, fit.grid.pixels
        level = np.full(n_pixels, float(fit.noise.scale[number]))
        columns = np.zeros((n_pixels, max(sky.size, 1)))
        if sky.size:
            level[pixels] *= np.where(sky.inside, *fit.noise.factors[number, ::-1])
            columns[pixels] = level[pixels, None] * fit.states[number].sky * sky.columns
        return cls(row, level, columns)


class _Watched(KinematicPosterior):
    """A denoiser that remembers the noise it assumed of the spectra it denoised last, in `assumed`."""

    def _denoise(self, spectra: Spectra) -> Denoised:
        self.assumed: list[_Noise] = []
        return super()._denoise(spectra)

    def store(
        self, rows: npt.NDArray[np.intp], batch: Batch[KinematicGrid], fit: BatchFit, result: Accumulator
    ) -> None:
        """Put what a fit found into the result, and remember its noise."""
        super().store(rows, batch, fit, result)
        n_pixels = result.spectra.n_pixels
        self.assumed += [_Noise.of(row, number, fit, n_pixels) for number, row in enumerate(rows.tolist())]


def _covered(
    tools: Mapping[str, KinematicPosterior], recipe: SurveyRecipe, instrument: str, snr: float, settings: SkySettings
) -> dict[str, dict[str, float]]:
    """Share of the pixels inside 1σ and rms error over the noise, in the bands and outside, by denoiser."""
    rng = stream("sky", settings.seed, round(1e6 * snr), settings.instruments.index(instrument))
    parts: dict[str, list[tuple[FloatArray, FloatArray, BoolArray]]] = {name: [] for name in tools}
    for _ in range(-(-settings.n // _TOGETHER)):
        made = recipe.simulate(_TOGETHER, rng, snr, instrument=instrument)
        inside = SkyPixels.of(_air(made.observed)).inside
        for name, tool in tools.items():
            parts[name].append(_errors(made, tool.denoise(made.observed), inside))
    return {name: _shares(some) for name, some in parts.items()}


def _errors(made: Simulated, found: Denoised, inside: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Pulls and errors over the noise of the pixels that count, and whether they are in the bands."""
    used = found.counted & np.isfinite(made.truth)
    if made.contaminated is not None:
        used &= ~made.contaminated
    inside = np.broadcast_to(inside if inside.size else np.zeros(used.shape[1], dtype=bool), used.shape)
    error = found.flux - made.truth
    noise = error * np.sqrt(made.observed.ivar)
    return (error / found.sigma)[used], noise[used], inside[used]


def _shares(parts: Sequence[tuple[FloatArray, FloatArray, BoolArray]]) -> dict[str, float]:
    pulls, errors, inside = (np.concatenate([part[k] for part in parts]) for k in range(3))
    found = {}
    for name, side in (("bands", inside), ("outside", ~inside)):
        found[f"inside_{name}"] = float(np.mean(np.abs(pulls[side]) < 1))
        found[f"error_{name}"] = float(np.sqrt(np.mean(errors[side] ** 2)))
    return found


def red_spectra(real: RealSpectra) -> Iterator[tuple[str, Spectra]]:
    """Find real spectra that reach into the bands of the air.

    Parameters
    ----------
    real : RealSpectra
        Where they are.

    Yields
    ------
    str, Spectra
        The eight MaNGA spectra; Abell 478 in squares of 2, 4 and 10 spaxels; SAMI 572402; SDSS; MUSE-UDF.
    """
    found = [("MaNGA", real.fetched("manga"))]
    cube = real.fetched("muse-a478")
    if cube is not None:
        found += [(f"A478, {k} x {k} spaxels", squares(cube, k)) for k in (10, 4, 2)]
    sami = real.sami("572402_A")
    found.append(("SAMI 572402", None if sami is None else distinct_bright(sami, 10.0)[:_MOST]))
    epochs = [(f"SDSS {number}", real.sdss(f"spec-{number}.fits")) for number in _SDSS]
    found += [*epochs, *((name, real.fetched(name)) for name in ("ngc3522", "ngc3073"))]
    found += [(f"UDF {number}", real.udf(number)) for number in (2, 5, 8)]
    yield from ((name, spectra) for name, spectra in found if spectra is not None)


_SDSS = ("0412-51871-0308", "0412-52258-0302")
_MOST = 12  # spectra of a set


def squares(cube: Spectra, size: int) -> Spectra:
    """Average squares of spaxels, without regard to the correlation of their noise; at most twelve, evenly chosen."""
    if cube.spatial_shape is None:
        raise ValueError("squares: no cube")
    height, width = cube.spatial_shape
    corners = [(y, x) for y in range(0, height - size + 1, size) for x in range(0, width - size + 1, size)]
    corners = corners[:: max(len(corners) // _MOST, 1)][:_MOST]
    members = [[(y + dy) * width + x + dx for dy in range(size) for dx in range(size)] for y, x in corners]
    good = np.stack([cube.good[rows].all(axis=0) for rows in members])
    flux = np.stack([np.where(cube.good[rows], cube.flux[rows], 0).mean(axis=0) for rows in members])
    variance = np.stack(
        [
            np.where(cube.good[rows], 1 / np.where(cube.good[rows], cube.ivar[rows], 1), 0).mean(axis=0)
            for rows in members
        ]
    )
    ivar = np.where(good, size**2 / np.where(good, variance, 1), 0)
    return replace(cube[[rows[0] for rows in members]], flux=flux, ivar=ivar)


def _air(spectra: Spectra) -> FloatArray:
    return rest_air(spectra.wavelength, 0.0, spectra.medium)


def _predicted(spectra: Spectra, tool: _Watched) -> dict[str, Any]:
    """Scatter of the pulls of left-out pixels and blocks by band, and which pixels the whole fit counts."""
    counted, part = tool.denoise(spectra).counted, np.arange(spectra.n_pixels) // _BLOCK
    pulls = []
    for number in range(_FOLDS):
        left_out = part % _FOLDS == number
        found = tool.denoise(replace(spectra, ivar=np.where(left_out, 0, spectra.ivar)))
        pulls.append(_block_pulls(spectra, found, tool.assumed, counted & left_out & found.valid))
    return _by_band(np.concatenate(pulls))


def _block_pulls(
    target: Spectra, found: Denoised, noise: Sequence[_Noise], used: BoolArray, correlation: float = 1.0
) -> FloatArray:
    """Compare estimates with spectra of some noise, in blocks.

    Parameters
    ----------
    target : Spectra
        The spectra.
    found : Denoised
        Estimates on the same pixels.
    noise : sequence of _Noise
        Noise of the spectra.
    used : (n_spectra, n_pixels) of bool
        Pixels that count.
    correlation : float
        Factor on the noise in a block for the correlation between its pixels.

    Returns
    -------
    (n_blocks, 3)
        Mean wavelength of each block, its pull, and the mean square of the pulls of its pixels.
    """
    air, part = _air(target), np.arange(target.n_pixels) // _BLOCK
    rows = []
    for one in noise:
        mine, row = used[one.row], one.row
        quoted = np.where(mine, 1 / np.sqrt(np.where(target.ivar[row] > 0, target.ivar[row], 1)), 0)
        sigma, columns = one.level * quoted, quoted[:, None] * one.columns
        residual = np.where(mine, target.flux[row] - found.flux[row], 0).astype(float)
        estimate = np.nan_to_num(found.covariance_factor(row))
        variance = sigma**2 + (columns**2).sum(axis=1) + np.nan_to_num(found.sigma[row]) ** 2
        for block in np.unique(part[mine]):
            some = np.flatnonzero((part == block) & mine)
            if len(some) < _BLOCK / 2:
                continue
            of_mean = correlation**2 * np.sum(sigma[some] ** 2) / len(some) ** 2
            of_mean += np.sum(columns[some].mean(axis=0) ** 2) + np.sum(estimate[some].mean(axis=0) ** 2)
            pulls = residual[some] ** 2 / variance[some]
            rows.append((air[some].mean(), residual[some].mean() / np.sqrt(of_mean), pulls.mean()))
    return np.array(rows).reshape(-1, 3)


def _by_band(pulls: FloatArray) -> dict[str, Any]:
    """Number of blocks, robust and rms scatter of their pulls, and rms of the pulls of pixels, by band."""
    air, block, single = pulls.T
    found = {}
    for name, (low, high) in SKY_BANDS.items():
        inside = (air > low) & (air < high)
        if inside.sum() >= _FEWEST:
            found[name] = {
                "count": int(inside.sum()),
                "robust": float(MAD_TO_SIGMA * np.median(np.abs(block[inside]))),
                "rms": float(np.sqrt(np.mean(block[inside] ** 2))),
                "pixels": float(np.sqrt(np.mean(single[inside]))),
            }
    return {"bands": found}


def _rings(real: RealSpectra, tools: Mapping[str, _Watched], settings: SkySettings) -> Iterator[dict[str, Any]]:
    """Spaxels of Abell 478 against the rings about them, whose own residuals of the air are measured on the rings."""
    plain = tools["without"]
    for halves in muse_halves(real, RepeatSettings(step=settings.step), plain.denoise):
        for name, tool in tools.items():
            found = tool.denoise(halves.noisy)
            tool.denoise(halves.target)
            # Their noise is measured already, from the difference of opposite halves.
            noise = [replace(one, level=np.ones_like(one.level)) for one in tool.assumed]
            used = halves.counted & found.valid
            pulls = _block_pulls(halves.target, found, noise, used, float(np.median(halves.correlation)))
            yield {"tool": name, "n": len(halves.noisy), **_by_band(pulls)}


def sky_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate what `sky_study` found.

    Parameters
    ----------
    content : mapping
        Result of `sky_study`.

    Yields
    ------
    rich.table.Table
        Simulated spectra, left-out blocks, rings.
    """
    yield _simulated_table(content["simulated"])
    yield _pull_table(content["predicted"], "blocks of 30 pixels predicted from the rest: scatter of pulls (rms)")
    yield _pull_table([{"data": "A478, rings", **one} for one in content["rings"]], "spaxels against rings")


def _simulated_table(records: Sequence[Mapping[str, Any]]) -> Table:
    columns = (
        "instrument",
        "S/N",
        "residuals",
        "process",
        "inside 1σ: bands",
        "outside",
        "error / noise: bands",
        "outside",
    )
    out = Table(*columns, title="simulated spectra")
    for one in records:
        cells = [f"{one[key]:.3f}" for key in ("inside_bands", "inside_outside", "error_bands", "error_outside")]
        out.add_row(one["instrument"], f"{one['snr']:g}", one["world"], one["tool"], *cells)
    return out


def _pull_table(records: Sequence[Mapping[str, Any]], title: str) -> Table:
    bands = list(SKY_BANDS)
    out = Table("data", "n", "process", *bands, title=title)
    for one in records:
        some = [one["bands"].get(band) for band in bands]
        cells = ["" if each is None else f"{each['robust']:.2f} ({each['rms']:.2f})" for each in some]
        out.add_row(one["data"], str(one["n"]), one["tool"], *cells)
    return out
