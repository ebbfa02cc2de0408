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
    """Score a trained prior on spectra of a world it has not seen, with Wiener filter and PCA unless it is at rest."""
    from quietspec.lab.evaluation import evaluate as score

    with progress_bar("testing") as progress:
        result = score(world, _tools(prior), TRAINED_SNR, TRAINED_TESTS, seed=0, progress=progress)
    return result.to_json()


def _tools(prior: SpectralPrior) -> dict[str, Denoiser]:
    """Denoisers that rest on a prior, by name."""
    from quietspec.denoisers import Posterior, PrincipalComponents
    from quietspec.denoisers.posterior.kinematic_denoiser import KinematicPosterior

    if prior.card.get("kinematics") == "explicit":
        return {"posterior": KinematicPosterior("posterior", prior)}
    tools: dict[str, Denoiser] = {
        "pca": PrincipalComponents("pca", prior),
        "wiener": Posterior("wiener", prior.collapsed(), discrepancy=False),
    }
    if prior.n_mixture > 1:
        tools["posterior"] = Posterior("posterior", prior, discrepancy=False)
    return tools
