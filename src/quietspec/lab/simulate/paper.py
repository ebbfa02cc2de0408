"""The recipe `paper`: rest-frame MILES mixtures with SAMI noise, as in Kim, Lee & Rey 2026."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from quietspec.errors import TemplateError
from quietspec.lab.simulate.histories import HistoryPrior, random_histories, random_ssp_mixtures
from quietspec.lab.simulate.noise import SAMI_NOISE, NoiseLaw, scale_to_snr
from quietspec.lab.simulate.simulated import RestSpectra, Simulated
from quietspec.spectra import Spectra
from quietspec.templates.means import population_labels
from quietspec.wavelengths import SNR_WINDOW, in_window

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.templates import SspLibrary

__all__ = ["PAPER_CHUNK", "PAPER_SEED", "PAPER_SIZES", "PaperRecipe", "paper_rng", "paper_spectra"]

Part = Literal["train", "test"]

PAPER_SEED = 20260504  #: seed of the split into training and test spectra; date of arXiv 2605.04434
PAPER_SIZES: dict[Part, int] = {"train": 90_000, "test": 10_000}
PAPER_CHUNK = 1000  #: number of spectra that share one random stream


class PaperRecipe:
    """Rest-frame mixtures of SSPs at the library's own sampling and resolution, with noise that follows a survey's law.

    The redshift is 0, and each spectrum has mean flux 1 in the S/N window. S/N is the mean flux over the mean 1σ noise
    in that window; it is uniform in 5–20 unless given. The noise is white and Gaussian, and deviates from the median
    law by one draw per section (for SAMI: blueward of the window, the rest of the blue arm, the red arm).

    Parameters
    ----------
    library : SspLibrary
        Templates, in air wavelengths; the paper uses MILES.
    histories : {'smooth', 'mixtures'}
        Weights by `random_histories`, or by `random_ssp_mixtures`.
    prior : HistoryPrior, optional
        Ranges of the smooth histories.
    noise : NoiseLaw, optional
        Noise law, SAMI's by default.
    limits : (low, high), optional
        Wavelengths in Å. The default is 3700–7400, where the SAMI law was measured; beyond, noise would be invented.
    spread : bool, optional
        Whether laws deviate from the median law.
    """

    name = "paper"
    snr_range = (5.0, 20.0)

    def __init__(
        self,
        library: SspLibrary,
        *,
        histories: Literal["smooth", "mixtures"] = "smooth",
        prior: HistoryPrior | None = None,
        noise: NoiseLaw = SAMI_NOISE,
        limits: tuple[float, float] = (3700.0, 7400.0),
        spread: bool = True,
    ) -> None:
        if library.medium != "air":
            raise TemplateError(f"{library.name}: in vacuum, but recipes need air wavelengths: give library.in_air().")
        if histories not in ("smooth", "mixtures"):
            raise ValueError(f"histories: {histories!r} is neither 'smooth' nor 'mixtures'.")
        self.library = library.between(*limits)
        self.histories, self.prior, self.noise, self.spread = histories, prior or HistoryPrior(), noise, spread
        self._window = in_window(self.library.wavelength, SNR_WINDOW)
        self._spectra = self.library.spectra.astype(np.float32)

    def weights(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw mass fractions of the SSPs, (n, n_ssp)."""
        if self.histories == "mixtures":
            return random_ssp_mixtures(self.library, n, rng)
        return random_histories(self.library, n, rng, self.prior)

    @property
    def libraries(self) -> str:
        """Name of the library whose stars are mixed."""
        return self.library.name

    def rest(self, n: int, rng: np.random.Generator) -> RestSpectra:
        """Draw `n` noise-free spectra."""
        weights = self.weights(n, rng)
        light = (weights @ self.library.light())[:, None]
        flux = (weights / light).astype(np.float32) @ self._spectra
        return RestSpectra(
            wavelength=self.library.wavelength, flux=flux, parameters=population_labels(self.library, weights)
        )

    def observe(self, rest: RestSpectra, rng: np.random.Generator, snr: float | FloatArray | None = None) -> Simulated:
        """Add noise at a given S/N, a number or (n_spectra,), or at S/N uniform in `snr_range`."""
        n = len(rest)
        wanted = rng.uniform(*self.snr_range, n) if snr is None else np.broadcast_to(np.asarray(snr, float), n).copy()
        position = self.noise.draw(n, rng) if self.spread else np.zeros((n, self.noise.n_sections))
        sigma = scale_to_snr(rest.flux, self.noise.relative_sigma(rest.wavelength, position), self._window, wanted)
        noise = rng.standard_normal(rest.flux.shape, dtype=np.float32)
        observed = Spectra(
            wavelength=rest.wavelength,
            flux=rest.flux + sigma * noise,
            ivar=1 / sigma**2,
            redshift=np.zeros(n),
            medium="air",
            fwhm=self.library.fwhm,
            meta={"survey": "simulated", "recipe": self.name, "library": self.library.name},
        )
        return Simulated(observed=observed, truth=rest.flux, parameters={**rest.parameters, "snr": wanted})

    def noise_free(self, observed: Spectra) -> Callable[[int, np.random.Generator], FloatArray]:
        """Return a function (n, rng) -> (n, n_pixels) that draws the noise-free flux of n spectra."""
        return lambda n, rng: self.rest(n, rng).flux

    def simulate(self, n: int, rng: np.random.Generator, snr: float | FloatArray | None = None) -> Simulated:
        """Draw `n` spectra and add noise."""
        return self.observe(self.rest(n, rng), rng, snr)


