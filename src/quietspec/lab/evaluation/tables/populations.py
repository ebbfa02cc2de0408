"""The tables of ``docs/populations.md``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quietspec.lab.evaluation.tables.markdown import ResultsFolder, markdown_table

__all__ = ["population_tables"]

_PAPER = {"5": ("0.41 → 0.25", "0.45 → 0.36"), "10": ("0.32 → 0.22", "0.32 → 0.28")}
_FORMS = (("rms", ".3f"), ("bias", "+.3f"))
_LIBRARIES = ("miles", "m11-miles", "bc03", "m11-stelib")


def population_tables(results: ResultsFolder) -> Iterator[str]:
    """Make all tables.

    Parameters
    ----------
    results : ResultsFolder
        Results of the benchmarks that the page names.

    Yields
    ------
    str
        One table.
    """
    experiment = results["recover_paper"]
    for snr in (f"{level:g}" for level in experiment["snr"]):
        yield _arms(experiment, snr)
    yield _beside_limit(experiment)
    yield _ladder(experiment)
    yield _gain(results)
    yield _libraries(results)
    yield _calibration(results)
    yield _galaxy(results)
    yield _published(results)
    yield _repeats(results)


def _arms(experiment: dict[str, Any], snr: str) -> str:
    """All arms at one S/N."""
    noisy = experiment["arms"]["noisy"][snr]
    rows = []
    if snr in _PAPER:
        rows.append(["*Kim, Lee & Rey 2026*", "10000", _PAPER[snr][0], *["–"] * 4, _PAPER[snr][1], *["–"] * 6])
    for name, by_snr in experiment["arms"].items():
        scores = by_snr[snr]
        cells = [name, f"{scores['n']}"]
        for short in ("age", "mh"):
            cells += [
                f"{scores[f'{short}_rms']:.3f} ± {scores[f'{short}_rms_error']:.3f}",
                f"{scores[f'{short}_rms'] / noisy[f'{short}_rms']:.2f}",
                f"{scores[f'{short}_bias']:+.2f}",
                f"{scores[f'{short}_slope']:.2f}",
                f"{100 * scores[f'{short}_coverage68']:.0f} %",
            ]
        cells += [_equivalent(scores, "age"), _equivalent(scores, "mh"), f"{1e3 * scores['seconds_per_spectrum']:.1f}"]
        rows.append(cells)
    one = ["rms", "÷ noisy", "bias", "slope", "68 %"]
    head = ["arm", "n", *(f"age {each}" for each in one), *(f"[M/H] {each}" for each in one)]
    return markdown_table(f"S/N {snr}", [*head, "S/N in age", "in [M/H]", "ms"], rows)


def _equivalent(scores: dict[str, Any], short: str) -> str:
    """Equivalent S/N as text; the ends of the ladder are bounds."""
    snr = scores[f"{short}_equivalent_snr"]
    return "> 80" if snr >= 79.9 else "≤ 3" if snr <= 3.001 else f"{snr:.0f}" if snr >= 9.95 else f"{snr:.1f}"


def _beside_limit(experiment: dict[str, Any]) -> str:
    """Rms over that of the limit, on the spectra that both have."""
    rows = [
        [name, *(f"{each['age_ratio']:.2f}, {each['mh_ratio']:.2f} ({each['n']:.0f})" for each in by_snr.values())]
        for name, by_snr in experiment["beside_limit"].items()
    ]
    levels = [f"S/N {level:g}" for level in experiment["snr"]]
    return markdown_table("Rms over the limit's, age and [M/H] (spectra)", ["arm", *levels], rows)


def _ladder(experiment: dict[str, Any]) -> str:
    """Noisy spectra by S/N."""
    steps = experiment["ladder"]
    rows = [[short, *(f"{scores[f'{short}_rms']:.3f}" for scores in steps.values())] for short in ("age", "mh")]
    return markdown_table("pPXF on noisy spectra: rms [dex] by S/N", ["", *steps], rows)


def _gain(results: ResultsFolder) -> str:
    """Where the gain comes from."""
    run = results["where_gain_comes_from"]
    rows = []
    for row in run["rows"]:
        numbers = [f"{row[f'{short}_{kind}']:{form}}" for short in ("age", "mh") for kind, form in _FORMS]
        rows.append([row["histories"], row["regularisation"], row["spectrum"], row["errors"], *numbers])
    head = ["histories", "regul", "spectrum", "errors given", "age rms", "bias", "[M/H] rms", "bias"]
    return markdown_table(f"Options at S/N {run['snr']:g}, {run['n']} training spectra", head, rows)


def _libraries(results: ResultsFolder) -> str:
    """What remains of the gain on spectra from other libraries."""
    rows = []
    for library in _LIBRARIES:
        name = "recover_paper" if library == "miles" else f"recover_{library}"
        if name not in results:
            continue
        run = results[name]
        for arm in ("noisy", "posterior", "posterior-sigma", "populations"):
            cells = [library, arm]
            for snr in ("5", "20"):
                scores = run["arms"][arm][snr]
                cells += [f"{scores['age_rms']:.2f}", f"{scores['mh_rms']:.2f}"]
                cells.append(f"{100 * scores['age_coverage68']:.0f}, {100 * scores['mh_coverage68']:.0f} %")
            rows.append(cells)
    head = ["spectra from", "arm", "age rms, S/N 5", "[M/H]", "68 %", "age rms, S/N 20", "[M/H]", "68 %"]
    return markdown_table("Other libraries' spectra, denoised and fitted with MILES", head, rows)


def _calibration(results: ResultsFolder) -> str:
    """Coverage of the posteriors of parameters."""
    run = results["population_calibration"]
    rows = [
        [recipe, snr, name, f"{one['rms']:.3f}", f"{one['bias']:+.3f}"]
        + [f"{100 * one[f'coverage{level}']:.1f}" for level in ("50", "68", "90", "95")]
        + [f"{one['ks_distance']:.3f}"]
        for recipe, by_snr in run["recipes"].items()
        for snr, by_name in by_snr.items()
        for name, one in by_name.items()
    ]
    head = ["recipe", "S/N", "parameter", "rms", "bias", "50 %", "68 %", "90 %", "95 %", "KS distance"]
    return markdown_table(
        f"Posteriors of parameters, {run['n']} spectra each: truth within central intervals [%]", head, rows
    )


def _galaxy(results: ResultsFolder) -> str:
    """Maps of a simulated galaxy by method."""
    run = results["galaxy_maps"]
    rows = []
    for name, one in run["methods"].items():
        age, mh = (one["scores"][key] for key in ("log_age_lw", "mh_lw"))
        by_mass = (one["scores"][key]["rms"] for key in ("log_age_mw", "mh_mw"))
        rows.append(
            [name, f"{age['rms']:.3f}", f"{mh['rms']:.3f}", ", ".join(f"{rms:.3f}" for rms in by_mass)]
            + [f"{age['fwhm']:.1f}, {mh['fwhm']:.1f}", f"{age['pulls']:.1f}, {mh['pulls']:.1f}"]
            + [f"{age['region_bias'][region]:+.2f}, {mh['region_bias'][region]:+.2f}" for region in ("clump", "ring")]
        )
    head = ["method", "age rms", "[M/H] rms", "by mass", "blur added [spaxels]", "pulls", "bias at clump", "at ring"]
    return markdown_table(f"Maps of {run['size']} × {run['size']} spaxels, by light, age and [M/H] [dex]", head, rows)


def _published(results: ResultsFolder) -> str:
    """NGC 3522 against pPXF's own log."""
    run = results["real_populations"]["ngc3522"]
    rows = [[f"`{name}`", f"{age:.2f}", f"{mh:+.2f}"] for name, (age, mh) in run["published"].items()]
    for name, values in run["methods"].items():
        kinds = ("log_age_lw", "mh_lw") if "log_age_lw" in values else ("log_age_mw", "mh_mw")
        (age, age_error), (mh, mh_error) = (values[kind] for kind in kinds)
        rows.append([f"ours: {name}", f"{age:.2f} ± {age_error:.2f}", f"{mh:+.2f} ± {mh_error:.2f}"])
    return markdown_table("NGC 3522, by light", ["", "log age", "[M/H]"], rows)


def _repeats(results: ResultsFolder) -> str:
    """SAMI 56140, cube B against D."""
    run = results["real_populations"]["sami"]
    rows = []
    for name in ("log_age_mw", "mh_mw", "log_age_lw", "mh_lw", "log_ml_v", "velocity", "sigma"):
        cells = [name]
        for one in run["methods"].values():
            found = one[name]
            cells.append(f"{found['pulls']:.1f}; {found['rms_difference']:.3g}; {found['median_error']:.2g}")
        rows.append(cells)
    head = ["", *run["methods"]]
    return markdown_table(
        f"SAMI 56140, B against D, {run['bins']} bins: scatter of pulls; rms difference; error", head, rows
    )
