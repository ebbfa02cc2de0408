"""Batches of training spectra with new noise each time, from a stream that can be resumed anywhere."""

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

_ORDER, _NOISE, _VALIDATION = 1, 2, 3  # random streams of the run's seed


class Batch(NamedTuple):
    """Spectra for one step.

    Parameters
    ----------
    spectra : (n_spectra, n_channels, n_pixels)
        Input of the network.
    truth : (n_spectra, n_pixels)
        Noise-free flux.
    sigma : (n_spectra, n_pixels)
        1σ noise.
    """

    spectra: Tensor
    truth: Tensor
    sigma: Tensor


class Corpus(NamedTuple):
    """Everything that batches are made from: noise-free spectra of the training part, the recipe, and a Wiener filter.

    Parameters
    ----------
    recipe : PaperRecipe
        Recipe that adds the noise.
    training, validation : RestSpectra
        Noise-free spectra, none of which is in both.
    wiener : Denoiser, optional
        Filter whose estimate fills the channel ``'wiener'``.
    """

    recipe: PaperRecipe
    training: RestSpectra
    validation: RestSpectra
    wiener: Denoiser | None = None

    @classmethod
    def draw(cls, recipe: PaperRecipe, run: Run, wiener: Denoiser | None = None) -> Corpus:
        """Compute the spectra of a run, which are never spectra of the test part."""
        rest = training_spectra(recipe, run.n, run.seed)
        first = run.n - run.validation
        return cls(recipe, rest[:first], rest[first:], wiener)

    def validation_batches(self, run: Run) -> list[Batch]:
        """Make batches, the same at every call, in each of which S/N covers the run's range evenly."""
        batches = []
        for number, start in enumerate(range(0, len(self.validation), run.batch)):
            rest = self.validation[start : start + run.batch]
            rng = np.random.default_rng((run.seed, _VALIDATION, number))
            simulated = self.recipe.observe(rest, rng, np.linspace(*run.snr, len(rest)))
            batches.append(_batch(simulated, run.network.channels, self.wiener))
        return batches


class NoisyBatches:
    """Epochs of batches from an endless stream that repeats all training spectra, each time in another random order.

    The order follows from the run's seed, the noise from the seed and the batch's number, so that a stream resumed at
    batch k continues as if it had never stopped. Of n processes, each takes every n-th spectrum of a batch.

    Parameters
    ----------
    corpus : Corpus
        Source of the spectra.
    run : Run
        Batch size, S/N, seed, channels.
    rank, world : int
        Number of this process, from 0, and number of processes.
    """

    def __init__(self, corpus: Corpus, run: Run, *, rank: int = 0, world: int = 1) -> None:
        self.corpus, self.run, self.rank, self.world = corpus, run, rank, world
        self.position = 0  # number of batches yielded since training began

    def __len__(self) -> int:
        return self.run.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.position // len(self)
        while self.position // len(self) == epoch:
            self.position += 1
            yield self.batch(self.position - 1)

    def rows(self, number: int) -> npt.NDArray[np.intp]:
        """Rows of the training spectra in a batch, over all processes."""
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
        return _batch(simulated, self.run.network.channels, self.corpus.wiener)

    def state_dict(self) -> dict[str, int]:
        """State for a checkpoint."""
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Resume the stream where a checkpoint left it."""
        self.position = state["position"]


def network_input(simulated: Simulated, channels: tuple[Channel, ...], wiener: Denoiser | None = None) -> Tensor:
    """Stack the input channels of a network.

    Parameters
    ----------
    simulated : Simulated
        Noisy spectra.
    channels : tuple of str
        Channels, as in `NetworkSettings`.
    wiener : Denoiser, optional
        Filter whose estimate fills the channel ``'wiener'``.

    Returns
    -------
    (n_spectra, n_channels, n_pixels)
        Channels in the order given, float32.
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
        raise ValueError("channel 'wiener': no filter given (wiener=).")
    return wiener


def _batch(simulated: Simulated, channels: tuple[Channel, ...], wiener: Denoiser | None) -> Batch:
    return Batch(
        network_input(simulated, channels, wiener),
        torch.from_numpy(np.asarray(simulated.truth, dtype=np.float32)),
        torch.from_numpy(np.asarray(simulated.observed.sigma, dtype=np.float32)),
    )
