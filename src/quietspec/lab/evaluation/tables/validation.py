"""The tables of ``docs/validation.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quietspec.lab.evaluation.calibration import LEVELS
from quietspec.lab.evaluation.tables.markdown import ResultsFolder, markdown_table

__all__ = ["validation_tables"]

_KINDS = ("age", "wavelength", "mask_fraction")
_METHODS = ("posterior", "wiener", "pca", "gaussian", "savgol", "binning 5", "binning 9")


def validation_tables(results: ResultsFolder) -> Iterator[str]:
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
    yield _limits(results)
    yield _coverages(results)
    yield _predictions(results)
    yield _pulls(results)
    yield from _robustness(results)
    yield _detections(results)


def _limits(results: ResultsFolder) -> str:
    """Residuals over the Bayes limit's."""
    rows = []
    for recipe in ("paper", "survey"):
        run = results[f"{recipe}_limit"]
        for snr, limit in run["limit"].items():
            ratios = [run["models"][name][snr] for name in ("posterior", "wiener", "pca")]
            rows.append(
                [recipe, snr, str(limit["n"]), f"{100 * limit['residual']:.2f} %"]
                + [f"{each['limit_ratio']:.3f} ± {each['limit_ratio_error']:.3f}" for each in ratios]
                + [f"{limit['sampling_error'] / limit['residual']:.2f}", f"{limit['median_drift']:.2f}"]
            )
    head = ["recipe", "S/N", "spectra", "limit", "posterior", "wiener", "pca", "sampling error / limit", "drift"]
    return markdown_table("RMS residual over the Bayes limit's", head, rows)


def _coverages(results: ResultsFolder) -> str:
    """Coverage of the posterior overall, and how far the worst bins are from nominal."""
    rows = []
    for recipe in ("paper", "survey"):
        for snr, scores in results[f"{recipe}_limit"]["models"]["posterior"].items():
            found = scores["coverage"]
            overall = [f"{100 * found['levels'][level]:.1f}" for level in LEVELS]
            lines = [100 * (each["68"] - LEVELS["68"]) for each in found["lines"].values()]
            directions = found["latent"]
            bins = [_worst_bin(found["bins"][kind]) for kind in _KINDS]
            latent = [f"{100 * directions['levels']['68']:.1f}", f"{directions['chi2']['mean_over_dof']:.2f}"]
            rows.append([recipe, snr, *overall, *bins, f"{min(lines):+.1f} to {max(lines):+.1f}", *latent])
    head = ["recipe", "S/N", *(f"{level} %" for level in LEVELS), *(f"worst by {kind}" for kind in _KINDS)]
    head += ["line widths, 68 %", "directions, 68 %", "their χ²/dof"]
    return markdown_table("Coverage of the posterior, %; worst bins and lines as deviation at 68 %, points", head, rows)


def _worst_bin(bins: list[dict[str, Any]]) -> str:
    """Deviation at 68 % of the bin that deviates most in units of its error, with that error."""
    if not bins:
        return "–"
    worst = max(bins, key=lambda each: abs(each["68"] - LEVELS["68"]) / max(each["errors"]["68"], 1e-6))
    low, high = (f"{worst[end]:g}" for end in ("low", "high"))
    return f"{100 * (worst['68'] - LEVELS['68']):+.1f} ± {100 * worst['errors']['68']:.1f} ({low}–{high})"


def _predictions(results: ResultsFolder) -> str:
    """How much better than the noisy half each method predicts the other half."""
    found = results["observed_truth"]["prediction"]
    rows = []
    for data, low in dict.fromkeys((row["data"], row["bin"][0]) for row in found):
        cells = {row["method"]: row for row in found if (row["data"], row["bin"][0]) == (data, low)}
        first = next(iter(cells.values()))
        rows.append([data, f"{first['snr']:.1f}", str(first["count"]), f"{cells['posterior']['ratio']:.2f}"])
        rows[-1] += [_reduction(cells.get(name)) for name in _METHODS]
    head = ["data", "S/N", "spectra", "ratio", *_METHODS]
    return markdown_table(
        "Independent repeats: RMS removed, %, the target's noise taken away; ratio: rms noisy / denoised", head, rows
    )


def _reduction(row: Mapping[str, Any] | None) -> str:
    """Text of one reduction."""
    return "" if row is None else f"{100 * row['reduction']:.1f} ± {100 * row['reduction_error']:.1f}"


def _pulls(results: ResultsFolder) -> str:
    """Robust scatter of the posterior's pulls."""
    found = [row for row in results["observed_truth"]["pulls"] if row["by"] == "snr"]
    scatter = {(row["data"], *row["bin"], row["method"], row["kind"]): f"{row['robust']:.2f}" for row in found}
    columns = [("posterior", kind) for kind in ("pixel", "block")]
    bins = dict.fromkeys((row["data"], *row["bin"]) for row in found)
    rows = [
        [place[0], f"{place[1]:g}–{place[2]:g}", *(scatter.get((*place, *c), "") for c in columns)] for place in bins
    ]
    head = ["data", "S/N", "pixels", "blocks of 30"]
    return markdown_table("Scatter of the posterior's pulls (robust)", head, rows)


def _robustness(results: ResultsFolder) -> Iterator[str]:
    """Loss against amount."""
    for test in results["robustness"]["tests"]:
        rows = []
        for name, stress in test["stresses"].items():
            scores = stress["models"]["posterior"]
            for number, amount in enumerate(stress["amounts"]):
                cells = [scores[key][number] for key in ("reduction", "loss", "loss_90", "coverage68", "flagged")]
                rows.append(
                    [name if number == 0 else "", stress["quantity"] if number == 0 else "", f"{amount:g}"]
                    + ["–" if cell is None else f"{100 * cell:.1f}" for cell in cells]
                )
        head = [
            "stress",
            "amount is",
            "amount",
            "reduction",
            "loss",
            "loss of the 90th percentile",
            "within 1σ",
            "flagged",
        ]
        yield markdown_table(f"Posterior, S/N {test['snr']:g}, {test['n']} spectra, %", head, rows)


def _detections(results: ResultsFolder) -> str:
    """Flagged, caught and rightly explained."""
    run = results["detection"]
    rows = []
    for kind in dict.fromkeys(row["kind"] for row in run["results"]):
        by_snr = {row["snr"]: row for row in run["results"] if row["kind"] == kind}
        rows.append([kind, *(_detection(by_snr.get(snr)) for snr in run["snr"])])
    head = ["kind", *(f"S/N {snr:g}" for snr in run["snr"])]
    return markdown_table("% with p < 0.01 / caught at 1 % false alarms / right reason among the flagged", head, rows)


def _detection(row: Mapping[str, Any] | None) -> str:
    """Text of one kind at one S/N."""
    if row is None:
        return "–"
    return " / ".join(
        f"{100 * row[key]:.0f}" for key in ("flagged", "caught", "reason_right") if row.get(key) is not None
    )
