"""Which spectra that are not galaxies at their redshift get a small p-value, and at what price in galaxies.

The laws of the symptoms among galaxies (`quietspec.denoisers.posterior.diagnosis.SymptomLaws`) are tabulated on
simulated galaxies and on one half of the real ones. What is reported comes from other simulated galaxies, from the
other half of the real ones, and from outsiders (`quietspec.lab.evaluation.outsiders`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from quietspec.arrays import FloatArray
from quietspec.denoised import Flag
from quietspec.denoisers import load_prior, posterior_of
from quietspec.denoisers.posterior.diagnosis import Diagnosis, SymptomLaws, Symptoms, diagnose, measure
from quietspec.denoisers.posterior.features import FeatureScan
from quietspec.lab.evaluation.outsiders import detection_rate
from quietspec.lab.evaluation.studies.detection_samples import SimulatedTests, degraded, real_galaxies
from quietspec.lab.evaluation.studies.real_spectra import RealSpectra
from quietspec.lab.simulate import SurveyRecipe, UltravioletRecipe
from quietspec.lab.streams import stream
from quietspec.spectra import Spectra

__all__ = ["Detection", "DetectionSettings", "detection_study", "detection_table", "reasons_table"]

_LEVEL = 0.01
_CALIBRATION_SNRS = (3.0, 7.0, 14.0, 28.0)
_REASONS = tuple(
    Flag[name] for name in ("OK", "NO_SIGNAL", "WRONG_REDSHIFT", "STAR", "NOT_GALAXY", "UNLIKE_PRIOR", "MISSCALED")
)
_EXPECTED = {  # flags that are right
    "stars": (Flag.STAR,),
    "quasars behind": (Flag.NOT_GALAXY,),
    "quasars at z": (Flag.NOT_GALAXY, Flag.UNLIKE_PRIOR),
    "sky residuals": (Flag.NO_SIGNAL,),
    "noise": (Flag.NO_SIGNAL,),
    "wrong redshift": (Flag.WRONG_REDSHIFT, Flag.STAR),
    "errors halved": (Flag.MISSCALED,),
    "errors doubled": (Flag.MISSCALED,),
}


@dataclass(frozen=True)
class DetectionSettings:
    """How much is tested.

    Parameters
    ----------
    model : str
        Shipped model, or path of an .npz.
    n : int
        Test galaxies at each S/N, and as many stars; half as many of the other outsiders.
    calibration : int
        Simulated galaxies from which the laws are tabulated.
    batch : int
        How many of these share an instrument and a redshift.
    realisations : int
        Degradations of each real galaxy for the laws.
    snrs : tuple of float
        S/N of the tests.
    seed : int
        Seed of all draws.
    """

    model: str = "survey"
    n: int = 400
    calibration: int = 3000
    batch: int = 25
    realisations: int = 2
    snrs: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0, 40.0)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Detection:
    """Diagnoses of test spectra, and the laws behind them.

    Parameters
    ----------
    settings : DetectionSettings
        How much was tested.
    diagnoses : mapping of str to mapping of float to Diagnosis
        By kind (``galaxies``, ``real galaxies``, outsiders) and S/N.
    undegraded : mapping of str to Diagnosis
        Real galaxies as they are, by data set.
    laws : SymptomLaws
        Laws of the symptoms among galaxies.
    model : str
        Denoiser with the hash of its file.
    milliseconds : mapping of str to float
        Processor time per spectrum of denoising and of measuring symptoms.
    """

    settings: DetectionSettings
    diagnoses: Mapping[str, Mapping[float, Diagnosis]]
    undegraded: Mapping[str, Diagnosis]
    laws: SymptomLaws
    model: str
    milliseconds: Mapping[str, float]

    @property
    def galaxies(self) -> dict[float, FloatArray]:
        """p-values of simulated and real galaxies together, each set with half the weight, by S/N."""
        together = {}
        for snr, diagnosis in self.diagnoses["galaxies"].items():
            parts = [diagnosis.p_value]
            if snr in self.diagnoses.get("real galaxies", {}):
                real = self.diagnoses["real galaxies"][snr].p_value
                parts.append(np.resize(real, max(len(real), len(diagnosis.p_value))))
            together[snr] = np.concatenate(parts)
        return together

    @property
    def outsiders(self) -> dict[str, dict[float, FloatArray]]:
        """p-values of outsiders by kind and S/N."""
        return {
            kind: {snr: each.p_value for snr, each in self.diagnoses[kind].items()}
            for kind in _EXPECTED
            if kind in self.diagnoses
        }

    def to_json(self) -> dict[str, Any]:
        """Summarise as JSON types: settings, laws, and one record per kind and S/N."""
        settings = self.settings
        return {
            "n": settings.n,
            "calibration": settings.calibration,
            "realisations": settings.realisations,
            "snr": list(settings.snrs),
            "seed": settings.seed,
            "model": self.model,
            "milliseconds": dict(self.milliseconds),
            "undegraded": {
                name: {"n": len(each.p_value), "flagged": _flagged(each)} for name, each in self.undegraded.items()
            },
            "symptom_laws": self.laws.to_dict(),
            "results": list(self._records()),
        }

    def _records(self) -> Iterator[dict[str, Any]]:
        """How many are flagged at the level and detected at a rate of false alarms, and the reasons given."""
        galaxies = self.galaxies
        for kind, by_snr in self.diagnoses.items():
            for snr, diagnosis in by_snr.items():
                record = {"kind": kind, "snr": snr, "n": len(diagnosis.flags), "flagged": _flagged(diagnosis)}
                if kind in _EXPECTED:
                    right = np.isin(diagnosis.flags[diagnosis.flags > 0], _EXPECTED[kind])
                    record["caught"] = float(detection_rate(galaxies[snr], diagnosis.p_value, _LEVEL))
                    record["reason_right"] = float(right.mean()) if len(right) else None
                yield record | {"reasons": {each.name: float(np.mean(diagnosis.flags == each)) for each in _REASONS}}


def _flagged(diagnosis: Diagnosis) -> float:
    """Fraction of p-values below the level, or missing."""
    return float(np.mean(~(diagnosis.p_value >= _LEVEL)))


class _Measure:
    """Denoises spectra and measures their symptoms, and keeps the time of both."""

    def __init__(self, model: str) -> None:
        prior = load_prior(model)
        card = {name: value for name, value in prior.card.items() if name != "symptom_laws"}  # they are made here
        self.denoiser = posterior_of("posterior", replace(prior, card=card))
        self.scan = FeatureScan(self.denoiser.prior)
        self.seconds = np.zeros(2)
        self.count = 0

    def __call__(self, spectra: Spectra) -> Symptoms:
        times = [time.process_time()]
        denoised = self.denoiser.denoise(spectra)
        times.append(time.process_time())
        symptoms = measure(denoised, self.scan)
        times.append(time.process_time())
        self.seconds += np.diff(times)
        self.count += len(spectra)
        return symptoms

    @property
    def milliseconds(self) -> dict[str, float]:
        return dict(zip(("denoise", "measure"), (1e3 * self.seconds / self.count).tolist(), strict=True))


def detection_study(
    recipe: SurveyRecipe, real: RealSpectra, settings: DetectionSettings, stars: Path | None = None
) -> Detection:
    """Tabulate the laws of the symptoms, and diagnose galaxies and outsiders that had no part in them.

    Parameters
    ----------
    recipe : SurveyRecipe
        Recipe of the simulated galaxies.
    real : RealSpectra
        Where the real galaxies are. They are nearby, and left out with the recipe `ultraviolet`.
    settings : DetectionSettings
        How much is tested.
    stars : Path, optional
        Folder of the MILES stellar library; without it there are no stars.

    Returns
    -------
    Detection
        Diagnoses and laws.
    """
    tests = SimulatedTests(recipe, settings.n, settings.seed, stars)
    if stars is None:
        real.log("stars left out: no folder of the stellar library was given")
    to_calibrate, to_test = ({}, {}) if isinstance(recipe, UltravioletRecipe) else real_galaxies(real)
    measured = _Measure(settings.model)
    laws = _laws(settings, measured, tests.recipe, list(to_calibrate.values()))
    real.log(f"laws from {measured.count} galaxies")
    symptoms: dict[str, dict[float, list[Symptoms]]] = {}
    for snr in settings.snrs:
        for kind, spectra in tests.at(snr):
            symptoms.setdefault(kind, {}).setdefault(snr, []).append(measured(spectra))
        rng = stream("detection: added noise", settings.seed, round(1e6 * snr))
        for spectra in (each for original in to_test.values() for each in degraded(original, snr, rng)):
            symptoms.setdefault("real galaxies", {}).setdefault(snr, []).append(measured(spectra))
        real.log(f"S/N {snr:g} measured")
    diagnoses = {
        kind: {snr: diagnose(Symptoms.stack(parts), laws, _LEVEL) for snr, parts in by_snr.items()}
        for kind, by_snr in symptoms.items()
    }
    undegraded = {name: diagnose(measured(spectra), laws) for name, spectra in to_test.items()}
    model = str(measured.denoiser.model)
    return Detection(settings, diagnoses, undegraded, laws, model, measured.milliseconds)


def _laws(settings: DetectionSettings, measured: _Measure, recipe: SurveyRecipe, real: list[Spectra]) -> SymptomLaws:
    """Laws of the symptoms among galaxies that are not tested."""
    rng = stream("detection: laws", settings.seed)
    batches = range(0, settings.calibration, settings.batch)
    worlds = [[measured(recipe.simulate(settings.batch, rng).observed) for _ in batches]]
    if real:
        worlds.append([measured(spectra) for spectra in real])
        worlds[1] += [
            measured(each)
            for spectra in real
            for snr in _CALIBRATION_SNRS
            for _ in range(settings.realisations)
            for each in degraded(spectra, snr, rng)
        ]
    return SymptomLaws.fit(*(Symptoms.stack(world) for world in worlds))


def detection_table(content: Mapping[str, Any]) -> Table:
    """Tabulate percent flagged (p < 0.01), caught at 1 % false alarms, and reasons right among the flagged, by S/N.

    Parameters
    ----------
    content : mapping
        From `Detection.to_json`.

    Returns
    -------
    rich.table.Table
        One row per kind.
    """
    out = Table(title="% flagged (p < 0.01) | caught at 1 % of the test galaxies flagged | reason right where flagged")
    out.add_column("kind")
    for snr in content["snr"]:
        out.add_column(f"S/N {snr:g}", justify="right")
    rows: Sequence[Mapping[str, Any]] = content["results"]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        by_snr = {row["snr"]: row for row in rows if row["kind"] == kind}
        out.add_row(kind, *(_cell(by_snr.get(snr)) for snr in content["snr"]))
    return out


def _cell(row: Mapping[str, Any] | None) -> str:
    """Percentages of one kind at one S/N."""
    if row is None:
        return "–"
    values = [row["flagged"], *(row[key] for key in ("caught", "reason_right") if row.get(key) is not None)]
    return " | ".join(f"{100 * value:.1f}" if len(values) == 1 else f"{100 * value:.0f}" for value in values)


def reasons_table(content: Mapping[str, Any], least: float = 10.0) -> Table:
    """Tabulate the reasons given to each kind, percent, as means over S/N from `least` up.

    Parameters
    ----------
    content : mapping
        From `Detection.to_json`.
    least : float
        Lowest S/N that counts.

    Returns
    -------
    rich.table.Table
        One row per kind, one column per reason.
    """
    out = Table(title=f"reasons given, %, S/N ≥ {least:g}")
    rows: Sequence[Mapping[str, Any]] = content["results"]
    names = list(rows[0]["reasons"])
    out.add_column("kind")
    for name in names:
        out.add_column(name.lower().replace("_", " "), justify="right")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        some = [row["reasons"] for row in rows if row["kind"] == kind and row["snr"] >= least]
        if some:
            out.add_row(kind, *(f"{100 * np.mean([row[name] for row in some]):.0f}" for name in names))
    return out
