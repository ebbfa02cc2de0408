"""From what is found about batches of spectra to a `Denoised`: estimates, errors and, on request, covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, BySpectrum, FloatArray
from quietspec.compact import CompactPosterior
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers.base import finish
from quietspec.denoisers.posterior.grid import Batch
from quietspec.lines import FittedLines, LineGroup, LinePosterior
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra

__all__ = ["Accumulator", "CovarianceOfBatch", "Estimates", "Solution", "SpectrumFactor"]


class CovarianceOfBatch(Protocol):
    """Square roots of covariances of the spectra of a batch, by their numbers in it."""

    def __call__(self, number: int) -> FloatArray:
        """F of shape (n_pixels, n_factors), with F Fᵀ the covariance."""

    def nucleus(self, number: int) -> tuple[FloatArray, FloatArray]:
        """Flux of the active nucleus, (n_pixels,), and the square root of its covariance in the columns of F."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What is found about a batch of spectra, in units of each.

    Parameters
    ----------
    flux, variance : (n_spectra, n_pixels)
        Estimate, and its variance without `remainder`.
    remainder : (n_spectra, n_pixels)
        The part of the 1σ error that is independent from pixel to pixel.
    ignored : (n_spectra, n_pixels) of bool
        Good pixels left out.
    determined : (n_spectra,)
        Number of parameters that the data determine.
    labels : ParameterPosterior
        Posterior of the labels.
    factor : CovarianceOfBatch
        Of the covariance without `remainder`.
    compact : CompactPosterior, optional
        What `factor` follows from, where it is to travel in files.
    explained : (n_spectra,), optional
        χ² of the data, by the errors of the batch, that the denoiser ascribes to the air.
    """

    flux: FloatArray
    variance: FloatArray
    remainder: FloatArray
    ignored: BoolArray
    determined: FloatArray
    labels: ParameterPosterior
    factor: CovarianceOfBatch
    compact: CompactPosterior | None = None
    explained: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Estimates(BySpectrum):
    """What is found about each spectrum, as fields of `Denoised`; batches fill in their rows.

    Parameters
    ----------
    flux, sigma, remainder : (n_spectra, n_pixels)
        Estimate, its 1σ error, and the part of this that is independent from pixel to pixel, in the spectra's unit.
    ignored : (n_spectra, n_pixels) of bool
        Good pixels left out.
    flags : (n_spectra,) of int
        Bits of `Flag`.
    noise_scale, redshift, evidence, dof : (n_spectra,)
        As in `Denoised`.
    explained : (n_spectra,)
        As in `Solution`, but by the quoted errors.
    """

    flux: FloatArray
    sigma: FloatArray
    remainder: FloatArray
    ignored: BoolArray
    flags: npt.NDArray[np.int64]
    noise_scale: FloatArray
    redshift: FloatArray
    evidence: FloatArray
    dof: FloatArray
    explained: FloatArray

    @classmethod
    def unset(cls, spectra: Spectra) -> Self:
        """Estimates of spectra about which nothing is known yet."""
        n, shape, dtype = len(spectra), spectra.flux.shape, spectra.flux.dtype
        return cls(
            flux=np.full(shape, np.nan, dtype=dtype),
            sigma=np.full(shape, np.nan, dtype=dtype),
            remainder=np.zeros(shape, dtype=dtype),
            ignored=np.zeros(shape, dtype=bool),
            flags=np.zeros(n, dtype=np.int64),
            noise_scale=np.ones(n),
            redshift=spectra.redshift.copy(),
            evidence=np.full(n, np.nan),
            dof=np.full(n, np.nan),
            explained=np.zeros(n),
        )


class Accumulator:
    """Gathers batches into the arrays of a `Denoised`.

    Parameters
    ----------
    spectra : Spectra
        The input.
    label_names : tuple of str
        Names of the labels.

    Attributes
    ----------
    estimates : Estimates
        What is known so far.
    """

    def __init__(self, spectra: Spectra, label_names: tuple[str, ...]) -> None:
        self.spectra = spectra
        self.estimates = Estimates.unset(spectra)
        self._label_names = label_names
        self._labels: list[tuple[npt.NDArray[np.intp], ParameterPosterior]] = []  # later ones replace earlier ones
        self._compact: list[tuple[npt.NDArray[np.intp], CompactPosterior]] = []  # likewise
        self._factors: dict[int, SpectrumFactor] = {}
        self._lines: LinePosterior | None = None

    def store(self, rows: npt.NDArray[np.intp], batch: Batch[Any], found: Solution) -> None:
        """Put what was found about the spectra `rows`, which are those of the batch, in its place."""
        unit, estimates, pixels = batch.unit, self.estimates, batch.grid.pixels
        place = rows, pixels
        estimates.flux[place] = found.flux * unit
        estimates.sigma[place] = np.sqrt(np.maximum(found.variance, 0) + found.remainder**2) * unit
        estimates.remainder[place] = found.remainder * unit
        estimates.ignored[place] = found.ignored
        estimates.dof[rows] = ((batch.weight > 0) & ~found.ignored).sum(axis=1) - found.determined
        if found.explained is not None:
            estimates.explained[rows] = found.explained * batch.inflation**2  # by quoted errors
        if found.labels.names:
            self._labels.append((rows, found.labels))
        if found.compact is not None:
            self._compact.append((rows, found.compact))
        for number, row in enumerate(rows.tolist()):
            self._factors[row] = SpectrumFactor(found.factor, number, pixels, unit[number], self.spectra.n_pixels)

    def store_lines(self, row: int, groups: tuple[LineGroup, ...], found: FittedLines, unit: float) -> None:
        """Put what was found about the emission lines of a spectrum in its place."""
        if self._lines is None:
            self._lines = LinePosterior.empty(len(self.spectra))
        self._lines.with_fitted(row, groups, found, unit, float(self.spectra.redshift[row]))

    def replace(self, rows: npt.NDArray[np.intp], other: Accumulator, which: npt.NDArray[np.intp]) -> None:
        """Replace the spectra ``rows[which]`` by those of `other`, which was made for `rows` only."""
        if not which.size:
            return
        self.estimates = self.estimates.with_rows(rows[which], other.estimates[which])
        if other._labels:
            self._labels.append((rows[which], other.labels()[which]))
        if (compact := other.compact()) is not None:
            self._compact.append((rows[which], compact[which]))
        if self._lines is not None and other._lines is not None:
            self._lines = self._lines.with_rows(rows[which], other._lines[which])
        self._factors.update({int(rows[k]): other._factors[int(k)] for k in which if int(k) in other._factors})

    def forget_compact(self) -> None:
        """Drop the compact posteriors stored so far: what follows has other settings."""
        self._compact.clear()

    def widen_labels(self, rows: npt.NDArray[np.intp], covariance: FloatArray) -> None:
        """Add an error to the first few labels of some spectra, of covariance (n, n)."""
        self._labels.append((rows, self.labels()[rows].widened(covariance)))

    def labels(self) -> ParameterPosterior:
        """Posterior of the labels of all spectra; NaN where none was stored."""
        unknown = ParameterPosterior.empty(len(self.spectra), self._label_names)
        if not self._labels:
            return unknown
        rows, posteriors = zip(*self._labels, strict=True)
        return unknown.with_rows(np.concatenate(rows), ParameterPosterior.stack(posteriors))

    def compact(self) -> CompactPosterior | None:
        """Compact posterior of all spectra; None where none was stored."""
        if not self._compact:
            return None
        rows, parts = zip(*self._compact, strict=True)
        return CompactPosterior.stack(parts).on(np.concatenate(rows), len(self.spectra))

    def finish(self, model: ModelId) -> Denoised:
        """Make the result."""
        labels, estimates = self.labels(), self.estimates
        return finish(
            self.spectra,
            estimates.flux,
            estimates.sigma,
            model=model,
            flags=estimates.flags,
            ignored=estimates.ignored,
            dof=estimates.dof,
            explained=estimates.explained,
            evidence=estimates.evidence,
            parameters={name: (labels.mean(name), labels.sigma(name)) for name in labels.names},
            parameter_posterior=labels,
            factor_of=self._factor_of,
            nucleus_of=self._nucleus_of,
            remainder=estimates.remainder,
            noise_scale=estimates.noise_scale,
            redshift=estimates.redshift,
            lines=self._lines,
            compact=self.compact(),
        )

    def _factor_of(self, row: int) -> FloatArray:
        if row not in self._factors:
            return np.full((self.spectra.n_pixels, 1), np.nan)
        return self._factors[row]()

    def _nucleus_of(self, row: int) -> tuple[FloatArray, FloatArray]:
        if row not in self._factors:
            n_pixels = self.spectra.n_pixels
            return np.full(n_pixels, np.nan), np.full((n_pixels, 1), np.nan)
        return self._factors[row].nucleus()


@dataclass(frozen=True, eq=False)
class SpectrumFactor:
    """Factor of one spectrum's covariance on all of its pixels, computed only on request.

    Parameters
    ----------
    of_batch : CovarianceOfBatch
        Of the spectra of its batch.
    number : int
        Its number in the batch.
    pixels : slice
        Pixels that the model covers.
    unit : (n_covered,) or (1,)
        Flux unit there.
    n_pixels : int
        Number of all pixels.
    """

    of_batch: CovarianceOfBatch
    number: int
    pixels: slice
    unit: FloatArray
    n_pixels: int

    def __call__(self) -> FloatArray:
        """F, (n_pixels, n_factors); 0 where the model covers nothing."""
        return self._everywhere(self.of_batch(self.number))

    def nucleus(self) -> tuple[FloatArray, FloatArray]:
        """Flux of the nucleus, (n_pixels,), and a root of its covariance in the columns of F."""
        flux, factor = self.of_batch.nucleus(self.number)
        return self._everywhere(flux[:, None])[:, 0], self._everywhere(factor)

    def _everywhere(self, factor: FloatArray) -> FloatArray:
        everywhere = np.zeros((self.n_pixels, factor.shape[1]))
        everywhere[self.pixels] = factor * self.unit[:, None]
        return everywhere
