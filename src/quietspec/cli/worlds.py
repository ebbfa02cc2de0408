"""The commands `simulate`, `train` and `evaluate`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quietspec.cli.app import Overwrite, app, command_line, console, log, progress_bar, require_new, write_json
from quietspec.cli.options import Library, RecipeName, Seed
from quietspec.cli.recipes import commit, recipe_named

if TYPE_CHECKING:
    from quietspec.denoisers import Denoiser, SpectralPrior
    from quietspec.lab.evaluation import Evaluation
    from quietspec.lab.simulate import Recipe, Simulated

__all__ = ["numbers", "require_spectra"]

_TRAINED_SNR = (5.0, 10.0, 20.0)
_TRAINED_TESTS = 500
_OUTSKIRTS = ((4.0, 1e-2), (36.0, 3e-3), (400.0, 1e-3))  # for real spectra: nuclei, odd calibration
_WHERE = "--instrument, --redshift"


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="FITS file to write.")],
    recipe: RecipeName = "paper",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of spectra.")] = 1000,
    seed: Seed = 0,
    snr: Annotated[float | None, typer.Option(min=0.1, help="S/N; drawn from the recipe's range if not given.")] = None,
    instrument: Annotated[
        Literal["sami", "manga", "califa", "muse", "sdss"] | None,
        typer.Option(help="survey: whose noise and resolution; drawn if not given.", case_sensitive=False),
    ] = None,
    redshift: Annotated[
        float | None, typer.Option(min=0, help="survey: redshift of the galaxy; drawn if not given.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="survey: leave out an ingredient (dust, emission, masks, …); repeatable.")
    ] = None,
    library: Library = None,
    overwrite: Overwrite = False,
) -> None:
    """Simulate spectra of one galaxy, with their truth and parameters, as FITS."""
    import numpy as np

    from quietspec.io.writing.atomic import os_errors_named, whole_file
    from quietspec.lab.simulate import INSTRUMENTS

    require_new(out, overwrite)
    where: dict[str, Any] = {}
    if recipe == "survey":
        seen = next((name for name in INSTRUMENTS if name.split()[0].lower() == instrument), None)
        where = {"instrument": seen, "redshift": redshift}
    elif instrument or redshift:
        raise typer.BadParameter("recipe 'paper' is at rest, on one grid; take --recipe survey", param_hint=_WHERE)
    simulated = recipe_named(recipe, library, without).simulate(n, np.random.default_rng(seed), snr, **where)
    hdus = simulated.to_hdulist()
    hdus[0].header.update(_origin(simulated, recipe, seed))
    with os_errors_named(out), whole_file(out, overwrite=overwrite) as partial:
        hdus.writeto(partial, overwrite=True, output_verify="exception")
    log(f"{len(simulated)} spectra of recipe {recipe!r}, {simulated.observed.meta['survey']}")
    console.print(str(out), soft_wrap=True)


def _origin(simulated: Simulated, recipe: str, seed: int) -> dict[str, tuple[str | int, str]]:
    """Keywords that tell how a file was simulated."""
    from quietspec import __version__

    meta = simulated.observed.meta
    cards: dict[str, tuple[str | int, str]] = {
        "QSRECIPE": (recipe, "simulated world"),
        "QSSEED": (seed, "seed of all random draws"),
        "QSSIMVER": (__version__, "version of quietspec"),
    }
    texts = {"QSCMD": command_line(), "QSLIB": meta["library"], "SURVEY": meta["survey"]}
    return cards | {key: (text.encode("ascii", "replace").decode(), "") for key, text in texts.items()}


@app.command()
def train(
    model: Annotated[Literal["posterior", "wiener", "pca"], typer.Argument(help="What to train.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file (.npz) to write; its card goes beside it.")],
    recipe: RecipeName = "survey",
    n: Annotated[int, typer.Option("-n", min=1000, help="Training spectra; `paper` has 90000.")] = 60_000,
    seed: Seed = 1,
    components: Annotated[int, typer.Option(min=2, help="Basis vectors.")] = 20,
    mixture: Annotated[int, typer.Option(min=1, help="Gaussians of the posterior's prior.")] = 256,
    floor: Annotated[float, typer.Option(min=0, help="Variance floor, in reference noise variances.")] = 0.01,
    reference_snr: Annotated[float, typer.Option(min=1, help="S/N whose noise is the unit of the basis.")] = 40.0,
    rounds: Annotated[int, typer.Option(min=1, help="Most rounds of EM.")] = 150,
    library: Library = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on simulated spectra, test it on others, and write it with its card."""
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.training import MixtureSettings, PriorSettings, train_prior

    card_file = _card_file(out)
    for path in (out, card_file):
        require_new(path, overwrite)
    require_spectra(recipe, n, "train")
    start = time.perf_counter()
    world = recipe_named(recipe, library)
    mixtures = MixtureSettings(n_mixture=mixture if model == "posterior" else 1, floor=floor, max_iter=rounds)
    settings = PriorSettings(
        n_components=components,
        reference_snr=reference_snr,
        mixture=mixtures,
        outskirts=_OUTSKIRTS if recipe == "survey" and model == "posterior" else (),
    )
    prior = train_prior(world, n, seed, settings, progress=log)
    seconds = time.perf_counter() - start
    log(f"trained in {seconds:.0f} s; now tested on {_TRAINED_TESTS} spectra it has not seen")
    scores = _scores(world, prior, model)
    with os_errors_named(out):
        prior.save(out)
    card = {
        "summary": f"recipe {recipe!r}: {prior.n_mixture} Gaussian(s) over {prior.n_components} components",
        **prior.card,
        "command": command_line(),
        "commit": commit(),
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "training_flops": settings.flops(n, len(prior.wavelength)),
        "hash": prior.hash,
        "scores": scores,
    }
    write_json(card_file, card)
    console.print(str(out), soft_wrap=True)


