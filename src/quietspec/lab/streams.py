"""Random streams by purpose: what trains, what calibrates and what tests share no draw, whatever the seeds.

A stream is a child of its seed, and its spawn key begins with the name of its purpose. The streams of training are
older: their entropy is the seed followed by small numbers (`training_stream`), four words at most and no spawn key,
which no stream with a spawn key can equal. The same holds of the fixed draws that the denoisers analyse.
"""

from __future__ import annotations

import numpy as np

__all__ = ["MOST", "stream", "training_stream"]

MOST = 2**64  #: seeds are below this, so that they and what follows fill the four words that NumPy keeps for them


def stream(purpose: str, seed: int, *key: int) -> np.random.Generator:
    """Make the random stream of a purpose.

    Parameters
    ----------
    purpose : str
        Its name, of three letters at least; shorter ones could meet the paper's split (`paper_rng`).
    seed : int
        What the user gives, from 0 to 2⁶⁴ − 1.
    *key : int
        Which of the streams of this purpose: number of a batch, S/N and the like.

    Returns
    -------
    numpy.random.Generator
        The same at every call; streams of other purposes, seeds or keys are independent of it.

    Raises
    ------
    ValueError
        If the seed is out of range, or the name too short.

    Examples
    --------
    >>> first = stream("tests", 0, 1).random()
    >>> first == stream("tests", 0, 1).random(), first == stream("calibration", 0, 1).random()
    (True, False)
    """
    if len(purpose) < 3:
        raise ValueError(f"purpose: {purpose!r} has fewer than three letters.")
    name = purpose.encode()
    return np.random.default_rng(np.random.SeedSequence(_checked(seed), spawn_key=(len(name), *name, *key)))


def training_stream(seed: int, *key: int) -> np.random.Generator:
    """Make a random stream of a training.

    Parameters
    ----------
    seed : int
        That of the training, from 0 to 2⁶⁴ − 1.
    *key : int
        One or two small numbers: which of its streams.

    Returns
    -------
    numpy.random.Generator
        The same at every call.

    Raises
    ------
    ValueError
        If the seed is out of range, or there are more than two numbers.
    """
    if len(key) > 2:
        raise ValueError(f"key: {key} has more than two numbers.")
    return np.random.default_rng((_checked(seed), *key))


def _checked(seed: int) -> int:
    if not 0 <= seed < MOST:
        raise ValueError(f"seed: {seed} is not between 0 and {MOST - 1}.")
    return seed
