"""Cards of models: where they lie, and the scores and terms that go into them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quietspec.cli.console import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quietspec.denoisers import Denoiser, SpectralPrior
    from quietspec.io.fetching import Dataset
    from quietspec.lab.simulate import Recipe

__all__ = ["Licence", "card_file", "card_of", "fetched_templates", "template_terms", "test_scores"]

TRAINED_SNR = (5.0, 10.0, 20.0)  #: S/N at which a trained model is tested
TRAINED_TESTS = 500  #: test spectra at each

Licence = Annotated[
    str | None,
    typer.Option(help="Terms of use of your own library, for the model's card; those of fetched ones are known."),
]


def card_file(out: Path) -> Path:
    """Return the path of the card beside a model file, or raise `WriteError` where this is no ``.npz``."""
    from quietspec.errors import WriteError

    if out.suffix != ".npz":
        raise WriteError(f"{out}: a model file's name ends in .npz.")
    return out.with_suffix(".json")


def card_of(prior: str) -> dict[str, Any]:
    """Card of a prior: shipped, or beside its file."""
    from json import loads

    from quietspec.denoisers import model_cards
    from quietspec.errors import ModelError

    beside = Path(prior).with_suffix(".json")
    if prior in model_cards():
        return model_cards()[prior]
    try:
        return dict(loads(beside.read_text(encoding="utf-8"))) if beside.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{beside}: not a model's card ({error}). Remove it: the .npz has most of it.") from error


def fetched_templates(
    recipe: str, library: str | None, licence: str | None, left_out: Sequence[str] = ()
) -> tuple[Dataset, ...]:
    """List the fetched data sets that a recipe makes its galaxies of.

    Parameters
    ----------
    recipe : str
        Name of the recipe.
    library : str or None
        What ``--library`` says.
    licence : str or None
        What ``--licence`` says, which is only for libraries that were not fetched.
    left_out : sequence of str, optional
        Libraries that a recipe of several libraries is to do without.

    Returns
    -------
    tuple of Dataset
        None of them if the library is the user's own.

    Raises
    ------
    typer.BadParameter
        If a licence is given for what was fetched.
    """
    from quietspec.io.fetching import DATASETS, dataset_at
    from quietspec.lab.simulate import FETCHING

    if recipe in FETCHING:
        found = tuple(DATASETS[name] for name in FETCHING[recipe].data_sets(left_out))
    else:
        one = DATASETS["miles"] if library is None else dataset_at(library)
        found = () if one is None else (one,)
    if found and licence is not None:
        names = ", ".join(one.name for one in found)
        raise typer.BadParameter(
            f"is for a library of your own (--library); the terms of {names} are known", param_hint="--licence"
        )
    return found


def template_terms(fetched: Sequence[Dataset], own: str, licence: str | None) -> dict[str, Any]:
    """Entry of a card that states the terms of the templates.

    Parameters
    ----------
    fetched : sequence of Dataset
        Fetched data sets behind the model, from `fetched_templates`.
    own : str
        Name of the library if nothing was fetched.
    licence : str or None
        Its terms, if stated.

    Returns
    -------
    dict
        JSON types; `quietspec.templates.TemplateTerms` reads it.
    """
    from quietspec.templates import TemplateTerms

    sets = [TemplateTerms(name=one.name, terms=one.terms, citation=one.citation) for one in fetched]
    if not sets:
        sets = [TemplateTerms(name=own) if licence is None else TemplateTerms(name=own, terms=licence)]
    return TemplateTerms.entry(tuple(sets))


def test_scores(world: Recipe, prior: SpectralPrior) -> dict[str, Any]:
    """Scores of a trained prior, and of the Wiener filter and PCA beside it, on spectra of a world it has not seen."""
    from quietspec.denoisers import PrincipalComponents, posterior_of
    from quietspec.lab.evaluation import evaluate as score

    tools: dict[str, Denoiser] = {
        "pca": PrincipalComponents("pca", prior),
        "wiener": posterior_of("wiener", prior.collapsed()),
    }
    if prior.n_mixture > 1:
        tools["posterior"] = posterior_of("posterior", prior)
    with progress_bar("testing") as progress:
        result = score(world, tools, TRAINED_SNR, TRAINED_TESTS, seed=0, progress=progress)
    return result.to_json()
