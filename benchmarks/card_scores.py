"""Scores in the cards of the shipped priors, by the present code, as `quietspec lab train` computes them.

    python benchmarks/card_scores.py [--install FOLDER]

Each prior, and the Wiener filter and PCA on it, denoise spectra of the prior's own recipe that it has not seen. With
`--install src/quietspec/models` the cards there get these scores.
"""

import json
from pathlib import Path
from typing import Any

from script import finish, log, parser

from quietspec.cli.lab.cards import test_scores
from quietspec.cli.lab.worlds import recipe_named
from quietspec.denoisers import load_prior
from quietspec.denoisers.shipped import PRIORS


def install(folder: Path, model: str, scores: dict[str, Any]) -> None:
    """Put scores into the card of a model."""
    card = folder / f"{model}.json"
    content = json.loads(card.read_text(encoding="utf-8")) | {"scores": scores}
    card.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    made = parser(__doc__, results="card_scores")
    made.add_argument("--models", nargs="+", default=list(PRIORS), help="shipped priors; all by default")
    made.add_argument("--install", type=Path, metavar="FOLDER", help="folder of cards to put the scores into")
    options = made.parse_args()
    scores = {}
    for model in options.models:
        log(model)
        prior = load_prior(model)
        scores[model] = test_scores(recipe_named(str(prior.card["recipe"]), None), prior)
        if options.install:
            install(options.install, model, scores[model])
    finish(options, {"scores": scores})


if __name__ == "__main__":
    main()
