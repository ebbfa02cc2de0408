"""The model `ultraviolet` on its own world, beside `survey` where both know the spectrum, and on real spectra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import ByCoverage, KinematicPosterior
from quietspec.lab.evaluation.between import between_galaxies
from quietspec.lab.evaluation.motions import label_score
from quietspec.lab.evaluation.repeats import block_pulls, pull_scatter, repeat_pulls
from quietspec.lab.evaluation.scores import rms
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.simulate import Draws, Simulated, UltravioletRecipe
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra
from quietspec.wavelengths import in_window, rest_air

__all__ = ["UltravioletSettings", "distant_galaxies", "ultraviolet_study", "ultraviolet_tables"]

BANDS = ((2117.0, 2600.0), (2600.0, 3100.0), (3100.0, 3541.0), (3541.0, 5000.0), (5000.0, 6940.0))  # Å at rest
_LABELS = ("log_age_lw", "log_age_mw", "mh_lw", "log_ml_v", "a_v", "velocity", "sigma")
_BATCH = 10  # simulated galaxies at one redshift
_BLOCK, _FOLDS = 30, 5  # pixels that are predicted together, and parts of which each is predicted from the others
_PAIR = ("survey", "ultraviolet")


@dataclass(frozen=True)
class UltravioletSettings:
    """What is measured.

    Parameters
    ----------
    snrs : sequence of float
        S/N of simulated galaxies.
    n : int
        Galaxies at each S/N.
    redshifts : sequence of float
        Redshifts at which the models are compared.
    n_compared : int
        Galaxies at each of them.
    seed : int
        Seed of all draws.
    """

    snrs: Sequence[float] = (5.0, 10.0, 20.0, 40.0)
    n: int = 200
    redshifts: Sequence[float] = (0.45, 0.6, 0.75, 0.9, 1.05, 1.2)
    n_compared: int = 40
    seed: int = 7


def ultraviolet_study(
    models: Mapping[str, KinematicPosterior],
    chooser: ByCoverage,
    recipe: UltravioletRecipe,
    real: RealSpectra,
    settings: UltravioletSettings,
) -> dict[str, Any]:
    """Measure how good the model `ultraviolet` is, and whether the choice between it and `survey` is right.

    Parameters
    ----------
    models : mapping of str to KinematicPosterior
        'survey' and 'ultraviolet'.
    chooser : ByCoverage
        What chooses between them.
    recipe : UltravioletRecipe
        Simulated galaxies.
    real : RealSpectra
        Where the real ones are.
    settings : UltravioletSettings
        What is measured.

    Returns
    -------
    dict
        ``own``: scores of `ultraviolet` on its own world by S/N. ``choice``: both models on the same simulated spectra,
        by instrument and redshift. ``real``: how well both predict blocks of real spectra that they have not seen.
    """
    tool = models["ultraviolet"]
    own = []
    for snr in settings.snrs:
        own.append(_own_record(snr, list(_scenes(recipe, tool, snr, settings))))
        real.log(f"S/N {snr:g} measured")
    choice = list(_compared(models, chooser, recipe, settings))
    return {
        "models": {name: str(model.model) for name, model in models.items()},
        "settings": asdict(settings),
        "bands": BANDS,
        "own": own,
        "choice": choice,
        "real": [record for name, one in distant_galaxies(real) for record in _predicted(name, one, models, chooser)],
    }


def _scenes(
    recipe: UltravioletRecipe, tool: KinematicPosterior, snr: float, settings: UltravioletSettings
) -> Iterator[tuple[Simulated, Denoised]]:
    draws = Draws.of("ultraviolet", snr, settings.seed)
    names = [one.name for one in recipe.instruments]
    for number in range(-(-settings.n // _BATCH)):
        made = draws.simulate(recipe, min(_BATCH, settings.n), snr, names[number % len(names)])
        yield made, tool.denoise(made.observed)


def _own_record(snr: float, scenes: Sequence[tuple[Simulated, Denoised]]) -> dict[str, Any]:
    """Scores of one S/N: pixels of all and of each band, and labels."""
    bands: dict[str, Any] = {}
    for band in BANDS:
        inside = [_errors(made, found, in_window(_rest(made.observed), band)) for made, found in scenes]
        if any(part.pulls.size for part in inside):
            bands[f"{band[0]:.0f}-{band[1]:.0f}"] = _pooled(inside)
    labels = {}
    for name in _LABELS:
        mean, error = (np.concatenate([found.parameters[name][k] for _, found in scenes]) for k in (0, 1))
        labels[name] = asdict(label_score(mean, error, np.concatenate([made.parameters[name] for made, _ in scenes])))
    return {
        "snr": snr,
        "n": sum(len(found) for _, found in scenes),
        "pixels": _pooled([_errors(made, found) for made, found in scenes]),
        "bands": bands,
        "labels": labels,
    }


@dataclass(frozen=True, eq=False)
class _Errors:
    """Relative rms error and noise of spectra, (n_spectra,) each, and (estimate − truth) / error of their pixels."""

    error: FloatArray
    noise: FloatArray
    pulls: FloatArray


def _errors(made: Simulated, found: Denoised, within: BoolArray | None = None) -> _Errors:
    """Errors on the pixels with an estimate that no gas spoils, all or those of `within` (n_pixels,)."""
    used = found.counted & np.isfinite(made.truth)
    if within is not None:
        used = used & within
    level = rms(made.truth, used)
    with np.errstate(invalid="ignore", divide="ignore"):
        pulls = ((found.flux - made.truth) / found.sigma)[used]
        noise = np.sqrt(np.where(used, 1 / made.observed.ivar, 0.0))
        return _Errors(rms(found.flux - made.truth, used) / level, rms(noise, used) / level, pulls)


def _pooled(parts: Sequence[_Errors]) -> dict[str, float | None]:
    """Mean share of the noise removed, median error relative to the flux, and shares of pixels inside 1σ and 2σ."""
    error, noise, pulls = (
        np.concatenate([np.atleast_1d(getattr(part, name)) for part in parts]) for name in ("error", "noise", "pulls")
    )
    seen = np.isfinite(error)
    return {
        "removed": float(np.mean(1 - error[seen] / noise[seen])),
        "removed_error": between_galaxies([1 - part.error / part.noise for part in parts]),
        "error": float(np.median(error[seen])),
        "inside": float(np.mean(np.abs(pulls) < 1)),
        "inside_error": between_galaxies([np.abs(part.pulls) < 1 for part in parts]),
        "inside_two": float(np.mean(np.abs(pulls) < 2)),
    }


def _rest(spectra: Spectra) -> FloatArray:
    return rest_air(spectra.wavelength, float(spectra.redshift[0]), spectra.medium)


def _compared(
    models: Mapping[str, KinematicPosterior],
    chooser: ByCoverage,
    recipe: UltravioletRecipe,
    settings: UltravioletSettings,
    snr: float = 10.0,
) -> Iterator[dict[str, Any]]:
    """Both models on the same spectra: error on the pixels that both cover, and of age and [M/H]."""
    for instrument in ("MUSE", "DESI"):
        for redshift in settings.redshifts:
            rng = stream("ultraviolet: compared", settings.seed, round(100 * redshift))
            made = recipe.simulate(settings.n_compared, rng, snr, instrument=instrument, redshift=redshift)
            found = {name: model.denoise(made.observed) for name, model in models.items()}
            shared = np.all([one.counted.any(axis=0) for one in found.values()], axis=0)
            chosen = chooser.settled(made.observed.wavelength, made.observed.redshift, made.observed.medium).model
            yield {
                "instrument": instrument,
                "redshift": redshift,
                "chosen": next(name for name, model in models.items() if model.model == chosen),
                "covered": {name: float(model.covers(_rest(made.observed)).mean()) for name, model in models.items()},
                "shared": {name: _pooled([_errors(made, one, shared)]) for name, one in found.items()},
                "labels": {name: _label_errors(made, one) for name, one in found.items()},
            }


def _label_errors(made: Simulated, found: Denoised) -> dict[str, dict[str, float]]:
    names = ("log_age_lw", "mh_lw", "velocity")
    return {name: asdict(label_score(*found.parameters[name], made.parameters[name])) for name in names}


def distant_galaxies(real: RealSpectra) -> Iterator[tuple[str, Spectra]]:
    """Find the real spectra whose near ultraviolet is seen, or nearly: LEGA-C, an SDSS nucleus, and five of MUSE-UDF.

    Parameters
    ----------
    real : RealSpectra
        Where they are.

    Yields
    ------
    str, Spectra
        Name and the one spectrum.
    """
    found = [("LEGA-C M19 56670", real.fetched("legac")), ("SDSS 7340", real.sdss("spec-7340-56837-0726.fits"))]
    found += [(f"UDF {number}", real.udf(number)) for number in (2, 5, 8, 11, 38)]
    yield from ((name, spectra) for name, spectra in found if spectra is not None)


def _predicted(
    name: str, spectra: Spectra, models: Mapping[str, KinematicPosterior], chooser: ByCoverage
) -> Iterator[dict[str, Any]]:
    """How well each model predicts blocks from the rest of a spectrum: where both cover it, and all that it covers."""
    whole = {one: model.denoise(spectra) for one, model in models.items()}
    predicted = {one: _left_out(spectra, model) for one, model in models.items()}
    shared = np.all([one.counted for one in whole.values()], axis=0)
    # One and the same noise for both, so that nothing but their predictions differs.
    target = replace(spectra, ivar=spectra.ivar / np.max([one.noise_scale for one in whole.values()]) ** 2)
    chosen = chooser.settled(spectra.wavelength, spectra.redshift, spectra.medium).model
    for one, model in models.items():
        yield {
            "name": name,
            "redshift": float(spectra.redshift[0]),
            "snr": float(spectra.snr[0]),
            "model": one,
            "chosen": model.model == chosen,
            "covered": float(model.covers(_rest(spectra)).mean()),
            "flags": str(Flag(int(whole[one].flags[0]))),
            "noise_scale": float(whole[one].noise_scale[0]),
            "labels": {label: [float(part[0]) for part in whole[one].parameters[label]] for label in _LABELS},
            "shared": _prediction(predicted[one], target, shared),
            "all": _prediction(predicted[one], target, whole[one].counted),
        }


def _left_out(spectra: Spectra, model: KinematicPosterior) -> list[tuple[BoolArray, Denoised]]:
    """Estimates made without every fifth block, and which pixels that block is, for each of the five."""
    part = np.arange(spectra.n_pixels) // _BLOCK % _FOLDS
    return [
        (part == number, model.denoise(replace(spectra, ivar=np.where(part == number, 0, spectra.ivar))))
        for number in range(_FOLDS)
    ]


def _prediction(
    parts: Sequence[tuple[BoolArray, Denoised]], target: Spectra, counted: BoolArray
) -> dict[str, float | int]:
    """Scatter of the pulls of pixels and blocks, and mean square of the misses in units of the noise."""
    pixels, blocks, misses = [], [], []
    for left_out, found in parts:
        used = counted & left_out & target.good & found.valid
        pixels.append(repeat_pulls(found, target, used)[used])
        blocks.append(block_pulls(found, target, used, _BLOCK)[1].ravel())
        misses.append(((target.flux - found.flux) ** 2 * target.ivar)[used])
    means = np.concatenate(blocks)
    return {
        "count": int(sum(map(len, pixels))),
        "pixels": float(pull_scatter(np.concatenate(pixels)[None])[0][0]),
        "blocks": float(pull_scatter(means[np.isfinite(means)][None])[1][0]),
        "misses": float(np.mean(np.concatenate(misses))),
    }


def ultraviolet_tables(content: Mapping[str, Any]) -> Iterator[Table]:
    """Tabulate what `ultraviolet_study` found.

    Parameters
    ----------
    content : mapping
        Result of `ultraviolet_study`.

    Yields
    ------
    rich.table.Table
        The own world, the choice, real spectra.
    """
    yield _own_table(content["own"])
    yield _choice_table(content["choice"])
    yield _real_table(content["real"])


def _own_table(records: Sequence[Mapping[str, Any]]) -> Table:
    bands = list(dict.fromkeys(band for record in records for band in record["bands"]))
    columns = ("S/N", "n", "removed", "inside 1σ, 2σ", *(f"{band} Å" for band in bands), *_LABELS)
    out = Table(*columns, title="own world: share inside 1σ and error, by band and label (stated error)")
    for record in records:
        pixels = record["pixels"]
        seen = [record["bands"].get(band) for band in bands]
        shares = ["" if one is None else f"{one['inside']:.2f} {100 * one['error']:.1f} %" for one in seen]
        labels = [f"{one['coverage']:.2f} {one['rms']:.2g} ({one['stated']:.2g})" for one in record["labels"].values()]
        out.add_row(
            f"{record['snr']:g}", str(record["n"]), f"{100 * pixels['removed']:.1f} %",
            f"{pixels['inside']:.3f}, {pixels['inside_two']:.3f}", *shares, *labels,
        )  # fmt: skip
    return out


def _choice_table(records: Sequence[Mapping[str, Any]]) -> Table:
    out = Table(
        "instrument", "z", "covered", "chosen", "error [%] where both cover", "inside", "age", "[M/H]", "velocity",
        title="survey / ultraviolet",
    )  # fmt: skip
    for record in records:
        shared, labels = ([record[key][name] for name in _PAIR] for key in ("shared", "labels"))
        cells = [
            " / ".join(f"{one[name]['rms']:.2g}" for one in labels) for name in ("log_age_lw", "mh_lw", "velocity")
        ]
        out.add_row(
            record["instrument"], f"{record['redshift']:g}",
            " / ".join(f"{100 * record['covered'][name]:.0f} %" for name in _PAIR), record["chosen"],
            " / ".join(f"{100 * one['error']:.2f}" for one in shared),
            " / ".join(f"{one['inside']:.2f}" for one in shared), *cells,
        )  # fmt: skip
    return out


def _real_table(records: Sequence[Mapping[str, Any]]) -> Table:
    out = Table(
        "spectrum", "z", "S/N", "model", "covered", "chosen", "pixels", "blocks", "misses", "all: pixels", "blocks",
        "age", "[M/H]", "flags", title="blocks predicted from the rest: scatter of pulls, where both cover and all",
    )  # fmt: skip
    for one in records:
        shared, whole = one["shared"], one["all"]
        labels = ["{:.2f} ± {:.2f}".format(*one["labels"][name]) for name in ("log_age_lw", "mh_lw")]
        out.add_row(
            one["name"], f"{one['redshift']:.3f}", f"{one['snr']:.1f}", one["model"], f"{100 * one['covered']:.0f} %",
            "yes" if one["chosen"] else "", f"{shared['pixels']:.2f}", f"{shared['blocks']:.2f}",
            f"{shared['misses']:.3f}", f"{whole['pixels']:.2f}", f"{whole['blocks']:.2f}", *labels,
            one["flags"].removeprefix("Flag."),
        )  # fmt: skip
    return out
