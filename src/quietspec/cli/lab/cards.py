"""Cards of models: where they lie, and the scores that go into them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quietspec.cli.console import progress_bar

if TYPE_CHECKING:
    from quietspec.denoisers import Denoiser, SpectralPrior
    from quietspec.lab.simulate import Recipe

__all__ = ["card_file", "card_of", "test_scores"]

TRAINED_SNR = (5.0, 10.0, 20.0)  #: S/N at which a trained model is tested
TRAINED_TESTS = 500  #: test spectra at each


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

    beside = Path(prior).with_suffix(".json")
    if prior in model_cards():
        return model_cards()[prior]
    return dict(loads(beside.read_text(encoding="utf-8"))) if beside.exists() else {}


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
