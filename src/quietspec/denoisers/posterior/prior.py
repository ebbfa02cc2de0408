"""The prior over galaxy spectra: a linear basis for their shapes and a Gaussian mixture over its coefficients."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ModelError
from quietspec.resampling import Resampler
from quietspec.wavelengths import FWHM_PER_SIGMA

__all__ = ["PixelBasis", "SpectralPrior"]

_FORMAT = 1
_BULK = ("mean", "components", "truncation", "fwhm", "weights", "means", "labels", "slopes")
_PACKED = ("covariances", "label_covariances")
_PARTS = ("part_weights", "part_offsets", "part_covariances")  # of which a model may have none


@dataclass(frozen=True)
class PixelBasis:
    """A prior's basis on the pixels of one observation.

    Parameters
    ----------
    vectors : (n_pixels, 1 + n_components)
        Mean shape and components; 0 in pixels the prior does not cover.
    truncation : (n_pixels,)
        1σ of what the components leave out of a shape.
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
    the physical labels θ (age, metallicity, …) follow θ = labels[k] + slopes[k] (c − means[k]) plus a Gaussian of
    covariance label_covariances[k]: the conditional of one joint Gaussian mixture over (c, θ).

    Parameters
    ----------
    wavelength : (n_pixels,)
        Rest-frame air wavelengths, Å.
    fwhm : (n_pixels,)
        Resolution of the basis, FWHM in Å; 0 where it may be taken as infinitely sharp.
    mean : (n_pixels,)
        Mean shape.
    components : (n_components, n_pixels)
        Basis vectors, in order of decreasing variance over noise.
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
        Covariance of the labels at given coefficients.
    part_weights : (n_mixture, n_parts), optional
        What is left of the labels is no Gaussian: within mixture component k it is a mixture of n_parts, with these
        weights, of mean 0 and about the covariance label_covariances[k] as a whole. One Gaussian if not given.
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

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the prior's numbers, which names it in output files."""
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

    def label_parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights, offsets and covariances of the parts of what is left of the labels; a single one if none are set."""
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

    def _arrays(self) -> dict[str, Any]:
        """Arrays as stored: float32, covariances as lower triangles."""
        arrays: dict[str, Any] = {"wavelength": np.asarray(self.wavelength, dtype=np.float64)}
        arrays |= {name: np.asarray(getattr(self, name), dtype=np.float32) for name in _BULK}
        for name in _PACKED:
            full = getattr(self, name)
            rows, columns = np.tril_indices(full.shape[1])
            arrays[name] = full[:, rows, columns].astype(np.float32)
        parts = {name: getattr(self, name) for name in _PARTS if getattr(self, name) is not None}
        return arrays | {name: array.astype(np.float32) for name, array in parts.items()}

    def save(self, path: str | Path) -> None:
        """Write the prior to an ``.npz`` file (arrays and JSON only, no code), whole or not at all.

        Parameters
        ----------
        path : path-like
            Where to.
        """
        text = json.dumps({"format": _FORMAT, "label_names": self.label_names, "card": dict(self.card)})
        buffer = io.BytesIO()
        np.savez_compressed(buffer, header=np.frombuffer(text.encode(), dtype=np.uint8), **self._arrays())
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_bytes(buffer.getvalue())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a prior from an ``.npz`` file written by `save`; executes nothing from the file.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        SpectralPrior
            In float64.

        Raises
        ------
        ModelError
            If the file is missing, damaged, not a prior, or of another format.
        """
        try:
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                stored = {name: file[name].astype(np.float64) for name in file.files if name != "header"}
        except FileNotFoundError as error:
            raise ModelError(f"{path}: no such model file. `quietspec models` lists those that ship.") from error
        except Exception as error:
            raise ModelError(f"{path}: not a quietspec model, or damaged ({error}). Train it again.") from error
        if header.get("format") != _FORMAT:
            raise ModelError(
                f"{path}: model format {header.get('format')}, this version reads {_FORMAT}. Train it again."
            )
        missing = {"wavelength", *_BULK, *_PACKED} - stored.keys()
        if missing:
            raise ModelError(f"{path}: not a whole model, {', '.join(sorted(missing))} missing. Train it again.")
        for name in _PACKED:
            stored[name] = _unpacked(stored[name])
        return cls(label_names=tuple(header["label_names"]), card=header["card"], **stored)


def _unpacked(packed: FloatArray) -> FloatArray:
    """Symmetric matrices (n, d, d) from their lower triangles (n, d (d + 1) / 2)."""
    size = int((np.sqrt(8 * packed.shape[1] + 1) - 1) / 2)
    rows, columns = np.tril_indices(size)
    full = np.zeros((len(packed), size, size))
    full[:, rows, columns] = packed
    full[:, columns, rows] = packed
    return full
