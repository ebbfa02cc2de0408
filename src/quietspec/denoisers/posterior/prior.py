"""The prior over galaxy spectra: a linear basis for their shapes and a Gaussian mixture over its coefficients."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoisers.posterior.storage import OPTIONAL, REQUIRED, pack_symmetric, read_model, write_model
from quietspec.resampling import Resampler
from quietspec.wavelengths import FWHM_PER_SIGMA

__all__ = ["PixelBasis", "SpectralPrior"]


@dataclass(frozen=True)
class PixelBasis:
    """A prior's basis on the pixels of one observation.

    Parameters
    ----------
    vectors : (n_pixels, 1 + n_components)
        Mean shape and components; 0 in pixels the prior does not cover.
    truncation : (n_pixels,)
        1σ of what the components leave out of a shape, independent from pixel to pixel.
    covered : (n_pixels,) of bool
        Pixels within the prior's wavelengths.
    """

    vectors: FloatArray
    truncation: FloatArray
    covered: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class SpectralPrior:
    """Prior over noise-free rest-frame spectra, learned from simulated ones.

    A spectrum is scale × (mean + c · components + remainder). The scale is free; the coefficients c follow a mixture
    of Gaussians; the remainder is independent from pixel to pixel with 1σ `truncation`. Within mixture component k
    the physical labels θ (age, metallicity, …) are θ = labels[k] + slopes[k] (c − means[k]) plus Gaussian scatter of
    covariance label_covariances[k]: the conditional of one joint Gaussian mixture over (c, θ).

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Resolution of the basis, FWHM in Å; 0 where it counts as infinitely sharp.
    mean : (n_pixels,)
        Mean shape.
    components : (n_components, n_pixels)
        Basis vectors, in order of decreasing variance relative to the noise.
    truncation : (n_pixels,)
        1σ of the remainder.
    weights : (n_mixture,)
        Mixture weights; they sum to 1.
    means : (n_mixture, n_components)
        Mixture means.
    covariances : (n_mixture, n_components, n_components)
        Mixture covariances.
    label_names : tuple of str
        Names of the labels.
    labels : (n_mixture, n_labels)
        Label means.
    slopes : (n_mixture, n_labels, n_components)
        Change of the labels with the coefficients.
    label_covariances : (n_mixture, n_labels, n_labels)
        Covariance of the labels' scatter at given coefficients.
    part_weights : (n_mixture, n_parts), optional
        Weights of the parts of this scatter, which need not be Gaussian: within mixture component k it is a mixture of
        n_parts Gaussians, of mean 0 and about the covariance label_covariances[k] as a whole. One Gaussian by default.
    part_offsets : (n_mixture, n_parts, n_labels), optional
        Means of these parts.
    part_covariances : (n_mixture, n_parts, n_labels, n_labels), optional
        Covariances of these parts.
    card : mapping
        Recipe, seed, command and scores of the model, as JSON types.

    References
    ----------
    Bovy, Hogg & Roweis 2011, Annals of Applied Statistics 5, 1657 (mixtures seen through noisy projections).
    """

    wavelength: FloatArray
    fwhm: FloatArray
    mean: FloatArray
    components: FloatArray
    truncation: FloatArray
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    label_names: tuple[str, ...]
    labels: FloatArray
    slopes: FloatArray
    label_covariances: FloatArray
    part_weights: FloatArray | None = None
    part_offsets: FloatArray | None = None
    part_covariances: FloatArray | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_components(self) -> int:
        """Number of basis vectors."""
        return len(self.components)

    @property
    def n_mixture(self) -> int:
        """Number of Gaussians in the mixture."""
        return len(self.weights)

    @property
    def at_rest(self) -> bool:
        """Whether the spectra have no motions and the library's sharpness, so that motions are parameters beside it."""
        return self.card.get("kinematics") == "explicit"

    @property
    def n_nucleus(self) -> int:
        """Number of components, the last, that are of active nuclei."""
        return int(self.card.get("nucleus_components", 0))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the prior's arrays, which identifies it in output files."""
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def collapsed(self) -> Self:
        """Prior with one Gaussian of the same mean and covariance, labels included: the linear (Wiener) prior."""
        weights = self.weights
        mean, label = weights @ self.means, weights @ self.labels
        offset, label_offset = self.means - mean, self.labels - label
        cross = self.slopes @ self.covariances
        covariance = np.einsum("k,kij->ij", weights, self.covariances + offset[:, :, None] * offset[:, None, :])
        cross_covariance = np.einsum("k,kpi->pi", weights, cross + label_offset[:, :, None] * offset[:, None, :])
        spread = self.label_covariances + cross @ np.swapaxes(self.slopes, 1, 2)
        label_covariance = np.einsum("k,kpq->pq", weights, spread + label_offset[:, :, None] * label_offset[:, None, :])
        slope = np.linalg.solve(covariance, cross_covariance.T).T
        return replace(
            self,
            weights=np.ones(1),
            means=mean[None],
            covariances=covariance[None],
            labels=label[None],
            slopes=slope[None],
            label_covariances=(label_covariance - slope @ cross_covariance.T)[None],
            part_weights=None,
            part_offsets=None,
            part_covariances=None,
        )

    @cached_property
    def label_sigma(self) -> dict[str, float]:
        """Standard deviation of each label before any data."""
        whole = self.collapsed()
        covariance = whole.label_covariances[0] + whole.slopes[0] @ whole.covariances[0] @ whole.slopes[0].T
        return dict(zip(self.label_names, np.sqrt(np.diagonal(covariance)).tolist(), strict=True))

    def label_parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, offsets and covariances of the parts of the labels' scatter; a single part by default."""
        if self.part_weights is None or self.part_offsets is None or self.part_covariances is None:
            return np.ones((self.n_mixture, 1)), np.zeros_like(self.labels)[:, None], self.label_covariances[:, None]
        return self.part_weights, self.part_offsets, self.part_covariances

    def on_pixels(self, wavelength: FloatArray, fwhm: FloatArray | None = None) -> PixelBasis:
        """Evaluate the basis at an observation's pixels.

        Parameters
        ----------
        wavelength : (n_pixels,)
            Rest-frame air wavelengths of the pixels, Å.
        fwhm : (n_pixels,), optional
            Resolution of the observation in the rest frame, Å. Where it is coarser than the basis, the basis is
            smoothed to it; where it is finer, unknown or NaN, the basis is used as it is.

        Returns
        -------
        PixelBasis
            The basis there.
        """
        sigma: FloatArray | float = 0.0
        if fwhm is not None:
            own = np.interp(wavelength, self.wavelength, self.fwhm)
            sigma = np.sqrt(np.clip(np.nan_to_num(fwhm) ** 2 - own**2, 0, None)) / FWHM_PER_SIGMA
        resample = Resampler(self.wavelength, wavelength, sigma)
        vectors = resample(np.vstack([self.mean, self.components])).T
        truncation = np.interp(wavelength, self.wavelength, self.truncation)
        return PixelBasis(np.where(resample.covered[:, None], vectors, 0.0), truncation, np.asarray(resample.covered))

    def _arrays(self) -> dict[str, FloatArray]:
        """Arrays as stored, covariances as lower triangles: in float32, save for the wavelength and what needs more."""
        arrays = {name: np.asarray(getattr(self, name)) for name in REQUIRED}
        arrays |= {name: getattr(self, name) for name in OPTIONAL if getattr(self, name) is not None}
        arrays |= {name: pack_symmetric(arrays[name]) for name in ("covariances", "label_covariances")}
        # Nuclei vary so much more than stars that covariances rounded to single precision would have no inverse.
        double = ("wavelength", "covariances") if self.n_nucleus else ("wavelength",)
        return {name: array.astype(np.float64 if name in double else np.float32) for name, array in arrays.items()}

    def save(self, path: str | Path) -> None:
        """Write the prior to an ``.npz`` file (arrays and JSON only, no code), whole or not at all.

        Parameters
        ----------
        path : path
            The file; replaced if it exists.
        """
        write_model(Path(path), self._arrays(), {"label_names": self.label_names, "card": dict(self.card)})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a prior from an ``.npz`` file written by `save`; executes nothing from the file.

        Parameters
        ----------
        path : path
            The file.

        Returns
        -------
        SpectralPrior
            In float64.

        Raises
        ------
        ModelError
            If the file is missing, damaged, of another format, or no possible prior.
        """
        return cls(**read_model(Path(path)))
