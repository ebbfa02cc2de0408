"""The posterior on stars of a library that it was not trained on, and flags of ordinary galaxies seen unusually."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers import Denoiser, SpectralPrior, posterior_of
from quietspec.indices import IndexDefinition, find_definitions, indices_of, measure_indices
from quietspec.lab.evaluation.motions import flux_score, label_score
from quietspec.lab.evaluation.robustness import scenes
from quietspec.lab.evaluation.stresses import STRESSES, Observation
from quietspec.lab.simulate import INSTRUMENTS, Draws, Instrument, Simulated, SurveyRecipe, viewing_of
from quietspec.lab.simulate.noise import NoiseLaw
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["LINE_WIDTHS", "WorldSettings", "false_alarms_table", "library_table", "nuclei_table"]

#: Lines whose widths are measured.
LINE_WIDTHS: tuple[str | IndexDefinition, ...] = (
    IndexDefinition(
        name="Ca II H", kind="angstrom", source="ours", blue=(3905, 3920), band=(3957, 3980), red=(3990, 4010)
    ),
    "Hdelta_A", "Hbeta", "Mg_b", "Fe5270", "Na_D",
)  # fmt: skip
_NUCLEUS_WIDTHS = ("Hdelta_A", "Hbeta", "Mg_b")
_NUCLEI = (  # stress, amount, whether it adds lines
    ("active nucleus", 0.1, False), ("active nucleus", 0.2, False), ("active nucleus", 0.5, False),
    ("active nucleus", 0.6, False), ("broad Balmer lines", 100.0, True),
)  # fmt: skip
_LABELS = ("log_age_lw", "log_age_mw", "mh_lw", "log_ml_v", "a_v", "velocity", "sigma")
_PIECE, _COARSE, _WIDE_FWHM, _CORRELATION = 300.0, 4.0, 9.0, 0.6  # Å, Å, Å, lag 1
#: Flags that say that a spectrum is not an ordinary galaxy with right errors at its redshift.
_TOGETHER = 4  # spectra of one exposure
_ALARMS = int(
    Flag.POOR_FIT | Flag.UNLIKE_PRIOR | Flag.WRONG_REDSHIFT | Flag.STAR | Flag.NOT_GALAXY | Flag.MISSCALED
    | Flag.NO_SIGNAL
)  # fmt: skip


@dataclass(frozen=True)
class WorldSettings:
    """What is simulated.

    Parameters
    ----------
    snrs : sequence of float
        S/N of the spectra.
    n : int
        Number of spectra for each, half as many before each of two redshifts.
    instrument : str
        Name in `INSTRUMENTS`.
    seed : int
        Seed of all draws.
    """

    snrs: Sequence[float] = (10.0, 20.0, 40.0)
    n: int = 200
    instrument: str = "MaNGA"
    seed: int = 5


def library_table(priors: Mapping[str, SpectralPrior], world: SurveyRecipe, settings: WorldSettings) -> Table:
    """Tabulate how priors do on the stars of one library.

    Parameters
    ----------
    priors : mapping of str to SpectralPrior
        By the names they have in the table.
    world : SurveyRecipe
        Galaxies with the stars of the library.
    settings : WorldSettings
        What is simulated.

    Returns
    -------
    rich.table.Table
        A row per S/N and prior: share of pixels, line widths and labels inside 1σ; rms errors of labels (stated ones).
    """
    widths = (index.name for index in find_definitions(LINE_WIDTHS))
    columns = ("S/N", "prior", "rms of the flux [%]", "pixels", *widths, *_LABELS, "flagged")
    table = Table(
        *columns, title=f"{world.library.name}: share inside 1σ; rms error (stated), before {settings.instrument}"
    )
    for snr in settings.snrs:
        made = list(_observations(world, snr, settings))
        for name, prior in priors.items():
            tool = posterior_of("posterior", prior)
            table.add_row(f"{snr:g}", name, *_library_cells([(one, tool.denoise(one.observed)) for one in made]))
    return table


def _observations(world: SurveyRecipe, snr: float, settings: WorldSettings) -> Iterator[Simulated]:
    draws = Draws.of("other libraries", snr, settings.seed)
    for redshift in (0.015, 0.05):
        yield draws.simulate(world, settings.n // 2, snr, settings.instrument, redshift)


def _library_cells(pairs: Sequence[tuple[Simulated, Denoised]]) -> list[str]:
    scores = [flux_score(denoised, made.truth) for made, denoised in pairs]
    error = np.concatenate([each for each, _ in scores])
    cells = [f"{100 * np.sqrt(np.mean(error**2)):.2f}", f"{np.mean([share for _, share in scores]):.3f}"]
    pulls = np.concatenate([_width_pulls(made, denoised) for made, denoised in pairs])
    cells += [f"{np.nanmean(np.where(np.isfinite(one), np.abs(one) < 1, np.nan)):.2f}" for one in pulls.T]
    for label in _LABELS:
        mean, sigma = (np.concatenate([denoised.parameters[label][k] for _, denoised in pairs]) for k in (0, 1))
        truth = np.concatenate([made.parameters[label] for made, _ in pairs])
        score = label_score(mean, sigma, truth)
        cells.append(f"{score.coverage:.2f} {score.rms:.2g} ({score.stated:.2g})")
    flagged = np.concatenate([denoised.flags & _ALARMS != 0 for _, denoised in pairs])
    return [*cells, f"{100 * flagged.mean():.1f} %"]


def _width_pulls(
    made: Simulated, denoised: Denoised, lines: tuple[str | IndexDefinition, ...] = LINE_WIDTHS
) -> FloatArray:
    """(Estimate − truth) / error of each width by the whole covariance, (n_spectra, n_widths); NaN where unseen."""
    observed = made.observed
    found = indices_of(denoised, lines)
    rest = rest_air(observed.wavelength, float(observed.redshift[0]), observed.medium)
    truth = measure_indices(lines, rest, made.truth.astype(float))
    return np.asarray((found.values - truth.values) / found.errors)


def nuclei_table(denoiser: Denoiser, recipe: SurveyRecipe, snrs: Sequence[float], n: int, seed: int) -> Table:
    """Tabulate how galaxies with an active nucleus are denoised.

    Parameters
    ----------
    denoiser : Denoiser
        A posterior that knows nuclei.
    recipe : SurveyRecipe
        Galaxies without nuclei.
    snrs : sequence of float
        S/N of the spectra.
    n, seed : int
        Number of spectra of each kind and S/N, and seed of all draws.

    Returns
    -------
    rich.table.Table
        A row per kind of nucleus and S/N: per cent of the rms residual removed, share of pixels and of line widths
        inside 1σ, and how many are flagged NUCLEUS. Broad lines are part of the estimate and of the truth; widths are
        then those of the host.
    """
    stresses = {stress.name: stress for stress in STRESSES}
    table = Table("nucleus", "S/N", "removed", "pixels", *_NUCLEUS_WIDTHS, "flagged", title="share inside 1σ")
    for name, amount, lines in _NUCLEI:
        for snr in snrs:
            cells: list[tuple[float, ...]] = []
            for scene in scenes(recipe, snr, n, seed):
                seen = stresses[name].observe(scene, amount)
                found = denoiser.denoise(seen.simulated.observed)
                cells.append(_nucleus_scores(seen, found, lines=lines))
            mean = np.mean(cells, axis=0)
            shown = (f"{100 * mean[0]:.1f} %", *(f"{value:.2f}" for value in mean[1:]))
            table.add_row(f"{name} {amount:g}", f"{snr:g}", *shown)
    return table


def _nucleus_scores(seen: Observation, found: Denoised, *, lines: bool) -> tuple[float, ...]:
    """Reduction, coverage of pixels and widths, share flagged; with `lines` they are part of the truth."""
    truth = seen.simulated.truth + (seen.lines if lines and seen.lines is not None else 0)
    known = np.isfinite(truth) & found.counted
    error = np.where(known, found.flux - truth, np.nan)
    noise = np.where(known, seen.noise, np.nan)
    removed = 1 - np.sqrt(np.nanmean(error**2, axis=1) / np.nanmean(noise**2, axis=1))
    inside = np.nanmean(np.where(known, np.abs(error) < found.sigma, np.nan))
    pulls = _width_pulls(seen.simulated, _host(found) if lines else found, _NUCLEUS_WIDTHS)
    widths = np.nanmean(np.where(np.isfinite(pulls), np.abs(pulls) < 1, np.nan), axis=0)
    return float(removed.mean()), float(inside), *widths.tolist(), float(np.mean(found.flags & Flag.NUCLEUS != 0))


def _host(found: Denoised) -> Denoised:
    """The stars alone as an estimate of their own."""
    flux, sigma = found.component("host")

    def factor_of(row: int) -> FloatArray:
        assert found.factor_of is not None
        assert found.nucleus_of is not None
        return found.factor_of(row) - found.nucleus_of(row)[1]

    return replace(found, flux=flux, sigma=sigma, factor_of=factor_of)


def false_alarms_table(denoiser: Denoiser, recipe: SurveyRecipe, n: int, seed: int) -> Table:
    """Tabulate how many ordinary galaxies are flagged, percent, by kind of data and S/N.

    Parameters
    ----------
    denoiser : Denoiser
        The denoiser.
    recipe : SurveyRecipe
        Galaxies.
    n : int
        Number of spectra of each kind and S/N.
    seed : int
        Seed of all draws.

    Returns
    -------
    rich.table.Table
        A row per kind; in brackets the flags that occur most.
    """
    snrs = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0)
    table = Table("galaxies", *(f"S/N {snr:g}" for snr in snrs), title="flagged, %")
    for kind, observe in (
        ("all instruments", _as_they_are), ("pieces of 300 Å", _pieces), ("4 Å per pixel", _coarse),
        ("noise correlated by 0.6", _correlated),
    ):  # fmt: skip
        cells = []
        for snr in snrs:
            draws = Draws.of(f"false alarms: {kind}", snr, seed)
            flags = np.concatenate([denoiser.denoise(some).flags for some in observe(recipe, n, snr, draws)])
            cells.append(_alarm_cell(flags))
        table.add_row(kind, *cells)
    return table


def _alarm_cell(flags: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    share = {flag.name: np.mean(flags & flag != 0) for flag in Flag if flag and flag & _ALARMS}
    most = max(share, key=lambda name: share[name])
    whole = f"{100 * np.mean(flags & _ALARMS != 0):.1f}"
    return f"{whole} ({str(most).lower().replace('_', ' ')} {100 * share[most]:.0f})" if share[most] else whole


def _batches(n: int, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Instruments and numbers of spectra of one exposure, few each: what the air leaves in one is the same in all."""
    exposures = max(n // (_TOGETHER * len(names)), 1)
    for name in names:
        yield from ((name, min(n, _TOGETHER)) for _ in range(exposures))


def _as_they_are(recipe: SurveyRecipe, n: int, snr: float, draws: Draws) -> Iterator[Spectra]:
    for name, size in _batches(n, tuple(INSTRUMENTS)):
        yield draws.simulate(recipe, size, snr, name).observed


def _pieces(recipe: SurveyRecipe, n: int, snr: float, draws: Draws) -> Iterator[Spectra]:
    for name, size in _batches(n, ("SAMI", "MUSE", "SDSS", "CALIFA V500", "MaNGA")):
        for _ in range(2):
            whole = draws.simulate(recipe, max(size // 2, 1), snr, name).observed
            last = np.searchsorted(whole.wavelength, whole.wavelength + _PIECE) - 1
            within = whole.wavelength[last] - whole.wavelength > 0.9 * _PIECE  # not at an end or a gap
            start = draws.galaxies.choice(whole.wavelength[within])
            inside = (whole.wavelength >= start) & (whole.wavelength < start + _PIECE)
            yield replace(
                whole, wavelength=whole.wavelength[inside], flux=whole.flux[:, inside], ivar=whole.ivar[:, inside],
                fwhm=None if whole.fwhm is None else whole.fwhm[..., inside],
            )  # fmt: skip


def _coarse(recipe: SurveyRecipe, n: int, snr: float, draws: Draws) -> Iterator[Spectra]:
    seen = INSTRUMENTS["SDSS"]
    wavelength = np.arange(seen.wavelength[0], seen.wavelength[-1], _COARSE)
    instrument = replace(seen, arms=(wavelength,), fwhm=np.full(len(wavelength), _WIDE_FWHM))
    yield from _by_instrument(recipe, instrument, n, snr, draws)


def _correlated(recipe: SurveyRecipe, n: int, snr: float, draws: Draws) -> Iterator[Spectra]:
    seen = INSTRUMENTS["SAMI"]
    noise: NoiseLaw = replace(seen.noise, correlation=(_CORRELATION, _CORRELATION))
    yield from _by_instrument(recipe, replace(seen, noise=noise), n, snr, draws)


def _by_instrument(recipe: SurveyRecipe, instrument: Instrument, n: int, snr: float, draws: Draws) -> Iterator[Spectra]:
    for _ in range(max(n // _TOGETHER, 1)):
        rest = recipe.rest(min(n, _TOGETHER), draws.galaxies)
        viewing = viewing_of(recipe, rest, draws.galaxies, instrument.name) | {"instrument": None}
        yield recipe.before(instrument).observe(rest, draws.noise, snr, **viewing).observed