def paper_rng(part: Part, chunk: int, seed: int | tuple[int, ...] = PAPER_SEED) -> np.random.Generator:
    """Random stream of one chunk of `PAPER_CHUNK` noise-free spectra in the paper's split.

    Parameters
    ----------
    part : {'train', 'test'}
        Part of the split. The two use different children of one `numpy.random.SeedSequence`, so they share no spectrum.
    chunk : int
        Number of the chunk within the part.
    seed : int or tuple of int, optional
        Seed of the split; a pair of `PAPER_SEED` and 0 is the paper's own.

    Returns
    -------
    numpy.random.Generator
        The same stream at every call.
    """
    if part not in PAPER_SIZES:
        raise ValueError(f"part: {part!r} is neither 'train' nor 'test'.")
    key = (list(PAPER_SIZES).index(part), chunk)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def paper_spectra(
    recipe: PaperRecipe, part: Part, start: int = 0, stop: int | None = None, seed: int | tuple[int, ...] = PAPER_SEED
) -> Iterator[RestSpectra]:
    """Draw noise-free spectra `start` to `stop` of one part of the paper's 100,000, chunk by chunk.

    Parameters
    ----------
    recipe : PaperRecipe
        Recipe that makes the spectra.
    part : {'train', 'test'}
        Part: 90,000 spectra for training and validation, or 10,000 for tests.
    start, stop : int, optional
        Range of spectra, the whole part by default. A spectrum does not depend on the range it is drawn with.
    seed : int or tuple of int, optional
        Seed of the split; a pair of `PAPER_SEED` and 0 is the paper's own.

    Yields
    ------
    RestSpectra
        Up to `PAPER_CHUNK` spectra each, in order.

    Raises
    ------
    ValueError
        If the range lies outside the part.
    """
    stop = PAPER_SIZES[part] if stop is None else stop
    if not 0 <= start <= stop <= PAPER_SIZES[part]:
        raise ValueError(f"spectra {start}–{stop}: part {part!r} has {PAPER_SIZES[part]}.")
    for chunk in range(start // PAPER_CHUNK, -(-stop // PAPER_CHUNK)):
        first = chunk * PAPER_CHUNK
        yield recipe.rest(PAPER_CHUNK, paper_rng(part, chunk, seed))[max(start - first, 0) : stop - first]