@app.command()
def relabel(
    prior: Annotated[str, typer.Argument(help="Trained prior: name of a shipped one, or an .npz from `train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Model file (.npz) to write; its card goes beside it.")],
    library: Library = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit the parameters (age, metallicity, …) of a trained prior anew; its spectra stay what they are."""
    from quietspec.denoisers import load_prior
    from quietspec.errors import ModelError
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.training import relabelled_prior

    card_file = _card_file(out)
    for path in (out, card_file):
        require_new(path, overwrite)
    trained = load_prior(prior)
    if not {"recipe", "n", "seed", "settings"} <= trained.card.keys():
        raise ModelError(f"{prior}: its card does not say how it was trained; use a model that `quietspec train` made.")
    world = recipe_named(trained.card["recipe"], library)
    labelled = relabelled_prior(trained, world, int(trained.card["n"]), int(trained.card["seed"]))
    log(f"labels: {', '.join(labelled.label_names)}")
    with os_errors_named(out):
        labelled.save(out)
    made = {"command": command_line(), "commit": commit(), "date": date.today().isoformat(), "of": trained.hash}
    scores = _scores(world, labelled, "posterior" if labelled.n_mixture > 1 else "wiener")
    write_json(card_file, {**_card_of(prior), **labelled.card, "labels": made, "hash": labelled.hash, "scores": scores})
    console.print(str(out), soft_wrap=True)


def _card_file(out: Path) -> Path:
    from quietspec.errors import WriteError

    if out.suffix != ".npz":
        raise WriteError(f"{out}: a model file's name ends in .npz.")
    return out.with_suffix(".json")


def _card_of(prior: str) -> dict[str, Any]:
    """Card of a prior: shipped, or beside its file."""
    from json import loads

    from quietspec.denoisers import model_cards

    beside = Path(prior).with_suffix(".json")
    if prior in model_cards():
        return model_cards()[prior]
    return dict(loads(beside.read_text(encoding="utf-8"))) if beside.exists() else {}


def _scores(world: Recipe, prior: SpectralPrior, model: str) -> dict[str, Any]:
    from quietspec.denoisers import Posterior, PrincipalComponents
    from quietspec.lab.evaluation import evaluate as score

    tools: dict[str, Any] = {
        "pca": PrincipalComponents("pca", prior),
        "wiener": Posterior("wiener", prior.collapsed(), discrepancy=False),
    }
    if model == "posterior":
        tools["posterior"] = Posterior("posterior", prior, discrepancy=False)
    with progress_bar("testing") as progress:
        result = score(world, tools, _TRAINED_SNR, _TRAINED_TESTS, seed=0, progress=lambda f: progress(f, 1.0))
    return result.to_json()


@app.command()
def evaluate(
    recipe: RecipeName = "paper",
    models: Annotated[
        str, typer.Option(help="Denoisers, by comma: gaussian, savgol, butterworth, wavelet, pca, wiener, posterior.")
    ] = "gaussian,savgol,wavelet,pca,wiener,posterior",
    snr: Annotated[str, typer.Option(help="S/N, by comma.")] = "5,10,15,20",
    n: Annotated[int, typer.Option("-n", min=1, help="Number of test spectra; `paper` has 10000.")] = 1000,
    seed: Seed = 0,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Test by level and bin whether the errors are right (goes to --json).")
    ] = False,
    limit: Annotated[
        bool, typer.Option("--limit", help="Sample the Bayes limit and compare with it (some 10 s a spectrum and S/N).")
    ] = False,
    limit_n: Annotated[int, typer.Option("--limit-n", min=1, help="Spectra of which it is sampled at each S/N.")] = 50,
    prior: Annotated[
        str | None, typer.Option(help="Prior of pca, wiener and posterior; the recipe's shipped one by default.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the scores as JSON; - is standard output.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for figures, as PNG and PDF; made if missing.")] = None,
    library: Library = None,
) -> None:
    """Score denoisers against the truth on simulated test spectra, all on the same noise."""
    from quietspec.denoisers import load_denoiser
    from quietspec.io.writing.atomic import os_errors_named
    from quietspec.lab.evaluation import evaluate as score

    levels = numbers(snr)
    require_spectra(recipe, n, "test")
    if json is not None:
        require_new(json, overwrite=True)
    if figures is not None:
        with os_errors_named(figures):
            figures.mkdir(parents=True, exist_ok=True)
    tools = {
        name: load_denoiser(name, prior or recipe, discrepancy=False) for name in map(str.strip, models.split(","))
    }
    world = recipe_named(recipe, library)
    with progress_bar("evaluating") as progress:
        result = score(
            world,
            tools,
            levels,
            n,
            seed=seed,
            coverage=coverage,
            limit=min(limit_n, n) if limit else 0,
            progress=lambda fraction: progress(fraction, 1.0),
        )
    if json is None or str(json) != "-":
        _print_scores(result)
    if json is not None:
        write_json(json, result.to_json())
    if figures is not None:
        _draw(result, _cards(tools, prior or recipe), figures)


def numbers(text: str) -> list[float]:
    """Read numbers above 0 from a list by comma."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < inf for number in numbers):
        raise typer.BadParameter(f"{text!r} is not a list of numbers above 0 such as 5,10,20", param_hint="--snr")
    return numbers


def require_spectra(recipe: str, n: int, part: Literal["train", "test"]) -> None:
    """Refuse more spectra than a part of a recipe has."""
    from quietspec.lab.simulate import PAPER_SIZES

    if recipe == "paper" and n > PAPER_SIZES[part]:
        raise typer.BadParameter(f"recipe 'paper' has {PAPER_SIZES[part]} spectra to {part}", param_hint="-n")


def _print_scores(result: Evaluation) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    names = ["S/N", "model", "reduction", "recovery", "worst line", "68 %", "95 %", "ms/spectrum"]
    for name in names + ["÷ limit"] * bool(result.limits):
        table.add_column(name, justify="left" if name in ("model", "worst line") else "right")
    content = result.to_json()["models"]
    for level in result.snrs:
        for name, by_snr in content.items():
            scores = by_snr[f"{level:g}"]
            worst, reduction = min(scores["lines"].items(), key=lambda item: 9 if item[1] is None else item[1])
            table.add_row(
                f"{level:g}",
                name,
                _percent(scores["rms_reduction"]),
                _percent(scores["recovery"], 2),
                f"{worst} {_percent(reduction)}",
                _percent(scores["coverage68"]),
                _percent(scores["coverage95"]),
                f"{1e3 * scores['seconds_per_spectrum']:.2f}",
                *_beside_limit(scores),
            )
        table.add_section()
    console.print(table)


def _beside_limit(scores: Mapping[str, Any]) -> list[str]:
    if scores.get("limit_ratio") is None:
        return []
    return [f"{scores['limit_ratio']:.3f} ± {scores['limit_ratio_error']:.3f}"]


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _cards(tools: Mapping[str, Denoiser], prior: str) -> dict[str, Mapping[str, Any]]:
    """Cards of the models that were trained: their own, shipped or beside the file, or that of the prior below."""
    from quietspec.denoisers import SpectralPrior, model_cards

    shipped = model_cards()
    cards: dict[str, Mapping[str, Any]] = {}
    for name, tool in tools.items():
        if name in shipped or Path(name).suffix == ".onnx":
            cards[name] = _card_of(name)
        elif isinstance(basis := getattr(tool, "prior", None), SpectralPrior):
            cards[name] = shipped.get(prior, basis.card)
    return cards


def _draw(result: Evaluation, cards: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    from quietspec.lab.plots import evaluation_figures
    from quietspec.plots import save

    for name, figure in evaluation_figures(result, cards).items():
        for suffix in (".png", ".pdf"):
            console.print(str(save(figure, folder / (name + suffix))), style="dim", soft_wrap=True)
