"""The limit for populations: exact posterior means under a recipe, by weighting a million simulated galaxies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quietspec.arrays import BySpectrum
from quietspec.errors import QuietspecError
from quietspec.lab.simulate import PaperRecipe

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.denoisers import SpectralPrior
    from quietspec.lab.simulate import Recipe, Simulated

__all__ = ["DrawnGalaxies", "DrawnMeans"]

_DRAW = 10_000  # galaxies simulated at a time
_BLOCK = 50_000  # galaxies weighted at a time …
_SPECTRA = 128  # … for this many spectra


@dataclass(frozen=True, eq=False)
class DrawnMeans(BySpectrum):
    """Posterior means of parameters, and how well they are sampled.

    Parameters
    ----------
    means : mapping of str to (n_spectra,)
        Posterior means.
    below : mapping of str to (n_spectra,)
        Posterior probability below the truth.
    effective : (n_spectra,)
        Effective number of galaxies behind each mean: (Σw)²/Σw².
    """

    means: dict[str, FloatArray]
    below: dict[str, FloatArray]
    effective: FloatArray


class DrawnGalaxies:
    """Galaxies drawn from a recipe: their coefficients on a prior's basis, and their parameters.

    The posterior of a spectrum under the recipe weights each galaxy by its likelihood, with the flux scale integrated
    out. Coefficients replace pixels: what the basis leaves out is far below the noise up to S/N 20.

    Parameters
    ----------
    recipe : PaperRecipe
        The simulated world; all spectra are on its wavelengths.
    prior : SpectralPrior
        The prior whose basis is used; its mixture plays no part.
    n : int
        Number of galaxies.
    rng : numpy.random.Generator
        Source of all draws; it must not be that of any test.

    Raises
    ------
    QuietspecError
        If the recipe has no fixed grid.
    """

    def __init__(self, recipe: Recipe, prior: SpectralPrior, n: int, rng: np.random.Generator) -> None:
        if not isinstance(recipe, PaperRecipe):
            raise QuietspecError(f"the limit is sampled for recipe 'paper' only, not for {recipe.name!r}.")
        library = recipe.library
        basis = prior.on_pixels(library.wavelength, library.fwhm)
        self._vectors, self._truncation = basis.vectors, basis.truncation
        weight = 1 / recipe.noise.relative_sigma(library.wavelength)[0].astype(np.float64) ** 2
        weighted = weight[:, None] * self._vectors
        to_coefficients = np.linalg.solve(self._vectors.T @ weighted, weighted.T).T
        coefficients, parameters = [], []
        for start in range(0, n, _DRAW):
            rest = recipe.rest(min(_DRAW, n - start), rng)
            self.names = tuple(rest.parameters)
            coefficients.append(rest.flux @ to_coefficients)
            parameters.append(np.stack([rest.parameters[name] for name in self.names], axis=1))
        self._coefficients = np.concatenate(coefficients)
        self._parameters = np.concatenate(parameters)
        self._pairs = np.tril_indices(self._vectors.shape[1])

    def __call__(self, simulated: Simulated) -> DrawnMeans:
        """Weight the galaxies by their likelihood for each simulated spectrum.

        Parameters
        ----------
        simulated : Simulated
            Observations on the recipe's wavelengths.

        Returns
        -------
        DrawnMeans
            Posterior means of all spectra.
        """
        rows = range(0, len(simulated), _SPECTRA)
        return DrawnMeans.stack([self._weighted(simulated[start : start + _SPECTRA]) for start in rows])

    def _weighted(self, simulated: Simulated) -> DrawnMeans:
        observed = simulated.observed
        weight = observed.ivar / (1 + observed.ivar * self._truncation**2)
        low, high = self._pairs
        products = self._vectors[:, low] * self._vectors[:, high] * np.where(low == high, 1.0, 2.0)
        gram, data = weight @ products, (weight * observed.flux) @ self._vectors
        truth = np.stack([simulated.parameters[name] for name in self.names], axis=1)
        top = np.full(len(observed), -np.inf)
        sums = np.zeros((2 + 2 * len(self.names), len(observed)))
        for start in range(0, len(self._coefficients), _BLOCK):
            block = self._coefficients[start : start + _BLOCK]
            product = block @ data.T
            power = (block[:, low] * block[:, high]) @ gram.T
            likelihood = 0.5 * product * np.abs(product) / power - 0.5 * np.log(power)
            highest = np.maximum(top, likelihood.max(axis=0))
            faded = np.exp(top - highest)
            weights = np.exp(likelihood - highest)
            sums *= np.where(np.arange(len(sums))[:, None] == 1, faded**2, faded)
            sums += self._sums(weights, self._parameters[start : start + _BLOCK], truth)
            top = highest
        total, squares, moments = sums[0], sums[1], sums[2:].reshape(2, len(self.names), -1)
        means, below = (dict(zip(self.names, each, strict=True)) for each in moments / total)
        return DrawnMeans(means, below, total**2 / squares)

    def _sums(self, weights: FloatArray, parameters: FloatArray, truth: FloatArray) -> FloatArray:
        """Σw, Σw², Σw θ and Σw [θ < truth] over galaxies, stacked, (2 + 2 n_names, n_spectra)."""
        below = [
            np.einsum("gs,gs->s", weights, parameters[:, column, None] < truth[:, column])
            for column in range(len(self.names))
        ]
        return np.vstack([weights.sum(axis=0), (weights**2).sum(axis=0), parameters.T @ weights, *below])
