"""Batches of training spectra with new noise each time, from a stream that can be taken up anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from quietspec.lab.simulate import PaperRecipe, RestSpectra, Simulated
from quietspec.lab.training.networks.run import Run
from quietspec.lab.training.worlds import training_spectra

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.denoisers import Denoiser
    from quietspec.lab.networks import Channel

__all__ = ["Batch", "Corpus", "NoisyBatches", "network_input"]

_ORDER, _NOISE, _VALIDATION = 1, 2, 3  # children of the run's seed


class Batch(NamedTuple):
    """Spectra for one step.

    Parameters
    ----------
    spectra : (n_spectra, n_channels, n_pixels)
        A network's input.
    truth : (n_spectra, n_pixels)
        Noise-free flux.
    sigma : (n_spectra, n_pixels)
        1σ noise.
    """

    spectra: Tensor
    truth: Tensor
    sigma: Tensor


class Corpus(NamedTuple):
    """Noise-free spectra of the training part, and the rest of what makes batches.

    Parameters
    ----------
    recipe : PaperRecipe
        Adds the noise.
    training, validation : RestSpectra
        Noise-free spectra, none in both.
    """

    recipe: PaperRecipe
    training: RestSpectra
    validation: RestSpectra

    @classmethod
    def draw(cls, recipe: PaperRecipe, run: Run) -> Corpus:
        """Compute the spectra of a run; those of the test part are out of its reach."""
        rest = training_spectra(recipe, run.n, run.seed)
        first = run.n - run.validation
        return cls(recipe, rest[:first], rest[first:])

    def validation_batches(self, run: Run, wiener: Denoiser | None = None) -> list[Batch]:
        """Draw the same batches each time, with S/N evenly over the run's range in each."""
        batches = []
        for number, start in enumerate(range(0, len(self.validation), run.batch)):
            rest = self.validation[start : start + run.batch]
            rng = np.random.default_rng((run.seed, _VALIDATION, number))
            simulated = self.recipe.observe(rest, rng, np.linspace(*run.snr, len(rest)))
            batches.append(_batch(simulated, run.network.channels, wiener))
        return batches


class NoisyBatches:
    """One epoch of batches at a time from an endless stream: every training spectrum once, in random order, and again.

    The order follows from the run's seed, the noise from that and the batch's number; so a stream that is taken up at
    batch k goes on as if it had never stopped. Several processes take every so-manieth spectrum of each batch.

    Parameters
    ----------
    corpus : Corpus
        What to draw from.
    run : Run
        Batch size, S/N, seed, channels.
    wiener : Denoiser, optional
        Fills the channel ``'wiener'``.
    rank, world : int
        Number of this process, and of all.
    """

    def __init__(
        self, corpus: Corpus, run: Run, wiener: Denoiser | None = None, *, rank: int = 0, world: int = 1
    ) -> None:
        self.corpus, self.run, self.wiener, self.rank, self.world = corpus, run, wiener, rank, world
        self.position = 0  # batches handed out since training began

    def __len__(self) -> int:
        return self.run.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.position // len(self)
        while self.position // len(self) == epoch:
            self.position += 1
            yield self.batch(self.position - 1)

    def rows(self, number: int) -> npt.NDArray[np.intp]:
        """Training spectra of a batch, over all processes."""
        n, batch = len(self.corpus.training), self.run.batch
        places = np.arange(number * batch, (number + 1) * batch)
        rounds = places // n
        orders = {
            turn: np.random.default_rng((self.run.seed, _ORDER, turn)).permutation(n)
            for turn in range(int(rounds[0]), int(rounds[-1]) + 1)
        }
        return np.array([orders[int(turn)][place % n] for turn, place in zip(rounds, places, strict=True)])

    def batch(self, number: int) -> Batch:
        """Make this process's part of a batch."""
        rest = self.corpus.training[self.rows(number)[self.rank :: self.world]]
        rng = np.random.default_rng((self.run.seed, _NOISE, number, self.rank))
        simulated = self.corpus.recipe.observe(rest, rng, rng.uniform(*self.run.snr, len(rest)))
        return _batch(simulated, self.run.network.channels, self.wiener)

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take the stream up where a checkpoint left it."""
        self.position = state["position"]


def network_input(simulated: Simulated, channels: tuple[Channel, ...], wiener: Denoiser | None = None) -> Tensor:
    """Stack a network's input channels.

    Parameters
    ----------
    simulated : Simulated
        Noisy spectra.
    channels : tuple of str
        As in `NetworkSettings`.
    wiener : Denoiser, optional
        Needed for the channel ``'wiener'``.

    Returns
    -------
    (n_spectra, n_channels, n_pixels)
        In float32.
    """
    observed = simulated.observed
    makers: dict[Channel, Callable[[], npt.NDArray[Any]]] = {
        "flux": lambda: observed.flux,
        "sigma": lambda: observed.sigma,
        "masked": lambda: ~observed.good,
        "wiener": lambda: _required(wiener).denoise(observed).flux,
    }
    return torch.from_numpy(np.stack([makers[name]() for name in channels], axis=1).astype(np.float32))


def _required(wiener: Denoiser | None) -> Denoiser:
    if wiener is None:
        raise ValueError("channel 'wiener': give the filter.")
    return wiener


def _batch(simulated: Simulated, channels: tuple[Channel, ...], wiener: Denoiser | None) -> Batch:
    return Batch(
        network_input(simulated, channels, wiener),
        torch.from_numpy(np.asarray(simulated.truth, dtype=np.float32)),
        torch.from_numpy(np.asarray(simulated.observed.sigma, dtype=np.float32)),
    )
